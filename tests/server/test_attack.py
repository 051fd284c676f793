"""The red team finds what is open, nothing in what is closed, and a rule for what it found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from live import config_in, live_server

from remit.attack import Report, TriedSequence, attack
from remit.cli import rendering
from remit.cli.app import run
from remit.credentials import Right
from remit.incidents.case import pack
from remit.policy import load

DEPLOYMENT = """\
remit: 1
agents:
  assistant: {roles: [assistant]}
  clerk: {roles: [clerk]}
people:
  ada: {roles: [owner]}
tools:
  - {match: ["web.*"], does: read, returns: [untrusted], arguments: {url: url}}
  - {match: [mail.read], does: read, returns: {result.text: untrusted, result.sum: confidential}}
  - match: [mail.send]
    does: send
    sends: {to: args.to, what: [args.text]}
    arguments: {to: email, text: string}
  - {match: [files.delete], does: delete, arguments: {path: path}, controls: [args.path]}
  - {match: [calendar.add], does: write, controls: [args.day]}
"""
EVERYTHING = """\
rules:
  - {id: everything, tools: ["*"], roles: [assistant], effect: allow}
"""
LATE = """\
  - {id: late, tools: [calendar.add], when: args.day > 5, effect: ask}
"""


def tried(policy: str, *more: str) -> Report:
    documents = {"remit.yaml": DEPLOYMENT + policy}
    return attack(load(documents | {f"{name}.yaml": pack(name) for name in more}))


def found(report: Report, kind: str, source: str, sink: str) -> TriedSequence:
    (attempt,) = [
        each
        for each in report.attempts
        if (each.kind, each.source, each.sink) == (kind, source, sink) and each.agent == "assistant"
    ]
    return attempt


def test_what_nothing_stops_gets_through() -> None:
    report = tried(EVERYTHING)
    assert report.attempts
    assert {each.agent for each in report.attempts} == {"assistant"}
    assert report.through == report.attempts
    assert found(report, "exfiltration", "mail.read", "mail.send").injected_by == "mail.read"
    assert found(report, "harm", "", "files.delete").through
    assert found(report, "control", "", "calendar.add").through


def test_the_rules_that_it_proposes_close_what_it_found() -> None:
    report = tried(EVERYTHING)
    proposed = "".join(f"  {line}\n" for each in report.suggestions for line in each.splitlines())
    closed = tried(EVERYTHING + proposed)
    assert len(report.suggestions) == 3
    assert len(closed.attempts) == len(report.attempts)
    assert closed.through == ()
    assert {each.verdict for each in closed.attempts} == {"ask"}


def test_the_pack_for_assistants_lets_nothing_through() -> None:
    report = tried("", "assistant")
    assert {each.agent for each in report.attempts} == {"assistant", "clerk"}
    assert report.through == ()


def test_what_stops_only_what_was_made_up_is_said() -> None:
    attempt = found(tried(EVERYTHING + LATE), "control", "", "calendar.add")
    assert attempt.verdict == "deny"
    assert attempt.unclear


def test_a_source_that_cannot_be_read_gives_nothing_away() -> None:
    rules = EVERYTHING + "  - {id: shut, tools: [mail.read], on: result, effect: deny}\n"
    attempt = found(tried(rules), "exfiltration", "mail.read", "mail.send")
    assert attempt.blocked_earlier
    assert not attempt.through


Shown = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    def ran(*arguments: str) -> tuple[int, str, str]:
        rendering.console.cache_clear()
        code = run(["attack", *arguments])
        text = capsys.readouterr()
        rendering.console.cache_clear()
        return code, text.out, text.err

    return ran


def test_a_running_server_is_tried(tmp_path: Path, shown: Shown) -> None:
    with live_server(config_in(tmp_path, DEPLOYMENT + EVERYTHING)) as live:
        key = tmp_path / "key"
        key.write_text(
            live.key(Right.AUDITOR) if hasattr(live, "key") else live.keys[Right.AUDITOR]
        )
        before = live.parts.store.read(lambda view: view.log_size())
        where = ("--server", live.url, "--key-file", str(key))
        code, out, _ = shown(*where)
        assert code == 1
        assert "THROUGH" in out
        assert "tools: [mail.send]" in out
        code, out, _ = shown(*where, "--agent", "clerk", "--json")
        assert (code, json.loads(out)["attempts"]) == (0, [])
        code, _, err = shown(*where, "--agent", "nobody")
        assert code == 2
        assert "No agent 'nobody' is declared" in err
        code, _, err = shown("--server", live.url)
        assert (code, "give --key-file FILE" in err) == (4, True)
        assert live.parts.store.read(lambda view: view.log_size()) == before


def test_a_server_that_is_not_there_fails(shown: Shown) -> None:
    code, out, err = shown("--server", "http://127.0.0.1:1")
    assert code == 3
    assert out == ""
    assert "does not answer" in err


def test_a_policy_is_tried_without_a_server(tmp_path: Path, shown: Shown) -> None:
    policy = tmp_path / "remit.yaml"
    policy.write_text(DEPLOYMENT + EVERYTHING)
    assert shown("--policy", str(policy))[0] == 1
    assert shown("--policy", str(policy), "--agent", "nobody")[0] == 2
    (tmp_path / "assistant.yaml").write_text(pack("assistant"))
    policy.write_text(DEPLOYMENT)
    code, out, _ = shown("--policy", str(tmp_path))
    assert code == 0
    assert "Nothing would get through" in out
