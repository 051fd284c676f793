"""A fleet as one of its nodes sees it: who is there, who leads, what should be in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import Struct

from remit.model import Revision


class NodeState(Struct, frozen=True, kw_only=True):
    """One node of a fleet, as it said of itself last."""

    name: str
    leads: bool
    """Whether it signs the log, closes what is overdue, and sends webhooks, for all."""
    release: str
    """Version of Remit that it runs."""
    revision: Revision
    """Of the policy in force on it."""
    fault: str | None
    """Why the policy that should be in force is not."""
    lag: int
    """Records in the log that it had not seen yet."""
    skew: float
    """Seconds that its clock is ahead of the database's."""
    seen: float
    """Seconds since it was heard of."""
    up: float
    """Seconds since it began."""


class PublishedPolicy(Struct, frozen=True, kw_only=True):
    """The policy that every node is to put in force."""

    revision: Revision
    bundle: bytes
    """Its documents, as canonical JSON."""


class Fleet(Protocol):
    """The nodes over one database. One of them leads."""

    name: str
    """Of this node."""
    news: Callable[[], None] | None
    """Is called, in another thread, when approvals, stops or policies have changed."""

    @property
    def leads(self) -> bool:
        """Whether this node leads now."""
        ...

    def nodes(self) -> Sequence[NodeState]:
        """All nodes that were heard of in the last day, by name.

        Raises:
            StoreError: the database does not answer.
        """
        ...

    def published(self) -> PublishedPolicy | None:
        """The policy that was published last, to be in force on every node; None for none.

        Raises:
            StoreError: the database does not answer.
        """
        ...

    def close(self) -> None:
        """Leave the fleet."""
        ...
