"""The guide's script, which verifies an export without Remit, agrees with Remit."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
from audit_logs import all_values, exported, records, root_of

from remit.audit import replay, verify

GUIDE = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()


@pytest.mark.parametrize("size", [0, 1, 2, 7, 11])
def test_the_root_without_remit(tmp_path: Path, size: int) -> None:
    (script,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    bodies = records()[:size]
    file = tmp_path / "log.remit"
    file.write_bytes(exported(bodies, values=all_values()))
    ran = subprocess.run(
        [sys.executable, "-I", "-c", script, str(file)], capture_output=True, text=True, check=True
    )
    assert ran.stdout == f"{size} {base64.b64encode(root_of(bodies)).decode()}\n"


def test_every_code_is_explained() -> None:
    source = "".join(Path(module.__file__).read_text() for module in (replay, verify))
    codes = set(re.findall(r'_report\(\s*(?:None|where|position|one),\s*"([a-z-]+)"', source))
    assert len(codes) >= 16
    assert {code for code in codes if f"`{code}`" not in GUIDE} == set()
