"""Which files a program that the shell reader knows would read or write, by its arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

from remit.policy.readers.shell_commands import ShellCall
from remit.policy.readers.shell_programs import (
    COPIERS_OF_FILES,
    MOVERS_OF_FILES,
    OUTPUT_OPTIONS,
    PATTERN_FIRST,
    READERS_OF_FILES,
    WRITERS_OF_FILES,
)
from remit.policy.readers.shell_words import Word

_GIVES_PATTERN = re.compile(r"-\w*[ef]|--(?:expression|regexp|file|from-file)\b")


class Files(Struct, frozen=True, kw_only=True):
    """Paths, among them words that are only known at run time."""

    reads: list[Word]
    writes: list[Word]


def files_of(call: ShellCall) -> Files:
    """Return the files that ``call`` names, for programs known to read or write."""
    program = call.program
    files = Files(reads=[], writes=list(_outputs(call)))
    operands = [word for word in _operands(call) if word not in files.writes]
    if program in PATTERN_FIRST and not any(_GIVES_PATTERN.match(w.text) for w in call.words):
        operands = operands[1:]
    if program in READERS_OF_FILES:
        files.reads.extend(operands)
    if program in WRITERS_OF_FILES or (program == "sed" and _edits_in_place(call)):
        files.writes.extend(operands)
    if program in MOVERS_OF_FILES:
        files.writes.extend(operands)
    elif program in COPIERS_OF_FILES:
        to_option = bool(files.writes)
        files.reads.extend(operands if to_option else operands[:-1])
        files.writes.extend([] if to_option else operands[-1:])
    elif program == "dd":
        files.reads.extend(_assigned(operands, "if="))
        files.writes.extend(_assigned(operands, "of="))
    elif program == "find":
        roots = _until_option(call.words)
        deletes = any(word.text == "-delete" for word in call.words)
        (files.writes if deletes else files.reads).extend(roots)
    return files


def _operands(call: ShellCall) -> list[Word]:
    """Words that are no options, and every word after ``--``."""
    words: list[Word] = []
    for index, word in enumerate(call.words):
        if word.text == "--":
            return words + list(call.words[index + 1 :])
        if not word.sure or not word.text.startswith("-"):
            words.append(word)
    return words


def _outputs(call: ShellCall) -> Iterator[Word]:
    """Values of options that name an output file: ``-o f``, ``-of``, ``--output=f``."""
    options = OUTPUT_OPTIONS.get(call.program, ())
    for index, word in enumerate(call.words):
        for option in options:
            if word.text == option:
                yield from call.words[index + 1 : index + 2]
            elif option.startswith("--") and word.text.startswith(option + "="):
                yield Word(word.text[len(option) + 1 :], word.sure)
            elif len(option) == 2 and word.text.startswith(option):
                yield Word(word.text[2:], word.sure)


def _assigned(words: list[Word], prefix: str) -> list[Word]:
    found = [Word(w.text[len(prefix) :], w.sure) for w in words if w.text.startswith(prefix)]
    return found + [word for word in words if not word.sure and not word.text.startswith(prefix)]


def _until_option(words: tuple[Word, ...]) -> list[Word]:
    for index, word in enumerate(words):
        if word.sure and word.text.startswith(("-", "(", "!")):
            return list(words[:index])
    return list(words)


def _edits_in_place(call: ShellCall) -> bool:
    return any(word.text.startswith(("-i", "--in-place")) for word in call.words)
