"""The policy in docs/model-apis.md loads and means what the page says of it."""

from __future__ import annotations

import re
from pathlib import Path

from remit import Denied, Guard
from remit.protocols import model_api

PAGE = Path(__file__).parents[1] / "docs" / "model-apis.md"


def test_the_policy_governs_what_providers_run(tmp_path: Path) -> None:
    (policy,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "remit.yaml").write_text(policy, encoding="utf-8")
    names = [
        model_api.hosted_name(kind)
        for kind in ("web_search_20260318", "googleSearch", "code_interpreter", "codeExecution")
    ]
    assert names == ["hosted.web_search"] * 2 + ["hosted.code_execution"] * 2
    granted = []
    with Guard.open(tmp_path / "remit.yaml") as guard, guard.session(agent="inventory-bot"):
        for name in names:
            try:
                with guard.permit(name, {}):
                    granted.append(True)
            except Denied:
                granted.append(False)
    assert granted == [True, True, False, False]
