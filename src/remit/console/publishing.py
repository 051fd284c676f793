"""Putting a draft in force: written where the server reads it, recorded with its author."""

from __future__ import annotations

import asyncio
import hashlib
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from remit.api.frame import Parts, Problem
from remit.errors import ConfigError
from remit.governor import Governor
from remit.guard.opening import read_documents
from remit.model import Principal
from remit.policy import PolicySet


def on_disk(parts: Parts) -> Mapping[str, str]:
    """The documents as they are where the server reads them. Reads files: not for event loops.

    Raises:
        Problem: they cannot be read.
    """
    try:
        found = read_documents(parts.config.policy.path)
        return {name: data.decode() for name, data in found.items()}
    except (ConfigError, UnicodeDecodeError) as error:
        raise Problem(409, "policy-unreadable", f"The policy cannot be read: {error}.") from None


def base_of(documents: Mapping[str, str]) -> str:
    """What a draft was begun from, by which a change in between shows."""
    whole = "\0".join(f"{name}\0{text}" for name, text in sorted(documents.items()))
    return hashlib.sha256(whole.encode()).hexdigest()


async def put_in_force(
    parts: Parts, name: str, text: str, draft: PolicySet, by: Principal, reason: str
) -> None:
    """Write one document and let the policy that it makes decide.

    The file goes first: what is recorded as being in force is what a restart finds.

    Raises:
        Problem: the file cannot be written; nothing has changed.
        StoreError: it could not be recorded; the server takes the file in by itself, later.
    """
    await asyncio.to_thread(_write, _place(parts.config.policy.path, name), text)
    recording = Governor(policies=lambda: draft, clock=parts.clock, entropy=parts.entropy)
    await parts.write(partial(recording.adopt, by=by, reason=reason))
    parts.policies.replace(draft)


def _place(policy: Path, name: str) -> Path:
    return policy / name if policy.is_dir() else policy


def _write(path: Path, text: str) -> None:
    """Replace a file in one step, with the permissions that it had."""
    try:
        mode = path.stat().st_mode & 0o777
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".remit-", suffix=".draft")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise Problem(
            409,
            "policy-not-written",
            f"The server cannot write {path.name} ({error.strerror}). Nothing was published: give "
            "it the right to, or change the file the way it usually comes here.",
        ) from None
