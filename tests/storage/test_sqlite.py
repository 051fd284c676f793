from pathlib import Path

from remit.storage import Store
from remit.storage.conformance import StoreConformance
from remit.storage.sqlite import SqliteStore


class TestSqliteStore(StoreConformance):
    durable = True

    def open_store(self, directory: Path) -> Store:
        return SqliteStore(directory / "remit.db")
