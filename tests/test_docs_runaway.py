"""The blocks of docs/runaway.md and of docs/forecasts.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from remit import policy
from remit.cli.app import run

DOCS = Path(__file__).parents[1] / "docs"
POLICY = """
remit: 1
agents:
  inventory-bot: {team: warehouse}
people:
  ada: {}
tools:
  - {match: [db.query], does: read}
  - {match: [job.status], does: read}
  - {match: [report], does: write, cost: {usd: 0.50}}
rules:
  - {id: all, tools: [db.query, job.status, report], effect: allow}
budgets:
  - {id: month, by: team, limit: {usd: 50}, per: month}
"""
LOOP = "breakers:\n  - {id: loop, repeats: 3}\n"


def blocks(guide: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / guide).read_text(), re.DOTALL)


def test_the_entries_load() -> None:
    (entries,) = blocks("runaway.md", "yaml")
    policies = policy.load({"remit.yaml": POLICY + entries})
    assert [each.sees for each in policies.breakers] == [
        "repeats",
        "stalls",
        "children",
        "depth",
        "burn",
    ]


def test_the_program_says_what_the_page_says(tmp_path: Path) -> None:
    (program,) = blocks("runaway.md", "python")
    (said,) = blocks("runaway.md", "text")
    (tmp_path / "remit.yaml").write_text(POLICY + LOOP)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    place = re.compile(r"\(remit\.yaml:[0-9:]+\)")
    wanted = re.escape(place.sub("PLACE", said.strip())).replace(
        r"within\ 1\ s", r"within [0-9]+ s"
    )
    assert re.search(wanted, place.sub("PLACE", done.stdout)), done.stdout


@pytest.fixture
def spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from remit import Guard

    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        report = guard.wrap(lambda: "done", name="report")
        with guard.session(agent="inventory-bot", user="ada"):
            report()
    return tmp_path


def test_the_table_of_the_readme(spent: Path, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (DOCS.parent / "README.md").read_text()
    shown = re.search(r"\$ remit budgets\n(.*)\n", readme)
    assert shown is not None
    assert run(["budgets"]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == shown[1].split()


def test_the_commands_of_the_page_run(spent: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (commands,) = blocks("forecasts.md", "sh")
    lines = [line.partition("#")[0].split() for line in commands.splitlines() if line.strip()]
    assert len(lines) >= 6
    for line in lines:
        assert line[0] == "remit"
        assert run([word.strip("'") for word in line[1:]]) == 0, capfd.readouterr().err
    assert (spent / "may.parquet").exists()
