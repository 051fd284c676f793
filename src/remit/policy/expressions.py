"""The parser of the condition language, a documented subset of CEL.

``parse`` turns text into a tree (``remit.policy.syntax``); ``remit.policy.types`` checks it,
``remit.policy.evaluate`` and ``remit.policy.lower`` give it meaning. The grammar stands in
``docs/policy-language.md``. Every fault carries its place and says what to write. No I/O.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NoReturn, cast

from remit.policy.syntax import (
    Binary,
    Choice,
    Comprehension,
    Constant,
    FunctionCall,
    Index,
    ListDisplay,
    Logic,
    Macro,
    MapDisplay,
    Member,
    MethodCall,
    Node,
    Presence,
    Unary,
    Variable,
    path,
    root,
    walk,
)
from remit.policy.tokens import INT_MAX, MAX_LENGTH, ExpressionFault, Token, tokenize

MAX_DEPTH = 64
"""Deepest nesting of an expression, brackets and operators together."""

MACROS = frozenset({"all", "exists", "exists_one", "filter", "map"})

_BINDING = {"||": 1, "&&": 2}
_BINDING |= dict.fromkeys(["==", "!=", "<", "<=", ">", ">=", "in"], 3)
_BINDING |= {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5}
_COMPARISON = 3

_KEYWORDS = {"true": True, "false": False, "null": None}
_MISSPELT = {"none": "null", "nil": "null", "undefined": "null", "null": "null"} | {
    "true": "true",
    "false": "false",
}
_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let"}
    | {"loop", "package", "namespace", "return", "var", "void", "while"}
)

# Words that other languages put between two values, and what to write here.
_INFIX = {
    "and": "&&",
    "or": "||",
    "is": "==",
    "eq": "==",
    "equals": "==",
    "ne": "!=",
    "gt": ">",
    "ge": ">=",
    "lt": "<",
    "le": "<=",
    "in": "in",
    "mod": "%",
    "plus": "+",
    "minus": "-",
}
_METHODS = {
    "contains": "contains",
    "matches": "matches",
    "startswith": "startsWith",
    "starts": "startsWith",
    "starts_with": "startsWith",
    "endswith": "endsWith",
    "ends": "endsWith",
    "ends_with": "endsWith",
    "like": "contains",
    "ilike": "contains",
    "regex": "matches",
    "regexp": "matches",
}


def parse(text: str) -> Node:
    """Parse one expression.

    Raises:
        ExpressionFault: the text is not an expression, or it is too long or too deep.
    """
    return _Parser(text).whole()


class _Parser:
    """Precedence climbing over the tokens of one text; the depth of recursion is bounded."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokenize(text)
        self._position = 0
        self._depth = 0

    def whole(self) -> Node:
        if len(self._tokens) == 1:
            raise ExpressionFault(0, 1, "the expression is empty", "write a condition, e.g. true")
        node = self._expression()
        if self._here.kind != "end":
            self._unexpected(node)
        return node

    # Tokens

    @property
    def _here(self) -> Token:
        return self._tokens[self._position]

    def _next(self) -> Token:
        token = self._here
        self._position += 1
        return token

    def _at(self, spelling: str) -> bool:
        token = self._here
        return token.kind == "operator" and token.value == spelling

    def _take(self, spelling: str) -> bool:
        found = self._at(spelling)
        self._position += found
        return found

    def _close(self, spelling: str, opened: Token, last: Node) -> Token:
        if not self._at(spelling):
            if self._here.kind == "end":
                message = f"`{opened.value}` is never closed"
                raise ExpressionFault(opened.offset, 1, message, f"add {spelling}")
            self._unexpected(last)
        return self._next()

    def _span(self, start: int, *parts: Node) -> _Span:
        height = 1 + max((part.height for part in parts), default=0)
        if height > MAX_DEPTH:
            self._too_deep(start)
        end = self._tokens[self._position - 1].end
        return _Span(self._text, start, end - start, height)

    def _deeper(self, token: Token) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._too_deep(token.offset)

    def _too_deep(self, offset: int) -> NoReturn:
        message = f"the expression is nested more than {MAX_DEPTH} levels deep"
        raise ExpressionFault(offset, 1, message, "split it into several rules")

    # Grammar

    def _expression(self) -> Node:
        """``or ["?" or ":" expression]``."""
        start = self._here.offset
        condition = self._operators(1)
        if not self._at("?"):
            return condition
        mark = self._next()
        self._deeper(mark)
        chosen = self._operators(1)
        self._close(":", mark, chosen)
        otherwise = self._expression()
        self._depth -= 1
        span = self._span(start, condition, chosen, otherwise)
        return Choice(**vars(span), condition=condition, chosen=chosen, otherwise=otherwise)

    def _operators(self, weakest: int) -> Node:
        """Operators that bind at least as strongly as ``weakest``; equal ones group to the left."""
        token = start = self._here
        self._deeper(start)
        left = self._unary()
        while (binding := self._binding()) >= weakest:
            token = self._next()
            operator = str(token.value)
            if binding < _COMPARISON:
                left = self._logic(start.offset, left, operator, binding)
                continue
            right = self._operators(binding + 1)
            span = self._span(start.offset, left, right)
            at = token.offset
            left = Binary(**vars(span), operator=operator, left=left, right=right, at=at)
            if binding == _COMPARISON == self._binding():
                self._refuse_chain(left)
        self._depth -= 1
        return left

    def _binding(self) -> int:
        """How strongly the current token binds its sides; 0 if it is no infix operator."""
        token = self._here
        return _BINDING.get(str(token.value), 0) if token.kind in ("operator", "name") else 0

    def _refuse_chain(self, left: Binary) -> NoReturn:
        token = self._here
        hint = f"write {left.text} && {left.right.text} {token.value} ..."
        raise ExpressionFault(token.offset, token.width, "comparisons cannot be chained", hint)

    def _logic(self, start: int, first: Node, operator: str, binding: int) -> Node:
        operands = [first, self._operators(binding + 1)]
        while self._take(operator):
            operands.append(self._operators(binding + 1))
        span, kind = self._span(start, *operands), cast(Literal["&&", "||"], operator)
        return Logic(**vars(span), operator=kind, operands=tuple(operands))

    def _unary(self) -> Node:
        token = self._here
        if not (self._at("!") or self._at("-")):
            return self._postfix()
        self._next()
        literal = self._here
        if token.value == "-" and literal.kind in ("int", "double"):
            node = self._negative(token)
            return self._suffixes(node, token.offset)
        self._deeper(token)
        operand = self._unary()
        self._depth -= 1
        span = self._span(token.offset, operand)
        return Unary(**vars(span), operator=cast(Literal["!", "-"], token.value), operand=operand)

    def _negative(self, minus: Token) -> Node:
        literal = self._next()
        value = cast("int | float", literal.value)
        return Constant(**vars(self._span(minus.offset)), value=-value)

    def _postfix(self) -> Node:
        start = self._here.offset
        return self._suffixes(self._primary(), start)

    def _suffixes(self, node: Node, start: int) -> Node:
        while True:
            if self._at("["):
                opened = self._next()
                index = self._expression()
                self._close("]", opened, index)
                span = self._span(start, node, index)
                node = Index(**vars(span), operand=node, index=index)
            elif self._at("."):
                node = self._member(node, start)
            else:
                return node

    def _member(self, target: Node, start: int) -> Node:
        dot, name = self._next(), self._here
        if name.kind != "name" or name.value in _KEYWORDS or name.value == "in":
            message = "a field name is missing after the dot"
            hint = 'write a.name, or a["name"] for any other text'
            raise ExpressionFault(dot.offset, 1, message, hint)
        self._next()
        field = str(name.value)
        if not self._at("("):
            span = self._span(start, target)
            return Member(**vars(span), operand=target, name=field, at=name.offset)
        if field in MACROS:
            return self._comprehension(target, start, cast(Macro, field), name.offset)
        arguments = self._arguments()
        span = self._span(start, target, *arguments)
        return MethodCall(
            **vars(span), target=target, name=field, arguments=arguments, at=name.offset
        )

    def _comprehension(self, target: Node, start: int, macro: Macro, at: int) -> Node:
        arguments = self._arguments()
        span = self._span(start, target, *arguments)
        if len(arguments) != 2 or not isinstance(arguments[0], Variable):
            message = f"`{macro}` takes the name of an element and an expression about it"
            raise ExpressionFault(at, len(macro), message, f"write list.{macro}(x, x > 0)")
        variable, body = arguments[0].name, arguments[1]
        return Comprehension(
            **vars(span), macro=macro, over=target, variable=variable, body=body, at=at
        )

    def _arguments(self) -> tuple[Node, ...]:
        opened = self._next()
        return self._items(opened, ")")

    def _items(self, opened: Token, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(closing):
            items.append(self._expression())
            if not self._take(","):
                self._close(closing, opened, items[-1])
                break
        return tuple(items)

    def _primary(self) -> Node:
        token = self._next()
        if token.kind == "name":
            return self._named(token)
        if token.kind in ("int", "double", "string"):
            if token.value == INT_MAX + 1 and token.kind == "int":
                message = "this number does not fit into 64 bits"
                raise ExpressionFault(token.offset, token.width, message)
            return Constant(**vars(self._span(token.offset)), value=token.value)
        if token.value == "(":
            inner = self._expression()
            self._close(")", token, inner)
            return inner
        if token.value == "[":
            items = self._items(token, "]")
            return ListDisplay(**vars(self._span(token.offset, *items)), items=items)
        if token.value == "{":
            return self._map(token)
        self._position -= 1
        raise self._missing(token)

    def _missing(self, token: Token) -> ExpressionFault:
        if token.kind == "end":
            message = "the expression ends where a value is expected"
            hint = "add the missing value"
            return ExpressionFault(max(token.offset - 1, 0), 1, message, hint)
        message = f"`{token.value}` stands where a value is expected"
        return ExpressionFault(token.offset, token.width, message)

    def _map(self, opened: Token) -> Node:
        entries: list[tuple[Node, Node]] = []
        seen: set[object] = set()
        while not self._take("}"):
            key = self._expression()
            if not (isinstance(key, Constant) and isinstance(key.value, str)):
                message = "the key of a map is a string"
                raise ExpressionFault(key.offset, key.width, message, 'write {"key": value}')
            if key.value in seen:
                raise ExpressionFault(key.offset, key.width, f"the key {key.text} occurs twice")
            seen.add(key.value)
            self._close(":", opened, key)
            entries.append((key, self._expression()))
            if not self._take(","):
                self._close("}", opened, entries[-1][1])
                break
        parts = [part for entry in entries for part in entry]
        return MapDisplay(**vars(self._span(opened.offset, *parts)), entries=tuple(entries))

    def _named(self, token: Token) -> Node:
        word = str(token.value)
        if word in _KEYWORDS:
            return Constant(**vars(self._span(token.offset)), value=_KEYWORDS[word])
        if word.lower() in _MISSPELT:
            hint = f"write {_MISSPELT[word.lower()]}"
            raise ExpressionFault(token.offset, token.width, f"`{word}` is not a value", hint)
        if word.lower() == "not":
            message = f"`{word}` is not an operator here"
            raise ExpressionFault(token.offset, token.width, message, "write !")
        if word in _RESERVED:
            message = f"`{word}` is a reserved word"
            raise ExpressionFault(token.offset, token.width, message, _reserved_hint(word))
        if not self._at("("):
            return Variable(**vars(self._span(token.offset)), name=word)
        arguments = self._arguments()
        span = self._span(token.offset, *arguments)
        if word == "has":
            return self._presence(token, span, arguments)
        return FunctionCall(**vars(span), name=word, arguments=arguments)

    def _presence(self, token: Token, span: _Span, arguments: tuple[Node, ...]) -> Node:
        if len(arguments) != 1 or not isinstance(arguments[0], Member):
            message = "`has` asks whether one field is there"
            hint = 'write has(a.name), or "name" in a for any other text'
            raise ExpressionFault(token.offset, token.width, message, hint)
        member = arguments[0]
        return Presence(**vars(span), operand=member.operand, name=member.name, at=member.at)

    # Faults

    def _unexpected(self, last: Node) -> NoReturn:
        """Refuse the current token, which nothing that came before it allows."""
        token = self._here
        word = str(token.value)
        if token.kind != "name":
            message = f"`{token_text(self._text, token)}` does not continue the expression"
            hint = "put an operator such as && or == between two values"
            raise ExpressionFault(token.offset, token.width, message, hint)
        message = f"`{word}` is not an operator here"
        raise ExpressionFault(token.offset, token.width, message, self._infix(last, word))

    def _infix(self, last: Node, word: str) -> str:
        lower = word.lower()
        if lower in _INFIX:
            return f"write {_INFIX[lower]}"
        if lower in _METHODS:
            right = self._tokens[self._position + 1]
            argument = token_text(self._text, right) if right.kind == "string" else '"text"'
            return f"write {last.text}.{_METHODS[lower]}({argument})"
        if lower == "not":
            return f"write !({last.text} in ...)"
        if lower in ("if", "else"):
            return "write condition ? this : that"
        return "put an operator such as && or == between two values"


@dataclass
class _Span:
    """Where a node stands and how high it is: the fields that all nodes share."""

    source: str
    offset: int
    width: int
    height: int


def token_text(text: str, token: Token) -> str:
    """Return a token as it was written, shortened to 30 characters."""
    written = text[token.offset : token.end]
    return written if len(written) <= 30 else written[:29] + "\u2026"


def _reserved_hint(word: str) -> str | None:
    if word in ("if", "else"):
        return "write condition ? this : that"
    if word in ("for", "while", "loop"):
        return "write list.all(x, ...) or list.exists(x, ...)"
    return None


@dataclass(frozen=True, slots=True)
class Mentions:
    """What an expression looks at."""

    variables: frozenset[str]
    """Variables and constants by name, elements of ``all`` and the like left out."""
    facts: frozenset[str]
    """Fields of ``context`` as paths, e.g. ``context.ticket``."""
    readers: frozenset[str]
    """Functions called, among them typed readers such as ``path`` and ``sql``."""
    counters: frozenset[str]
    """Tools whose calls are counted; ``*`` when the name is only known at run time."""
    labels: frozenset[str]
    """Labels that ``flows`` asks for."""


def mentions(node: Node) -> Mentions:
    """Return everything outside itself that ``node`` depends on."""
    variables: set[str] = set()
    facts: set[str] = set()
    functions: set[str] = set()
    counters: set[str] = set()
    labels: set[str] = set()
    elements = {part.variable for part in walk(node) if isinstance(part, Comprehension)}
    label_nodes = set()
    for part in walk(node):
        match part:
            case FunctionCall(name="flows" | "copies" as name, arguments=[_, label]):
                labels.add(label_name(label) or "*")
                functions.add(name)
                label_nodes.add(label)
            case FunctionCall(name="asked_for", arguments=[kind]):
                functions.add("asked_for")
                label_nodes.add(kind)
            case FunctionCall():
                functions.add(part.name)
                variables |= {"findings"} if part.name == "found" else set()
            case MethodCall(target=Variable(name="session"), name="calls", arguments=[tool]):
                counters.add(str(tool.value) if isinstance(tool, Constant) else "*")
            case Variable() if part not in label_nodes and part.name not in elements:
                variables.add(part.name)
            case Presence() if root(part.operand) == "context":
                facts.add(".".join([*(path(part.operand) or ("context",)), part.name]))
            case Member() | Index():
                route = path(part)
                if route is not None and route[0] == "context":
                    facts.add(".".join(route))
    return Mentions(
        frozenset(variables),
        frozenset(facts),
        frozenset(functions),
        frozenset(counters),
        frozenset(labels),
    )


def label_name(node: Node) -> str | None:
    """Return the label that the second argument of ``flows`` names: a bare name or a string."""
    match node:
        case Variable():
            return node.name
        case Constant(value=str() as label):
            return label
    return None


__all__ = [
    "MAX_DEPTH",
    "MAX_LENGTH",
    "ExpressionFault",
    "Mentions",
    "label_name",
    "mentions",
    "parse",
]
