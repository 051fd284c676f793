"""The suite that every backend passes, to be subclassed in a test module.

    class TestMyStore(StoreConformance):
        durable = True

        def open_store(self, directory: Path) -> Store:
            return MyStore(directory / "my.db")

It is written for pytest (which calls the ``test_`` methods and provides ``tmp_path``), but
imports nothing of it.
"""

from __future__ import annotations

from remit.storage.conformance.concurrency import ConcurrencyConformance
from remit.storage.conformance.contents import ContentsConformance
from remit.storage.conformance.samples import raised, verify_log
from remit.storage.conformance.switches import SwitchesConformance


class StoreConformance(ContentsConformance, ConcurrencyConformance, SwitchesConformance):
    """What every store does, as tests. Give it ``open_store``, and ``durable`` if it is."""


__all__ = ["StoreConformance", "raised", "verify_log"]
