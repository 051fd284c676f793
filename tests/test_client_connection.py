"""HTTP as the client reads it: strictly, and the same whatever the pieces are that it comes in."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.client import connection
from remit.client.connection import Connection, ProtocolError, Response
from remit.client.threads import WorkerThreads

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answered(*pieces: bytes, ends: bool = True) -> Iterator[Connection]:
    """A connection to somebody who sends ``pieces`` and then closes."""
    ours, theirs = socket.socketpair()

    def send() -> None:
        with suppress(OSError):  # whoever has read enough closes
            for piece in pieces:
                theirs.sendall(piece)
            if ends:
                theirs.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with closing(Connection(ours)) as opened:
            yield opened
    finally:
        thread.join()
        theirs.close()


def exchanged(*pieces: bytes, ends: bool = True) -> tuple[Response, bool]:
    with answered(*pieces, ends=ends) as opened:
        response = opened.exchange(b"GET / HTTP/1.1\r\n\r\n", time.monotonic() + 5)
        return response, opened.usable


@pytest.mark.parametrize(
    ("sent", "body", "usable"),
    [
        (OK, b"{}", True),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", b"", True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", b"{}", False),
        (b"HTTP/1.1 200 OK\r\n\r\n{}", b"{}", False),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\n{\r\n1;x=y\r\n}\r\n0\r\nA: b\r\n\r\n",
            b"{}",
            True,
        ),
        (OK + b"more", b"{}", False),
    ],
)
def test_responses_are_read_whole(sent: bytes, body: bytes, usable: bool) -> None:
    response, kept = exchanged(sent)
    assert (response.body, kept) == (body, usable)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}",
    ],
)
def test_what_can_be_read_in_two_ways_is_an_error(sent: bytes) -> None:
    with answered(sent) as opened:
        with pytest.raises(ProtocolError):
            opened.exchange(b"x", time.monotonic() + 5)
        assert not opened.usable


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_HEAD", 1000)
    monkeypatch.setattr(connection, "MAX_BODY", 1000)
    head = b"HTTP/1.1 200 OK\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    for sent in (
        head + b"A: " + b"b" * 5000,
        head + b"\r\n" + b"b" * 5000,
        chunked + b"1" + b";" * 5000,
        chunked + b"200\r\n" + b"b" * 512 + b"\r\n200\r\n",
    ):
        with pytest.raises(ProtocolError):
            exchanged(sent)


def test_time_is_bounded_however_slowly_it_comes() -> None:
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def drip() -> None:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while not stop.wait(0.02):
            theirs.sendall(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    started = time.monotonic()
    with closing(theirs), closing(Connection(ours)) as opened:
        with pytest.raises(TimeoutError):
            opened.exchange(b"x", started + 0.2)
        stop.set()
        thread.join()
    assert time.monotonic() - started < 2


def test_a_connection_that_was_closed_or_spoke_unasked_is_not_fresh() -> None:
    with answered(ends=False) as opened:
        assert opened.fresh()
    with answered(b"HTTP/1.1 408 Request Timeout\r\n\r\n", ends=False) as opened:
        time.sleep(0.05)
        assert not opened.fresh()
    with answered() as opened:
        time.sleep(0.05)
        assert not opened.fresh()
    assert not opened.fresh()


@given(st.lists(st.integers(1, 30), max_size=8), st.binary(max_size=60))
def test_pieces_make_no_difference(cuts: list[int], body: bytes) -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    pieces, left = [], whole
    for cut in cuts:
        pieces.append(left[:cut])
        left = left[cut:]
    assert exchanged(*pieces, left) == (Response(200, body), True)


# Threads


def test_work_is_done_by_no_more_threads_than_allowed() -> None:
    workers, running, most = WorkerThreads(4), [0], [0]
    mutex = threading.Lock()

    def work() -> int:
        with mutex:
            running[0] += 1
            most[0] = max(most[0], running[0])
        time.sleep(0.005)
        with mutex:
            running[0] -= 1
        return 1

    assert sum(each.result(5) for each in [workers.submit(work) for _ in range(60)]) == 60
    assert 1 < most[0] <= 4


def test_an_error_goes_to_whoever_waits_and_the_thread_goes_on() -> None:
    workers = WorkerThreads(1)

    def broken() -> None:
        raise SystemExit

    failed, fine = workers.submit(broken), workers.submit(lambda: 1)
    with pytest.raises(SystemExit):
        failed.result(5)
    assert fine.result(5) == 1


def test_threads_without_work_end_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.client.threads._PATIENCE", 0.02)
    workers = WorkerThreads(8)

    def name() -> str:
        return threading.current_thread().name

    before = threading.active_count()
    for _ in range(3):
        assert workers.submit(name).result(5) == "remit-client"
        end = time.monotonic() + 5
        while threading.active_count() > before and time.monotonic() < end:
            time.sleep(0.01)
        assert threading.active_count() == before
