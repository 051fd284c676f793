"""Every adapter keeps the contract, in its framework's own environment; pages say what is so.

CI runs the first eight, most scenarios in one way of running; ``make test-adapters`` runs all of
them in every way (REMIT_ADAPTERS=all).
"""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from environments import LOCKS, python_of

from remit.adapters.declared import ADAPTERS, Adapter
from remit.adapters.telling import facts, table

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGES = ROOT / "docs" / "adapters"
MARK = "<!-- made by tests/adapters/test_adapters.py; REMIT_GOLDEN=write renews it -->"
FIRST = 8
ALL = os.environ.get("REMIT_ADAPTERS") == "all"
CHOSEN = ADAPTERS if ALL else ADAPTERS[:FIRST]
SCENARIOS = {
    "allowed", "denied", "parallel", "rewrite", "redact", "hold", "resumed_unapproved",
    "exception", "cancellation", "fault", "child", "strayed", "no_session", "unprotected",
    "verified",
}  # fmt: skip


def by_name(adapter: Adapter) -> str:
    return adapter.name


@pytest.mark.parametrize("adapter", CHOSEN, ids=by_name)
def test_the_contract_holds(adapter: Adapter) -> None:
    done = subprocess.run(
        [python_of(adapter.name), HERE / "contract.py", adapter.name, "" if ALL else "quick"],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    wrong = [f"{s['scenario']}[{s['mode']}]\n{s['problem']}" for s in said if s.get("problem")]
    assert not wrong, "\n".join(wrong)
    assert done.returncode == 0, done.stdout + done.stderr
    left_out = {each["scenario"]: each["reason"] for each in said if "reason" in each}
    assert {each["scenario"] for each in said if "scenario" in each} >= SCENARIOS
    assert all(left_out.values())
    ways = {each.get("mode") for each in said if each.get("scenario") == "denied"}
    assert ways == {None} if "denied" in left_out else ways == set(adapter.modes)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=by_name)
def test_what_was_tested_is_what_is_pinned(adapter: Adapter) -> None:
    package, release = adapter.tested.rsplit(" ", 1)
    pinned = (LOCKS / f"{adapter.name}.txt").read_text()
    assert f"\n{package}=={release} " in f"\n{pinned}"
    assert "://" not in pinned


@pytest.mark.parametrize("adapter", ADAPTERS, ids=by_name)
def test_without_its_framework_an_adapter_says_what_to_install(adapter: Adapter) -> None:
    if adapter.part_of_guard:
        return
    module = f"remit.adapters.{adapter.name.replace('-', '_')}"
    sys.modules.pop(module, None)
    with pytest.raises(ModuleNotFoundError, match="pip install") as caught:
        importlib.import_module(module)
    assert adapter.title in str(caught.value)


def page_of(adapter: Adapter, told: str) -> str:
    """A page as it has to be: its own words, then the tested file, then what is declared."""
    code = (PAGES / f"{adapter.name.replace('-', '_')}_notes.py").read_text()
    words, _, _ = told.partition(MARK)
    rows = "\n".join(f"| {what} | {how} |" for what, how in facts(adapter))
    return f"{words}{MARK}\n\n```python\n{code}```\n\n| | |\n|---|---|\n{rows}\n"


@pytest.mark.parametrize("adapter", ADAPTERS, ids=by_name)
def test_the_page_of_an_adapter_has_the_tested_file(adapter: Adapter) -> None:
    """Regenerate with REMIT_GOLDEN=write after a wanted change, and read the difference."""
    place = PAGES / f"{adapter.name}.md"
    told = place.read_text()
    made = page_of(adapter, told)
    if os.environ.get("REMIT_GOLDEN") == "write":
        place.write_text(made)
        told = made
    assert told == made
    assert told.startswith(f"# {adapter.title}\n")


def test_the_overview_has_the_table_that_the_command_prints() -> None:
    """Regenerate with REMIT_GOLDEN=write after a wanted change, and read the difference."""
    place = PAGES / "README.md"
    told = place.read_text()
    headers, rows = table(ADAPTERS)
    lines = [headers, ["---"] * len(headers), *rows]
    made = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    for adapter in ADAPTERS:
        made = made.replace(f"| {adapter.name} |", f"| [{adapter.name}]({adapter.name}.md) |", 1)
    made = f"{told.partition(MARK)[0]}{MARK}\n\n{made}\n"
    if os.environ.get("REMIT_GOLDEN") == "write":
        place.write_text(made)
        told = made
    assert told == made


def test_an_adapter_fits_on_a_few_screens() -> None:
    for adapter in ADAPTERS:
        if adapter.part_of_guard:
            continue
        source = ROOT / "src/remit/adapters" / f"{adapter.name.replace('-', '_')}.py"
        assert 30 <= len(source.read_text().splitlines()) <= 150, source


def test_the_command_prints_the_declarations() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "remit", "adapters", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert [each["name"] for each in said["adapters"]] == [each.name for each in ADAPTERS]
    one = subprocess.run(
        [sys.executable, "-m", "remit", "adapters", ADAPTERS[0].name],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert re.search(r"tested +", one.stdout)
