"""Results of MCP tools, as frameworks hand them on: read, changed, and made of a refusal."""

from __future__ import annotations

import importlib
from typing import Any

from remit.guard import Shape
from remit.guard.seam import as_text, from_text


class McpShape(Shape):
    """A ``CallToolResult``: its structured content, or what its one text says, or all of it."""

    def value(self, came: Any) -> Any:
        """The part that policy looks at."""
        structured = _structured(came)
        if structured is not None:
            return structured
        only = came.content[0] if len(came.content) == 1 else None
        text = getattr(only, "text", None)
        return from_text(text) if isinstance(text, str) else came.model_dump(mode="json")

    def replaced(self, came: Any, shown: Any) -> Any:
        """A result of the same kind that says nothing but ``shown``."""
        made: dict[str, Any] = {"content": [{"type": "text", "text": as_text(shown)}]}
        if _structured(came) is not None and isinstance(shown, dict):
            made["structuredContent"] = shown
        return type(came).model_validate(made)


def refused_result(text: str) -> Any:
    """A ``CallToolResult`` that says why nothing ran. Only where MCP is there at all."""
    kind = importlib.import_module("mcp.types").CallToolResult
    return kind.model_validate({"content": [{"type": "text", "text": text}], "isError": True})


def _structured(came: Any) -> Any:
    for name in ("structuredContent", "structured_content"):
        found = getattr(came, name, None)
        if found is not None:
            return found
    return None
