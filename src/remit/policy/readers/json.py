"""``json(x)``: the value of JSON text, read strictly."""

from __future__ import annotations

from typing import Any

from remit.canonical import parse
from remit.errors import InvalidArgument
from remit.policy.readers import UnreadableValue, text_of


def read(value: object) -> Any:
    """Return the value of the JSON text ``value``.

    Raises:
        UnreadableValue: not a string, or not JSON by ``remit.canonical.parse``: duplicate keys,
            NaN, lone surrogates, trailing data, too deep.
    """
    text = text_of(value, "json")
    try:
        return parse(text.encode("utf-8", "surrogatepass"))
    except InvalidArgument as error:
        raise UnreadableValue(f"json(): {error.problem}") from None
