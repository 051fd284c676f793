"""The budgets of a store's file, or of a server: the same things either way."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlencode

from remit import outlook, tallying
from remit.allowances import raise_limit, reset
from remit.backtests import Trial
from remit.budgets.cells import Cell
from remit.chargeback import Per, Split, UsageRow, usage_rows
from remit.cli.calling import ServerCaller
from remit.cli.workspace import known_person, load_policy, open_store
from remit.journal import Journal
from remit.outlook import BudgetPage, BudgetView
from remit.storage import Snapshot, Transaction

_SECOND = 1_000_000_000
_EVER = 1 << 62


class BudgetDesk(Protocol):
    """Where budgets are looked at and changed."""

    def standing(self, budget: str | None = None) -> list[BudgetView]:
        """The windows of one budget, or of all, that are in use."""
        ...

    def set_limit(self, view: BudgetView, limit: int, lasts: int, reason: str) -> BudgetView:
        """Raise the limit of a window to ``limit``, for ``lasts`` nanoseconds."""
        ...

    def reset(self, view: BudgetView, reason: str) -> BudgetView:
        """Start a window anew."""
        ...

    def usage(
        self, by: Sequence[Split], per: Per, since: datetime | None, until: datetime | None
    ) -> list[UsageRow]:
        """Who used how much, from the day ``since`` up to the day before ``until``, of UTC."""
        ...

    def close(self) -> None:
        """Let go of the store or the connection."""
        ...


class FileDesk:
    """The budgets of a store in a file, under the policy beside it."""

    def __init__(self, policy_path: Path, store_path: Path | None, person: str = "") -> None:
        """Open the store and add up what is new in its log.

        Raises:
            ConfigError: there is no policy or no store.
            PolicyError: the policy is faulty.
            StoreError: the store cannot be used.
        """
        self._person = person
        self._policies = load_policy(policy_path)
        self._store = open_store(policy_path, store_path)
        while self._store.write(partial(tallying.roll_up, now=time.time_ns())):
            pass

    def standing(self, budget: str | None = None) -> list[BudgetView]:
        """The windows of one budget, or of all, that are in use."""
        found: list[BudgetView] = []
        after: str | None = ""
        while after is not None:
            page = self._page(budget, after)
            found += page.budgets
            after = page.next
        return found

    def set_limit(self, view: BudgetView, limit: int, lasts: int, reason: str) -> BudgetView:
        """Raise the limit of a window to ``limit``, for ``lasts`` nanoseconds."""
        by = known_person(self._policies, self._person)
        amount, until = limit - view.stated, time.time_ns() + lasts
        return self._changed(
            view, lambda journal: raise_limit(journal, view.cell, amount, until, by, reason)
        )

    def reset(self, view: BudgetView, reason: str) -> BudgetView:
        """Start a window anew."""
        by = known_person(self._policies, self._person)
        return self._changed(view, lambda journal: reset(journal, view.cell, by, reason))

    def usage(
        self, by: Sequence[Split], per: Per, since: datetime | None, until: datetime | None
    ) -> list[UsageRow]:
        """Who used how much, from the day ``since`` up to the day before ``until``, of UTC."""
        begin = 0 if since is None else int(since.timestamp()) * _SECOND
        end = _EVER if until is None else int(until.timestamp()) * _SECOND

        def work(view: Snapshot) -> list[UsageRow]:
            return usage_rows(view.tallies(tallying.USE, begin, end), by, per)

        return self._store.read(work)

    def back_tested(self) -> list[tuple[str, list[Trial]]]:
        """How forecasts would have been, for each series of a budget that has a history."""

        def work(view: Snapshot) -> list[tuple[str, list[Trial]]]:
            return [
                tested
                for budget in self._policies.budgets
                for tested in outlook.back_tested(view, budget, time.time_ns())
            ]

        return self._store.read(work)

    def close(self) -> None:
        """Let go of the store."""
        self._store.close()

    def _page(self, budget: str | None, after: str) -> BudgetPage:
        return self._store.read(
            lambda view: outlook.standing(
                view, self._policies.budgets, time.time_ns(), budget=budget, after=after
            )
        )

    def _changed(self, view: BudgetView, change: Callable[[Journal], Cell]) -> BudgetView:
        budget = next(each for each in self._policies.budgets if each.id == view.budget)

        def work(t: Transaction) -> BudgetView:
            now = time.time_ns()
            changed = change(Journal.begin(t, now, secrets.token_bytes))
            return outlook.shown(t, budget, changed, now)

        return self._store.write(work)


class ServerDesk:
    """The budgets of a server, with a key of an admin or, to look only, of an auditor."""

    def __init__(self, server: str, key_file: Path | None) -> None:
        """Prepare to talk to a server.

        Raises:
            ConfigError: the address or the key cannot be used.
        """
        self._server = ServerCaller(server, key_file)

    def standing(self, budget: str | None = None) -> list[BudgetView]:
        """The windows of one budget, or of all, that are in use."""
        found: list[BudgetView] = []
        after: str | None = ""
        while after is not None:
            path = f"/v1/budgets?{urlencode({'after': after})}"
            page = self._server.ask("GET", path, BudgetPage)
            found += [each for each in page.budgets if budget in (None, each.budget)]
            after = page.next
        return found

    def set_limit(self, view: BudgetView, limit: int, lasts: int, reason: str) -> BudgetView:
        """Raise the limit of a window to ``limit``, for ``lasts`` nanoseconds."""
        seconds = -(-lasts // _SECOND)
        return self._change(view, "set", limit=limit, seconds=seconds, reason=reason)

    def reset(self, view: BudgetView, reason: str) -> BudgetView:
        """Start a window anew."""
        return self._change(view, "reset", reason=reason)

    def usage(
        self, by: Sequence[Split], per: Per, since: datetime | None, until: datetime | None
    ) -> list[UsageRow]:
        """Who used how much, from the day ``since`` up to the day before ``until``, of UTC."""
        asked = {"by": ",".join(by), "per": per}
        for name, day in (("since", since), ("until", until)):
            if day is not None:
                asked[name] = f"{day:%Y-%m-%d}"
        return self._server.ask("GET", f"/v1/usage?{urlencode(asked)}", list[UsageRow])

    def close(self) -> None:
        """Close the connection."""
        self._server.close()

    def _change(self, view: BudgetView, step: str, **body: object) -> BudgetView:
        path = f"/v1/budgets/{quote(view.budget, safe='')}/{step}"
        return self._server.ask("POST", path, BudgetView, {"cell": view.cell, **body})
