"""Several honest processes on one file take turns; none overwrites, loses or breaks anything."""

import os
import sqlite3
import threading

import pytest
from crashing import SERVER, an_append

from remit.storage.conformance import verify_log
from remit.storage.sqlite import SqliteStore


def writes(path, pipe, tag, threads, rounds):
    """Body of one process: acknowledged positions as lines."""
    with SqliteStore(path, timeout=60) as store:

        def body(number):
            for turn in range(rounds):
                name = f"{tag}/{number}/{turn}".encode()
                position = store.write(an_append(name, turn))
                os.write(pipe.fileno(), b"%d %b\n" % (position, name))

        running = [threading.Thread(target=body, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()


@pytest.mark.parametrize(("processes", "threads", "rounds"), [(2, 1, 60), (2, 4, 25), (8, 1, 15)])
def test_P46_honest_writers_share_a_log(tmp_path, processes, threads, rounds):
    path = tmp_path / "remit.db"
    reader, writer = SERVER.Pipe(duplex=False)
    running = [
        SERVER.Process(target=writes, args=(str(path), writer, str(tag), threads, rounds))
        for tag in range(processes)
    ]
    for process in running:
        process.start()
    writer.close()
    received = b""
    while part := os.read(reader.fileno(), 1 << 16):
        received += part
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    total = processes * threads * rounds
    acknowledged = dict(line.split() for line in received.splitlines())
    assert len(acknowledged) == total
    with SqliteStore(path) as store:
        assert store.read(verify_log) == total
        stored = store.read(lambda t: [record.body.split()[0] for record in t.records(0, total)])
        assert store.read(lambda t: t.arrival("count")) == total
    assert all(stored[int(position)] == name for position, name in acknowledged.items())


def test_P47_eight_threads_share_a_log(tmp_path):
    with SqliteStore(tmp_path / "remit.db") as store:
        positions = []

        def body(number):
            for turn in range(50):
                name = f"{number}/{turn}".encode()
                positions.append(store.write(an_append(name, turn)))

        threads = [threading.Thread(target=body, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(positions) == list(range(400))
        assert store.read(verify_log) == 400


def test_what_another_process_wrote_is_seen(tmp_path):
    """Nothing that one store remembers hides what another has written since."""
    path = tmp_path / "remit.db"
    with SqliteStore(path) as one, SqliteStore(path) as two:
        for turn in range(20):
            first, second = (one, two) if turn % 2 else (two, one)
            assert first.write(an_append(b"a%d" % turn, turn)) == 2 * turn
            assert second.write(lambda t: t.arrival("count")) == 2 * turn + 1
            assert second.write(an_append(b"b%d" % turn, turn)) == 2 * turn + 1
            names = [b"a%d" % turn, b"b%d" % turn]
            found = first.write(lambda t, names=names: [t.action(name.decode()) for name in names])
            assert None not in found
            assert len(first.write(lambda t: t.overdue_actions("s", 99, 99))) == 2 * turn + 2
            assert first.write(lambda t: t.latest()) == turn
        assert one.read(verify_log) == two.read(verify_log) == 40
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
