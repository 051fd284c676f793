"""Held calls: they wait for a person, run once for exactly what was approved, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from guarding import approve, decisions, log, open_guard, outcomes, reject
from remit import ApprovalRequired, Denied, Guard

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path, wait=5.0) as opened:
        yield opened


def held(guard: Guard, tool: object, *args: object) -> ApprovalRequired:
    with pytest.raises(ApprovalRequired) as caught:
        tool(*args)  # type: ignore[operator]
    return caught.value


def test_a_held_call_raises_with_the_handle_and_runs_once_after_approval(guard: Guard) -> None:
    paid: list[int] = []
    pay = guard.wrap(lambda amount: paid.append(amount), name="pay")
    with guard.session(agent="bot", user="ada"):
        pay(50)
        refusal = held(guard, pay, 500)
        assert refusal.approval in str(refusal)
        assert "big-pay" in str(refusal)
        assert paid == [50]
        assert held(guard, pay, 500).approval == refusal.approval
        approve(guard, refusal.approval)
        pay(500)
        assert paid == [50, 500]
        again = held(guard, pay, 500)
        assert again.approval != refusal.approval
    assert paid == [50, 500]
    assert outcomes(guard) == ["pay ok", "pay ok"]


def test_an_approval_holds_in_a_later_session_of_the_same_agent_and_user(guard: Guard) -> None:
    paid: list[int] = []
    pay = guard.wrap(lambda amount: paid.append(amount), name="pay")
    with guard.session(agent="bot", user="ada"):
        refusal = held(guard, pay, 500)
    approve(guard, refusal.approval)
    with guard.session(agent="sub-bot", user="ada"):
        held(guard, pay, 500)
    with guard.session(agent="bot", user="ada"):
        held(guard, pay, 501)
        pay(500)
    assert paid == [500]


def test_a_rejected_call_is_denied(guard: Guard) -> None:
    pay = guard.wrap(lambda amount: amount, name="pay")
    with guard.session(agent="bot", user="ada"):
        refusal = held(guard, pay, 500)
        reject(guard, refusal.approval)
        with pytest.raises(Denied):
            pay(500)
    assert outcomes(guard) == []


def later(guard: Guard, answer: object) -> threading.Thread:
    """Answer the first approval that comes up, from another thread."""

    def work() -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            waiting = [r.approval for r in log(guard) if r.kind == "decision" and r.approval]
            if waiting:
                answer(guard, waiting[0])  # type: ignore[operator]
                return
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_patient_guard_waits_for_the_answer(patient: Guard) -> None:
    pay = patient.wrap(lambda amount: amount, name="pay")
    with patient.session(agent="bot", user="ada"):
        thread = later(patient, approve)
        assert pay(500) == 500
        thread.join()
    assert decisions(patient) == ["pay ask", "pay ask"]


def test_a_patient_guard_hears_a_no_at_once(patient: Guard) -> None:
    pay = patient.wrap(lambda amount: amount, name="pay")
    with patient.session(agent="bot", user="ada"):
        thread = later(patient, reject)
        started = time.monotonic()
        with pytest.raises(Denied):
            pay(500)
        assert time.monotonic() - started < 4
        thread.join()


def test_waiting_ends(tmp_path: Path) -> None:
    with open_guard(tmp_path, wait=0.2) as guard:
        pay = guard.wrap(lambda amount: amount, name="pay")
        with guard.session(agent="bot", user="ada"):
            started = time.monotonic()
            held(guard, pay, 500)
            assert 0.15 < time.monotonic() - started < 3


def test_waiting_leaves_the_loop_free(patient: Guard) -> None:
    @patient.tool
    async def pay(amount: int) -> int:
        return amount

    async def main() -> tuple[int, int]:
        ticks = 0
        async with patient.session(agent="bot", user="ada"):
            task = asyncio.create_task(pay(500))
            while ticks < 20:
                await asyncio.sleep(0.005)
                ticks += 1
            assert not task.done()
            waiting = next(r.approval for r in log(patient) if r.kind == "decision")
            assert waiting is not None
            approve(patient, waiting)
            return await task, ticks

    assert asyncio.run(main()) == (500, 20)


def test_a_waiting_task_can_be_cancelled(patient: Guard) -> None:
    @patient.tool
    async def pay(amount: int) -> int:
        return amount

    async def main() -> None:
        async with patient.session(agent="bot", user="ada"):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(pay(500), 0.1)

    asyncio.run(main())
    assert decisions(patient) == ["pay ask"]
    assert outcomes(patient) == []


def test_arguments_changed_while_a_person_thinks_do_not_run(patient: Guard) -> None:
    paid: list[object] = []
    order = {"amount": 500}
    pay = patient.wrap(lambda amount, order: paid.append(order), name="pay")

    def answer(guard: Guard, approval: str) -> None:
        order["amount"] = 5_000_000
        approve(guard, approval)

    with patient.session(agent="bot", user="ada"):
        thread = later(patient, answer)
        with pytest.raises(Denied, match="changed after"):
            pay(500, order)
        thread.join()
    assert paid == []
    assert outcomes(patient) == ["pay not-run"]
