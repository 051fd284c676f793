"""Every page behind the sign-in, in the order of the menu."""

from __future__ import annotations

from remit.api.frame import Route
from remit.console import condition, costs, documents, inbox, inventory, live, logbook, why

ROUTES: tuple[Route, ...] = (
    *live.ROUTES,
    *why.ROUTES,
    *inbox.ROUTES,
    *documents.ROUTES,
    *costs.ROUTES,
    *inventory.ROUTES,
    *logbook.ROUTES,
    *condition.ROUTES,
)
