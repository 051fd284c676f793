"""The HTTP API: tables of routes, and the frame that they are written against."""

from __future__ import annotations

from remit.api import (
    actions,
    agents,
    approvals,
    attacking,
    audit,
    authzen,
    budgets,
    fleet,
    health,
    metrics,
    openapi,
    resources,
    stops,
)
from remit.api.frame import Route


def routes() -> tuple[Route, ...]:
    """Every route of the API, in the order of the documentation."""
    return openapi.documenting(
        (
            *health.ROUTES,
            *metrics.ROUTES,
            *fleet.ROUTES,
            *agents.ROUTES,
            *actions.ROUTES,
            *approvals.ROUTES,
            *attacking.ROUTES,
            *stops.ROUTES,
            *budgets.ROUTES,
            *audit.ROUTES,
            *authzen.ROUTES,
            *resources.ROUTES,
        )
    )
