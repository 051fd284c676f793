"""The tree against Go's sumdb, from which the numbering of stored hashes was taken."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from remit.audit import merkle
from remit.audit.checkpoint import open_checkpoint
from remit.audit.note import VerifierKey, parse_note, parse_vkey, sign_text
from remit.audit.tiles import Tile
from remit.signing import FileSigner

ORACLE = Path(__file__).parents[2].parent / "shared/vectors/tlog-oracle/tlog-vectors.json"
pytestmark = pytest.mark.skipif(not ORACLE.exists(), reason="the outside vectors are not here")


class Log:
    """Records as the oracle made them, and what it says of them."""

    def __init__(self) -> None:
        self.oracle: dict[str, Any] = json.loads(ORACLE.read_text())
        self.roots = [base64.b64decode(root) for root in self.oracle["roots_size_1_to_N"]]
        self.leaves = [merkle.leaf_hash(b"record-%d" % n) for n in range(len(self.roots))]
        self.stored: list[bytes] = []
        for position, leaf in enumerate(self.leaves):
            self.stored += merkle.append(position, leaf, self.read)

    def read(self, indexes: Sequence[int]) -> list[bytes]:
        return [self.stored[index] for index in indexes]


@pytest.fixture(scope="module")
def log() -> Log:
    return Log()


def test_roots(log: Log) -> None:
    frontier = merkle.Frontier()
    for size, expected in enumerate(log.roots, start=1):
        frontier.extend(log.leaves[size - 1 : size])
        assert merkle.root(size, log.read) == frontier.root() == expected


def test_inclusion_proofs(log: Log) -> None:
    assert log.oracle["inclusion"]
    for case in log.oracle["inclusion"]:
        index, size = case["index"], case["size"]
        proof = merkle.inclusion_proof(index, size, log.read)
        assert proof == [base64.b64decode(one) for one in case["proof"]]
        merkle.verify_inclusion(index, size, log.leaves[index], log.roots[size - 1], proof)


def test_consistency_proofs(log: Log) -> None:
    assert log.oracle["consistency"]
    for case in log.oracle["consistency"]:
        old, new = case["old"], case["new"]
        proof = merkle.consistency_proof(old, new, log.read)
        assert proof == [base64.b64decode(one) for one in case["proof"]]
        merkle.verify_consistency(old, new, log.roots[old - 1], log.roots[new - 1], proof)


def test_tile_paths(log: Log) -> None:
    for case in log.oracle["tile_paths"]:
        level = None if case["L"] == -1 else case["L"]
        # Go puts the tile height into the path and says "data"; C2SP tlog-tiles does neither.
        expected = case["go_path"].replace("tile/8/", "tile/").replace("/data/", "/entries/")
        assert Tile(level, case["N"], case["W"]).path == expected


def test_signed_note(log: Log, tmp_path: Path) -> None:
    note = log.oracle["signed_checkpoint"].encode()
    key: VerifierKey = parse_vkey(log.oracle["verifier_vkey"])
    signed = open_checkpoint(note, [key])
    assert signed.checkpoint.size == len(log.roots)
    assert signed.checkpoint.root == log.roots[-1]
    assert str(key) == log.oracle["verifier_vkey"]

    path = tmp_path / "remit.key"
    path.write_text(log.oracle["signer_skey"])
    path.chmod(0o600)
    signer = FileSigner.open(path)
    assert signer.vkey == key
    parsed = parse_note(note)
    assert sign_text(parsed.text, signer.vkey, signer.sign) == parsed.signatures[0]
    assert parsed.encode() == note
