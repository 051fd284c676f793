from __future__ import annotations

from collections.abc import Iterator

import pytest

import databases


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL server that tests leave running."""
    with databases.server() as url:
        yield url


@pytest.fixture
def database_url(server_url: str) -> str:
    """A new, empty database."""
    return databases.fresh(server_url)
