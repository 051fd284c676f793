import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.audit import merkle
from remit.errors import AuditError

DATA = Path(__file__).parents[1] / "data" / "merkle-proofs"
CONSISTENCY = json.loads((DATA / "consistency.json").read_text())
INCLUSION = json.loads((DATA / "inclusion.json").read_text())
SIZES = 200


class Tree:
    """The first ``SIZES`` records, their stored hashes, and how often they were read."""

    def __init__(self, size: int) -> None:
        self.stored: list[bytes] = []
        self.leaves = [merkle.leaf_hash(b"record-%d" % n) for n in range(size)]
        self.batches = 0
        for position, leaf in enumerate(self.leaves):
            self.stored += merkle.append(position, leaf, self.read)

    def read(self, indexes: Sequence[int]) -> list[bytes]:
        self.batches += 1
        return [self.stored[index] for index in indexes]

    def root(self, size: int) -> bytes:
        return merkle.root(size, self.read)


TREE = Tree(SIZES)
sizes = st.integers(1, SIZES)


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962 section 2.1 as it is written there: a second implementation."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return merkle.node_hash(plain_root(leaves[:split]), plain_root(leaves[split:]))


def test_rfc_6962_hashes() -> None:
    assert merkle.leaf_hash(b"").hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert merkle.node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )
    assert merkle.EMPTY_ROOT.hex() == (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )


def test_every_stored_hash_has_its_place() -> None:
    index = 0
    for position in range(SIZES):
        assert merkle.stored_count(position) == merkle.stored_index(0, position) == index
        level, number = 0, position
        while True:
            assert merkle.stored_index(level, number) == index
            assert merkle.subtree_at(index) == (level, number)
            index += 1
            if not number & 1:
                break
            level, number = level + 1, number >> 1
    assert len(TREE.stored) == merkle.stored_count(SIZES) == index


@given(st.integers(0, 40), st.integers(0, 2**40))
def test_places_of_large_trees(level: int, number: int) -> None:
    assert merkle.subtree_at(merkle.stored_index(level, number)) == (level, number)


def test_append_reads_at_most_one_batch() -> None:
    tree = Tree(8)
    before = tree.batches
    added = merkle.append(7, tree.leaves[7], tree.read)
    assert len(added) == 4
    assert tree.batches == before + 1
    merkle.append(8, tree.leaves[0], tree.read)
    assert tree.batches == before + 1


def test_roots_of_all_sizes() -> None:
    frontier = merkle.Frontier()
    assert frontier.root() == merkle.root(0, TREE.read) == merkle.EMPTY_ROOT
    for size in range(1, SIZES + 1):
        frontier.extend([TREE.leaves[size - 1]])
        assert TREE.root(size) == frontier.root() == plain_root(TREE.leaves[:size])
        assert frontier.size == size


@given(st.lists(st.integers(0, 40), max_size=6))
def test_a_frontier_does_not_depend_on_how_it_is_fed(chunks: list[int]) -> None:
    frontier = merkle.Frontier()
    at = 0
    for count in chunks:
        frontier.extend(iter(TREE.leaves[at : at + count]))
        at = min(SIZES, at + count)
        assert frontier.root() == TREE.root(at)


@given(st.data(), sizes)
def test_inclusion_is_proved_and_verified(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    before = TREE.batches
    proof = merkle.inclusion_proof(index, size, TREE.read)
    assert TREE.batches - before == (size > 1)
    root = TREE.root(size)
    merkle.verify_inclusion(index, size, TREE.leaves[index], root, proof)
    other = data.draw(st.integers(0, SIZES - 1).filter(lambda n: n != index))
    with pytest.raises(AuditError):
        merkle.verify_inclusion(index, size, TREE.leaves[other], root, proof)
    with pytest.raises(AuditError):
        merkle.verify_inclusion(other, size, TREE.leaves[index], root, proof)
    if proof:
        hurt = data.draw(st.integers(0, len(proof) - 1))
        wrong = [*proof[:hurt], merkle.leaf_hash(proof[hurt]), *proof[hurt + 1 :]]
        with pytest.raises(AuditError):
            merkle.verify_inclusion(index, size, TREE.leaves[index], root, wrong)


@given(st.data(), sizes)
def test_consistency_is_proved_and_verified(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(1, new))
    before = TREE.batches
    proof = merkle.consistency_proof(old, new, TREE.read)
    assert TREE.batches - before == (old < new)
    old_root, new_root = TREE.root(old), TREE.root(new)
    merkle.verify_consistency(old, new, old_root, new_root, proof)
    fork = merkle.node_hash(old_root, new_root)
    with pytest.raises(AuditError):
        merkle.verify_consistency(old, new, fork, new_root, proof)
    with pytest.raises(AuditError):
        merkle.verify_consistency(old, new, old_root, fork, proof)


@settings(max_examples=200)
@given(
    st.integers(-1, 9),
    st.integers(-1, 9),
    st.lists(st.sampled_from([*TREE.stored[:12], b"", b"x" * 33]), max_size=5),
)
def test_proofs_that_nobody_made_prove_nothing(old: int, new: int, proof: list[bytes]) -> None:
    forged = merkle.leaf_hash(b"never logged")
    with pytest.raises(AuditError):
        merkle.verify_inclusion(old, new, forged, TREE.stored[5], proof)
    with pytest.raises(AuditError):
        merkle.verify_consistency(old, new, forged, TREE.stored[5], proof)


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0), (0, -1)])
def test_no_proof_for_a_record_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(AuditError, match="not in a log"):
        merkle.inclusion_proof(index, size, TREE.read)


@pytest.mark.parametrize(("old", "new"), [(0, 0), (0, 3), (4, 3), (-1, 3)])
def test_no_consistency_proof_between_impossible_sizes(old: int, new: int) -> None:
    with pytest.raises(AuditError, match="no proof leads"):
        merkle.consistency_proof(old, new, TREE.read)


def test_a_log_has_no_negative_size() -> None:
    with pytest.raises(AuditError, match="-1 records"):
        merkle.root(-1, TREE.read)


def test_a_reader_that_gives_too_little_or_something_else_is_noticed() -> None:
    with pytest.raises(AuditError, match="asked for 2 stored hashes and got 1"):
        merkle.root(3, lambda indexes: [TREE.stored[0]])
    with pytest.raises(AuditError, match="32 bytes"):
        merkle.root(3, lambda indexes: [b"short"] * len(indexes))


def unpack(encoded: str | None) -> bytes:
    return base64.b64decode(encoded or "")


@pytest.mark.parametrize("name", INCLUSION)
def test_vectors_inclusion(name: str) -> None:
    case = INCLUSION[name]
    arguments = (
        case["leafIdx"],
        case["treeSize"],
        unpack(case["leafHash"]),
        unpack(case["root"]),
        [unpack(one) for one in case["proof"] or ()],
    )
    if case["wantErr"]:
        with pytest.raises(AuditError):
            merkle.verify_inclusion(*arguments)
    else:
        merkle.verify_inclusion(*arguments)


@pytest.mark.parametrize("name", CONSISTENCY)
def test_vectors_consistency(name: str) -> None:
    case = CONSISTENCY[name]
    arguments = (
        case["size1"],
        case["size2"],
        unpack(case["root1"]),
        unpack(case["root2"]),
        [unpack(one) for one in case["proof"] or ()],
    )
    if case["wantErr"]:
        with pytest.raises(AuditError):
            merkle.verify_consistency(*arguments)
    else:
        merkle.verify_consistency(*arguments)
