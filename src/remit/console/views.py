"""Every page behind the sign-in, in the order of the menu."""

from __future__ import annotations

from remit.api.frame import Route
from remit.console import live, why

ROUTES: tuple[Route, ...] = (*live.ROUTES, *why.ROUTES)
