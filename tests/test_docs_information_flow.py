"""The blocks of the guide to information flow are run."""

from __future__ import annotations

import re
from pathlib import Path

from remit import policy

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "information-flow.md").read_text()


def blocks(language):
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found


def test_the_python_of_the_guide_runs():
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(block, names)


def test_the_policies_of_the_guide_load():
    for block in blocks("yaml"):
        assert policy.load({"remit.yaml": block}).tracks


def test_the_policies_of_the_benchmark_load_and_are_what_classify_proposes_of_them():
    for name in ("workspace", "banking"):
        text = (ROOT / "evals" / f"{name}.yaml").read_text()
        assert policy.load({"remit.yaml": text}).tracks
        pack = (ROOT / "src" / "remit" / "packs" / "asked-for.yaml").read_text()
        assert text.endswith(pack[pack.index("rules:\n") :])
