"""Sessions: who acts, in which task, and that nothing runs outside one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from guarding import (
    EMBEDDED,
    HEAD,
    RULES,
    decisions,
    log,
    open_guard,
    outcomes,
    store_of,
    unsettled,
)
from remit import Denied, Guard, InvalidArgument, InvalidRequest, SessionScope, TaskRemit
from remit.model import Does

pytestmark = pytest.mark.usefixtures("transport")


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[Guard]:
    with open_guard(tmp_path) as opened:
        yield opened


def test_without_a_session_nothing_runs_and_the_refusal_is_on_record(guard: Guard) -> None:
    ran: list[str] = []
    note = guard.wrap(lambda text: ran.append(text), name="note")
    with pytest.raises(Denied, match="session"):
        note("a")
    with pytest.raises(Denied), guard.permit("note", {"text": "a"}):
        ran.append("b")
    assert ran == []
    assert decisions(guard) == ["note deny", "note deny"]


@EMBEDDED
def test_without_a_session_nothing_runs_in_shadow_mode_either(tmp_path: Path) -> None:
    shadow = HEAD.replace("default: deny", "default: deny\nmode: shadow")
    path = tmp_path / "remit.yaml"
    path.write_text(shadow + RULES)
    ran: list[str] = []
    with Guard.open(path) as guard:
        note = guard.wrap(lambda text: ran.append(text), name="note")
        with pytest.raises(Denied):
            note("a")
        with guard.session(agent="bot"):
            note("drop")
        assert ran == ["drop"]
        assert [(r.effect, r.granted) for r in log(guard) if r.kind == "decision"] == [
            ("deny", False),
            ("deny", True),
        ]


def test_an_unknown_agent_may_do_nothing(guard: Guard) -> None:
    note = guard.wrap(lambda text: text, name="note")
    with guard.session(agent="stranger"), pytest.raises(Denied, match="stranger"):
        note("a")


def test_a_session_ends_with_its_block(guard: Guard) -> None:
    note = guard.wrap(lambda text: text, name="note")
    with guard.session(agent="bot", user="ada", intent="test") as session:
        assert (session.agent, session.user) == ("bot", "ada")
        inside = contextvars.copy_context()
    with pytest.raises(Denied, match="session"):
        note("a")
    with pytest.raises(Denied, match="ended"):
        inside.run(note, "a")
    with pytest.raises(InvalidRequest, match="ended"):
        guard.resume(session.id)
    stored = store_of(guard).read(lambda view: view.session(session.id))
    assert stored is not None
    assert stored.ended_at is not None
    assert stored.intent == "test"


@EMBEDDED
def test_a_kept_session_is_resumed_with_what_it_has_seen(tmp_path: Path) -> None:
    with open_guard(tmp_path) as guard:
        page = guard.wrap(lambda url: "text", name="page")
        with guard.session(agent="bot", user="ada", keep=True) as session:
            page("x")
    with Guard.open(tmp_path / "remit.yaml") as again:
        send = again.wrap(lambda text: text, name="send")
        note = again.wrap(lambda text: text, name="note")
        with again.resume(session.id) as resumed:
            assert (resumed.agent, resumed.user, resumed.labels) == ("bot", "ada", ("untrusted",))
            assert note("a") == "a"
            with pytest.raises(Denied, match="after-untrusted"):
                send("a")
        resumed.end()
        with pytest.raises(InvalidRequest, match="no such session"):
            again.resume("nothing")


def test_delegation_intersects_rights_and_carries_labels(guard: Guard) -> None:
    note = guard.wrap(lambda text: text, name="note")
    add = guard.wrap(lambda a: a, name="add")
    page = guard.wrap(lambda url: url, name="page")
    send = guard.wrap(lambda text: text, name="send")
    with (
        guard.session(agent="reader-bot", user="ada") as outer,
        outer.delegate(agent="bot", intent="help") as inner,
    ):
        assert inner.user == "ada"
        assert note("a") == "a"
        with pytest.raises(Denied):
            add(1)
    with guard.session(agent="bot") as outer:
        page("x")
        with outer.delegate(agent="sub-bot"), pytest.raises(Denied, match="after-untrusted"):
            send("a")
    with guard.session(agent="bot") as outer:
        with outer.delegate(agent="sub-bot"):
            page("x")
        assert outer.labels == ("untrusted",)
    chains = [[link.id for link in r.principal] for r in log(guard) if r.kind == "decision"]
    assert chains[0] == ["bot", "reader-bot", "ada"]


def test_a_session_opened_in_a_session_is_delegation(guard: Guard) -> None:
    add = guard.wrap(lambda a: a, name="add")
    with guard.session(agent="reader-bot", user="ada"):
        with guard.session(agent="bot") as inner:
            assert inner.user == "ada"
            with pytest.raises(Denied):
                add(1)
        with pytest.raises(InvalidRequest, match="on behalf of grace"):
            guard.session(agent="bot", user="grace")


def test_delegation_does_not_go_on_for_ever(guard: Guard) -> None:
    session = guard.session(agent="bot", keep=True)

    def delegate_for_ever() -> None:
        nonlocal session
        while True:
            session = session.delegate(agent="sub-bot")

    with pytest.raises(InvalidRequest, match="deep"):
        delegate_for_ever()


def test_threads_do_not_inherit_a_session_unless_bound(guard: Guard) -> None:
    note = guard.wrap(lambda text: text, name="note")
    with guard.session(agent="bot") as session, ThreadPoolExecutor(1) as pool:
        with pytest.raises(Denied, match="session"):
            pool.submit(note, "a").result()
        assert pool.submit(session.bind(note), "a").result() == "a"
        assert pool.submit(contextvars.copy_context().run, note, "b").result() == "b"
        with pytest.raises(Denied, match="session"):
            pool.submit(note, "a").result()


def test_tasks_inherit_their_session_and_keep_apart(guard: Guard) -> None:
    @guard.tool
    async def note(text: str) -> str:
        await asyncio.sleep(0.001)
        return text

    async def task(agent: str) -> None:
        async with guard.session(agent=agent):
            for _ in range(5):
                await note(agent)

    async def main() -> None:
        await asyncio.gather(task("bot"), task("reader-bot"), task("sub-bot"))

    asyncio.run(main())
    assert {(r.principal[0].id, r.granted) for r in log(guard) if r.kind == "decision"} == {
        ("bot", True),
        ("reader-bot", True),
        ("sub-bot", True),
    }
    assert len(outcomes(guard)) == 15


def test_two_guards_do_not_share_a_session(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    with open_guard(tmp_path / "a") as one, open_guard(tmp_path / "b") as two:
        first = one.wrap(lambda text: text, name="note")
        second = two.wrap(lambda text: text, name="note")
        with one.session(agent="bot"):
            with pytest.raises(Denied, match="session"):
                second("a")
            with two.session(agent="bot"):
                assert first("a") == second("a") == "a"


def test_a_session_can_be_entered_once_at_a_time(guard: Guard) -> None:
    session = guard.session(agent="bot")
    with session, pytest.raises(RuntimeError, match="already entered"):
        session.__enter__()


def test_context_is_checked_and_reaches_the_rules(tmp_path: Path) -> None:
    rules = """
    tools: [{match: [note], does: read}]
    rules:
      - {id: r, roles: [worker], tools: [note], when: 'context.ticket == "T-1"', effect: allow}
    """
    with open_guard(tmp_path, rules) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot", context={"ticket": "T-1"}) as session:
            assert note("a") == "a"
            with session.delegate(agent="sub-bot"):
                assert note("b") == "b"
            with (
                pytest.raises(Denied),
                guard.permit("note", {"text": "c"}, context={"ticket": "T-2"}),
            ):
                raise AssertionError("it ran")
        with pytest.raises(InvalidArgument, match="context"):
            guard.session(agent="bot", context={"x": object()})
        with pytest.raises(InvalidArgument, match="context"):
            guard.permit("note", {}, context={"x": float("nan")})


def test_twelve_threads_on_one_guard(guard: Guard) -> None:
    ran: list[str] = []
    lock = threading.Lock()

    @guard.tool
    def note(text: str) -> str:
        with lock:
            ran.append(text)
        return text

    def work(number: int) -> None:
        with guard.session(agent="bot"):
            for turn in range(10):
                assert note(f"{number}/{turn}") == f"{number}/{turn}"
                with pytest.raises(Denied):
                    note("drop")

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(work, range(12)))
    assert len(set(ran)) == 120
    assert sorted(set(decisions(guard))) == ["note allow", "note deny"]
    assert len(outcomes(guard)) == 120
    assert unsettled(guard) == 0


def test_tools_and_sessions_outlive_the_name_of_their_guard(tmp_path: Path) -> None:
    def made() -> tuple[Callable[[str], str], SessionScope]:
        guard = open_guard(tmp_path)
        return guard.wrap(lambda text: text, name="note"), guard.session(agent="bot")

    note, session = made()
    gc.collect()
    with session:
        assert note("a") == "a"
        gc.collect()
        assert note("b") == "b"
        assert session.labels == ()


def test_a_session_is_narrowed_to_its_task_and_so_are_those_it_delegates_to(guard: Guard) -> None:
    ran: list[object] = []
    note = guard.wrap(lambda text: ran.append(text), name="note")
    pay = guard.wrap(lambda amount: ran.append(amount), name="pay")
    with guard.session(agent="bot", remit=TaskRemit(does=["read"], tools=["n*"])) as session:
        assert [each.does for each in session.remits] == [(Does.READ,)]
        note("a")
        with pytest.raises(Denied, match="narrowed to its task") as refused:
            pay(1)
        assert refused.value.reasons[0].rule == "task-remit"
        with session.delegate(agent="sub-bot", remit=TaskRemit(tools=["note", "pay"])):
            note("b")
            with pytest.raises(Denied, match="task-remit"):
                pay(2)
    with guard.session(agent="bot"):
        pay(3)
    assert ran == ["a", "b", 3]


def test_a_remit_that_narrows_nothing_opens_no_session(guard: Guard) -> None:
    with pytest.raises(InvalidRequest, match="narrows something"):
        guard.session(agent="bot", remit=TaskRemit())


FLOW = """
tools:
  - {match: send, does: send, controls: {who: [args.to]}}
rules:
  - {id: sends, tools: send, effect: allow}
  - {id: named, tools: send, when: '!from_user(controls.who)', effect: deny}
"""


def test_what_the_user_says_later_is_their_word(tmp_path: Path) -> None:
    with open_guard(tmp_path, FLOW) as guard:
        ran: list[str] = []
        send = guard.wrap(lambda to: ran.append(to), name="send")
        with guard.session(agent="bot", intent="Write to ada@corp.example") as session:
            with pytest.raises(Denied):
                send("grace@corp.example")
            session.say("And to grace@corp.example, please")
            send("grace@corp.example")
            asyncio.run(session.say_async("Then to alan@corp.example"))
            send("alan@corp.example")
            with pytest.raises(InvalidRequest, match="1 to 10000"):
                session.say("")
        assert ran == ["grace@corp.example", "alan@corp.example"]
