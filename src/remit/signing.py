"""Who signs checkpoints: a key in a file, or a signer elsewhere (an HSM, a KMS, another process).

The key file holds one line, the signer key text of Go's ``sumdb/note``:
``PRIVATE+KEY+name+id+base64(0x01 || 32-byte seed)``. It is created with mode 0600 and is not used
while anybody but its owner may read it. Where agents run in the same process as Remit, they can
read it too; ``remit serve`` keeps it away from them.
"""

from __future__ import annotations

import os
import secrets
import stat
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.audit.note import (
    ED25519,
    VerifierKey,
    check_name,
    decode_base64,
    encode_base64,
    parse_vkey,
    verify_signature,
)
from remit.errors import AuditError, ConfigError

_PREFIX = "PRIVATE+KEY+"
_MAX_FILE = 4096


class Signer(Protocol):
    """Signs for one name. Both halves of the key belong together."""

    @property
    @abstractmethod
    def vkey(self) -> VerifierKey:
        """The public half, to give to whoever verifies."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature, 64 bytes.

        Raises:
            ConfigError: the signer did not answer, or not with a signature of this key.
        """


class FileSigner:
    """Signs with an Ed25519 key that was read from a file."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._vkey = VerifierKey(name, ED25519, self._private.public_key().public_bytes_raw())

    @classmethod
    def create(cls, path: str | Path, name: str) -> FileSigner:
        """Make a new key and write it to ``path``, whole or not at all.

        Raises:
            ConfigError: there is a file already, the name is no key name, or it cannot be written.
        """
        try:
            check_name(name)
        except AuditError as problem:
            raise ConfigError(str(problem)) from None
        seed = secrets.token_bytes(32)
        signer = cls(name, seed)
        material = encode_base64(bytes([ED25519]) + seed)
        line = f"{_PREFIX}{name}+{signer.vkey.key_id.hex()}+{material}\n"
        _write_new(Path(path), line.encode(), 0o600)
        return signer

    @classmethod
    def open(cls, path: str | Path) -> FileSigner:
        """Read the key in ``path``.

        Raises:
            ConfigError: it cannot be read, others may read it, or it holds no key.
        """
        line = _read_private(Path(path))
        try:
            if not line.startswith(_PREFIX):
                raise AuditError("it does not begin with PRIVATE+KEY+")
            name, key_id, encoded = line.removeprefix(_PREFIX).split("+", 2)
            check_name(name)
            material = decode_base64(encoded)
            signer = cls(name, material[1:])
            if material[0] != ED25519 or signer.vkey.key_id.hex() != key_id:
                raise AuditError("its parts do not belong together")
        except (AuditError, ValueError):
            # The cause may quote the key: it must not reach a log.
            raise ConfigError(f"{path}: not a signing key as Remit writes it") from None
        return signer

    @classmethod
    def open_or_create(cls, path: str | Path, name: str) -> FileSigner:
        """The key in ``path``, made under ``name`` if there is none yet; safe to race.

        Raises:
            ConfigError: as ``open`` and ``create`` do.
        """
        if not os.path.lexists(path):
            try:
                return cls.create(path, name)
            except ConfigError:
                if not os.path.lexists(path):
                    raise
        return cls.open(path)

    @property
    def vkey(self) -> VerifierKey:
        """The public half, to give to whoever verifies."""
        return self._vkey

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature (RFC 8032), 64 bytes."""
        return self._private.sign(message)

    def __repr__(self) -> str:
        return f"FileSigner({self._vkey})"


class ExternalSigner:
    """Signs by asking whoever holds the key; what comes back is verified before it is used."""

    def __init__(self, vkey: VerifierKey, ask: Callable[[bytes], bytes]) -> None:
        self._vkey = vkey
        self._ask = ask

    @property
    def vkey(self) -> VerifierKey:
        """The public half, to give to whoever verifies."""
        return self._vkey

    def sign(self, message: bytes) -> bytes:
        """An Ed25519 signature (RFC 8032), 64 bytes.

        Raises:
            ConfigError: the answer is not a signature of this key.
        """
        signature = self._ask(message)
        try:
            verify_signature(self._vkey.public, message, signature)
        except AuditError:
            raise ConfigError(
                f"the external signer's answer is not a signature of {self._vkey.name!r}; "
                "check that it holds the private half of the configured verifier key"
            ) from None
        return signature


def write_vkey(path: str | Path, vkey: VerifierKey) -> None:
    """Write a verifier key to ``path`` for people to copy; replaces what is there.

    Raises:
        ConfigError: it cannot be written.
    """
    target = Path(path)
    temporary = _beside(target)
    try:
        _write_synced(temporary, f"{vkey}\n".encode(), 0o644)
        os.replace(temporary, target)
    except OSError as problem:
        temporary.unlink(missing_ok=True)
        raise ConfigError(f"{path}: the verifier key cannot be written: {problem}") from None


def read_vkey(path: str | Path) -> VerifierKey:
    """The verifier key in the file at ``path``.

    Raises:
        ConfigError: it cannot be read or holds none.
    """
    try:
        with open(path, "rb") as file:
            return parse_vkey(file.read(_MAX_FILE).decode())
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no verifier key; it is written with the first record of a log"
        ) from None
    except (OSError, UnicodeDecodeError, AuditError) as problem:
        raise ConfigError(f"{path}: no verifier key: {problem}") from None


def _read_private(path: Path) -> str:
    """The content of a file that only its owner may read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        raise ConfigError(f"{path}: the signing key cannot be read: {problem.strerror}") from None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: the signing key must be a regular file")
        if status.st_mode & 0o077:
            raise ConfigError(
                f"{path}: others than its owner may read the signing key "
                f"(mode {stat.S_IMODE(status.st_mode):04o}); "
                "make a new key if they may have done so, else: chmod 600"
            )
        return file.read(_MAX_FILE).decode("utf-8", "replace").strip()


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that was not there before; a crash leaves either all of it or nothing."""
    temporary = _beside(path)
    try:
        _write_synced(temporary, content, mode)
        os.link(temporary, path)
        _sync_directory(path.parent)
    except FileExistsError:
        raise ConfigError(f"{path}: there is a file already; it was not touched") from None
    except OSError as problem:
        raise ConfigError(f"{path}: it cannot be written: {problem}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}")


def _write_synced(path: Path, content: bytes, mode: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with open(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
