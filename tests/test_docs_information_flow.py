"""The blocks of the guide to information flow are run."""

from __future__ import annotations

import re
from pathlib import Path

from remit import policy, remits

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


def test_the_tasks_of_the_guide_narrow_what_they_say():
    (tasks,) = [block for block in blocks("yaml") if "tasks:" in block]
    policies = policy.load({"remit.yaml": tasks})
    bot = policies.principal("inventory-bot")
    found = [[each.by for each in remits.derived(policies, bot, said)] for said in ("", "Report!")]
    assert found == [["policy: own-words"], ["policy: own-words", "policy: reports"]]


def test_the_policies_of_the_guide_load():
    for block in blocks("yaml"):
        assert policy.load({"remit.yaml": block}).tracks


def test_the_policies_of_the_benchmark_load_and_are_what_classify_proposes_of_them():
    for name in ("workspace", "banking"):
        text = (ROOT / "evals" / f"{name}.yaml").read_text()
        assert policy.load({"remit.yaml": text}).tracks
        pack = (ROOT / "src" / "remit" / "packs" / "asked-for.yaml").read_text()
        assert text.endswith(pack[pack.index("rules:\n") :])
