"""Tests on a real PostgreSQL; its runner and the clients are those of the benchmarks."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)

from benchmarks import databases  # noqa: E402


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL server that tests leave running."""
    with databases.server() as url:
        yield url


@pytest.fixture
def database_url(server_url: str) -> str:
    """A new, empty database."""
    return databases.fresh(server_url)
