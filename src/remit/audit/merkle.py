"""The Merkle tree of the log: hashes, where they are stored, roots and proofs (RFC 6962, RFC 9162).

Pure: nothing here does I/O. Whatever needs stored hashes works out *which* it needs, reads them in
one batch through a ``HashReader``, and computes from there. A hash is 32 bytes of SHA-256.

The hashes of all perfect subtrees are stored in one flat sequence, in the order in which appending
records completes them (as in Go's ``sumdb/tlog``): record ``n`` adds its leaf hash at
``stored_index(0, n)`` and directly after it each subtree hash that it completes, lowest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

from remit.errors import AuditError

HASH_SIZE = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of a log without records (RFC 6962 section 2.1)."""

HashReader: TypeAlias = Callable[[Sequence[int]], Sequence[bytes]]
"""Reads stored hashes by stored index, in the order asked for."""

_Range: TypeAlias = tuple[int, int]


def leaf_hash(body: bytes) -> bytes:
    """Hash of one record: SHA-256(0x00 || body) (RFC 6962 section 2.1)."""
    return sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node: SHA-256(0x01 || left || right) (RFC 6962 section 2.1)."""
    return sha256(b"\x01" + left + right).digest()


def stored_index(level: int, number: int) -> int:
    """Place of the hash of subtree ``number`` at ``level`` (leaves are level 0) in storage."""
    last = ((number + 1) << level) - 1
    return 2 * last - last.bit_count() + level


def stored_count(size: int) -> int:
    """How many hashes a log of ``size`` records stores."""
    return 2 * size - size.bit_count()


def subtree_at(index: int) -> tuple[int, int]:
    """Level and number of the subtree whose hash is stored at ``index``."""
    # Record n is stored at 2n - popcount(n), so n is half of the index or a little more.
    position = index >> 1
    while stored_count(position + 1) <= index:
        position += 1
    level = index - stored_count(position)
    return level, position >> level


def append(position: int, leaf: bytes, read: HashReader) -> list[bytes]:
    """Hashes to store for the record at ``position``, whose leaf hash is ``leaf``.

    They belong at consecutive stored indexes from ``stored_count(position)``.
    """
    wanted = []
    level, number = 0, position
    while number & 1:
        wanted.append(stored_index(level, number - 1))
        level, number = level + 1, number >> 1
    added = [leaf]
    for left in _read(wanted, read):
        added.append(node_hash(left, added[-1]))
    return added


def root(size: int, read: HashReader) -> bytes:
    """Root hash of the first ``size`` records.

    Raises:
        AuditError: ``size`` is negative, or the reader gave something else than it was asked for.
    """
    if size < 0:
        raise AuditError(f"a log cannot have {size} records")
    if size == 0:
        return EMPTY_ROOT
    return _range_hashes([(0, size)], read)[0]


def inclusion_proof(index: int, size: int, read: HashReader) -> list[bytes]:
    """Proof that record ``index`` is in the log of ``size`` records (RFC 9162 section 2.1.3.1).

    Raises:
        AuditError: there is no such record, or the reader failed.
    """
    if not 0 <= index < size:
        raise AuditError(f"record {index} is not in a log of {size} records")
    ranges: list[_Range] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return _range_hashes(ranges[::-1], read)


def consistency_proof(old: int, new: int, read: HashReader) -> list[bytes]:
    """Proof that the log of ``new`` records begins with that of ``old`` (RFC 9162 2.1.4.1).

    Raises:
        AuditError: not 1 <= ``old`` <= ``new``, or the reader failed.
    """
    if not 1 <= old <= new:
        raise AuditError(
            f"no proof leads from {old} to {new} records: sizes must be 1 <= old <= new"
        )
    ranges: list[_Range] = []
    low, high = 0, new
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    if low > 0:
        ranges.append((low, high))
    return _range_hashes(ranges[::-1], read)


def verify_inclusion(
    index: int, size: int, leaf: bytes, root_hash: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the record with hash ``leaf`` is at ``index`` under ``root_hash``.

    The algorithm of RFC 9162 section 2.1.3.2.

    Raises:
        AuditError: it is not, or the proof is malformed.
    """
    if not 0 <= index < size:
        raise AuditError(f"record {index} is not in a log of {size} records")
    _check_hashes(leaf, root_hash, *proof)
    node, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise AuditError("the inclusion proof is too long")
        if node & 1 or node == last:
            computed = node_hash(sibling, computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        node, last = node >> 1, last >> 1
    if last != 0:
        raise AuditError("the inclusion proof is too short")
    if computed != root_hash:
        raise AuditError(f"record {index} is not what the log of {size} records holds there")


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the log under ``new_root`` begins with the log under ``old_root``.

    The algorithm of RFC 9162 section 2.1.4.2.

    Raises:
        AuditError: it does not (records were changed or removed), or the proof is malformed.
    """
    if not 1 <= old <= new:
        raise AuditError(
            f"no proof leads from {old} to {new} records: sizes must be 1 <= old <= new"
        )
    if old == new:
        if proof or old_root != new_root:
            raise AuditError(f"two different logs of {new} records")
        return
    _check_hashes(old_root, new_root, *proof)
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise AuditError("the consistency proof is empty")
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_computed, new_computed, last = _climb(path, node, last)
    if last != 0:
        raise AuditError("the consistency proof is too short")
    if old_computed != old_root or new_computed != new_root:
        raise AuditError(f"the log of {new} records does not begin with that of {old} records")


def _climb(path: Sequence[bytes], node: int, last: int) -> tuple[bytes, bytes, int]:
    """The old root, the new root and what is left of ``last`` after walking up ``path``."""
    old_computed = new_computed = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise AuditError("the consistency proof is too long")
        if node & 1 or node == last:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
            while not node & 1 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            new_computed = node_hash(new_computed, sibling)
        node, last = node >> 1, last >> 1
    return old_computed, new_computed, last


class Frontier:
    """The root of a growing log in memory that does not grow with it: one hash per level.

    For verifying millions of records in a stream; ``extend`` with a few hundred at a time is fast.
    """

    def __init__(self) -> None:
        self.size = 0
        self._waiting: list[bytes | None] = []
        """By level: the hash of the perfect subtree that still lacks its right sibling."""

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Add records by their leaf hashes, in order."""
        hashes = list(leaves)
        self.size += len(hashes)
        level = 0
        while hashes:
            if level == len(self._waiting):
                self._waiting.append(None)
            left = self._waiting[level]
            if left is not None:
                hashes.insert(0, left)
            self._waiting[level] = hashes.pop() if len(hashes) & 1 else None
            pairs = iter(hashes)
            hashes = [
                sha256(b"\x01" + left + right).digest()
                for left, right in zip(pairs, pairs, strict=True)
            ]
            level += 1

    def root(self) -> bytes:
        """Root hash of the records so far."""
        computed: bytes | None = None
        for waiting in self._waiting:
            if waiting is not None:
                computed = waiting if computed is None else node_hash(waiting, computed)
        return EMPTY_ROOT if computed is None else computed


def _split(count: int) -> int:
    """The largest power of two smaller than ``count`` (``count`` > 1)."""
    return 1 << ((count - 1).bit_length() - 1)


def _perfect_subtrees(low: int, high: int) -> list[int]:
    """Stored indexes of the perfect subtrees that make up the subtree ``low`` to ``high``."""
    indexes = []
    while low < high:
        level = (high - low).bit_length() - 1
        indexes.append(stored_index(level, low >> level))
        low += 1 << level
    return indexes


def _range_hashes(ranges: Sequence[_Range], read: HashReader) -> list[bytes]:
    """The hash of each subtree ``(low, high)``, after reading all that they need in one batch."""
    parts = [_perfect_subtrees(low, high) for low, high in ranges]
    hashes = iter(_read([index for part in parts for index in part], read))
    result = []
    for part in parts:
        subtrees = [next(hashes) for _ in part]
        computed = subtrees.pop()
        while subtrees:
            computed = node_hash(subtrees.pop(), computed)
        result.append(computed)
    return result


def _read(indexes: Sequence[int], read: HashReader) -> Sequence[bytes]:
    """One batch of stored hashes, checked for number and length."""
    if not indexes:
        return ()
    hashes = read(indexes)
    if len(hashes) != len(indexes):
        raise AuditError(f"asked for {len(indexes)} stored hashes and got {len(hashes)}")
    _check_hashes(*hashes)
    return hashes


def _check_hashes(*hashes: bytes) -> None:
    if any(len(one) != HASH_SIZE for one in hashes):
        raise AuditError("a hash must be 32 bytes")
