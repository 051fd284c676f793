"""The suite that every store passes, on a real PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import databases

from remit.storage import Store
from remit.storage.conformance import StoreConformance
from remit.storage.postgres import PostgresStore


class TestPostgresStore(StoreConformance):
    durable = True

    @pytest.fixture(autouse=True)
    def _on(self, server_url: str) -> None:
        self._server = server_url
        self._urls: dict[Path, str] = {}

    def open_store(self, directory: Path) -> Store:
        url = self._urls.get(directory)
        if url is None:
            url = self._urls[directory] = databases.fresh(self._server)
        return PostgresStore(url)
