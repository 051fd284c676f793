"""The typed argument readers that conditions may call, as a table.

``expressions`` type-checks calls against this table; ``compile`` calls ``load`` once for every
reader that a policy uses and binds what it returns. So a parser that is not installed is a fault
of the policy at load, never a rule that silently does not match.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from remit.policy.readers import UnreadableValue as UnreadableValue

ReaderFunction = Callable[..., Any]
"""Takes the string, then optional arguments as declared, then ``resolved`` where declared."""


class Reader(Struct, frozen=True, kw_only=True):
    """What the condition language knows of one reader.

    Types are ``int``, ``bool``, ``string``, ``list<string>`` and ``dyn`` (any JSON value).
    """

    name: str
    parameters: tuple[str, ...] = ("string",)
    """Types of the arguments as written in a condition."""
    optional: int = 0
    """How many of the last parameters may be left out."""
    fields: Mapping[str, str] = MappingProxyType({})
    """Attribute of the result -> type."""
    methods: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    """Method of the result -> types of its parameters, then the type of what it returns."""
    returns: str = "object"
    """``object``: something with these fields and methods; ``dyn``: a plain JSON value."""
    resolved: bool = False
    """Whether the function takes ``AccessRequest.resolved`` as one more, last argument."""

    def load(self) -> ReaderFunction:
        """Return the function, importing its parser.

        Raises:
            ImportError: the parser is not installed.
        """
        module = importlib.import_module(f"remit.policy.readers.{self.name}")
        function: ReaderFunction = module.read
        return function


READERS: Mapping[str, Reader] = MappingProxyType(
    {
        reader.name: reader
        for reader in (
            Reader(
                name="sql",
                parameters=("string", "string"),
                optional=1,
                fields=MappingProxyType(
                    {
                        "statements": "int",
                        "kinds": "list<string>",
                        "reads": "list<string>",
                        "writes": "list<string>",
                        "functions": "list<string>",
                        "read_only": "bool",
                        "destructive": "bool",
                    }
                ),
            ),
            Reader(
                name="shell",
                fields=MappingProxyType(
                    {
                        "programs": "list<string>",
                        "arguments": "list<string>",
                        "reads": "list<string>",
                        "writes": "list<string>",
                    }
                ),
                methods=MappingProxyType({"flags": ("string", "list<string>")}),
            ),
            Reader(
                name="url",
                fields=MappingProxyType(
                    {
                        "scheme": "string",
                        "host": "string",
                        "port": "int",
                        "path": "string",
                        "query": "string",
                        "origin": "string",
                        "private": "bool",
                    }
                ),
            ),
            Reader(
                name="path",
                fields=MappingProxyType(
                    {"normal": "string", "name": "string", "suffix": "string", "hidden": "bool"}
                ),
                methods=MappingProxyType({"within": ("string", "bool")}),
                resolved=True,
            ),
            Reader(
                name="email",
                fields=MappingProxyType({"local": "string", "domain": "string"}),
            ),
            Reader(name="json", returns="dyn"),
        )
    }
)
"""Every reader by the name that conditions call it by."""
