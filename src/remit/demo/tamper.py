"""Alter and truncate copies of an exported log, as somebody with something to hide would."""

from __future__ import annotations

