from pathlib import Path

from remit.storage import Store
from remit.storage.conformance import StoreConformance
from remit.storage.memory import MemoryStore


class TestMemoryStore(StoreConformance):
    def open_store(self, directory: Path) -> Store:
        return MemoryStore()


def test_it_is_a_context_manager() -> None:
    with MemoryStore() as store:
        assert store.write(lambda t: t.append(b"one", at=1)) == 0
