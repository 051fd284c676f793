"""``sql(x)`` and ``sql(x, "postgres")``: what SQL text would do, read from its syntax tree.

Everything is walked: several statements, common table expressions, subqueries, EXPLAIN. What
the parser only half understands, and what cannot be seen (EXECUTE, DO, dynamic table names), is
unreadable. ``docs/readers.md`` says what each field counts.
"""

from __future__ import annotations

import functools
import re
import types
from collections.abc import Iterator

from msgspec import Struct
from sqlglot import Dialect, Token, TokenType
from sqlglot.errors import SqlglotError
from sqlglot.parser import Parser

from remit.policy.readers import UnreadableValue, text_of
from remit.policy.readers.sql_lexis import refuse_ambiguous
from remit.policy.readers.sql_tree import StatementFacts, inspect
from remit.text import normal


class SqlReading(Struct, frozen=True, kw_only=True):
    """What SQL text would do. Lists are without repeats."""

    statements: int
    kinds: tuple[str, ...]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    functions: tuple[str, ...]
    read_only: bool
    destructive: bool


_DIALECTS = {
    "": "",
    "postgresql": "postgres",
    "mariadb": "mysql",
    "mssql": "tsql",
    "sqlserver": "tsql",
    "sqlite3": "sqlite",
}

# Words that change the state of the session or its transaction and cannot hold a statement.
_TRANSACTION = re.compile(
    r"(?:begin(?:\s+(?:transaction|work|deferred|immediate|exclusive))*"
    r"|start\s+transaction(?:\s+read\s+(?:only|write))?"
    r"|(?:commit|end|rollback)(?:\s+(?:transaction|work))?(?:\s+to(?:\s+savepoint)?\s+\w+)?"
    r"|(?:savepoint|release(?:\s+savepoint)?)\s+\w+)\s*",
    re.IGNORECASE,
)
_SHOW = re.compile(r"show\s[\w\s.,=%'\"`-]*", re.IGNORECASE)
_PRAGMA = re.compile(
    r"pragma\s+(?:\w+\s*\.\s*)?(\w+)\s*(?:\(\s*(?:\w+|'\w+'|\"\w+\")\s*\)|(=\s*[\w'\"-]+))?\s*",
    re.IGNORECASE,
)
_HARMLESS_PRAGMAS = frozenset(
    {
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo",
        "foreign_key_list", "foreign_key_check", "database_list", "collation_list",
        "function_list", "compile_options", "integrity_check", "quick_check",
    }
)  # fmt: skip
_EXPLAIN = re.compile(
    r"(?:explain|describe|desc)\s+"
    r"(?:(?:analyze|analyse|verbose|extended|partitions|formatted|codegen|cost|logical"
    r"|query\s+plan(?:\s+for)?|plan\s+for|format\s*=\s*\w+)\s+|\(\s*\w[\w\s,]*\)\s*)*",
    re.IGNORECASE,
)
_EXPLAINED = frozenset(
    {"SELECT", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE", "VALUES", "CREATE", "("}
)
_DESCRIBED = re.compile(r"(?:describe|desc)\s+(?:table\s+)?([\w.\"`]+)\s*", re.IGNORECASE)
_CALL = re.compile(r"call\s+([\w.\"`]+\s*\(.*\))\s*", re.IGNORECASE | re.DOTALL)


def read(value: object, dialect: str = "") -> SqlReading:
    """Return what the SQL text ``value`` would do.

    Args:
        value: one or more SQL statements.
        dialect: name of the database's dialect; without it, only text on which the common
            dialects agree is readable.

    Raises:
        UnreadableValue: not a string, not understood in full, or not sure what it means.
    """
    return _read(str(text_of(value, "sql")), str(dialect))


@functools.lru_cache(maxsize=512)
def _read(text: str, dialect: str) -> SqlReading:
    name = _DIALECTS.get(dialect.lower(), dialect.lower())
    reading = _summary(_facts(text, name))
    plain = normal(text)
    if plain == text:
        return reading
    # A database, or a layer before it, may fold full-width forms; then the stricter reading holds.
    folded = _summary(_facts(plain, name))
    return SqlReading(
        statements=max(reading.statements, folded.statements),
        kinds=_unique((*reading.kinds, *folded.kinds)),
        reads=_unique((*reading.reads, *folded.reads)),
        writes=_unique((*reading.writes, *folded.writes)),
        functions=_unique((*reading.functions, *folded.functions)),
        read_only=reading.read_only and folded.read_only,
        destructive=reading.destructive or folded.destructive,
    )


def _summary(facts: list[StatementFacts]) -> SqlReading:
    if not facts:
        raise UnreadableValue("sql(): no statement")
    return SqlReading(
        statements=len(facts),
        kinds=_unique(kind for fact in facts for kind in fact.kinds),
        reads=_unique(table for fact in facts for table in fact.reads),
        writes=_unique(table for fact in facts for table in fact.writes),
        functions=_unique(name for fact in facts for name in fact.functions),
        read_only=all(fact.read_only for fact in facts),
        destructive=any(fact.destructive for fact in facts),
    )


def _unique(items: Iterator[str] | tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(items))


def _facts(text: str, dialect: str) -> list[StatementFacts]:
    refuse_ambiguous(text, dialect)
    try:
        language = Dialect.get_or_raise(dialect)
        tokens = language.tokenize(text)
        return [_statement(text, chunk, language) for chunk in _chunks(tokens)]
    except UnreadableValue:
        raise
    except SqlglotError as error:
        raise UnreadableValue(f"sql(): not understood: {str(error).splitlines()[0]}") from None
    except Exception as error:  # noqa: BLE001 (whatever the parser trips over, it is unreadable)
        raise UnreadableValue(f"sql(): not understood: {type(error).__name__}") from None


def _chunks(tokens: list[Token]) -> Iterator[list[Token]]:
    chunk: list[Token] = []
    for token in tokens:
        if token.token_type != TokenType.SEMICOLON:
            chunk.append(token)
        elif chunk:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _statement(text: str, chunk: list[Token], language: Dialect) -> StatementFacts:
    source = text[chunk[0].start : chunk[-1].end + 1]
    word = chunk[0].text.upper()
    if _TRANSACTION.fullmatch(source):
        return StatementFacts(kinds=["other"], read_only=False)
    if word == "SHOW" and _SHOW.fullmatch(source):
        return StatementFacts(kinds=["other"])
    if word == "PRAGMA":
        return _pragma(source)
    if word in ("EXPLAIN", "DESCRIBE", "DESC"):
        return _explain(source, language)
    if word == "CALL":
        return _call(source, language)
    trees = _strict_parser(type(language))(dialect=language).parse(chunk, text)
    if len(trees) != 1 or trees[0] is None:
        raise UnreadableValue("sql(): not understood as one statement")
    return inspect(trees[0], {token.text.upper() for token in chunk})


def _pragma(source: str) -> StatementFacts:
    match = _PRAGMA.fullmatch(source)
    if not match:
        raise UnreadableValue("sql(): PRAGMA not understood")
    harmless = match[1].lower() in _HARMLESS_PRAGMAS and not match[2]
    return StatementFacts(kinds=["other"], read_only=harmless)


def _explain(source: str, language: Dialect) -> StatementFacts:
    """EXPLAIN counts as what it explains, because EXPLAIN ANALYZE runs it."""
    described = _DESCRIBED.fullmatch(source)
    if described:
        return StatementFacts(kinds=["other"], reads=[re.sub('["`]', "", described[1]).lower()])
    opening = _EXPLAIN.match(source)
    rest = source[opening.end() :] if opening else ""
    chunks = list(_chunks(language.tokenize(rest)))
    if len(chunks) != 1 or chunks[0][0].text.upper() not in _EXPLAINED:
        raise UnreadableValue("sql(): EXPLAIN not understood")
    facts = _statement(rest, chunks[0], language)
    facts.kinds.insert(0, "other")
    return facts


def _call(source: str, language: Dialect) -> StatementFacts:
    match = _CALL.fullmatch(source)
    if not match:
        raise UnreadableValue("sql(): CALL not understood")
    text = f"SELECT {match[1]}"
    facts = _statement(text, language.tokenize(text), language)
    # What a procedure does cannot be seen from its call.
    facts.kinds[:] = ["call"]
    facts.read_only = False
    facts.destructive = True
    return facts


def _refuse_fallback(parser: object) -> None:
    raise UnreadableValue("sql(): a statement that is not understood")


@functools.cache
def _strict_parser(language: type[Dialect]) -> type[Parser]:
    """The dialect's parser, made to refuse where it would warn and keep raw text."""
    overrides = {"_warn_unsupported": _refuse_fallback}
    return types.new_class(
        "StrictParser", (language.parser_class,), exec_body=lambda body: body.update(overrides)
    )
