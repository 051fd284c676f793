"""The guide to budgets: its policy loads, its program runs, its words are the product's."""

import re
from pathlib import Path

import pytest

from remit.policy import load

PAGE = Path(__file__).parents[2] / "docs" / "budgets.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_policy_loads() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    policies = load({"remit.yaml": block})
    assert policies.warnings == ()
    assert [each.id for each in policies.budgets] == [
        "warehouse-day",
        "each-user",
        "one-task",
        "month",
    ]
    assert [each.id for each in policies.rate_limits] == ["burst"]
    assert policies.downgrades == ("small-model",)
    assert [each.pattern for each in policies.meter.prices] == ["house-model", "*"]


def test_the_program_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    exec(compile(block, str(PAGE), "exec"), {})
    assert "Budget warehouse-day cannot pay this call" in capsys.readouterr().out
