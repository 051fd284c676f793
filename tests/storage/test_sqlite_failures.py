"""What can be wrong with the file, the disk or the neighbours: each has its error and advice."""

import os
import resource
import shutil
import signal
import sqlite3
import stat
import tempfile
import threading
from pathlib import Path

import pytest

from remit.audit import merkle
from remit.errors import (
    StoreCorrupt,
    StoreError,
    StoreFull,
    StoreLocked,
    StoreReadOnly,
    StoreTooNew,
)
from remit.model import Revision
from remit.storage import SealedValues, schema
from remit.storage.conformance import verify_log
from remit.storage.snapshot import locate
from remit.storage.sqlite import SqliteStore

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

SECRET = b"card number 4929 1234 5678 9012 " * 300


def append(body=b"x", **fields):
    return lambda t: t.append(body, at=1, **fields)


def changed(path, *statements):
    """Alter a store's file behind its back."""
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def store_with(path, count):
    with SqliteStore(path) as store:
        for number in range(count):
            store.write(append(b"record %d" % number))
    return path


@pytest.fixture
def open_directory():
    """A directory that other users can reach (pytest's own are private)."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o777)
    yield path
    path.chmod(0o777)
    shutil.rmtree(path)


def as_nobody(body):
    """Run ``body`` in a child without root's rights; return what it answers, one byte."""
    child = os.fork()
    if child == 0:
        answer = 255
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            answer = body()
        finally:
            os._exit(answer)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# The place.


def test_only_the_owner_may_read(tmp_path):
    path = tmp_path / "remit.db"
    with SqliteStore(path) as store:
        store.write(append())
        files = sorted(tmp_path.iterdir())
        assert [file.name for file in files] == ["remit.db", "remit.db-shm", "remit.db-wal"]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_name_with_odd_characters(tmp_path):
    path = tmp_path / "a b?c#d%20é.db"
    store_with(path, 1)
    assert path.exists()
    with SqliteStore(path) as store:
        assert store.read(lambda t: t.log_size()) == 1


def test_durability_is_not_negotiable(tmp_path):
    with SqliteStore(tmp_path / "remit.db") as store:
        pragmas = [
            store._engine._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
        ]
        assert pragmas == ["wal", 2, 1, 1]


def test_a_directory(tmp_path):
    with pytest.raises(StoreError, match=r"is a directory\. Give the name of a file"):
        SqliteStore(tmp_path)


def test_a_directory_that_is_missing(tmp_path):
    with pytest.raises(StoreError, match=r"does not exist\. Create it first"):
        SqliteStore(tmp_path / "nowhere" / "remit.db")


def test_a_name_that_cannot_be(tmp_path):
    with pytest.raises(StoreError, match="could not be created"):
        SqliteStore(tmp_path / ("x" * 300))


def test_an_old_sqlite(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "OLDEST_SQLITE", (99, 0, 0))
    with pytest.raises(StoreError, match="Use a newer Python build"):
        SqliteStore(tmp_path / "remit.db")


def test_a_read_only_file(open_directory):
    path = store_with(open_directory / "remit.db", 1)
    path.chmod(0o444)

    def body():
        try:
            SqliteStore(path)
        except StoreReadOnly as error:
            return 7 if "write permission" in str(error) else 8
        return 9

    assert as_nobody(body) == 7


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_directory(open_directory, exists):
    path = open_directory / "remit.db"
    if exists:
        store_with(path, 1)
        path.chmod(0o666)
    open_directory.chmod(0o555)

    def body():
        try:
            SqliteStore(path)
        except StoreReadOnly as error:
            return 7 if "write permission" in str(error) else 8
        return 9

    assert as_nobody(body) == 7


# The contents.


@pytest.mark.parametrize("content", [b"remit: 1\ndefault: deny\n" * 99, os.urandom(8192)])
def test_not_a_database(tmp_path, content):
    path = tmp_path / "remit.db"
    path.write_bytes(content)
    with pytest.raises(StoreCorrupt, match="damaged or is not a database"):
        SqliteStore(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program(tmp_path):
    path = tmp_path / "app.db"
    changed(path, "CREATE TABLE users (id)", "PRAGMA application_id = 77")
    with pytest.raises(StoreError, match="database of another program"):
        SqliteStore(path)
    changed(path, "PRAGMA application_id = 0")
    with pytest.raises(StoreError, match="database of another program"):
        SqliteStore(path)


def test_a_newer_schema(tmp_path):
    path = store_with(tmp_path / "remit.db", 1)
    changed(path, f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(StoreTooNew, match="Upgrade Remit"):
        SqliteStore(path)


def test_damaged_pages(tmp_path):
    path = store_with(tmp_path / "remit.db", 2000)
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt, match="Keep the file"):
        SqliteStore(path)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET body = x'00' WHERE position = 10",
        "UPDATE records SET tree = zeroblob(32) WHERE position = 10",
        "UPDATE records SET tree = zeroblob(64) WHERE position = 9",
        "DELETE FROM records WHERE position IN (7, 9)",
    ],
)
def test_a_tail_that_does_not_match_its_tree(tmp_path, statement):
    path = store_with(tmp_path / "remit.db", 11)
    changed(path, statement)
    if "zeroblob(64)" in statement:  # an inner hash that the root is built on but not the tail
        with SqliteStore(path) as store, pytest.raises(AssertionError):
            store.read(verify_log)
        return
    with pytest.raises(StoreCorrupt, match="Keep the file"):
        SqliteStore(path)


def test_P48_a_torn_tail_is_recovered(tmp_path):
    """A write-ahead log cut off anywhere: what is whole stays, the log goes on and verifies."""
    path = tmp_path / "remit.db"
    live = SqliteStore(path)
    for number in range(30):
        live.write(append(b"record %d" % number))
    files = {end: Path(f"{path}{end}").read_bytes() for end in ("", "-wal")}
    sizes = set()
    for cut in range(0, len(files["-wal"]), 9973):
        copy = tmp_path / f"{cut}.db"
        copy.write_bytes(files[""])
        Path(f"{copy}-wal").write_bytes(files["-wal"][:cut] + b"torn" * 9)
        with SqliteStore(copy) as store:
            size = store.read(verify_log)
            assert store.write(append(b"after")) == size
            assert store.read(verify_log) == size + 1
            sizes.add(size)
    live.close()
    assert len(sizes) > 10
    assert max(sizes) > 20


# The disk and the neighbours.


def test_a_full_disk_and_room_again(tmp_path):
    """What does not fit is refused whole; what fits goes on; with room, everything does."""
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append(b"one"))
        connection = store._engine._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")
        with pytest.raises(StoreFull, match="Free some space"):
            store.write(append(b"x" * 60_000))
        assert store.write(append(b"two")) == 1
        with pytest.raises(StoreFull):  # found out before the commit, inside the closure
            store.write(lambda t: t.put_document(Revision("r"), b"x" * 60_000))
        with pytest.raises(StoreFull):
            store.submit(append(b"x" * 60_000)).result(20)
        connection.execute("PRAGMA max_page_count = 1000000")
        assert store.write(append(b"x" * 60_000)) == 2
        assert store.read(verify_log) == 3


def test_a_full_disk_under_load(tmp_path):
    """One closure too large in a shared commit fails alone."""
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append(b"one"))
        connection = store._engine._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 8}")
        small, large = [], []

        def body(number):
            for _ in range(10):
                try:
                    if number % 4:
                        small.append(store.write(append(b"small")))
                    else:
                        store.write(append(b"x" * 60_000))
                except StoreFull as error:
                    large.append((number, error))

        threads = [threading.Thread(target=body, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert {number % 4 for number, _ in large} == {0}
        assert len(large) == 20
        assert sorted(small) == list(range(1, 61))
        assert store.read(verify_log) == 61


def test_a_file_size_limit(tmp_path):
    """The system refuses to let the file grow: a real write that fails, in a child process."""

    def body():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = SqliteStore(tmp_path / "remit.db")
        store.write(append(b"one"))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        refused = 0
        acknowledged = 1
        for _ in range(12):
            try:
                store.write(append(os.urandom(50_000)))
                acknowledged += 1
            except StoreFull:
                refused += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        store.write(append(b"last"))
        size = store.read(verify_log)
        return 7 if refused and size == acknowledged + 1 else 8

    child = os.fork()
    if child == 0:
        answer = 255
        try:
            answer = body()
        finally:
            os._exit(answer)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    with SqliteStore(tmp_path / "remit.db") as store:
        assert store.read(verify_log) >= 3


def test_locked_for_too_long(tmp_path):
    path = store_with(tmp_path / "remit.db", 1)
    other = sqlite3.connect(path, isolation_level=None)
    with SqliteStore(path, timeout=0.05) as store:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreLocked, match="another process"):
            store.write(append())
        with pytest.raises(StoreLocked):
            store.submit(append()).result(20)
        assert store.read(lambda t: t.log_size()) == 1
        with pytest.raises(StoreLocked):
            SqliteStore(path, timeout=0.05)
        other.execute("ROLLBACK")
        assert store.write(append()) == 1
    other.close()


def test_a_lock_that_opens_in_time(tmp_path):
    path = store_with(tmp_path / "remit.db", 1)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with SqliteStore(path, timeout=20) as store:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.2, other.execute, ("ROLLBACK",))
        timer.start()
        assert store.write(append()) == 1
        timer.join()
    other.close()


def test_an_unknown_vfs(tmp_path):
    with pytest.raises(StoreError, match="no such vfs"):
        SqliteStore(tmp_path / "remit.db", vfs="nonesuch")


# Reading.


def test_records_outlive_no_closure(tmp_path):
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append(b"one"))
        store.write(append(b"two"))
        kept = store.read(lambda t: t.records(0, 2))
        with pytest.raises(StoreError, match="Collect what you need"):
            next(kept)

        def started(t):
            records = t.records(0, 2)
            next(records)
            return records

        with pytest.raises(StoreError, match="Collect what you need"):
            next(store.read(started))


def test_readers_do_not_wait_for_a_writer(tmp_path):
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append())
        sizes = []

        def work(t):
            t.append(b"two", at=2)
            thread = threading.Thread(
                target=lambda: sizes.append(store.read(lambda t: t.log_size()))
            )
            thread.start()
            thread.join(20)
            assert not thread.is_alive()

        store.write(work)
        assert sizes == [1]


def test_a_reader_that_finds_damage(tmp_path):
    path = store_with(tmp_path / "remit.db", 3)
    with SqliteStore(path) as store:
        store.read(lambda t: t.log_size())

        def broken(t):
            t._connection.execute("SELECT nonsense")

        with pytest.raises(StoreError, match="nonsense"):
            store.read(broken)
        assert store.read(lambda t: t.log_size()) == 3


def test_many_readers_at_once(tmp_path):
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append())
        barrier = threading.Barrier(12)
        sizes = []

        def look(t):
            barrier.wait(20)
            return t.log_size()

        threads = [
            threading.Thread(target=lambda: sizes.append(store.read(look))) for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sizes == [1] * 12
        assert len(store._readers) == 8


# Erasing.


def everything_on_disk(directory):
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


@pytest.mark.parametrize("size", [40, len(SECRET)])
def test_erased_values_leave_nothing_in_the_files(tmp_path, size):
    """Not in free pages, not in the write-ahead log, while the store is open."""
    values = SealedValues(salt=b"\xa5" * 32, canonical=SECRET[:size])
    with SqliteStore(tmp_path / "remit.db") as store:
        for _ in range(5):
            store.write(append(values=values))
        assert SECRET[:31] in everything_on_disk(tmp_path)
        for position in range(5):
            assert store.write(lambda t, position=position: t.erase(position))
        left = everything_on_disk(tmp_path)
        assert SECRET[:31] not in left
        assert b"\xa5" * 32 not in left
        assert store.read(verify_log) == 5


def test_erasing_beside_a_reader(tmp_path, monkeypatch):
    """A reader still sees the values; when it is gone, the next commit clears them out."""
    monkeypatch.setattr("remit.storage.sqlite._SCRUB_PATIENCE", 10)
    monkeypatch.setattr("remit.storage.sqlite._SCRUB_INTERVAL", 0.0)
    values = SealedValues(salt=b"s" * 32, canonical=SECRET)
    with SqliteStore(tmp_path / "remit.db") as store:
        store.write(append(values=values))

        def look(t):
            assert t.values(0) == values
            eraser = threading.Thread(target=store.write, args=(lambda t: t.erase(0),))
            eraser.start()
            eraser.join(20)
            assert not eraser.is_alive()
            return t.values(0)

        assert store.read(look) == values
        assert SECRET[:31] in everything_on_disk(tmp_path)
        store.write(append())
        assert SECRET[:31] not in everything_on_disk(tmp_path)


# What is remembered.


def test_memory_stays_bounded(tmp_path, monkeypatch):
    for module in ("rows", "transaction"):
        monkeypatch.setattr(f"remit.storage.{module}.REMEMBERED", 8)
    with SqliteStore(tmp_path / "remit.db") as store:
        for number in range(30):

            def work(t, number=number):
                t.put_arrival(str(number), number)
                t.overdue_actions(f"s{number}", 1, 1)
                return t.append(b"x", at=number)

            store.write(work)
        transaction = store._engine._transaction
        assert len(transaction._memory.arrivals) <= 8
        assert len(transaction._leases) <= 8
        assert len(transaction._tree) <= 8
        assert store.write(lambda t: [t.arrival(str(n)) for n in range(30)]) == list(range(30))
        assert store.read(verify_log) == 30


def test_where_a_hash_is():
    """``locate`` undoes ``stored_index``."""
    for level in range(12):
        for number in range(40):
            last = ((number + 1) << level) - 1
            assert locate(merkle.stored_index(level, number)) == (last, level)


# The words for errors.


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("SQLITE_BUSY", StoreLocked, "Stop that process"),
        ("SQLITE_PROTOCOL", StoreLocked, "Stop that process"),
        ("SQLITE_FULL", StoreFull, "Free some space"),
        ("SQLITE_IOERR_WRITE", StoreFull, "Free some space"),
        ("SQLITE_IOERR_SHMSIZE", StoreFull, "Free some space"),
        ("SQLITE_READONLY", StoreReadOnly, "write permission"),
        ("SQLITE_PERM", StoreReadOnly, "write permission"),
        ("SQLITE_CORRUPT", StoreCorrupt, "go on with a backup"),
        ("SQLITE_NOTADB", StoreCorrupt, "go on with a backup"),
        ("SQLITE_IOERR_FSYNC", StoreError, "Check the disk"),
        ("SQLITE_CANTOPEN", StoreError, "Check the disk"),
    ],
)
def test_every_error_has_its_advice(tmp_path, code, kind, advice):
    error = sqlite3.OperationalError("what SQLite says")
    error.sqlite_errorcode = getattr(sqlite3, code)
    error.sqlite_errorname = code
    translated = schema.translate(error, tmp_path / "remit.db")
    assert type(translated) is kind
    assert str(tmp_path / "remit.db") in str(translated)
    assert "Nothing was written" in str(translated) or kind is StoreCorrupt
    assert advice in str(translated)
    assert "what SQLite says" in str(translated)
    assert code in str(translated)


def test_a_file_system_without_shared_memory(tmp_path):
    """SQLite's own VFS for such places stands in for a network file system."""
    with pytest.raises(StoreError, match="Put it on a local disk"):
        SqliteStore(tmp_path / "remit.db", vfs="unix-dotfile")
