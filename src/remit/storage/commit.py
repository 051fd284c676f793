"""Group commit: closures from many threads share one durable transaction.

A thread that finds nobody leading leads: it begins a transaction, runs its own closure and every
closure that queues up meanwhile, commits once, passes the lead to the first one still waiting,
and wakes those it served. So a single caller pays for no hand-over between threads, and many
callers share a flush without anybody waiting for company.

Closures that come as futures have no thread of their own: whoever leads takes them along, and a
daemon thread, started with the first one, leads when only futures wait.

An interrupt (Ctrl-C) may hit a thread anywhere, also while it leads. Closures of other threads
are then put back into the queue, and the lead is passed on before the interrupt goes its way. The
steps that see to that can be repeated, and are when they are interrupted themselves.

Nothing here knows a database; ``Engine`` is what a backend provides.
"""

from __future__ import annotations

import os
import threading
from _thread import LockType, allocate_lock
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol, TypeVar

from remit.errors import StoreError, StoreFull

T = TypeVar("T")

MAX_BATCH = 256
"""Closures that one commit takes at most, so that nobody's wait grows without bound."""


class TransactionLost(Exception):  # noqa: N818 (a signal to the leader, never seen by callers)
    """The database undid the whole transaction while one closure ran in it."""

    def __init__(self, problem: StoreError) -> None:
        self.problem = problem
        super().__init__(str(problem))


class Later:
    """What ``Engine.run`` may give instead of a value: it is known once the group is durable."""

    __slots__ = ("error", "value")

    value: Any
    error: BaseException | None


class Engine(Protocol):
    """The transaction that a leader drives. Only the leading thread calls these."""

    def begin(self) -> None:
        """Start a transaction that no other process can write beside.

        Raises:
            StoreError: it cannot be started.
        """
        ...

    def run(self, work: Callable[[Any], T]) -> T:
        """Run one closure; when it raises, what it did is undone and the others' work stays.

        An interrupt (``KeyboardInterrupt``) may leave it half undone: the leader then rolls back
        the whole transaction.

        Raises:
            TransactionLost: the others' work is gone too.
        """
        ...

    def commit(self) -> None:
        """Make the transaction durable.

        Raises:
            StoreError: it did not become durable.
        """
        ...

    def rollback(self) -> None:
        """Undo the transaction, if one is open, whatever state it is in. Never raises."""
        ...

    def committed(self) -> bool:
        """Whether the transaction last begun is durable. Asked after an interrupt."""
        ...

    def rest(self) -> None:
        """Housekeeping between two transactions. Never raises."""
        ...


_QUEUED, _LEADS, _DONE = 0, 1, 2


class _Turn:
    """One closure waiting for its commit, with a thread (``gate``) or a ``future`` behind it."""

    __slots__ = ("abandoned", "error", "future", "gate", "settled", "state", "value", "work")

    def __init__(
        self, work: Callable[[Any], Any] | None, future: Future[Any] | None = None
    ) -> None:
        self.work = work
        """None is the last turn of a store: it takes the lead and keeps it."""
        self.future = future
        self.gate: LockType | None = None
        self.state = _QUEUED
        self.value: Any = None
        self.error: BaseException | None = None
        self.settled = False
        self.abandoned = False

    def block(self) -> None:
        """Give the turn a closed gate to sleep at."""
        self.gate = allocate_lock()
        self.gate.acquire()

    def finish(self) -> None:
        """Tell whoever waits. A second call does nothing; one who leads is not waiting."""
        if self.state != _QUEUED:
            return
        self.state = _DONE
        if self.gate is not None:
            self.gate.release()
        elif self.future is not None:
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.value)


class _Batch:
    """The turns that share one transaction."""

    __slots__ = ("begun", "durable", "separate", "turns")

    def __init__(self) -> None:
        self.turns: list[_Turn] = []
        self.begun = False
        self.durable = False
        self.separate = False
        """The shared transaction failed; each turn gets one of its own."""

    def wake(self) -> None:
        """Tell everyone served. A value is given only for what is known to be durable."""
        for turn in self.turns:
            if not (self.durable or turn.settled or turn.error):
                turn.error = StoreError("Interrupted before it was known to be written. Try again.")
            if isinstance(turn.value, Later):
                turn.error = turn.error or turn.value.error
                turn.value = turn.value.value
            turn.finish()


class GroupCommit:
    """Runs closures of any thread in shared transactions of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._mutex = allocate_lock()  # guards everything down to _closed, and _Turn.state
        self._queue: deque[_Turn] = deque()
        self._leading = False
        self._closed = False
        self._daemon: threading.Thread | None = None
        self._daemon_gate = allocate_lock()
        self._daemon_gate.acquire()
        self._inside = threading.local()
        self._process = os.getpid()

    def write(self, work: Callable[[Any], T]) -> T:
        """Run ``work`` in a transaction; return its value once that is durable."""
        self.check_caller()
        turn = _Turn(work)
        try:
            if not self._enter(turn) and turn.gate is not None:
                turn.gate.acquire()
            if turn.state != _DONE:
                self._lead(turn)
        except BaseException:
            _despite_interrupts(partial(self._leave, turn))
            raise
        if turn.error is not None:
            raise turn.error
        value: T = turn.value
        return value

    def submit(self, work: Callable[[Any], T]) -> Future[T]:
        """Queue ``work`` and return at once."""
        self.check_caller()
        future: Future[T] = Future()
        with self._mutex:
            self.check_open()
            if self._daemon is None:
                self._daemon = threading.Thread(
                    target=self._lead_for_futures, name="remit-store", daemon=True
                )
                self._daemon.start()
            self._queue.append(_Turn(work, future))
            if not self._leading:
                self._leading = True
                self._daemon_gate.release()
        return future

    def close(self) -> bool:
        """Let everything queued finish and take no more. False when that was done before."""
        self.check_caller()
        turn = _Turn(None)
        turn.block()
        with self._mutex:
            if self._closed:
                return False
            self._closed = True
            waits, self._leading = self._leading, True
            if waits:
                self._queue.append(turn)
        if waits and turn.gate is not None:
            turn.gate.acquire()
        if self._daemon is not None:
            self._daemon_gate.release()
            if self._daemon is not threading.current_thread():
                self._daemon.join()
        return True

    def run_inside(self, work: Callable[[Any], T], argument: Any) -> T:
        """Run ``work(argument)`` as a closure of this store: it may not call the store."""
        inside = self._inside
        inside.running = True
        try:
            return work(argument)
        finally:
            inside.running = False

    def check_caller(self) -> None:
        """Refuse a call that would wait for itself, and one from a forked child.

        Raises:
            StoreError: made inside a closure, or in another process than the store's.
        """
        if getattr(self._inside, "running", False):
            raise StoreError(
                "A closure called the store that runs it. Inside a closure, use the transaction "
                "it was given."
            )
        if os.getpid() != self._process:
            raise StoreError(
                "This store was opened before the process forked. Open it again in the child."
            )

    def check_open(self) -> None:
        """Refuse a call to a closed store.

        Raises:
            StoreError: the store is closed.
        """
        if self._closed:
            raise StoreError("This store is closed. Open it again to go on.")

    def _enter(self, turn: _Turn) -> bool:
        """Take the lead if it is free, else queue up. Returns whether this thread leads."""
        with self._mutex:
            self.check_open()
            if not self._leading:
                self._leading = True
                turn.state = _LEADS
                return True
            turn.block()
            self._queue.append(turn)
            return False

    def _leave(self, turn: _Turn) -> None:
        """Give up a turn after an interrupt; pass on the lead if the turn had it."""
        with self._mutex:
            turn.abandoned = True
            if turn in self._queue:
                self._queue.remove(turn)
        if turn.state == _LEADS:
            self._hand_over(turn)

    def _lead(self, own: _Turn | None) -> None:
        """Serve one batch, pass the lead on, and only then wake those who were served."""
        batch = _Batch()
        try:
            self._inside.running = True
            self._serve(own, batch)
        except BaseException as error:
            _despite_interrupts(partial(self._recover, own, batch, error))
            raise
        finally:
            self._inside.running = False
            try:
                _despite_interrupts(partial(self._hand_over, own))
            finally:
                try:
                    _despite_interrupts(batch.wake)
                except BaseException:
                    _despite_interrupts(batch.wake)
                    raise

    def _serve(self, own: _Turn | None, batch: _Batch) -> None:
        """Run and commit ``own`` and what is queued. The store's failures go to every turn."""
        engine, turns = self._engine, batch.turns
        if own is not None:
            turns.append(own)
        try:
            engine.begin()
            batch.begun = True
            if own is not None:
                self._run(own)
            while len(turns) < MAX_BATCH and self._take_next(turns):
                self._run(turns[-1])
            engine.commit()
            batch.durable = True
        except TransactionLost as lost:
            engine.rollback()
            self._fail(batch, lost.problem, retry=True)
        except StoreError as error:
            engine.rollback()
            self._fail(batch, error, retry=isinstance(error, StoreFull))
        engine.rest()

    def _take_next(self, turns: list[_Turn]) -> bool:
        """Move the next closure from the queue into the batch, if one waits and is wanted.

        At no moment is it in neither of them: an interrupt in between must not lose it.
        """
        queue = self._queue
        with self._mutex:
            while queue and queue[0].work is not None:
                turn = queue[0]
                future = turn.future
                wanted = turn.state == _QUEUED and (
                    future is None or future.running() or future.set_running_or_notify_cancel()
                )
                if wanted:
                    turns.append(turn)
                queue.popleft()
                if wanted:
                    return True
            return False

    def _run(self, turn: _Turn) -> None:
        """Run one closure. What it raises is its own, unless the leader was interrupted.

        An interrupt can come between any two steps of the engine, so after one nothing that the
        transaction holds can be trusted: it is rolled back, and the others run again.
        """
        turn.error = None
        work = turn.work
        if work is None:
            return
        try:
            turn.value = self._engine.run(work)
        except TransactionLost:
            raise
        except KeyboardInterrupt as error:
            if turn.state == _LEADS or threading.current_thread() is threading.main_thread():
                raise  # meant for this thread, whoever's closure it was running
            turn.error = error
            turn.settled = True
            raise TransactionLost(StoreError("A closure was interrupted.")) from error
        except BaseException as error:  # noqa: BLE001 (it is raised to the caller)
            turn.error = error

    def _fail(self, batch: _Batch, problem: StoreError, *, retry: bool) -> None:
        """Give the store's failure to every turn, or run each alone where that can help."""
        if retry and len(batch.turns) > 1:
            batch.separate = True
            for turn in batch.turns:
                if not turn.settled:
                    self._run_alone(turn)
            return
        # Those who queued behind a lock that did not open have waited for it as well.
        while len(batch.turns) < MAX_BATCH and self._take_next(batch.turns):
            pass
        for turn in batch.turns:
            if not turn.settled:
                turn.error = _copy(problem)

    def _run_alone(self, turn: _Turn) -> None:
        engine = self._engine
        begun = False
        try:
            engine.begin()
            begun = True
            self._run(turn)
            engine.commit()
        except TransactionLost as lost:
            engine.rollback()
            turn.error = turn.error or lost.problem
        except StoreError as error:
            engine.rollback()
            turn.error = error
        finally:
            turn.settled = turn.error is not None or (begun and engine.committed())

    def _recover(self, own: _Turn | None, batch: _Batch, error: BaseException) -> None:
        """After an interrupt of the leader: no other closure is lost, or run twice."""
        if batch.begun and not batch.separate and self._engine.committed():
            batch.durable = True
            return
        self._engine.rollback()
        with self._mutex:
            again = [
                turn
                for turn in batch.turns
                if not (turn is own or turn.settled or turn.abandoned or turn in self._queue)
            ]
            batch.turns[:] = [turn for turn in batch.turns if turn.settled]
            if own is not None:
                self._queue.extendleft(reversed(again))
                return
        for turn in again:
            turn.error = StoreError(f"The thread of the store failed: {error!r}. Try again.")
            batch.turns.append(turn)

    def _hand_over(self, own: _Turn | None) -> None:
        """Pass the lead to the first in the queue, or set it free; once for each who led."""
        queue = self._queue
        with self._mutex:
            if own is not None and own.state == _DONE:
                return
            while queue and queue[0].state != _QUEUED:  # an interrupt left it there
                queue.popleft()
            # Interrupts come after calls. Up to the call that wakes the next leader this thread
            # has the lead, after it that one has, and ``own`` says so.
            turn = queue[0] if queue else None
            if own is not None:
                own.state = _DONE
            if turn is None:
                self._leading = False
            elif turn.gate is None:
                self._daemon_gate.release()
            else:
                turn.state = _LEADS
                turn.gate.release()
                queue.popleft()

    def _lead_for_futures(self) -> None:
        """Body of the daemon thread: lead whenever only futures wait."""
        while True:
            self._daemon_gate.acquire()
            if self._closed and not self._queue:
                return
            try:
                self._lead(None)
            except BaseException:  # noqa: BLE001, S112 (the futures have it)
                continue


def _despite_interrupts(step: Callable[[], None]) -> None:
    """Do a step that may be repeated until it is done; raise an interrupt only afterwards."""
    interrupt: KeyboardInterrupt | None = None
    while True:
        try:
            step()
            break
        except KeyboardInterrupt as error:
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _copy(problem: StoreError) -> StoreError:
    """The same error for another thread: each raise writes its own traceback into it."""
    copy = type(problem)(*problem.args)
    copy.__cause__ = problem
    return copy
