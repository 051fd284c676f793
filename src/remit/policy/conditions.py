"""Conditions inside documents: parsed, checked against what the rule's tools take, and placed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from remit.model import Fault
from remit.policy.balances import Measured
from remit.policy.catalogue import Catalogue, ToolSchema
from remit.policy.checking import check, check_condition
from remit.policy.expressions import mentions, parse
from remit.policy.functions import READERS
from remit.policy.rules import Condition
from remit.policy.syntax import Node
from remit.policy.tokens import ExpressionFault
from remit.policy.types import DYN, MAP, Environment, Field, Type, declared, from_schema
from remit.policy.yaml import Source, YamlNode, YamlScalar

Note = Callable[[Fault], None]
_Check = Callable[[Node, Environment, list[ExpressionFault]], Any]


_DIALECT = re.compile(":[a-z0-9_]+")


class ConditionReader:
    """Reads the conditions of one set of documents."""

    def __init__(
        self,
        *,
        constants: Mapping[str, Any],
        catalogue: Catalogue,
        schemas: Mapping[str, ToolSchema],
        labels: frozenset[str],
        budgets: Measured | None = None,
    ) -> None:
        self._constants = constants
        self._catalogue = catalogue
        self._schemas = schemas
        self._labels = labels
        self._budgets = budgets
        self._types: dict[tuple[str, ...], Type] = {}

    def condition(
        self,
        source: Source,
        place: YamlNode,
        tools: tuple[str, ...],
        *,
        on_result: bool,
        note: Note,
    ) -> Condition | None:
        """The condition written at ``place``, true or false for a call of one of ``tools``."""
        return self._read(source, place, tools, on_result, note, check_condition)

    def value(
        self,
        source: Source,
        place: YamlNode,
        tools: tuple[str, ...],
        *,
        on_result: bool = False,
        note: Note,
    ) -> Condition | None:
        """The expression written at ``place``, which may give any JSON value."""
        return self._read(source, place, tools, on_result, note, check)

    def kind(self, read: Condition, tools: tuple[str, ...], *, on_result: bool) -> str:
        """The kind of type that an expression gives that was read without fault."""
        return check(read.node, self._environment(tools, on_result)).kind

    def _read(
        self,
        source: Source,
        place: YamlNode,
        tools: tuple[str, ...],
        on_result: bool,
        note: Note,
        check: _Check,
    ) -> Condition | None:
        assert isinstance(place, YamlScalar)
        faults: list[ExpressionFault] = []
        try:
            node = parse(place.text)
        except ExpressionFault as problem:
            note(_placed(source, place, problem))
            return None
        check(node, self._environment(tools, on_result), faults)
        for fault in faults:
            note(_placed(source, place, fault))
        found = mentions(node)
        for name in sorted(found.readers):
            if name in READERS and not faults:
                try:
                    READERS[name].load()
                except ImportError as error:
                    message = f"the parser behind {name}() is not installed: {error}"
                    hint = "Install Remit with all its dependencies."
                    note(source.fault(place, message, hint))
                    return None
        return None if faults else Condition(node, found)

    def _environment(self, tools: tuple[str, ...], on_result: bool) -> Environment:
        return Environment(
            args=self._arguments(tools),
            constants=self._constants,
            on_result=on_result,
            labels=self._labels,
            budgets=self._budgets,
        )

    def _arguments(self, tools: tuple[str, ...]) -> Type:
        """What is known of ``args`` for a rule on ``tools``: what all of its tools agree on."""
        found = self._types.get(tools)
        if found is None:
            found = _joined([self._arguments_of(pattern) for pattern in tools])
            self._types[tools] = found
        return found

    def _arguments_of(self, pattern: str) -> Type:
        if "*" in pattern:
            return MAP
        tool = self._catalogue.tool(pattern)
        fields: dict[str, Field] = {}
        for schema in (self._schemas.get(pattern), tool.schema):
            fields |= from_schema(schema).fields or {}
        if tool.arguments is not None:
            plain = {name: _DIALECT.sub("", kind) for name, kind in tool.arguments.items()}
            fields |= declared(plain).fields or {}
        return Type("map", fields=MappingProxyType(fields)) if fields else MAP


def _joined(types: list[Type]) -> Type:
    """One type for the arguments of several tools; open as soon as one of them is."""
    if any(each.fields is None for each in types):
        return MAP
    fields: dict[str, Field] = {}
    every = [each.fields or {} for each in types]
    for name in dict.fromkeys(name for each in every for name in each):
        given = [each.get(name) for each in every]
        known = [field for field in given if field is not None]
        same = all(field.type == known[0].type for field in known)
        optional = len(known) < len(given) or any(field.optional for field in known)
        fields[name] = Field(known[0].type if same else DYN, optional)
    return Type("map", fields=MappingProxyType(fields))


def _placed(source: Source, place: YamlScalar, fault: ExpressionFault) -> Fault:
    hint = fault.suggestion
    after = source.text[place.end.index :].split("\n", 1)[0].lstrip(" ")
    if place.style == "" and after.startswith("#") and ("'" in after or '"' in after):
        cut = 'In YAML, " #" starts a comment; quote the whole condition.'
        hint = cut if hint is None else f"{hint}. {cut}"
    if hint is not None:
        hint = hint[:1].upper() + hint[1:]
    return source.fault_within(place, fault.offset, fault.width, fault.message, hint)


def constant_faults(
    source: Source, entries: Iterable[tuple[YamlScalar, Any]], reserved: frozenset[str]
) -> Iterable[Fault]:
    """What is wrong with the names of constants: they must be names, and not taken."""
    for key, _ in entries:
        name = key.text
        if not (name.isascii() and name.isidentifier()):
            hint = "Use letters, digits and underscores."
            yield source.fault(key, f"{name!r} cannot be used as a name in conditions", hint)
        elif name in reserved:
            yield source.fault(
                key, f"{name!r} has a meaning of its own in conditions", "Rename it."
            )
