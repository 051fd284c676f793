"""Whether the agent that waits for an answer is still there."""

from __future__ import annotations

import asyncio
from types import TracebackType

from remit.api.mounts import Passing


class AgentGone(Exception):  # noqa: N818 - what happened
    """The agent closed its connection before it was answered."""


class Departure:
    """Interrupts whatever is awaited within ``with departure:`` once the agent has gone.

    Only waiting for others is put within: never what must not be left half done. Made in the task
    that answers the agent, and used in no other.
    """

    def __init__(self, passing: Passing) -> None:
        self.gone = False
        """Whether the agent has gone."""
        self._answering: asyncio.Task[object] | None = asyncio.current_task()
        self._task: asyncio.Task[object] | None = None
        passing.on_departure(self._departed)

    def __enter__(self) -> None:
        """Begin to wait.

        Raises:
            AgentGone: nobody would get what is waited for.
        """
        if self.gone:
            raise AgentGone
        self._task = self._answering

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        if self.gone and task is not None:
            task.uncancel()
            raise AgentGone from None

    def _departed(self) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
