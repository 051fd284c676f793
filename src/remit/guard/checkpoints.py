"""Signing the log as it grows: at intervals while actions settle, and when the guard closes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from remit.audit.checkpoint import Checkpoint, read_checkpoint, sign_checkpoint
from remit.audit.merkle import root
from remit.errors import AuditError, RemitError, StoreError, Unavailable
from remit.signing import Signer
from remit.storage import Snapshot, Store, Transaction


class Checkpointer:
    """Keeps the newest signed checkpoint of a log no older than ``interval`` seconds of work.

    A checkpoint that could not be signed is not forgotten: ``require`` signs it before the next
    action is admitted, or refuses that.
    """

    def __init__(
        self,
        store: Store,
        signer: Signer,
        interval: float,
        signs: Callable[[], bool] = lambda: True,
    ) -> None:
        """Sign the log of ``store``, while ``signs`` says that it is this process that does."""
        self._store = store
        self._signs = signs
        self._signer = signer
        self._interval = interval
        self._last = time.monotonic()
        self._mutex = threading.Lock()
        self._failure: BaseException | None = None

    @property
    def failed(self) -> bool:
        """Whether the newest checkpoint could not be signed."""
        return self._failure is not None

    def settled(self) -> None:
        """Take note of a settled action: start signing when the interval is over."""
        now = time.monotonic()
        with self._mutex:
            if now - self._last < self._interval or not self._signs():
                return
            self._last = now
        try:
            self._store.submit(self.sign).add_done_callback(self._signed)
        except StoreError as error:
            self._failure = error

    def sign(self, transaction: Transaction) -> None:
        """Sign the log as ``transaction`` sees it; nothing happens when that was done before.

        Raises:
            AuditError: the log does not contain what was signed last.
            ConfigError: the signer did not answer.
        """
        size = transaction.log_size()
        if check_log(transaction) == size:
            return
        key = self._signer.vkey
        checkpoint = Checkpoint(key.name, size, root(size, transaction.hashes))
        transaction.put_checkpoint(sign_checkpoint(checkpoint, key, self._signer.sign))

    def require(self, transaction: Transaction) -> None:
        """Sign after a failure.

        Raises:
            Unavailable: it cannot be signed still.
        """
        try:
            self.sign(transaction)
        except (RemitError, OSError) as error:
            raise Unavailable(
                f"The log cannot be signed ({error}), so nothing more is admitted. Put the "
                "signing key right, then call again."
            ) from error

    def recovered(self) -> None:
        """Take note that ``require`` was committed."""
        self._failure = None

    def _signed(self, future: Future[None]) -> None:
        self._failure = future.exception()


def check_log(view: Snapshot) -> int:
    """Check that the log still begins with what its newest checkpoint says; give that size.

    Signing without this would vouch for a log that somebody shortened or changed.

    Raises:
        AuditError: it does not.
    """
    note = view.checkpoint()
    if note is None:
        return 0
    signed = read_checkpoint(note)
    if signed.size > view.log_size():
        raise AuditError(
            f"{signed.size} records of this log were signed and {view.log_size()} are left: "
            "records were deleted. Keep the file, and restore the store from a copy."
        )
    if root(signed.size, view.hashes) != signed.root:
        raise AuditError(
            f"The first {signed.size} records of this log are not the ones that were signed: it "
            "was altered. Keep the file, and restore the store from a copy."
        )
    return signed.size
