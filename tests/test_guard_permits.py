"""Permits: a governed block of code, admitted when it is entered and settled when it is left."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guarding import log, open_guard, outcomes, settled
from remit import ApprovalRequired, Denied, Guard, InvalidArgument, Withheld

pytestmark = pytest.mark.usefixtures("transport")

RULES = """
tools: [{match: [show, find], does: read}]
rules:
  - {id: find, roles: [worker], tools: [find], effect: allow}
  - id: r
    roles: [worker]
    tools: [show]
    effect: allow
    obligations: [{cap: {args.limit: 10}}, {redact: [result.email]}]
  - {id: big, tools: [show], when: args.limit > 1000, effect: ask}
  - {id: secret, tools: [show], on: result, when: result.kind == "secret", effect: deny}
"""


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path, RULES) as opened:
        yield opened


def test_the_block_acts_with_what_obligations_leave_and_shows_what_policy_lets_through(
    guard: Guard,
) -> None:
    with guard.session(agent="bot"):
        with guard.permit("show", {"limit": 50}) as permit:
            assert permit.arguments == {"limit": 10}
            permit.result = {"kind": "open", "email": "ada@corp.example"}
        assert permit.result == {"kind": "open", "email": "[redacted]"}
    assert [r.action for r in log(guard) if r.kind == "outcome"] == [permit.id]


def test_a_withheld_result_is_gone_from_the_permit(guard: Guard) -> None:
    permit = guard.permit("show", {"limit": 5})

    def look() -> None:
        with permit:
            permit.result = {"kind": "secret", "email": "x"}

    with guard.session(agent="bot"), pytest.raises(Withheld, match="secret"):
        look()
    assert permit.result is None
    assert outcomes(guard) == ["show ok"]


def test_a_refused_block_does_not_run(guard: Guard) -> None:
    with guard.session(agent="bot"):
        with pytest.raises(ApprovalRequired), guard.permit("show", {"limit": 5000}):
            raise AssertionError("the block ran")
        with pytest.raises(Denied), guard.permit("hide", {}):
            raise AssertionError("the block ran")
        with pytest.raises(InvalidArgument, match=r"args\.when"):
            guard.permit("show", {"when": object()})
    assert outcomes(guard) == []


def test_an_error_in_the_block_is_recorded(guard: Guard) -> None:
    with guard.session(agent="bot"):
        with pytest.raises(KeyError), guard.permit("find", {"limit": 5}):
            raise KeyError
        # A rule on the result cannot be evaluated without one, so the error is withheld too: its
        # message may hold what the rule protects.
        with pytest.raises(Withheld) as caught, guard.permit("show", {"limit": 5}):
            raise KeyError("ada@corp.example")
        assert caught.value.__suppress_context__
        assert "ada@" not in str(caught.value)
    assert [(r.status, r.error) for r in log(guard) if r.kind == "outcome"] == [
        ("error", "KeyError"),
        ("error", "KeyError"),
    ]


def test_a_permit_is_for_one_action_in_a_with_block(guard: Guard) -> None:
    permit = guard.permit("show", {"limit": 5})
    with pytest.raises(RuntimeError, match="entered"):
        assert permit.arguments
    with guard.session(agent="bot"):
        with permit:
            permit.result = {"kind": "open", "email": ""}
        with pytest.raises(RuntimeError, match="one action"):
            permit.__enter__()


def test_a_block_in_a_generator_that_is_dropped_is_cancelled(guard: Guard) -> None:
    def steps() -> Iterator[Any]:
        with guard.permit("show", {"limit": 5}) as permit:
            yield permit

    with guard.session(agent="bot"):
        running = steps()
        next(running)
        del running
        gc.collect()
        assert settled(guard, ["show cancelled"])
