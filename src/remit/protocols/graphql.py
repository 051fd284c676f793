"""What a GraphQL request does: operations, fields and arguments under their real names. Pure.

Aliases are followed to the fields they stand for, fragments are put in where they are spread, and
every operation of a document counts, not only the one that is named: servers differ in which they
run. Needs ``graphql-core``, which the extra ``server`` brings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from graphql import GraphQLError, parse
from graphql.language import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
)
from graphql.utilities import value_from_ast_untyped
from msgspec import Struct

from remit import canonical
from remit.errors import InvalidArgument
from remit.protocols.http_target import HttpFault

OperationKind: TypeAlias = Literal["query", "mutation", "subscription"]

MAX_OPERATIONS = 50
MAX_FIELDS = 2000
MAX_DEPTH = 30
_MAX_TOKENS = 20_000
_MAX_SOURCE = 262_144
_MEMBERS = frozenset({"query", "variables", "operationName", "extensions"})
_STRICTNESS: Mapping[str, int] = {"query": 0, "subscription": 1, "mutation": 2}


class RootField(Struct, frozen=True):
    """One field at the top of an operation: what a server is asked to do."""

    kind: OperationKind
    name: str
    """The field's own name, not its alias."""
    arguments: dict[str, Any]
    """With the values of variables put in."""


class GraphqlRequest(Struct, frozen=True):
    """All that one HTTP request asks of a GraphQL server, batches and all."""

    kind: OperationKind
    """The worst of its operations: mutation, subscription, query."""
    operations: int
    roots: tuple[RootField, ...]
    fields: tuple[str, ...]
    """Every field that is asked for, as a path of real names such as ``order.customer.email``."""

    def shown(self) -> dict[str, Any]:
        """As policy sees it, under ``args.graphql``."""
        return {
            "kind": self.kind,
            "operations": self.operations,
            "roots": [
                {"kind": root.kind, "name": root.name, "arguments": root.arguments}
                for root in self.roots
            ],
            "names": sorted({root.name for root in self.roots}),
            "fields": sorted(set(self.fields)),
        }


def read_graphql(value: Any) -> GraphqlRequest:
    """Read what was sent to a GraphQL server: one request, or a batch of them.

    Args:
        value: the body as a JSON value; a text is a query without variables.

    Raises:
        HttpFault: it is not GraphQL, or too large to be looked into.
    """
    batch = value if isinstance(value, list) else [value]
    if not batch or len(batch) > MAX_OPERATIONS:
        raise _fault(f"it has no request in it, or more than {MAX_OPERATIONS}")
    found = [_GraphqlReading.of(each) for each in batch]
    operations = sum(each.operations for each in found)
    roots = [root for each in found for root in each.roots]
    fields = [name for each in found for name in each.fields]
    if operations > MAX_OPERATIONS or len(fields) > MAX_FIELDS:
        raise _fault("it asks for too much at once")
    worst = max(found, key=lambda each: _STRICTNESS[each.kind])
    return GraphqlRequest(worst.kind, operations, tuple(roots), tuple(fields))


class _GraphqlReading:
    """One request of a batch."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any]) -> None:
        self.fragments: dict[str, FragmentDefinitionNode] = {}
        self.variables = variables
        self.roots: list[RootField] = []
        self.fields: list[str] = []
        self.kind: OperationKind = "query"
        self.operations = 0
        defined: list[OperationDefinitionNode] = []
        for node in document.definitions:
            if isinstance(node, FragmentDefinitionNode):
                if node.name.value in self.fragments:
                    raise _fault(f"the fragment {node.name.value} is there twice")
                self.fragments[node.name.value] = node
            elif isinstance(node, OperationDefinitionNode):
                defined.append(node)
            else:
                raise _fault("it defines types; only operations and fragments are let through")
        if not defined:
            raise _fault("it has no operation in it")
        for each in defined:
            self._operation(each)

    @classmethod
    def of(cls, value: Any) -> _GraphqlReading:
        if isinstance(value, str):
            value = {"query": value}
        if not isinstance(value, dict) or not isinstance(value.get("query"), str):
            raise _fault("it is no object with a query; stored queries are not let through")
        if not _MEMBERS.issuperset(value):
            raise _fault("it has members besides query, variables, operationName and extensions")
        if value.get("extensions"):
            raise _fault("its extensions can name stored queries; leave them out")
        variables = value.get("variables")
        if not isinstance(variables, dict | None):
            raise _fault("its variables are no object")
        return cls(_document(value["query"]), variables or {})

    def _operation(self, node: OperationDefinitionNode) -> None:
        kind: OperationKind = node.operation.value
        self.operations += 1
        if _STRICTNESS[kind] > _STRICTNESS[self.kind]:
            self.kind = kind
        values = dict(self.variables)
        for variable in node.variable_definitions:
            name = variable.variable.name.value
            if name not in values:
                default = variable.default_value
                values[name] = None if default is None else _given(default, {})
        self._walk(node.selection_set, (), ())  # first: it counts, so that nothing runs away
        for field, _ in self._selected(node.selection_set, ()):
            arguments = {each.name.value: _given(each.value, values) for each in field.arguments}
            self.roots.append(RootField(kind, field.name.value, arguments))

    def _walk(
        self, selected: SelectionSetNode, path: tuple[str, ...], within: tuple[str, ...]
    ) -> None:
        """Take down every field, in depth; what is spread twice is there twice."""
        if len(path) > MAX_DEPTH:
            raise _fault(f"its fields are more than {MAX_DEPTH} levels deep")
        for node, spread in self._selected(selected, within):
            below = (*path, node.name.value)
            self.fields.append(".".join(below))
            if len(self.fields) > MAX_FIELDS:
                raise _fault(f"it asks for more than {MAX_FIELDS:,} fields")
            if node.selection_set is not None:
                self._walk(node.selection_set, below, spread)

    def _selected(
        self, selected: SelectionSetNode, within: tuple[str, ...]
    ) -> Iterator[tuple[FieldNode, tuple[str, ...]]]:
        """The fields of a selection and of its fragments, and in which fragments each is."""
        for node in selected.selections:
            if isinstance(node, FieldNode):
                yield node, within
            elif isinstance(node, InlineFragmentNode):
                yield from self._selected(node.selection_set, within)
            else:
                assert isinstance(node, FragmentSpreadNode)
                name = node.name.value
                fragment = self.fragments.get(name)
                if fragment is None or name in within or len(within) > MAX_DEPTH:
                    raise _fault(f"the fragment {name[:64]} is not there, or holds itself")
                yield from self._selected(fragment.selection_set, (*within, name))


def _document(source: str) -> DocumentNode:
    if len(source) > _MAX_SOURCE or _deep(source):
        raise _fault("the query is too long or too deep")
    try:
        return parse(source, no_location=True, max_tokens=_MAX_TOKENS)
    except (GraphQLError, RecursionError) as error:
        said = error.message if isinstance(error, GraphQLError) else "too deep"
        raise _fault(f"the query cannot be read ({said[:120]})") from None


def _deep(source: str) -> bool:
    """Whether brackets could be so deep that a reader runs out of stack."""
    depth = deepest = 0
    for each in source:
        if each in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif each in "}])":
            depth -= 1
    return deepest > 4 * MAX_DEPTH


def _given(node: ValueNode, variables: Mapping[str, Any]) -> Any:
    """The value of an argument. A variable without a value is null."""
    if isinstance(node, VariableNode):
        return variables.get(node.name.value)
    try:
        return canonical.check(value_from_ast_untyped(node, dict(variables)), "arguments")
    except (ValueError, InvalidArgument):
        raise _fault("an argument is no value that JSON has, or names no variable") from None


def _fault(what: str) -> HttpFault:
    return HttpFault("bad-graphql", f"The GraphQL request was not passed on: {what}.")
