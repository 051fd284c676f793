"""A set of policy documents as one value: its canonical bytes and their digest, the revision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from remit import canonical
from remit.errors import InvalidArgument
from remit.model import Revision

MAX_BYTES = 16 << 20
"""Largest bundle."""


def pack(documents: Mapping[str, str]) -> bytes:
    """The canonical JSON of the documents, by file name (RFC 8785). Read back by ``unpack``."""
    return canonical.encode(dict(documents))


def revision(bundle: bytes) -> Revision:
    """What names a bundle: ``sha256:`` and the hex digest of its bytes."""
    return Revision("sha256:" + hashlib.sha256(bundle).hexdigest())


def unpack(bundle: bytes) -> dict[str, str]:
    """The documents of a bundle, by file name.

    Raises:
        InvalidArgument: these are not the bytes of a bundle.
    """
    documents = canonical.parse(bundle, "bundle", canonical.JsonLimits(bytes=MAX_BYTES))
    if not isinstance(documents, dict) or not all(
        isinstance(document, str) for document in documents.values()
    ):
        raise InvalidArgument("bundle", "it is not a map of file names to documents")
    return documents
