"""The stop switch of a store's file, or of a server: the same four things either way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Protocol, TypeVar
from urllib.parse import quote

import msgspec

from remit import stops, switch
from remit.cli.calling import ServerCaller
from remit.cli.workspace import load_policy, open_store
from remit.errors import (
    ConfigError,
    PolicyError,
)
from remit.journal import Journal
from remit.model import Principal
from remit.protocols.approval_views import StopSeen, StopSet, StopView, stop_view
from remit.stops import FirstRefusal, Scope, Stop
from remit.storage import Store, Transaction
from remit.switch import StopEffect, first_refusal

T = TypeVar("T")
_LOOK = 0.02
"""Seconds between two looks for the first refusal in a store."""


class Switch(Protocol):
    """What sets and lifts stops."""

    def standing(self) -> list[StopView]:
        """The stops in force."""
        ...

    def stop(self, scope: Scope, value: str, reason: str) -> StopSet:
        """Stop something; when this returns, the next call is refused."""
        ...

    def refusal(self, made: StopSet, wait: float) -> FirstRefusal | None:
        """The first call that a stop refused; None if there is none in ``wait`` seconds."""
        ...

    def resume(self, stop_id: str, reason: str) -> StopView:
        """Lift a stop."""
        ...


class FileSwitch:
    """The switch of a store in a file. It needs no policy: it must work when that is broken."""

    def __init__(self, policy_path: Path, store_path: Path | None, person: str) -> None:
        self._policy_path = policy_path
        self._store_path = store_path
        self._person = person

    def standing(self) -> list[StopView]:
        """The stops in force."""
        with closing(self._store()) as store:
            return [stop_view(each) for each in store.read(lambda view: list(view.stops()))]

    def stop(self, scope: Scope, value: str, reason: str) -> StopSet:
        """Stop something in one transaction."""
        by = self._by()

        def work(journal: Journal) -> StopEffect:
            return switch.set_stop(journal, scope, value, by, reason)

        effect = self._change(work)
        return StopSet(
            stop=stop_view(effect.stop),
            position=effect.position,
            closed=tuple(each.id for each in effect.closed),
        )

    def refusal(self, made: StopSet, wait: float) -> FirstRefusal | None:
        """Look for the first refusal in the log."""
        deadline, since = monotonic() + wait, made.position
        stop = msgspec.convert(made.stop, Stop, from_attributes=True)
        with closing(self._store()) as store:
            while True:
                found, since = store.read(partial(first_refusal, stop=stop, since=since))
                left = deadline - monotonic()
                if found is not None or left <= 0:
                    return found
                time.sleep(min(_LOOK, left))

    def resume(self, stop_id: str, reason: str) -> StopView:
        """Lift a stop in one transaction."""
        by = self._by()
        return stop_view(
            self._change(lambda journal: switch.lift(journal, stops.StopId(stop_id), by, reason))
        )

    def _by(self) -> Principal:
        """Who is at the switch: as the policy declares them, else by name alone."""
        name = self._person or "somebody on this machine"
        try:
            return load_policy(self._policy_path).person(name)
        except (PolicyError, ConfigError):
            return Principal(id=name, kind="person")

    def _change(self, work: Callable[[Journal], T]) -> T:
        def within(t: Transaction) -> T:
            return work(Journal.begin(t, time.time_ns(), secrets.token_bytes))

        with closing(self._store()) as store:
            return store.write(within)

    def _store(self) -> Store:
        return open_store(self._policy_path, self._store_path)


class ServerSwitch:
    """The switch of a server, with an admin's key."""

    def __init__(self, server: str, key_file: Path | None) -> None:
        """Prepare to talk to a server.

        Raises:
            ConfigError: the address or the key cannot be used.
        """
        self._server = ServerCaller(server, key_file)

    def standing(self) -> list[StopView]:
        """The stops in force."""
        return self._server.ask("GET", "/v1/stops", list[StopView])

    def stop(self, scope: Scope, value: str, reason: str) -> StopSet:
        """Stop something; sent again if the answer is lost, and set once all the same."""
        body = {"scope": scope, "value": value, "reason": reason}
        return self._server.ask("POST", "/v1/stops", StopSet, body)

    def refusal(self, made: StopSet, wait: float) -> FirstRefusal | None:
        """Ask the server to wait for the first refusal."""
        path = f"/v1/stops/{quote(made.stop.id)}/refusal?since={made.position}&wait={wait:g}"
        return self._server.ask("GET", path, StopSeen, patience=wait).first_refusal

    def resume(self, stop_id: str, reason: str) -> StopView:
        """Lift a stop."""
        path = f"/v1/stops/{quote(stop_id, safe='')}/resume"
        return self._server.ask("POST", path, StopView, {"reason": reason})

    def close(self) -> None:
        """Close the connection."""
        self._server.close()
