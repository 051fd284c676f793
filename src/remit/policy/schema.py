"""The JSON Schema of policy documents, for completion and checking in editors."""

from __future__ import annotations

from typing import Any

import msgspec

from remit.policy.document import PolicyDocument


def document_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one policy document, generated from the structs of the language.

    An editor finds with it what can be found without understanding conditions; ``load`` finds
    the rest.
    """
    schema = msgspec.json.schema(PolicyDocument)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Remit policy document",
        **schema,
    }
