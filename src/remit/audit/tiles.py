"""The log cut into tiles that can be served as static files (C2SP tlog-tiles).

A tile holds up to 256 hashes of one level in eight; an entry bundle holds the records of a tile.
Pure: paths, and what the files behind them hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from remit.audit.merkle import HASH_SIZE, HashReader, node_hash, stored_index, subtree_at
from remit.errors import AuditError

WIDTH = 256
"""Hashes in a full tile, entries in a full bundle."""
MAX_ENTRY = 65_535
"""Bytes."""

_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<number>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class Tile(Struct, frozen=True):
    """Coordinates of a tile, or of an entry bundle (``level`` None)."""

    level: int | None
    number: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where it is served, e.g. ``tile/0/x001/234.p/17``."""
        groups = [f"{self.number % 1000:03d}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03d}")
            rest //= 1000
        level = "entries" if self.level is None else self.level
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{level}/{'/'.join(groups)}{partial}"


def parse_tile(path: str) -> Tile:
    """The tile that ``path`` names. Every tile has exactly one path.

    Raises:
        AuditError: it names none.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise AuditError(f"{path[:100]!r} is not the path of a tile")
    level = None if match["level"] == "entries" else int(match["level"])
    number = int(match["number"].replace("x", "").replace("/", ""))
    tile = Tile(level, number, int(match["width"] or WIDTH))
    if tile.path != path or (level or 0) > 63 or tile.width > WIDTH:
        raise AuditError(f"{path[:100]!r} is not the path of a tile")
    return tile


def tile_width(level: int | None, number: int, size: int) -> int:
    """How wide tile ``number`` at ``level`` is in a log of ``size`` records; 0 if it is absent."""
    hashes = size >> (8 * (level or 0))
    return max(0, min(WIDTH, hashes - number * WIDTH))


def tile_indexes(tile: Tile) -> list[int]:
    """Stored indexes of the hashes in a tile (not for entry bundles)."""
    level, first = 8 * (tile.level or 0), tile.number * WIDTH
    return [stored_index(level, number) for number in range(first, first + tile.width)]


def split_hashes(tile: Tile, data: bytes) -> list[bytes]:
    """The hashes in the file of a tile.

    Raises:
        AuditError: it has the wrong length.
    """
    if len(data) != tile.width * HASH_SIZE:
        raise AuditError(f"{tile.path} has {len(data)} bytes, not {tile.width * HASH_SIZE}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def encode_bundle(bodies: Iterable[bytes]) -> bytes:
    """An entry bundle: each record after its length, two bytes big-endian.

    Raises:
        AuditError: a record is longer than 65,535 bytes.
    """
    parts = []
    for body in bodies:
        if len(body) > MAX_ENTRY:
            raise AuditError(f"an entry of {len(body)} bytes is longer than {MAX_ENTRY}")
        parts.append(len(body).to_bytes(2, "big") + body)
    return b"".join(parts)


def parse_bundle(tile: Tile, data: bytes) -> list[bytes]:
    """The records in the file of an entry bundle.

    Raises:
        AuditError: it is cut off, or has another number of records than its path says.
    """
    bodies: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            raise AuditError(f"{tile.path} ends within record {len(bodies)}")
        bodies.append(data[at + 2 : end])
        at = end
    if len(bodies) != tile.width:
        raise AuditError(f"{tile.path} has {len(bodies)} records, not {tile.width}")
    return bodies


def tile_reader(size: int, fetch: Callable[[str], bytes]) -> HashReader:
    """Read stored hashes of a log of ``size`` records from its tiles.

    ``fetch`` gets the content of a path. Tiles come from outside: what is computed from them is
    only as good as the root that it is compared with.
    """

    def read(indexes: Sequence[int]) -> list[bytes]:
        tiles: dict[Tile, list[bytes]] = {}
        found = []
        for index in indexes:
            level, number = subtree_at(index)
            height = level % 8
            first = number << height
            within = first % WIDTH
            place = (level // 8, first // WIDTH)
            tile = Tile(*place, tile_width(*place, size))
            if within + (1 << height) > tile.width:
                raise AuditError(f"stored hash {index} is not in a log of {size} records")
            if tile not in tiles:
                tiles[tile] = split_hashes(tile, fetch(tile.path))
            found.append(_subtree_root(tiles[tile][within : within + (1 << height)]))
        return found

    return read


def _subtree_root(hashes: Sequence[bytes]) -> bytes:
    """Root of a perfect subtree from its lowest hashes."""
    while len(hashes) > 1:
        pairs = iter(hashes)
        hashes = [node_hash(left, right) for left, right in zip(pairs, pairs, strict=True)]
    return hashes[0]
