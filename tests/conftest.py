from __future__ import annotations

from collections.abc import Iterator

import pytest

import guarding
from remoting import Servers


@pytest.fixture(params=["embedded", "tcp", "unix"])
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where ``guarding.open_guard`` has its decisions taken. ``EMBEDDED`` tests use only one."""
    chosen: str = request.param
    if chosen == "embedded":
        yield chosen
        return
    guarding.servers = Servers(chosen)
    try:
        yield chosen
    finally:
        servers, guarding.servers = guarding.servers, None
        servers.stop()
