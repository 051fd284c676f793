"""``shell(x)``: which programs a shell command would run, with what, and which files it names.

The text is parsed as bash by tree-sitter. Every list, pipeline, subshell, substitution and
function body is walked, and programs that run other programs (``sudo``, ``env``, ``xargs``,
``find -exec``, ``sh -c``, ``eval``) are unwrapped. A command name that only comes about at run time
is unreadable. ``docs/readers.md`` says what each field counts.
"""

from __future__ import annotations

import functools
import re

import tree_sitter
import tree_sitter_bash
from msgspec import Struct
from tree_sitter import Node

from remit.policy.readers import UnreadableValue, text_of
from remit.policy.readers.shell_commands import ShellCall, unwrap
from remit.policy.readers.shell_files import Files, files_of
from remit.policy.readers.shell_programs import POWERFUL_PREFIXES, POWERFUL_VARIABLES, WHOLE_FLAGS
from remit.policy.readers.shell_words import (
    EXPANSIONS,
    LITERALS,
    UNKNOWN,
    Word,
    spell,
    text_of_node,
    unspell,
    word_of,
)
from remit.text import invisibles

_LANGUAGE = tree_sitter.Language(tree_sitter_bash.language())
_ODD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Outside comments bash joins what stands before and after; the grammar would make two words.
_JOINED_LINE = re.compile(r"[^\s\\](?:\\\\)*\\\n(?![ \t\n])")
_PLAIN_DELIMITER = re.compile(r"(\\?)(['\"]?)(\w+)\2")
_ASSIGNING = frozenset({"read", "mapfile", "readarray", "printf", "getopts", "let", "unset"})
# The start of a substitution that bash would run.
_SUBSTITUTION = re.compile(r"(?<!\\)(?:\\\\)*(?:`|\$[({])")
_UNEXPANDED = frozenset({"raw_string", "ansi_c_string", "comment", "heredoc_start", "heredoc_end"})
_MAX_NESTING = 6
_MAX_WRAPPERS = 12
_MAX_DEPTH = 60
_MAX_CALLS = 500

# Parts of the grammar that hold commands or words and mean nothing by themselves.
_CONTAINERS = frozenset(
    {
        "program", "list", "pipeline", "subshell", "compound_statement", "negated_command",
        "if_statement", "elif_clause", "else_clause", "while_statement", "for_statement",
        "c_style_for_statement", "do_group", "case_statement", "case_item", "function_definition",
        "test_command", "unary_expression", "binary_expression", "parenthesized_expression",
        "ternary_expression", "postfix_expression", "test_operator", "variable_assignments",
        "unset_command", "array", "subscript", "regex", "variable_name", "special_variable_name",
        "comment", "string_content", "file_descriptor", "heredoc_body", "heredoc_content",
        "heredoc_start", "heredoc_end", "operator",
    }
)  # fmt: skip
_FREE_GAPS = frozenset({"string", "heredoc_body", "heredoc_redirect", "regex", "expansion"})


class ShellReading(Struct, frozen=True, kw_only=True):
    """What a shell command would do. Lists are in order of appearance.

    ``arguments``, ``reads``, ``writes`` and ``flags`` raise ``UnreadableValue`` where a word that
    they depend on is only known at run time (``$X``, ``*``, ``~``, ``$(...)``).
    """

    programs: tuple[str, ...]
    """Base name of every program that would run, without repeats."""
    calls: tuple[ShellCall, ...]
    files: Files

    @property
    def arguments(self) -> tuple[str, ...]:
        """Every argument of every program, options included, quotes and escapes resolved."""
        words = [word for call in self.calls for word in call.words]
        if not all(word.sure for word in words):
            raise UnreadableValue("shell(): arguments that the shell expands at run time")
        return tuple(word.text for word in words)

    @property
    def reads(self) -> tuple[str, ...]:
        """Paths that are read, by redirection or as arguments of programs known to read."""
        return self._known(self.files.reads)

    @property
    def writes(self) -> tuple[str, ...]:
        """Paths that are written or removed, by redirection or by programs known to write."""
        return self._known(self.files.writes)

    def _known(self, words: list[Word]) -> tuple[str, ...]:
        if not all(word.sure for word in words):
            raise UnreadableValue("shell(): a path that the shell expands at run time")
        return tuple(dict.fromkeys(word.text for word in words))

    def flags(self, program: str) -> tuple[str, ...]:
        """Return the options given to ``program``: ``-rf`` as ``-r``, ``-f``; long ones whole.

        Raises:
            UnreadableValue: a word of it that the shell expands may be an option.
        """
        found: list[str] = []
        for call in self.calls:
            if call.program == program:
                found += _flags(call)
        return tuple(dict.fromkeys(found))


def _flags(call: ShellCall) -> list[str]:
    found: list[str] = []
    for word in call.words:
        if not word.sure:
            raise UnreadableValue("shell(): a word that the shell expands may be an option")
        text = word.text
        if text == "--":
            break
        if text.startswith("--") or (call.program in WHOLE_FLAGS and text.startswith("-")):
            found.append(text.partition("=")[0])
        elif text.startswith("-"):
            found += [f"-{letter}" for letter in text[1:]]
    return found


def read(value: object) -> ShellReading:
    """Return what the shell command ``value`` would do.

    Raises:
        UnreadableValue: not a string, not bash as the parser knows it, or a program whose name or
            code only comes about at run time.
    """
    return _read(str(text_of(value, "shell")))


@functools.lru_cache(maxsize=512)
def _read(text: str) -> ShellReading:
    walk = _Walk()
    walk.code(text)
    programs = tuple(dict.fromkeys(call.program for call in walk.calls))
    return ShellReading(programs=programs, calls=tuple(walk.calls), files=walk.files)


class _Input(Struct, frozen=True):
    """What a command finds on its standard input: ``text`` where it is written out."""

    text: str | None = None


class _Walk:
    """One reading of shell text, collecting calls as it walks, nested code included."""

    def __init__(self) -> None:
        self.calls: list[ShellCall] = []
        self.files = Files(reads=[], writes=[])
        self.nesting = 0
        self.sources: list[str] = []

    def code(self, text: str) -> None:
        """Walk shell text: the value itself, or code found in ``sh -c``, ``eval``, ``trap``."""
        if _ODD.search(text) or invisibles(text):
            raise UnreadableValue("shell(): control characters or invisible ones")
        if _JOINED_LINE.search(text):
            raise UnreadableValue("shell(): a word that goes on in the next line")
        if _SURROGATE.search(text):
            raise UnreadableValue("shell(): a lone surrogate")
        if self.nesting >= _MAX_NESTING:
            raise UnreadableValue("shell(): code within code within code")
        self.nesting += 1
        source = spell(text)
        self.sources.append(source)
        tree = tree_sitter.Parser(_LANGUAGE).parse(source.encode())
        self.node(tree.root_node, _Input(), 0)
        self.sources.pop()
        self.nesting -= 1

    def node(self, node: Node, given: _Input, depth: int) -> None:
        """Walk any part of the tree; what is not known to be harmless is refused."""
        if node.is_error or node.is_missing or depth > _MAX_DEPTH:
            raise UnreadableValue(f"shell(): not understood at byte {node.start_byte}")
        kind = node.type
        if not node.is_named:
            return
        _check_gaps(node)
        if node.child_count == 0 or kind in _FREE_GAPS:
            _refuse_hidden(node)
        if kind == "command":
            self.command(node, [], given, depth)
        elif kind == "redirected_statement":
            self.redirected(node, given, depth)
        elif kind == "pipeline":
            for child in node.children:
                self.node(child, given, depth + 1)
                given = _PIPED
        else:
            self.part(node, given, depth)

    def part(self, node: Node, given: _Input, depth: int) -> None:
        """Walk what is no command itself but may hold some."""
        kind = node.type
        if kind in ("variable_assignment", "declaration_command"):
            _check_variables(node)
            self.inside(node, depth)
        elif kind in EXPANSIONS:
            source = text_of_node(node)
            if "@P}" in source or (source.startswith("`") and "\\" in source):
                raise UnreadableValue("shell(): ${...@P}, or a backslash within backticks")
            self.inside(node, depth)
        elif kind in _CONTAINERS or kind in LITERALS:
            if kind == "for_statement":
                _check_variables(node)
            for child in node.children:
                self.node(child, given, depth + 1)
        else:
            raise UnreadableValue(f"shell(): a {kind} is not understood")

    def inside(self, node: Node, depth: int) -> None:
        for child in node.children:
            self.node(child, _Input(), depth + 1)

    def redirected(self, node: Node, given: _Input, depth: int) -> None:
        body = node.child_by_field_name("body")
        extra: list[Word] = []
        for child in node.children:
            if body is None or child.id != body.id:
                if not child.type.endswith("_redirect"):
                    raise UnreadableValue(f"shell(): a {child.type} among redirections")
                _check_gaps(child)
                words, given_here = self.redirect(child, depth)
                extra += words
                given = given_here or given
        if body is not None and body.type == "command":
            _check_gaps(body)
            self.command(body, extra, given, depth)
        elif extra:
            raise UnreadableValue("shell(): words after a redirection")
        elif body is not None:
            self.node(body, given, depth + 1)

    def redirect(self, node: Node, depth: int) -> tuple[list[Word], _Input | None]:
        """Note what a redirection reads or writes.

        Returns:
            The words after it that belong to the command, and what it puts on standard input.
        """
        if node.type == "heredoc_redirect":
            return [], self.heredoc(node, depth)
        words = [child for child in node.children if child.type in LITERALS | EXPANSIONS]
        for child in node.children:
            if child.is_error or child.is_missing:
                raise UnreadableValue(f"shell(): not understood at byte {child.start_byte}")
            self.node(child, _Input(), depth + 1)
        if not words:
            return [], None
        target = word_of(words[0])
        if node.type == "herestring_redirect":
            return [], _Input(target.text + "\n" if target.sure else None)
        sign = "".join(child.type for child in node.children if not child.is_named)
        if sign in (">&", "<&") and re.fullmatch(r"\d+-?|-", target.text):
            return [word_of(word) for word in words[1:]], None
        if "<" in sign:
            self.files.reads.append(target)
        if ">" in sign:
            self.files.writes.append(target)
        return [word_of(word) for word in words[1:]], _PIPED if "<" in sign else None

    def heredoc(self, node: Node, depth: int) -> _Input:
        """Walk a here-document; what follows its mark on the line is part of the same tree."""
        quoted = self.check_delimiter(node)
        body: str | None = ""
        for child in node.children:
            if child.type == "heredoc_body":
                self.inside(child, depth)
                if not quoted:
                    _refuse_hidden(child)
                expands = any(part.type in EXPANSIONS for part in child.children)
                body = text_of_node(child)
                if not quoted and (expands or "\\" in body):
                    body = None
            elif child.type == "file_redirect":
                words, _ = self.redirect(child, depth)
                if words:
                    raise UnreadableValue("shell(): words after a redirection")
            elif child.type not in ("heredoc_start", "heredoc_end") and child.is_named:
                self.node(child, _PIPED, depth + 1)
        return _Input(body)

    def check_delimiter(self, node: Node) -> bool:
        """Make sure that bash ends the here-document where the grammar does.

        Returns:
            Whether the delimiter is quoted, so that nothing in the body is expanded.
        """
        parts = {child.type: child for child in node.children}
        start, end = parts.get("heredoc_start"), parts.get("heredoc_end")
        mark = _PLAIN_DELIMITER.fullmatch(text_of_node(start)) if start else None
        if mark is None or end is None:
            raise UnreadableValue("shell(): a here-document without a plain delimiter")
        body = parts.get("heredoc_body")
        lines = text_of_node(body).split("\n") if body else []
        last = unspell(self.sources[-1].split("\n")[end.start_point.row])
        dash = any(child.type == "<<-" for child in node.children)
        if dash:
            lines, last = [line.lstrip("\t") for line in lines], last.lstrip("\t")
        if mark[3] in lines[:-1] or last != mark[3]:
            raise UnreadableValue("shell(): a here-document that may end elsewhere")
        return bool(mark[1] or mark[2])

    def command(self, node: Node, extra: list[Word], given: _Input, depth: int) -> None:
        words: list[Word] = []
        for child in node.children:
            if child.type == "variable_assignment":
                self.node(child, _Input(), depth + 1)
            elif child.type.endswith("_redirect"):
                more, given_here = self.redirect(child, depth)
                words += more
                given = given_here or given
            elif child.type == "command_name":
                _check_gaps(child)
                self.inside(child, depth)
                words += [word_of(part) for part in child.children]
            elif child.is_named:
                self.node(child, _Input(), depth + 1)
                words.append(word_of(child))
            else:
                words.append(UNKNOWN)
        self.run([*words, *extra] or [UNKNOWN], given)

    def run(self, words: list[Word], given: _Input, wrappers: int = 0) -> None:
        """Note a call, and follow it into whatever it runs."""
        if len(self.calls) >= _MAX_CALLS or wrappers > _MAX_WRAPPERS:
            raise UnreadableValue("shell(): too many commands, or wrappers around one")
        step = unwrap(words, given.text)
        if step.call.program in _ASSIGNING:
            for word in step.call.words:
                _check_variable(word.text.partition("=")[0])
        self.calls.append(step.call)
        found = files_of(step.call)
        self.files.reads.extend(found.reads)
        self.files.writes.extend(found.writes)
        for code in step.code:
            self.code(code)
        for command in step.commands:
            self.run(command, given, wrappers + 1)


_PIPED = _Input()


def _check_gaps(node: Node) -> None:
    """Refuse a tree that leaves out a part of the text: no byte may go unread."""
    if node.type in _FREE_GAPS or not node.children:
        return
    source = node.text or b""
    at = node.start_byte
    for child in node.children:
        gap = source[at - node.start_byte : child.start_byte - node.start_byte]
        if gap.replace(b"\\\n", b"").strip(b" \t\n"):
            raise UnreadableValue(f"shell(): not understood at byte {at}")
        at = child.end_byte
    if source[at - node.start_byte :].replace(b"\\\n", b"").strip(b" \t\n"):
        raise UnreadableValue(f"shell(): not understood at byte {at}")


def _refuse_hidden(node: Node) -> None:
    """Refuse literal text in which bash would see a substitution that the grammar does not."""
    if node.type in _UNEXPANDED or node.type == "heredoc_redirect":
        return
    source = node.text or b""
    at = 2 if node.type == "expansion" else 0
    literal = b""
    for child in node.children:
        if child.type in EXPANSIONS:
            literal += source[at : child.start_byte - node.start_byte] + b" "
            at = child.end_byte - node.start_byte
    if _SUBSTITUTION.search((literal + source[at:]).decode()):
        raise UnreadableValue(f"shell(): a substitution hidden at byte {node.start_byte}")


def _check_variables(node: Node) -> None:
    """Refuse to set what changes which programs run."""
    for each in (node, *node.children):
        for label in ("name", "variable"):
            name = each.child_by_field_name(label)
            if name is not None:
                _check_variable(text_of_node(name))
    if node.type == "declaration_command":
        for child in node.children:
            if child.type in LITERALS | EXPANSIONS:
                word = word_of(child)
                if not word.sure:
                    raise UnreadableValue("shell(): a variable named at run time")
                _check_variable(word.text.partition("=")[0])


def _check_variable(name: str) -> None:
    if name in POWERFUL_VARIABLES or name.startswith(POWERFUL_PREFIXES):
        raise UnreadableValue(f"shell(): {name} changes which programs run")
