"""The words by which rules ask for findings: every kind, and every sign. No I/O."""

from __future__ import annotations

from types import MappingProxyType

from remit.inspection.inspector import SIGNS, TEXT_SIGNS
from remit.inspection.signs import KINDS
from remit.inspection.tools import TOOL_SIGNS

KIND_OF = MappingProxyType(
    {
        **{kind: kind for kind in KINDS},
        **{sign.id: sign.kind for sign in (*SIGNS, *TEXT_SIGNS, *TOOL_SIGNS)},
    }
)
"""The kind of finding that each word is about."""
