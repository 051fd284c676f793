"""No limit is overspent: by threads, by processes, by those who die. The upstream counts the truth.

Each way has a naive variant in the same harness that must overspend: these tests can fail.
``REMIT_KILL_ROUNDS`` makes the rounds of killing more than CI has time for.
"""

import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from benchmarks.serving import ServerProcess
from spenders import LIMIT, POLICY, Line, Upstream, naive, spend_with

from remit import Guard, policy
from remit.audit.export import export_lines
from remit.audit.record import parse_record
from remit.audit.replay import Replay
from remit.audit.verify import verify_export
from remit.budgets.cells import balance
from remit.guard.checkpoints import Checkpointer
from remit.signing import FileSigner
from remit.storage.sqlite import SqliteStore
from remoting import ServerThread

PROGRAM = Path(__file__).parent / "spenders.py"
KILL_ROUNDS = int(os.environ.get("REMIT_KILL_ROUNDS", "6"))


@contextmanager
def upstream(pause: float = 0.002) -> Iterator[Upstream]:
    truth = Upstream(pause)
    try:
        yield truth
    finally:
        truth.close()


def prepare(folder: Path) -> Path:
    path = folder / "remit.yaml"
    path.write_text(POLICY)
    (folder / "book").write_text("")
    return path


def forked(mode: str, folder: Path, truth: Upstream, children: int, tries: int, number: int = 0):
    command = [sys.executable, str(PROGRAM), mode, str(folder), str(truth.port)]
    command += [str(children), str(tries), str(number)]
    return subprocess.Popen(command, start_new_session=True)


def run_forked(*args: object) -> None:
    assert forked(*args).wait(120) == 0  # type: ignore[arg-type]


def in_threads(count: int, work) -> None:  # type: ignore[no-untyped-def]
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)


def check(folder: Path, truth: Upstream) -> int:
    """Nothing was overspent, the ledger knows of all of it, and is the sum of the log."""
    assert truth.spent <= LIMIT
    signer = FileSigner.open(folder / "remit.key") if (folder / "remit.key").exists() else None
    with SqliteStore(folder / "remit.db") as store:
        kept = store.read(lambda view: view.cells("org", 10))
        bodies = store.read(lambda view: [r.body for r in view.records(0, view.log_size())])
        if signer is not None:
            store.write(Checkpointer(store, signer, 0).sign)
        note = store.read(lambda view: view.checkpoint())
    now = time.time_ns()
    (cell,) = kept
    stands = balance(cell, now)
    assert truth.spent <= stands.spent + stands.held <= LIMIT
    found: list[str] = []
    replay = Replay(lambda _, code, message: found.append(f"{code}: {message}"))
    for position, body in enumerate(bodies):
        replay.see(position, parse_record(body))
    assert found == []
    assert replay.budgets.cells[cell.key].used(now // 1000) == stands.spent + stands.held
    if signer is not None and note is not None:
        export = io.BytesIO(b"".join(export_lines(bodies, note)))
        assert verify_export(export, [signer.vkey]).verified
    return stands.spent + stands.held


def test_20_threads(tmp_path: Path) -> None:
    with upstream() as truth, Guard.open(prepare(tmp_path)) as guard:
        in_threads(20, lambda: spend_with(guard, truth.port, 20))
        assert truth.calls > LIMIT // 50
    assert check(tmp_path, truth) > LIMIT - 50


def test_20_naive_threads_overspend(tmp_path: Path) -> None:
    prepare(tmp_path)
    with upstream(0.02) as truth:
        in_threads(20, lambda: naive(tmp_path / "book", truth.port, 20))
    assert truth.spent > LIMIT


def test_8_processes_on_one_file(tmp_path: Path) -> None:
    prepare(tmp_path)
    with upstream() as truth:
        run_forked("file", tmp_path, truth, 8, 25)
    assert check(tmp_path, truth) > LIMIT - 50


def test_8_naive_processes_overspend(tmp_path: Path) -> None:
    prepare(tmp_path)
    with upstream(0.02) as truth:
        run_forked("naive", tmp_path, truth, 8, 40)
    assert truth.spent > LIMIT


def test_8_processes_on_one_server(tmp_path: Path) -> None:
    prepare(tmp_path)
    server = ServerThread(tmp_path)
    try:
        key = server.key("host", ("bot",))
        with upstream() as truth:
            run_forked(f"{server.url},{key}", tmp_path, truth, 8, 25)
    finally:
        server.stop()
    assert check(tmp_path, truth) > LIMIT - 50


def killed_rounds(mode: str, folder: Path, truth: Upstream) -> None:
    for number in range(20):
        run_forked(mode, folder, truth, 4, 10, number)
        if truth.spent > LIMIT:
            break


def test_20_rounds_of_clients_that_die_between_reserving_and_settling(tmp_path: Path) -> None:
    prepare(tmp_path)
    with upstream(0) as truth:
        killed_rounds("dying", tmp_path, truth)
    assert truth.spent <= LIMIT
    assert check_in_time(tmp_path, truth)


def check_in_time(folder: Path, truth: Upstream) -> bool:
    """The clients lived ahead of time; so look at the ledger then."""
    with SqliteStore(folder / "remit.db") as store:
        (cell,) = store.read(lambda view: view.cells("org", 10))
        latest = store.read(lambda view: view.latest())
        found: list[str] = []
        replay = Replay(lambda _, code, message: found.append(f"{code}: {message}"))
        for kept in store.read(lambda view: list(view.records(0, view.log_size()))):
            replay.see(kept.position, parse_record(kept.body))
    stands = balance(cell, latest)
    assert found == []
    assert replay.counts["outcome"] > 20
    assert truth.spent <= stands.spent + stands.held <= LIMIT
    return replay.budgets.cells[cell.key].used(latest // 1000) == stands.spent + stands.held


def test_a_ledger_that_forgives_the_dead_overspends(tmp_path: Path) -> None:
    prepare(tmp_path)
    with upstream(0) as truth:
        killed_rounds("forgiving", tmp_path, truth)
    assert truth.spent > LIMIT


def test_a_server_that_is_killed_again_and_again(tmp_path: Path) -> None:
    prepare(tmp_path)
    chance = random.Random(6)
    with tempfile.TemporaryDirectory(prefix="remit") as sockets, upstream() as truth:
        path = Path(sockets) / "s"
        (tmp_path / "remit.toml").write_text(
            f'[server]\nlisten = ["127.0.0.1:0"]\nsocket = "{path}"\n'
        )
        command = [sys.executable, "-m", "remit", "agents", "add", "bot", "--json"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
        key = json.loads(done.stdout)["key"]
        with ExitStack() as ending:
            clients = None
            for _ in range(KILL_ROUNDS):
                server = ServerProcess(tmp_path)
                if clients is None:
                    clients = forked(f"unix://{path},{key}", tmp_path, truth, 4, 100_000)
                    ending.callback(clients.wait)
                    ending.callback(os.killpg, clients.pid, signal.SIGKILL)
                time.sleep(chance.uniform(0.2, 0.6))
                server.kill()
    assert truth.calls > KILL_ROUNDS
    check(tmp_path, truth)


def test_a_ledger_that_dies_with_its_server_overspends() -> None:
    with upstream(0) as truth:
        for _ in range(KILL_ROUNDS):
            spent, line = 0, Line(truth.port)
            while spent <= LIMIT - 50:
                spent += line.spend()
            line.close()
    assert truth.spent > LIMIT


def test_the_policy_is_what_the_tests_think_it_is() -> None:
    (org, _) = policy.load({"remit.yaml": POLICY}).budgets
    assert [limit.amount for limit in org.limits] == [LIMIT]


@pytest.fixture(autouse=True)
def _no_children_left() -> Iterator[None]:
    before = _children()
    yield
    assert _children() <= before


def _children() -> set[str]:
    """Processes that this one began and did not wait for; other tests may have left some."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = process.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[1] == str(os.getpid()):
            found.add(process.parent.name)
    return found
