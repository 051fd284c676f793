"""When a server that fails is left alone: a circuit breaker, without a clock of its own."""

from __future__ import annotations


class Circuit:
    """Closed while a server answers; open for a while after it failed several times in a row.

    After the pause one request is let through to find out; the others wait for what comes of it.
    """

    def __init__(self, failures: int, pause: float) -> None:
        """Begin closed.

        Args:
            failures: how many in a row open it.
            pause: seconds for which it stays open.
        """
        self._most = failures
        self._pause = pause
        self._failed = 0
        self._open_until: float | None = None
        self._probing = False

    def wait(self, now: float) -> float:
        """Seconds until something may be sent; 0 for now."""
        if self._open_until is None:
            return 0.0
        if self._probing:
            return self._pause
        return max(0.0, self._open_until - now)

    def enter(self, now: float) -> bool:
        """Whether a request may be sent; if so, what comes of it has to be told."""
        if self.wait(now) > 0:
            return False
        self._probing = self._open_until is not None
        return True

    def succeeded(self) -> None:
        """The server answered."""
        self._failed = 0
        self._open_until = None
        self._probing = False

    def failed(self, now: float) -> None:
        """The server did not answer, or said that it cannot."""
        self._failed += 1
        if self._probing or self._failed >= self._most:
            self._open_until = now + self._pause
        self._probing = False

    def left(self) -> None:
        """Nobody knows what came of a request: it was given up."""
        self._probing = False
