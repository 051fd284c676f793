"""An admitted action until its outcome is recorded, however it ends.

It returns, raises, is cancelled, or is dropped without a word: each of these settles it.
"""

from __future__ import annotations

import time
from typing import Any

from remit.errors import InvalidArgument, OutcomeNotRecorded, Withheld
from remit.guard.authority import Settled
from remit.guard.calls import Granted, shortened
from remit.guard.conversion import is_json_like, to_json
from remit.guard.enforcement import Enforcement
from remit.guard.refusals import withheld
from remit.guard.steps import Flow
from remit.model import Outcome


class RunningAction:
    """One admitted action on its way to its outcome. Settles itself when it is dropped."""

    __slots__ = ("__weakref__", "_enforcement", "_settled", "began", "granted")

    def __init__(self, enforcement: Enforcement, granted: Granted) -> None:
        self._enforcement = enforcement
        self.granted = granted
        self.began = False
        """Whether the action may have had an effect."""
        self._settled = False

    @property
    def tool(self) -> str:
        """The tool's name."""
        return self.granted.request.action.name

    def returned(self, value: Any) -> Flow[Any]:
        """Record that it returned ``value``; give what may be shown of that.

        Raises:
            Withheld: the result may not be shown.
            OutcomeNotRecorded: it could not be recorded; carries the value.
        """
        try:
            plain = to_json(value, "result")
            shown = True
        except InvalidArgument:
            plain, shown = None, False
        try:
            settled = yield from self._settle(Outcome(status="ok", result=plain))
        except OutcomeNotRecorded as error:
            error.result = value
            raise
        settlement = settled.settlement
        if settlement.withheld:
            raise withheld(settled.refusal, settlement)
        unread = (settled.unread or not shown) and settled.result_rules
        if unread or (settlement.redacted and not is_json_like(value)):
            raise Withheld(
                f"{self.tool} ran and its outcome is recorded, but its result is withheld: policy "
                f"has rules on it, and cannot look into a {type(value).__name__} or not into all "
                "of it. Return plain JSON below 1 MiB.",
                reasons=settlement.decision.reasons,
            )
        return settlement.result if settlement.redacted else value

    def failed(self, error: BaseException) -> Flow[None]:
        """Record that it raised ``error``, or that it was cancelled by it.

        Raises:
            Withheld: the error may not be shown.
            OutcomeNotRecorded: it could not be recorded; carries the error.
        """
        if not isinstance(error, Exception):
            yield from self._cancelled(error)
            return
        try:
            settled = yield from self._settle(Outcome(status="error", error=shortened(error)))
        except OutcomeNotRecorded as problem:
            problem.error = error
            raise problem from error
        if settled.settlement.withheld:
            raise withheld(settled.refusal, settled.settlement) from None

    def not_run(self, reason: str) -> Flow[None]:
        """Record that it was admitted and did not run.

        Raises:
            OutcomeNotRecorded: it could not be recorded.
        """
        yield from self._settle(Outcome(status="not-run", error=reason))

    def _cancelled(self, error: BaseException) -> Flow[None]:
        try:
            yield from self._settle(self._given_up(shortened(error)))
        except OutcomeNotRecorded as problem:
            # Whoever cancelled waits for exactly this error; the session stays shut all the same.
            error.add_note(str(problem))

    def dropped(self) -> None:
        """Have it recorded that it was given up, without waiting. Safe in finalizers."""
        if not self._settled:
            self._settled = True
            outcome = self._timed(self._given_up("given up before it ended"))
            self._enforcement.abandon(self.granted, outcome)

    def _given_up(self, why: str) -> Outcome:
        return Outcome(status="cancelled" if self.began else "not-run", error=why)

    def _settle(self, outcome: Outcome) -> Flow[Settled]:
        self._settled = True
        return self._enforcement.settle(self.granted, self._timed(outcome))

    def _timed(self, outcome: Outcome) -> Outcome:
        duration = time.monotonic_ns() - self.granted.started
        return Outcome(
            status=outcome.status, result=outcome.result, error=outcome.error, duration=duration
        )

    def __del__(self) -> None:
        self.dropped()
