"""A log watched from outside: a real server, and a small real witness (C2SP tlog-witness)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from live import Live, config_in, live_server

from remit.audit.checkpoint import Checkpoint, open_checkpoint, read_checkpoint, sign_checkpoint
from remit.audit.merkle import verify_consistency
from remit.audit.note import COSIGNATURE, VerifierKey, cosign_text, decode_base64, parse_note
from remit.cli.app import run
from remit.credentials import Right
from remit.errors import AuditError
from remit.signing import FileSigner, read_vkey


class Witness:
    """Cosigns a checkpoint of a log that has only grown since the last one."""

    def __init__(self, log: VerifierKey) -> None:
        self._private = Ed25519PrivateKey.generate()
        public = self._private.public_key().public_bytes_raw()
        self.key = VerifierKey("witness.example", COSIGNATURE, public)
        self.log = log
        self.seen = Checkpoint(log.name, 0, bytes(32))
        self.olds: list[int] = []
        self.lies = False

    def add(self, body: bytes) -> tuple[int, str, bytes]:
        head, _, note = body.partition(b"\n\n")
        first, *proof = head.decode().split("\n")
        old = int(first.removeprefix("old "))
        self.olds.append(old)
        claim = open_checkpoint(note, [self.log]).checkpoint
        if old != self.seen.size:
            return 409, "text/x.tlog.size", b"%d\n" % self.seen.size
        if old > 0:
            hashes = [decode_base64(each) for each in proof]
            try:
                verify_consistency(old, claim.size, self.seen.root, claim.root, hashes)
            except AuditError as error:
                return 422, "text/plain", str(error).encode()
        self.seen = claim
        sign = (lambda _: bytes(64)) if self.lies else self._private.sign
        line = cosign_text(parse_note(note).text, self.key, sign, int(time.time()))
        return 200, "text/plain", str(line).encode()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    with live_server(config_in(tmp_path)) as server:
        (tmp_path / "key").write_text(server.keys[Right.AUDITOR] + "\n")
        grow(server, 1)
        yield server


@pytest.fixture
def witness(live: Live, tmp_path: Path) -> Iterator[tuple[Witness, str]]:
    signer = Witness(read_vkey(tmp_path / "remit.pub"))

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, media, content = signer.add(body)
            if self.path != "/log/add-checkpoint":
                status = 404
            self.send_response(status)
            self.send_header("Content-Type", media)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield signer, f"http://127.0.0.1:{server.server_port}/log"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def grow(live: Live, count: int) -> None:
    parts = live.parts
    agent = parts.policies.current.principal("inventory-bot")
    for _ in range(count):
        parts.store.write(lambda t: parts.governor.open_session(t, agent, None, None))
    parts.store.write(parts.checkpointer.sign)


def call(live: Live, folder: Path, command: str, *more: str) -> int:
    vkey = str(folder / "remit.pub")
    where = ["--server", live.url, "--key-file", str(folder / "key"), "--vkey", vkey]
    return run(["witness", command, *where, *more])


def push(live: Live, folder: Path, witness: tuple[Witness, str]) -> int:
    more = ["--witness", str(witness[0].key), "--keep", str(folder / "cosigned")]
    return call(live, folder, "push", "--to", witness[1], *more)


def test_a_witness_cosigns_a_log_as_it_grows(live: Live, tmp_path: Path, witness):
    keys = [read_vkey(tmp_path / "remit.pub")]
    sizes = []
    for _ in range(3):
        assert push(live, tmp_path, witness) == 0
        signed = open_checkpoint((tmp_path / "cosigned").read_bytes(), keys, [witness[0].key])
        assert signed.witnesses == ("witness.example",)
        sizes.append(signed.checkpoint.size)
        grow(live, 3)
    assert witness[0].olds == [0, *sizes[:2]]


def test_a_lost_file_is_made_up_for_by_what_the_witness_knows(live: Live, tmp_path: Path, witness):
    push(live, tmp_path, witness)
    known = witness[0].seen.size
    (tmp_path / "cosigned").unlink()
    grow(live, 1)
    assert push(live, tmp_path, witness) == 0
    assert witness[0].olds == [0, 0, known]


def test_a_witness_that_saw_more_gives_the_alarm(live: Live, tmp_path: Path, witness, capsys):
    witness[0].seen = Checkpoint(witness[0].log.name, 10_000, bytes(32))
    assert push(live, tmp_path, witness) == 1
    assert "rollback" in capsys.readouterr().err
    assert not (tmp_path / "cosigned").exists()


def test_a_witness_with_another_history_gives_the_alarm(
    live: Live, tmp_path: Path, witness, capsys
):
    witness[0].seen = Checkpoint(witness[0].log.name, 2, bytes(32))
    assert push(live, tmp_path, witness) == 1
    assert "422" in capsys.readouterr().err


def test_a_cosignature_that_is_wrong_is_not_kept(live: Live, tmp_path: Path, witness):
    witness[0].lies = True
    assert push(live, tmp_path, witness) == 1
    assert not (tmp_path / "cosigned").exists()


def test_a_witness_that_is_away_is_no_alarm(live: Live, tmp_path: Path, witness):
    gone = (witness[0], witness[1].rpartition("/")[0] + "/elsewhere")
    assert push(live, tmp_path, gone) == 3


def test_a_file_can_be_what_keeps_checkpoints(live: Live, tmp_path: Path):
    outside = tmp_path / "outside"
    assert call(live, tmp_path, "push", "--to", str(outside)) == 0
    first = read_checkpoint(outside.read_bytes())
    grow(live, 2)
    assert call(live, tmp_path, "push", "--to", str(outside)) == 0
    assert read_checkpoint(outside.read_bytes()).size == first.size + 2


def test_following_shows_what_it_saw(live: Live, tmp_path: Path, capsys):
    keep = str(tmp_path / "seen")
    assert call(live, tmp_path, "follow", "--keep", keep, "--once", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["size"] == read_checkpoint(Path(keep).read_bytes()).size


@pytest.mark.parametrize(("size", "said"), [(10_000, "rollback"), (2, "fork"), (None, "fork")])
def test_following_gives_the_alarm(live: Live, tmp_path: Path, capsys, size: int | None, said: str):
    """The kept checkpoint is signed by the log's key and tells of another history."""
    keep = tmp_path / "seen"
    signer = FileSigner.open(tmp_path / "remit.key")
    now = live.parts.store.read(lambda view: view.log_size())
    other = Checkpoint(signer.vkey.name, size or now, bytes(32))
    before = sign_checkpoint(other, signer.vkey, signer.sign)
    keep.write_bytes(before)
    assert call(live, tmp_path, "follow", "--keep", str(keep), "--once") == 1
    assert said in capsys.readouterr().err
    assert keep.read_bytes() == before
    conflict = open_checkpoint((tmp_path / "seen.conflict").read_bytes(), [signer.vkey])
    assert conflict.checkpoint.size == now


def test_a_checkpoint_signed_by_another_key_is_not_believed(live: Live, tmp_path: Path):
    stranger = FileSigner("remit-test", bytes(32))
    (tmp_path / "remit.pub").write_text(f"{stranger.vkey}\n")
    keep = tmp_path / "seen"
    assert call(live, tmp_path, "follow", "--keep", str(keep), "--once") == 1
    assert not keep.exists()


def test_a_server_that_is_away_is_no_alarm(live: Live, tmp_path: Path):
    keep = str(tmp_path / "seen")
    arguments = ["--key-file", str(tmp_path / "key"), "--vkey", str(tmp_path / "remit.pub")]
    where = ["--server", "http://127.0.0.1:9"]
    assert run(["witness", "follow", *where, *arguments, "--keep", keep, "--once"]) == 3


@pytest.mark.parametrize("server", ["http://remit.corp.com", "ftp://127.0.0.1", "nowhere"])
def test_the_key_is_not_sent_where_others_can_read_it(live: Live, tmp_path: Path, server: str):
    arguments = ["--key-file", str(tmp_path / "key"), "--vkey", str(tmp_path / "remit.pub")]
    more = ["--keep", str(tmp_path / "seen"), "--once"]
    assert run(["witness", "follow", "--server", server, *arguments, *more]) == 2


def test_a_witness_needs_its_key_and_a_file(live: Live, tmp_path: Path):
    assert call(live, tmp_path, "push", "--to", "http://127.0.0.1:9") == 2
