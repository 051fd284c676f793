"""Permits: governing a piece of code that is not a function of its own.

    with guard.permit("db.query", {"sql": text}) as permit:
        permit.result = database.run(permit.arguments["sql"])
    use(permit.result)

The block runs only when the action is admitted. What it did is recorded when it is left; only
then is ``result`` what policy lets be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from remit import canonical
from remit.guard.actions import RunningAction
from remit.guard.authority import Proposed
from remit.guard.calls import Granted
from remit.guard.enforcement import Enforcement
from remit.guard.scope import caller
from remit.guard.steps import Flow, run, run_async
from remit.model import Action, ActionId


class _AskedPermit:
    """What permits of both kinds share: the question, and the open action once it is granted."""

    def __init__(
        self,
        enforcement: Enforcement,
        tool: str,
        arguments: Mapping[str, Any],
        context: Mapping[str, Any] | None,
    ) -> None:
        self.result: Any = None
        """Set it in the block to what came of the action."""
        self._enforcement = enforcement
        self._tool = tool
        self._asked = canonical.check(dict(arguments), "args")
        self._context = canonical.check(dict(context or {}), "context")
        self._action: RunningAction | None = None

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments to act with, as obligations leave them."""
        return self._granted.request.arguments

    @property
    def id(self) -> ActionId:
        """Id of the action in the log."""
        return self._granted.admission.id

    @property
    def _granted(self) -> Granted:
        if self._action is None:
            raise RuntimeError("a permit is granted when its `with` block is entered")
        return self._action.granted

    def _entering(self) -> Flow[None]:
        if self._action is not None:
            raise RuntimeError("a permit is for one action; ask for another one")
        self._enforcement.late.start()
        proposed = Proposed(
            caller=caller(self._enforcement, self._context),
            action=Action(name=self._tool),
            arguments=self._asked,
        )
        granted = yield from self._enforcement.admit(proposed)
        self._action = RunningAction(self._enforcement, granted)
        self._action.began = True

    def _drop(self) -> None:
        # The block was in a generator or coroutine that was closed, perhaps by the garbage
        # collector: nothing may be awaited or wait for a lock here.
        if self._action is not None:
            self._action.dropped()

    def _leaving(self, error: BaseException | None) -> Flow[None]:
        action = self._action
        assert action is not None
        if error is not None:
            yield from action.failed(error)
            return
        # Nothing but what policy lets through may be left here, whatever happens next.
        came, self.result = self.result, None
        self.result = yield from action.returned(came)


class Permit(_AskedPermit):
    """Leave to do one action in a ``with`` block. Made by ``Guard.permit``."""

    def __enter__(self) -> Permit:
        """Ask for the action.

        Raises:
            Refused: it may not be done, or not yet.
        """
        run(self._entering())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Record what came of it.

        Raises:
            Withheld: the result may not be shown.
            OutcomeNotRecorded: it could not be recorded.
        """
        if isinstance(error, GeneratorExit):
            self._drop()
        else:
            run(self._leaving(error))


class AsyncPermit(_AskedPermit):
    """Leave to do one action in an ``async with`` block. Made by ``Guard.permit_async``."""

    async def __aenter__(self) -> AsyncPermit:
        """Ask for the action.

        Raises:
            Refused: it may not be done, or not yet.
        """
        await run_async(self._entering())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Record what came of it.

        Raises:
            Withheld: the result may not be shown.
            OutcomeNotRecorded: it could not be recorded.
        """
        if isinstance(error, GeneratorExit):
            self._drop()
        else:
            await run_async(self._leaving(error))
