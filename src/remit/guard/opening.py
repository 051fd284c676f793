"""What a guard stands on: the policy documents at a path, and the store and key beside them."""

from __future__ import annotations

from pathlib import Path

from remit.errors import ConfigError

STORE_FILE = "remit.db"
KEY_FILE = "remit.key"
PUBLIC_FILE = "remit.pub"
_SUFFIXES = (".yaml", ".yml")
_MAX_DOCUMENT = 8 * 1024 * 1024


def read_documents(path: Path) -> dict[str, bytes]:
    """Read the policy documents at ``path``: one file, or every YAML file of a folder.

    Returns:
        The bytes of each document by its file name. The folder is no part of it: the revision
        must be the same however the path was spelt, or approvals given elsewhere would not hold.

    Raises:
        ConfigError: there is none, or one cannot be read or is larger than 8 MiB.
    """
    files = [path]
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES)
    if not files or not files[0].is_file():
        what = "the folder holds no .yaml file" if path.is_dir() else "there is no such file"
        raise ConfigError(f"{path}: {what}; write a policy first, for example with: remit init")
    return {file.name: _read(file) for file in files}


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > _MAX_DOCUMENT:
            raise ConfigError(f"{file}: larger than {_MAX_DOCUMENT:,} bytes; no policy is")
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error


def beside(policy: Path, name: str) -> Path:
    """Give the path of ``name`` beside the policy: in its folder."""
    return (policy if policy.is_dir() else policy.parent) / name
