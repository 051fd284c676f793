"""The end of the log: how long it is, and the edge of its tree, enough to append to it.

Pure. In a database one row (``head``) holds it, and whoever commits holds a lock on that row.
"""

from __future__ import annotations

from collections.abc import Sequence

from remit.audit import merkle

_TRIM = 4096


class Head:
    """Where the log ends, as one transaction sees it."""

    __slots__ = ("_tree", "at", "generation", "size", "stopped")

    def __init__(self, generation: int, stopped: int, size: int, at: int, edge: bytes) -> None:
        """Take what the row holds.

        Args:
            generation: counts the commits.
            stopped: the generation that changed the stops last.
            size: records in the log.
            at: time of the newest, nanoseconds since the epoch.
            edge: hashes of the perfect subtrees that the tree is made of, smallest first.
        """
        self.generation = generation
        self.stopped = stopped
        self.size = size
        self.at = at
        hashes = [edge[start : start + 32] for start in range(0, len(edge), 32)]
        self._tree = dict(zip(_edge_indexes(size), hashes, strict=True))

    def copy(self) -> Head:
        """The same end; appending to one leaves the other."""
        return Head(self.generation, self.stopped, self.size, self.at, self.edge())

    def append(self, body: bytes, at: int) -> bytes:
        """Append a record; the hashes that it adds to the tree, lowest first."""
        position = self.size
        added = merkle.append(position, merkle.leaf_hash(body), self._read)
        self._tree.update(enumerate(added, merkle.stored_count(position)))
        self.size = position + 1
        self.at = at
        if len(self._tree) > _TRIM:
            self._tree = {index: self._tree[index] for index in _edge_indexes(self.size)}
        return b"".join(added)

    def edge(self) -> bytes:
        """The hashes of the perfect subtrees that the tree is made of, smallest first."""
        return b"".join(self._read(_edge_indexes(self.size)))

    def root(self) -> bytes:
        """Root hash of the tree over all records."""
        return merkle.root(self.size, self._read)

    def _read(self, indexes: Sequence[int]) -> Sequence[bytes]:
        return [self._tree[index] for index in indexes]


def _edge_indexes(size: int) -> list[int]:
    return [
        merkle.stored_index(level, (size >> level) - 1)
        for level in range(size.bit_length())
        if size >> level & 1
    ]
