"""A guard that is connected to a server: what happens when either end, or the way, breaks."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from guarding import RULES, write_policy
from remit import (
    ApprovalRequired,
    ConfigError,
    Denied,
    Guard,
    InvalidRequest,
    OutcomeNotRecorded,
    RemitError,
    Unavailable,
    Withheld,
)
from remit.audit.record import Record, parse_record
from remit.errors import AuthenticationError
from remit.guard.steps import run
from remit.storage import Store
from remit.storage.sqlite import SqliteStore
from remoting import AGENTS, ServerThread


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    write_policy(tmp_path, RULES)
    with closing_server(ServerThread(tmp_path)) as started:
        yield started


@contextmanager
def closing_server(server: ServerThread) -> Iterator[ServerThread]:
    try:
        yield server
    finally:
        server.stop()


def log(store: Store) -> list[Record]:
    return store.read(
        lambda view: [parse_record(each.body) for each in view.records(0, view.log_size())]
    )


def steps(store: Store) -> list[str]:
    return [
        f"{each.kind} {each.status or each.effect}"
        for each in log(store)
        if each.kind in ("decision", "outcome")
    ]


class Proxy:
    """Passes bytes between clients and a server, and cuts connections when it is told to.

    ``cut`` is asked with each request that goes by: ``"before"`` closes the connection instead of
    passing it on, ``"after"`` passes it on and closes the connection instead of answering.
    """

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self.cut: Callable[[bytes], str] = lambda request: ""
        self.requests: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            while request := client.recv(1 << 20):
                self.requests.append(request)
                cut = self.cut(request)
                if cut == "before":
                    return
                server.sendall(request)
                answer = server.recv(1 << 20)
                if cut == "after":
                    return
                client.sendall(answer)


@pytest.fixture
def proxy(server: ServerThread) -> Iterator[Proxy]:
    with closing(Proxy(server.url)) as opened:
        yield opened


def cutting(word: bytes, how: str, times: int = 1) -> Callable[[bytes], str]:
    """Cut the first requests that contain ``word``."""
    left = [times]

    def cut(request: bytes) -> str:
        if word in request and left[0]:
            left[0] -= 1
            return how
        return ""

    return cut


# Answers that get lost


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("step", [b"/v1/sessions ", b"/v1/admit", b"/v1/settle", b"/end"])
def test_a_lost_request_or_answer_changes_nothing(
    server: ServerThread, proxy: Proxy, how: str, step: bytes
) -> None:
    ran: list[str] = []
    proxy.cut = cutting(step, how)
    with Guard.connect(proxy.url, credential=server.key("host", AGENTS)) as guard:
        note = guard.wrap(lambda text: ran.append(text), name="note")
        with guard.session(agent="bot", user="ada") as session:
            note("a")
            note("b")
    assert ran == ["a", "b"]
    assert steps(server.store) == ["decision allow", "outcome ok"] * 2
    sessions = [(each.session, each.status) for each in log(server.store) if each.kind == "session"]
    assert sessions == [(session.id, "started"), (session.id, "ended")]


def test_a_request_is_not_sent_for_ever(server: ServerThread, proxy: Proxy) -> None:
    ran: list[str] = []
    with Guard.connect(proxy.url, credential=server.key("host", AGENTS)) as guard:
        note = guard.wrap(lambda text: ran.append(text), name="note")
        with guard.session(agent="bot"):
            proxy.cut = cutting(b"/v1/admit", "before", times=99)
            before = len(proxy.requests)
            with pytest.raises(Unavailable) as caught:
                note("a")
            assert len(proxy.requests) - before == 3
            assert [each.rule for each in caught.value.reasons] == ["governor-unavailable"]
            proxy.cut = lambda request: ""
            note("b")
    assert ran == ["b"]


def test_an_outcome_that_does_not_arrive_shuts_the_session_until_it_does(
    server: ServerThread, proxy: Proxy
) -> None:
    with Guard.connect(proxy.url, credential=server.key("host", AGENTS)) as guard:
        note = guard.wrap(lambda text: text.upper(), name="note")
        with guard.session(agent="bot") as session:
            proxy.cut = cutting(b"/v1/settle", "after", times=99)
            with pytest.raises(OutcomeNotRecorded, match="HAS RUN") as caught:
                note("a")
            assert caught.value.result == "A"
            proxy.cut = cutting(b"/v1/settle", "before", times=99)
            with pytest.raises(Unavailable, match="still not recorded"):
                note("b")
            with pytest.raises(Unavailable):
                session.end()
            proxy.cut = lambda request: ""
            assert note("c") == "C"
    assert steps(server.store) == ["decision allow", "outcome ok"] * 2


def test_what_close_cannot_record_it_says(server: ServerThread, proxy: Proxy) -> None:
    guard = Guard.connect(proxy.url, credential=server.key("host", AGENTS))
    note = guard.wrap(lambda text: text, name="note")
    with guard.session(agent="bot", keep=True):
        proxy.cut = cutting(b"/v1/settle", "before", times=99)
        with pytest.raises(OutcomeNotRecorded):
            note("a")
    with pytest.raises(Unavailable, match="still not recorded"):
        guard.close()


def test_a_server_that_says_nothing_is_waited_for_no_longer_than_allowed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with Guard.connect(url, timeout=0.3) as guard:
            started = time.monotonic()
            with pytest.raises(Unavailable, match="in time"):
                guard.session(agent="bot")
            assert time.monotonic() - started < 2


# Servers that go away


def test_nothing_runs_while_the_server_is_away_and_it_reconnects(
    server: ServerThread, tmp_path: Path
) -> None:
    ran: list[str] = []
    guard = Guard.connect(server.unix, credential=server.key("host", AGENTS))
    note = guard.wrap(lambda text: ran.append(text), name="note")

    @guard.tool(name="note")
    async def later(text: str) -> None:
        ran.append(text)

    with guard.session(agent="bot", keep=True) as session:
        note("a")
        socket_path = server.socket
        server.stop()
        with pytest.raises(Unavailable, match="does not answer"):
            note("b")
        with pytest.raises(Unavailable):
            asyncio.run(later("c"))
        with pytest.raises(Unavailable):
            guard.session(agent="bot")
        with pytest.raises(Unavailable):
            _ = session.labels
        assert ran == ["a"]
        socket_path.parent.mkdir()
        with closing_server(ServerThread(tmp_path, socket=socket_path)) as again:
            note("d")
            asyncio.run(later("e"))
            session.end()
            store = again.store
            assert ran == ["a", "d", "e"]
            assert steps(store) == ["decision allow", "outcome ok"] * 3
    guard.close()
    with pytest.raises(Unavailable):
        guard.session(agent="bot")


class Process:
    """``remit serve`` as a process on a Unix socket, to be killed."""

    def __init__(self, folder: Path, path: Path) -> None:
        (folder / "remit.toml").write_text(f'[server]\nlisten = []\nsocket = "{path}"\n')
        self._folder, self._path = folder, path
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "remit", "serve"],
            cwd=self._folder,
            stderr=subprocess.DEVNULL,
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with socket.socket(socket.AF_UNIX) as asking:
                    asking.connect(str(self._path))
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def key_in(folder: Path) -> str:
    command = [sys.executable, "-m", "remit", "agents", "add", "bot", "--json"]
    text: str = json.loads(subprocess.check_output(command, cwd=folder))["key"]
    return text


def test_an_admission_survives_a_kill_between_admit_and_settle(tmp_path: Path) -> None:
    write_policy(tmp_path, RULES)
    with tempfile.TemporaryDirectory(prefix="remit") as sockets:
        path = Path(sockets) / "s"
        key = key_in(tmp_path)
        server = Process(tmp_path, path)
        guard = Guard.connect(f"unix://{path}", credential=key)

        @guard.tool
        def note(text: str) -> str:
            if text in ("kill", "kill and wait"):
                server.kill()
            if text == "kill":
                server.start()
            return text

        try:
            with guard.session(agent="bot", keep=True) as session:
                assert note("kill") == "kill"
                with pytest.raises(OutcomeNotRecorded):
                    note("kill and wait")
                with pytest.raises(Unavailable):
                    note("a")
                server.start()
                assert note("b") == "b"
            with guard.resume(session.id):
                assert note("c") == "c"
        finally:
            server.kill()
        guard.close()
    with SqliteStore(tmp_path / "remit.db") as store:
        assert steps(store) == ["decision allow", "outcome ok"] * 4


# Who calls


def test_a_bad_credential_opens_nothing(server: ServerThread) -> None:
    good = server.key("host", AGENTS)
    for bad in (None, "remit_aaaaaaaaaaaaaaaa_" + "a" * 52, good[:-1] + "2"):
        with Guard.connect(server.url, credential=bad) as guard:
            with pytest.raises(AuthenticationError):
                guard.session(agent="bot")
            with pytest.raises(Unavailable, match=r"credential|key"):
                guard.wrap(lambda text: text, name="note")("a")
    assert steps(server.store) == []


def test_a_credential_that_ends_stops_the_calls_under_way(server: ServerThread) -> None:
    keys = [server.key("bot")]
    with Guard.connect(server.url, credential=lambda: keys[-1]) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot", keep=True) as session:
            assert note("a") == "a"
            server.revoke(keys[-1])
            with pytest.raises(Unavailable, match="revoked"):
                note("b")
            keys.append(server.key("bot"))
            assert note("c") == "c"
            session.end()


def test_an_agent_acts_only_as_itself(server: ServerThread) -> None:
    with Guard.connect(server.url, credential=server.key("bot")) as guard:
        with pytest.raises(Denied, match="sub-bot"):
            guard.session(agent="sub-bot")
        with guard.session(agent="bot", keep=True) as session:
            pass
    with Guard.connect(server.url, credential=server.key("sub-bot")) as other:
        with pytest.raises(InvalidRequest, match="no such session"):
            other.resume(session.id)
        with pytest.raises(InvalidRequest, match="no such session"):
            run(other._enforcement.authority.end_session(session.id))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8700",
        "ftp://localhost",
        "http://",
        "http://localhost:99999",
        "http://localhost/path",
        "http://ada@localhost",
        "http://192.0.2.7:8700",
        "unix://relative/path",
        "unix:///" + "x" * 200,
    ],
)
def test_an_address_that_does_not_do(url: str) -> None:
    with pytest.raises(ConfigError):
        Guard.connect(url)


def test_settings_that_do_not_do(tmp_path: Path) -> None:
    for options in (
        {"credential": "a b"},
        {"credential": "a\r\nX: y"},
        {"credential": ""},
        {"timeout": 0},
        {"ca": "/nothing"},
        {"certificate": "/nothing"},
    ):
        for url in ("http://localhost:1", "https://localhost:1"):
            if url.startswith("https") and "ca" not in options and "certificate" not in options:
                continue
            with pytest.raises(ConfigError):
                Guard.connect(url, **options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="https"):
        Guard.connect("unix:///tmp/s", ca="x")
    guard = Guard.connect("http://192.0.2.7:8700", insecure_plain_http=True)
    for ask in (lambda: guard.policies, lambda: guard.store, guard.reload):
        with pytest.raises(ConfigError, match="connected to a server"):
            ask()
    guard.close()


# What goes with a call


def test_real_paths_are_sent_when_the_server_asks(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to("/etc/hostname")
    rules = f"""
    tools: [{{match: [read], does: read, arguments: {{name: path}}}}]
    rules:
      - {{id: files, tools: [read], when: 'path(args.name).within("{inside}")', effect: allow}}
    """
    write_policy(tmp_path, rules)
    with (
        closing_server(ServerThread(tmp_path)) as server,
        closing(Proxy(server.url)) as proxy,
        Guard.connect(proxy.url, credential=server.key("bot")) as guard,
    ):
        read = guard.wrap(lambda name: name, name="read")
        with guard.session(agent="bot"):
            assert read(str(inside / "a"))
            with pytest.raises(Denied):
                read(str(inside / "link"))
        admits = [each for each in proxy.requests if b"/v1/admit" in each]
        assert [b'"resolved"' in each for each in admits] == [False, True, True]


def test_a_result_too_large_for_the_server_counts_as_one_it_cannot_read(tmp_path: Path) -> None:
    rules = """
    tools: [{match: [note, look], does: read}]
    rules:
      - {id: workers, roles: [worker], tools: [note, look], effect: allow}
      - {id: looks, on: result, tools: [look], when: 'result.contains("x")', effect: deny}
    """
    write_policy(tmp_path, rules)
    with (
        closing_server(ServerThread(tmp_path, more='[limits]\nbody = "64KiB"')) as server,
        Guard.connect(server.url, credential=server.key("bot")) as guard,
    ):
        note = guard.wrap(lambda text: "y" * 300_000, name="note")
        look = guard.wrap(lambda text: "y" * 300_000, name="look")
        with guard.session(agent="bot"):
            assert len(note("a")) == 300_000
            with pytest.raises(Withheld, match="cannot be evaluated"):
                look("a")
            with pytest.raises(InvalidRequest, match="larger"):
                note("z" * 70_000)
            assert len(note("z" * 65_250)) == 300_000
        assert steps(server.store) == ["decision allow", "outcome ok"] * 3


def test_numbers_and_names_of_every_kind_arrive_as_they_are(server: ServerThread) -> None:
    with Guard.connect(server.unix, credential=server.key("bot")) as guard:
        values = [
            0,
            -1,
            2**53 + 1,
            10**40,
            0.1,
            1e300,
            -0.0,
            "\N{WHITE SMILING FACE}",
            "\x00",
            None,
        ]
        note = guard.wrap(lambda text, **more: more, name="note")
        with guard.session(agent="bot"):
            assert note("a", values=values, deep={"a": {"b": [[]]}}) == {
                "values": values,
                "deep": {"a": {"b": [[]]}},
            }


# Waiting, and many at once


def test_those_who_wait_for_a_person_hold_up_nobody(server: ServerThread) -> None:
    with Guard.connect(server.url, credential=server.key("bot"), wait=10) as guard:

        @guard.tool
        async def pay(amount: int) -> int:
            return amount

        @guard.tool
        async def note(text: str) -> str:
            return text

        async def main() -> None:
            async with guard.session(agent="bot", user="ada"):
                waiting = [asyncio.create_task(pay(500 + number)) for number in range(60)]
                await asyncio.sleep(1)
                started = time.monotonic()
                found = await asyncio.gather(*(note(str(number)) for number in range(40)))
                assert len(found) == 40
                assert time.monotonic() - started < 5
                assert not any(task.done() for task in waiting)
                for task in waiting:
                    task.cancel()
                await asyncio.gather(*waiting, return_exceptions=True)

        asyncio.run(main())
        assert steps(server.store).count("outcome ok") == 40


def test_waiting_goes_on_when_the_way_is_cut(server: ServerThread, proxy: Proxy) -> None:
    proxy.cut = cutting(b"/v1/approvals", "before", times=5)
    with Guard.connect(proxy.url, credential=server.key("bot"), wait=1.5) as guard:
        pay = guard.wrap(lambda amount: amount, name="pay")
        with guard.session(agent="bot", user="ada"):
            started = time.monotonic()
            with pytest.raises(ApprovalRequired):
                pay(500)
            assert 1.4 < time.monotonic() - started < 4


def test_a_task_that_is_cancelled_while_it_asks_leaves_a_record(
    server: ServerThread, proxy: Proxy
) -> None:
    ran: list[str] = []
    asked, go = threading.Event(), threading.Event()

    def slow(request: bytes) -> str:
        if b"/v1/admit" in request:
            asked.set()
            go.wait(5)
        return ""

    proxy.cut = slow
    with Guard.connect(proxy.url, credential=server.key("bot")) as guard:

        @guard.tool
        async def note(text: str) -> None:
            ran.append(text)

        async def main() -> None:
            with guard.session(agent="bot", keep=True):
                task = asyncio.create_task(note("a"))
                await asyncio.to_thread(asked.wait, 5)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                go.set()

        asyncio.run(main())
        end = time.monotonic() + 5
        while steps(server.store)[1:] != ["outcome not-run"] and time.monotonic() < end:
            time.sleep(0.02)
        assert steps(server.store) == ["decision allow", "outcome not-run"]
        assert ran == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_shares_no_connection_and_no_key(server: ServerThread) -> None:
    program = f"""
import os, sys
from remit import Guard
guard = Guard.connect({server.url!r}, credential={server.key("bot")!r})
note = guard.wrap(lambda text: text, name="note")
with guard.session(agent="bot", keep=True):
    note("a")
    child = os.fork()
    for _ in range(20):
        assert note("b") == "b"
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)
    assert steps(server.store).count("outcome ok") == 41
    actions = [each.action for each in log(server.store) if each.kind == "outcome"]
    assert len(set(actions)) == 41


def test_errors_are_errors_of_remit(server: ServerThread) -> None:
    with Guard.connect(server.url, credential=server.key("bot")) as guard:
        with pytest.raises(InvalidRequest, match="characters"):
            guard.session(agent="bot", intent="x" * 10_001)
        with pytest.raises(RemitError):
            guard.resume("../../livez")
