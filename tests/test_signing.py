import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.audit.note import COSIGNATURE, VerifierKey, verify_signature
from remit.errors import AuditError, ConfigError
from remit.signing import ExternalSigner, FileSigner, Signer, read_vkey, write_vkey

NAME = "example.com/log"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "remit.key"


def test_a_key_is_created_for_its_owner_alone_and_reads_back(path: Path) -> None:
    made = FileSigner.create(path, NAME)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["remit.key"]
    signer: Signer = FileSigner.open(path)
    assert signer.vkey == made.vkey
    assert signer.vkey.name == NAME
    verify_signature(signer.vkey.public, b"message", signer.sign(b"message"))
    with pytest.raises(AuditError):
        verify_signature(signer.vkey.public, b"another", signer.sign(b"message"))


def test_golden_form(path: Path) -> None:
    path.write_text(
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz\n"
    )
    path.chmod(0o600)
    assert str(FileSigner.open(path).vkey) == (
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    )


def test_nothing_shows_the_private_half(path: Path) -> None:
    signer = FileSigner.create(path, NAME)
    secret = path.read_text().strip().split("+", 4)[4]
    assert secret not in repr(signer)
    assert repr(signer) == f"FileSigner({signer.vkey})"
    path.write_text(path.read_text().replace("PRIVATE+KEY+example.com", "PRIVATE+KEY+example.org"))
    with pytest.raises(ConfigError) as caught:
        FileSigner.open(path)
    assert secret not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o777])
def test_a_key_that_others_may_read_is_refused(path: Path, mode: int) -> None:
    FileSigner.create(path, NAME)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}"):
        FileSigner.open(path)


def test_a_key_is_never_overwritten(path: Path) -> None:
    path.write_text("something dear")
    with pytest.raises(ConfigError, match="not touched"):
        FileSigner.create(path, NAME)
    assert path.read_text() == "something dear"
    assert os.listdir(path.parent) == ["remit.key"]


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_name_that_cannot_sign_is_refused(path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a key"):
        FileSigner.create(path, name)
    assert not path.exists()


def test_files_that_cannot_be_used(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        FileSigner.open(path)
    with pytest.raises(ConfigError, match="regular file"):
        FileSigner.open("/dev/null")
    with pytest.raises(ConfigError, match="cannot be"):
        FileSigner.open(tmp_path / "remit.key" / "inside")
    with pytest.raises(ConfigError, match="cannot be written"):
        FileSigner.create(tmp_path / "no" / "where", NAME)


def test_a_fifo_does_not_block(path: Path) -> None:
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigError, match="regular file"):
        FileSigner.open(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "PRIVATE+KEY+",
        "PRIVATE+KEY+a+b",
        "PRIVATE+KEY+a+00000000+",
        "PRIVATE+KEY+a+00000000+AQ==",
        "PRIVATE+KEY+a+00000000+!",
        "PRIVATE+KEY+PeterNeumann+c74f20a4+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AoEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
        "PRIVATE+KEY+a b+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz",
        "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "\xff" * 100,
    ],
)
def test_what_is_no_key_is_refused(path: Path, content: str) -> None:
    path.write_bytes(content.encode("latin-1"))
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a signing key"):
        FileSigner.open(path)


@given(content=st.binary(max_size=200) | st.binary().map(b"PRIVATE+KEY+a+00000000+".__add__))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        FileSigner.open(path)


def test_open_or_create_gives_all_racers_one_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        signers = list(pool.map(lambda _: FileSigner.open_or_create(path, NAME), range(16)))
    assert len({str(signer.vkey) for signer in signers}) == 1
    assert FileSigner.open_or_create(path, "other").vkey.name == NAME


def test_open_or_create_tells_why_it_cannot(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        FileSigner.open_or_create(tmp_path / "no" / "where", NAME)
    path.symlink_to(tmp_path / "dangling")
    with pytest.raises(ConfigError, match="cannot be read"):
        FileSigner.open_or_create(path, NAME)


def test_open_or_create_that_loses_the_race_opens(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = FileSigner.create

    def lose(target: Path, name: str) -> FileSigner:
        create(target, "winner")
        return create(target, name)

    monkeypatch.setattr(FileSigner, "create", lose)
    assert FileSigner.open_or_create(path, NAME).vkey.name == "winner"


def test_an_external_signer_is_checked(path: Path) -> None:
    held = FileSigner.create(path, NAME)
    signer: Signer = ExternalSigner(held.vkey, held.sign)
    assert signer.vkey == held.vkey
    assert signer.sign(b"message") == held.sign(b"message")
    with pytest.raises(ConfigError, match=r"not a signature of 'example.com/log'"):
        ExternalSigner(held.vkey, lambda message: held.sign(message + b"!")).sign(b"message")
    with pytest.raises(ConfigError, match="not a signature"):
        ExternalSigner(held.vkey, lambda message: b"").sign(b"message")


def test_verifier_keys_are_written_for_all_to_read(tmp_path: Path) -> None:
    path = tmp_path / "remit.pub"
    key = VerifierKey("example.org/w1", COSIGNATURE, b"\3" * 32)
    path.write_text("old")
    write_vkey(path, key)
    assert read_vkey(path) == key
    assert path.read_text() == f"{key}\n"
    assert os.listdir(tmp_path) == ["remit.pub"]


def test_verifier_key_files_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no verifier key; it is written with the first"):
        read_vkey(tmp_path / "absent")
    (tmp_path / "bad").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="no verifier key"):
        read_vkey(tmp_path / "bad")
    (tmp_path / "bad").write_text("nonsense")
    with pytest.raises(ConfigError, match="expected name"):
        read_vkey(tmp_path / "bad")
    key = VerifierKey("a", COSIGNATURE, b"\3" * 32)
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_vkey(tmp_path / "folder", key)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_vkey(tmp_path / "no" / "where", key)
    assert sorted(os.listdir(tmp_path)) == ["bad", "folder"]
