"""Real incidents end as they must, their benign twins pass, and both tests can fail."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from remit.cli import rendering
from remit.cli.app import run
from remit.cli.replay import first_stop
from remit.errors import InvalidRequest
from remit.incidents import Incident, find, names, replay
from remit.incidents.case import pack

MARK = "REMIT_GOLDEN=write renews it -->"
OPEN = """\
remit: 1
mode: shadow
rules:
  - {id: everything, tools: ["*"], effect: allow}
"""
CLOSED = """\
remit: 1
rules:
  - {id: nothing, tools: ["*"], effect: deny}
"""


def instead(incident: Incident, policy: str) -> Incident:
    """The incident where somebody else wrote the policy; who takes part stays declared."""
    agents, people = set(), set()
    for trace in (incident.attack, incident.twin):
        agents |= {opening.agent for opening in trace.sessions.values()}
        people |= {opening.user for opening in trace.sessions.values() if opening.user}
    declared = "".join(f"  {each}: {{}}\n" for each in sorted(agents))
    known = "".join(f"  {each}: {{}}\n" for each in sorted(people | {"ada", "grace"}))
    text = f"{policy}agents:\n{declared}people:\n{known}"
    return replace(incident, packs=(), deployment=text)


def test_there_are_twenty() -> None:
    assert len(names()) == 20


@pytest.mark.parametrize("name", names())
def test_the_attack_is_stopped_and_the_twin_passes(name: str) -> None:
    replayed = replay(find(name))
    for played in (*replayed.attack, *replayed.twin):
        assert played.met, f"{played.step.call} {played.step.args}: {played.effect} {played.rules}"
    assert any(played.stopped for played in replayed.attack)
    assert not any(played.stopped for played in replayed.twin)
    assert replayed.ok


@pytest.mark.parametrize("name", names())
def test_without_protection_the_attack_goes_through(name: str) -> None:
    replayed = replay(instead(find(name), OPEN))
    assert not any(played.stopped for played in replayed.attack)
    assert not replayed.ok


@pytest.mark.parametrize("name", names())
def test_a_policy_that_stops_everything_fails_the_twin(name: str) -> None:
    replayed = replay(instead(find(name), CLOSED))
    assert any(played.stopped for played in replayed.twin)
    assert not replayed.ok


@pytest.mark.parametrize("name", names())
def test_an_incident_says_what_calls_cannot_show(name: str) -> None:
    incident = find(name)
    assert len(incident.beyond) > 40
    assert len(incident.happened) > 80
    assert incident.source


def test_what_there_is_not() -> None:
    with pytest.raises(InvalidRequest, match="there is no incident 'nothing'; there are: agent-"):
        find("nothing")
    for wrong in ("../remit", "nothing", ""):
        with pytest.raises(InvalidRequest, match="no policy pack"):
            pack(wrong)


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]):
    def ran(*arguments: str) -> tuple[int, str, str]:
        rendering.console.cache_clear()
        code = run(list(arguments))
        text = capsys.readouterr()
        return code, text.out, text.err

    yield ran
    rendering.console.cache_clear()


def test_the_table(shown) -> None:
    code, out, _ = shown("replay", "incident", "--all")
    assert code == 0
    assert "20 of 20 ended as they must." in out
    (line,) = [line for line in out.splitlines() if line.startswith("clinejection")]
    assert line.split()[1:5] == ["deny", "call", "2", "installs-after-untrusted"]


def test_one_in_full(shown) -> None:
    code, out, _ = shown("replay", "incident", "replit-database-wipe")
    assert code == 0
    for part in ("code freeze", "destructive-sql", "Its benign twin", "What calls cannot show"):
        assert part in out


def test_for_programs(shown) -> None:
    code, out, _ = shown("replay", "incident", "agent-loop-47k", "openclaw-inbox", "--json")
    assert code == 0
    loop, inbox = json.loads(out)
    assert loop["ok"]
    assert loop["attack"][1]["ran"] <= 60
    assert inbox["twin"][-1]["effect"] == "allow"


def test_what_to_replay_has_to_be_said(shown) -> None:
    for arguments in (("replay", "incident"), ("replay", "incident", "echoleak", "--all")):
        code, _, err = shown(*arguments)
        assert code == 2
        assert "aws-kiro-outage" in err
    code, _, err = shown("replay", "incident", "nothing")
    assert code == 2
    assert "there is no incident 'nothing'" in err


def test_the_guide_has_the_table_of_the_replay() -> None:
    """Regenerate with REMIT_GOLDEN=write after a wanted change, and read the difference."""
    guide = Path(__file__).parents[1] / "docs" / "incidents.md"
    head, mark, told = guide.read_text().partition(MARK)
    rows = [
        "",
        "",
        "| incident | stopped | by rule | what calls cannot show |",
        "|---|---|---|---|",
    ]
    for name in names():
        replayed = replay(find(name))
        step, stopped = first_stop(replayed)
        assert stopped is not None
        title = f"**{replayed.incident.title}** ({replayed.incident.when})"
        how = f"call {step}: {stopped.effect}"
        rows.append(f"| {title} | {how} | `{stopped.rules[0]}` | {replayed.incident.beyond} |")
    made = "\n".join(rows) + "\n"
    if os.environ.get("REMIT_GOLDEN") == "write":
        guide.write_text(head + mark + made)
        told = made
    assert told == made
