from collections.abc import Sequence
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.audit import merkle
from remit.audit.checkpoint import SignedCheckpoint, open_checkpoint
from remit.audit.note import parse_vkey
from remit.audit.tiles import (
    Tile,
    encode_bundle,
    parse_bundle,
    parse_tile,
    split_hashes,
    tile_indexes,
    tile_reader,
    tile_width,
)
from remit.errors import AuditError

LOG = Path(__file__).parents[1] / "data" / "tiled-log"
KEY = parse_vkey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
SIZES = range(16)


def checkpoint(size: int) -> SignedCheckpoint:
    return open_checkpoint((LOG / f"checkpoint.{size}").read_bytes(), [KEY])


def fetch(path: str) -> bytes:
    return (LOG / path).read_bytes()


@pytest.mark.parametrize("size", SIZES)
def test_a_real_log_checkpoints_are_signed(size: int) -> None:
    assert checkpoint(size).checkpoint.size == size
    assert checkpoint(size).signers == ("example.com/log/testdata",)


@pytest.mark.parametrize("size", SIZES[1:])
def test_a_real_log_entries_and_tiles_give_the_signed_root(size: int) -> None:
    signed = checkpoint(size).checkpoint
    bundle = Tile(None, 0, size)
    bodies = parse_bundle(bundle, fetch(bundle.path))
    leaves = [merkle.leaf_hash(body) for body in bodies]
    tile = Tile(0, 0, size)
    assert leaves == split_hashes(tile, fetch(tile.path))
    frontier = merkle.Frontier()
    frontier.extend(leaves)
    assert frontier.root() == signed.root == merkle.root(size, tile_reader(size, fetch))
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, tile_reader(size, fetch))
        merkle.verify_inclusion(index, size, leaves[index], signed.root, proof)


@pytest.mark.parametrize(("old", "new"), list(combinations(SIZES[1:], 2)))
def test_a_real_log_only_grew(old: int, new: int) -> None:
    before, after = checkpoint(old).checkpoint, checkpoint(new).checkpoint
    proof = merkle.consistency_proof(old, new, tile_reader(new, fetch))
    merkle.verify_consistency(old, new, before.root, after.root, proof)


@pytest.fixture(scope="module")
def stored() -> list[bytes]:
    def read(indexes: Sequence[int]) -> list[bytes]:
        return [hashes[index] for index in indexes]

    hashes: list[bytes] = []
    for position in range(70_000):
        hashes += merkle.append(position, merkle.leaf_hash(b"%d" % position), read)
    return hashes


def test_proofs_from_the_tiles_of_a_large_log(stored: list[bytes]) -> None:
    def serve(path: str) -> bytes:
        served.append(path)
        return b"".join(stored[index] for index in tile_indexes(parse_tile(path)))

    def plain(indexes: list[int]) -> list[bytes]:
        return [stored[index] for index in indexes]

    served: list[str] = []
    read = tile_reader(70_000, serve)
    assert merkle.root(70_000, read) == merkle.root(70_000, plain)
    proof = merkle.inclusion_proof(12_345, 70_000, read)
    assert proof == merkle.inclusion_proof(12_345, 70_000, plain)
    proof = merkle.consistency_proof(65_535, 70_000, read)
    assert proof == merkle.consistency_proof(65_535, 70_000, plain)
    assert "tile/2/000.p/1" in served
    assert "tile/1/001.p/17" in served
    assert "tile/0/273.p/112" in served


def test_widths_of_the_example_in_the_specification() -> None:
    assert [tile_width(0, number, 70_000) for number in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tile_width(1, number, 70_000) for number in (0, 1)] == [256, 17]
    assert tile_width(2, 0, 70_000) == 1
    assert tile_width(None, 273, 70_000) == 112
    assert tile_width(1, 0, 256) == 1


def test_tiles_do_not_give_what_the_log_does_not_have() -> None:
    with pytest.raises(AuditError, match="not in a log of 3 records"):
        tile_reader(3, fetch)([merkle.stored_index(2, 0)])


tiles = st.builds(
    Tile,
    st.none() | st.integers(0, 63),
    st.integers(0, 10**12),
    st.integers(1, 256),
)


@given(tiles)
def test_paths_read_back(tile: Tile) -> None:
    assert parse_tile(tile.path) == tile


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0/0",
        "tile/0/000/000",
        "tile/0/x000/001",
        "tile/00/000",
        "tile/64/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/999",
        "tile/data/000",
        "tile/0/٠٠٠",
        "/tile/0/000",
        "tile/0/000\n",
        "tile/0/../000",
    ],
)
def test_other_paths_name_no_tile(path: str) -> None:
    with pytest.raises(AuditError, match="not the path of a tile"):
        parse_tile(path)


@given(st.text())
def test_any_text_names_a_tile_or_is_refused(path: str) -> None:
    with suppress(AuditError):
        assert parse_tile(path).path == path


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_bundles_read_back(bodies: list[bytes]) -> None:
    bundle = Tile(None, 0, len(bodies))
    data = encode_bundle(bodies)
    assert parse_bundle(bundle, data) == bodies
    with pytest.raises(AuditError):
        parse_bundle(bundle, data[:-1])
    with pytest.raises(AuditError):
        parse_bundle(bundle, data + b"\0")


@given(st.binary(max_size=100), st.integers(1, 256))
def test_any_bytes_are_a_bundle_or_are_refused(data: bytes, width: int) -> None:
    with suppress(AuditError):
        assert encode_bundle(parse_bundle(Tile(None, 0, width), data)) == data


def test_the_longest_entry() -> None:
    assert parse_bundle(Tile(None, 0, 1), encode_bundle([b"x" * 65_535])) == [b"x" * 65_535]
    with pytest.raises(AuditError, match="65536 bytes"):
        encode_bundle([b"x" * 65_536])


def test_a_tile_of_another_length_is_refused() -> None:
    with pytest.raises(AuditError, match="31 bytes, not 32"):
        split_hashes(Tile(0, 0, 1), b"x" * 31)
