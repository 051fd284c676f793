"""What one parsed SQL statement does: tables, functions, and whether it changes or destroys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from msgspec import Struct, field
from sqlglot import exp
from sqlglot.expressions.core import Expr

from remit.policy.readers import UnreadableValue
from remit.policy.readers.sql_functions import is_harmless, runs_code

Node: TypeAlias = Expr


class StatementFacts(Struct, kw_only=True):
    """Facts of one statement, collected while its tree is walked."""

    kinds: list[str] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    read_only: bool = True
    destructive: bool = False


_KINDS: tuple[tuple[type[Node], str], ...] = (
    (exp.Insert, "insert"),
    (exp.Update, "update"),
    (exp.Delete, "delete"),
    (exp.Merge, "other"),
    (exp.Create, "create"),
    (exp.Drop, "drop"),
    (exp.Alter, "alter"),
    (exp.TruncateTable, "truncate"),
    (exp.Grant, "grant"),
    (exp.Revoke, "grant"),
    (exp.Copy, "copy"),
    (exp.Comment, "alter"),
    (exp.Set, "other"),
    (exp.Use, "other"),
    (exp.Analyze, "other"),
    (exp.Attach, "other"),
    (exp.Detach, "other"),
    (exp.Refresh, "other"),
    (exp.LoadData, "other"),
    (exp.Kill, "other"),
)
_WRITERS = (exp.Into, exp.AlterRename, exp.Merge, exp.LoadData, exp.Refresh)
_QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values)
# Statements that some databases start without a semicolon before them. As an unquoted alias such
# a word is more likely a hidden statement than a name.
_STATEMENT_WORDS = frozenset(
    {
        "alter", "attach", "backup", "call", "checkpoint", "create", "dbcc", "delete", "deny",
        "drop", "exec", "execute", "grant", "insert", "kill", "merge", "only", "reconfigure",
        "restore", "revoke", "shutdown", "truncate", "update", "vacuum", "waitfor",
    }
)  # fmt: skip


def inspect(tree: Node, words: set[str]) -> StatementFacts:
    """Return the facts of one statement.

    Args:
        tree: the parsed statement.
        words: the upper-cased texts of its tokens.

    Raises:
        UnreadableValue: a kind of statement, or a part of one, that is not understood.
    """
    facts = StatementFacts()
    if isinstance(tree, _QUERIES):
        facts.kinds.append("select")
    elif _kind(tree) is None:
        raise UnreadableValue(f"sql(): not a statement ({type(tree).__name__})")
    written = _write_targets(tree)
    for node in tree.walk(bfs=False):
        if isinstance(node, exp.Table):
            _table(node, id(node) in written, facts)
        elif isinstance(node, exp.Func):
            _function(node, facts)
        elif isinstance(node, exp.Identifier):
            _identifier(node)
        else:
            _clause(node, facts)
    if "copy" in facts.kinds and "PROGRAM" in words:
        facts.destructive = True
    return facts


def _kind(node: Node) -> str | None:
    return next((kind for cls, kind in _KINDS if isinstance(node, cls)), None)


def _write_targets(tree: Node) -> set[int]:
    """Identities of the table nodes that the statement, or one nested in it, writes to."""
    return {id(_unwrapped(target)) for node in tree.walk() for target in _targets(node)}


def _targets(node: Node) -> Iterator[Node]:
    if isinstance(node, exp.Grant | exp.Revoke):
        found = [node.args.get("securable")]
    elif isinstance(node, exp.TruncateTable):
        found = node.expressions
    elif isinstance(node, exp.Drop | exp.Delete | exp.Analyze):
        found = [node.args.get("this"), *(node.args.get("tables") or [])]
    elif isinstance(node, exp.Copy) and not node.args.get("kind"):
        found = []
    elif isinstance(node, _WRITERS) or _kind(node) not in (None, "other"):
        found = [node.args.get("this")]
    else:
        found = []
    return (target for target in found if isinstance(target, Expr))


def _unwrapped(target: Node) -> Node:
    """The table itself, out of ``t (a, b)``, ``INDEX i ON t (a)`` and ``FUNCTION f ()``."""
    while isinstance(target, exp.Schema | exp.UserDefinedFunction | exp.Index):
        target = target.args["table" if isinstance(target, exp.Index) else "this"]
    return target


def _table(node: exp.Table, written: bool, facts: StatementFacts) -> None:
    if isinstance(node.this, exp.Func) or node.args.get("rows_from"):
        return
    if not node.parts or not all(isinstance(part, exp.Identifier) for part in node.parts):
        raise UnreadableValue("sql(): a table whose name is not written out")
    name = ".".join(part.name for part in node.parts).lower()
    if written:
        facts.writes.append(name)
        return
    joined = node.find_ancestor(exp.Join)
    target = joined.parent if joined is not None else None
    if target is not None and isinstance(target.parent, exp.Update | exp.Delete):
        # MySQL may change every table of a joined UPDATE or DELETE.
        facts.writes.append(name)
    if len(node.parts) > 1 or not _names_expression(node):
        facts.reads.append(name)


def _names_expression(table: exp.Table) -> bool:
    """Whether an unqualified name is a common table expression in scope, so no table."""
    wanted = _exact(table.this)
    child: Node = table
    within: exp.CTE | None = None
    parent = table.parent
    while parent is not None:
        if isinstance(parent, exp.With):
            within = child if isinstance(child, exp.CTE) else None
        else:
            clause = parent.args.get("with_")
            if clause is not None and wanted in _visible(
                clause, within if clause is child else None
            ):
                return True
        child, parent = parent, parent.parent
    return False


def _visible(clause: exp.With, within: exp.CTE | None) -> set[str]:
    """Names that a WITH defines for its statement, or for ``within``, one of its own members.

    A member sees only those before it, and itself if the clause is recursive.
    """
    names: set[str] = set()
    for member in clause.expressions:
        if member is within and not clause.recursive:
            break
        names.add(_exact(member.args["alias"].this))
        if member is within:
            break
    return names


def _exact(identifier: Node) -> str:
    name = identifier.name
    return name if identifier.args.get("quoted") else name.lower()


_NOT_CALLS = (exp.Connector, exp.Case, exp.Cast, exp.Exists, exp.If)


def _function(node: exp.Func, facts: StatementFacts) -> None:
    if isinstance(node, _NOT_CALLS):
        return
    if isinstance(node, exp.DynamicIdentifier):
        raise UnreadableValue("sql(): a name that only comes about at run time")
    named = isinstance(node, exp.Anonymous | exp.AnonymousAggFunc)
    name = str(node.name if named else node.sql_name()).lower()
    parent = node.parent
    if isinstance(parent, exp.Dot) and parent.expression is node:
        qualifiers = parent.this.find_all(exp.Identifier, bfs=False)
        name = ".".join([*(part.name.lower() for part in qualifiers), name])
    facts.functions.append(name)
    if not is_harmless(name, node):
        facts.read_only = False
    if runs_code(name):
        facts.destructive = True


def _identifier(node: exp.Identifier) -> None:
    alias = isinstance(node.parent, exp.Alias | exp.TableAlias) and node.arg_key in (
        "alias",
        "this",
    )
    only = isinstance(node.parent, exp.Table) and node.name.lower() == "only"
    if (alias or only) and not node.quoted and node.name.lower() in _STATEMENT_WORDS:
        raise UnreadableValue(f"sql(): {node.name} as a name could be a statement; quote it")


def _clause(node: Node, facts: StatementFacts) -> None:
    if isinstance(node, exp.Command):
        raise UnreadableValue("sql(): a statement that is not understood")
    if isinstance(node, exp.When):
        if (
            isinstance(node.args.get("then"), exp.Var)
            and node.args["then"].name.upper() == "DELETE"
        ):
            facts.kinds.append("delete")
            facts.destructive = True
    elif isinstance(node, exp.Into):
        facts.kinds.append("create")
        facts.read_only = False
    elif isinstance(node, exp.Lock):
        facts.read_only = False
    elif isinstance(node, exp.QueryTransform):
        facts.read_only = False
        facts.destructive = True
    else:
        _statement_kind(node, facts)


def _statement_kind(node: Node, facts: StatementFacts) -> None:
    kind = _kind(node)
    if kind is None or (kind == "drop" and node.find_ancestor(exp.Alter)):
        return
    facts.kinds.append(kind)
    facts.read_only = False
    if kind in ("drop", "truncate") or isinstance(node, exp.Alter) or _replaces(node):
        facts.destructive = True
    elif kind in ("update", "delete") and not isinstance(node.parent, exp.When):
        where = node.args.get("where")
        if where is None or is_vacuous(where.this):
            facts.destructive = True


def _replaces(node: Node) -> bool:
    """Whether what was there before is lost: OVERWRITE, OR REPLACE of rows or of a table."""
    if isinstance(node, exp.Insert):
        return bool(node.args.get("overwrite")) or bool(node.args.get("alternative") == "replace")
    return (
        isinstance(node, exp.Create)
        and bool(node.args.get("replace"))
        and str(node.args.get("kind")).upper() in ("TABLE", "DATABASE", "SCHEMA")
    )


def is_vacuous(condition: Node) -> bool:
    """Return whether a WHERE condition plainly keeps every row.

    True for one that mentions no column, ``x = x``, ``x LIKE '%'``, and AND or OR of such.
    """
    condition = condition.unnest()
    if isinstance(condition, exp.Or):
        return any(is_vacuous(part) for part in condition.flatten())
    if isinstance(condition, exp.And):
        return all(is_vacuous(part) for part in condition.flatten())
    if isinstance(condition, exp.EQ | exp.GTE | exp.LTE | exp.Is):
        if condition.this == condition.expression:
            return True
    elif isinstance(condition, exp.Like | exp.ILike):
        pattern = condition.expression
        if isinstance(pattern, exp.Literal) and set(pattern.name) == {"%"}:
            return True
    return condition.find(exp.Column) is None
