"""Random bytes for a busy server: asked of the system in large pieces.

Each question to the system gives up the interpreter lock, and under load it takes far longer to
get that back than to answer. Not for processes that fork: parent and child would share a piece.
"""

from __future__ import annotations

import os
import threading

_PIECE = 16_384
"""Bytes asked for at once."""


class _Piece(threading.local):
    """What a thread has left."""

    def __init__(self) -> None:
        self.left = b""
        self.used = 0


class Entropy:
    """Gives random bytes, fit for secrets; no byte is given twice."""

    def __init__(self) -> None:
        self._piece = _Piece()

    def __call__(self, count: int) -> bytes:
        """That many random bytes."""
        piece = self._piece
        end = piece.used + count
        if end > len(piece.left):
            if count > _PIECE:
                return os.urandom(count)
            piece.left, piece.used, end = os.urandom(_PIECE), 0, count
        taken = piece.left[piece.used : end]
        piece.used = end
        return taken
