"""One shell command: what its words say it runs, wrappers taken off."""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct, field

from remit.policy.readers import UnreadableValue
from remit.policy.readers.shell_programs import (
    HARMLESS_GIT_SETTINGS,
    JOINING,
    OPAQUE,
    POWERFUL_PREFIXES,
    POWERFUL_VARIABLES,
    RUNNING_GIT_COMMANDS,
    RUNNING_OPTIONS,
    SHELL_LETTERS,
    SHELL_LONG,
    SHELLS,
    WRAPPERS,
    Wrapper,
)
from remit.policy.readers.shell_words import UNKNOWN, Word
from remit.text import normal

_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_EXEC = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
_AWK_RUNS = re.compile(r"system\s*\(|(?<!\|)\|(?!\|)|getline|@load")
# The commands e and w of sed, and the flags e and w of its s command.
_SED_RUNS = re.compile(
    r"(?:^|[;{}\n$0-9/!,~\s])[eEwW](?:\s|$)|[/|#,@:!_%][gpiImM0-9]*[ew][gpiImM0-9]*(?:[\s;}]|$)"
)


class ShellCall(Struct, frozen=True):
    """One program and the words that are its own (not those of a program that it runs)."""

    program: str
    words: tuple[Word, ...]


class Step(Struct):
    """A call, and what it leads to: shell code, and commands as words."""

    call: ShellCall
    code: list[str] = field(default_factory=list)
    commands: list[list[Word]] = field(default_factory=list)


def unwrap(words: list[Word], given: str | None) -> Step:
    """Return the call that ``words`` make, and the code and commands that it would run.

    Args:
        words: the program and its arguments.
        given: what is on its standard input, where that is written out.

    Raises:
        UnreadableValue: the program, or the code that it would run, is not certain.
    """
    program, rest = _program(words[0]), words[1:]
    if program in OPAQUE and rest:
        raise UnreadableValue(f"shell(): what {program} runs cannot be seen")
    _refuse_running_options(program, rest)
    if program in WRAPPERS:
        return _wrapped(program, rest)
    if program in JOINING:
        at = _after_options(program, JOINING[program], rest)
        own, command = rest[:at], rest[at:]
        return Step(ShellCall(program, tuple(own)), code=[_joined(command)] if command else [])
    if program in SHELLS:
        return _shell(program, rest, given)
    if program == "find":
        return _find(rest)
    step = Step(ShellCall(program, tuple(rest)))
    step.code = _code_arguments(program, rest)
    _refuse_programs_within(program, rest)
    return step


def _code_arguments(program: str, rest: list[Word]) -> list[str]:
    """Shell code that a program takes among its arguments."""
    if program == "eval" and rest:
        return [_joined(rest)]
    if program == "trap" and rest and rest[0].text not in ("-", "-l", "-p", ""):
        return [_joined(rest[:1])]
    if program in ("su", "runuser"):
        return _code_option(rest)
    if program == "flock":
        code = _code_option(rest)
        if not code and len(rest) > 1:
            raise UnreadableValue("shell(): flock with a command; use flock -c")
        return code
    return []


def _refuse_programs_within(program: str, rest: list[Word]) -> None:
    """Refuse arguments in a program's own language that run other programs."""
    if program == "git":
        _check_git(rest)
    elif program in ("awk", "gawk", "mawk", "nawk"):
        if any(_AWK_RUNS.search(word.text) for word in rest):
            raise UnreadableValue("shell(): an awk program that may run commands")
    elif program == "sed":
        if any(_SED_RUNS.search(word.text) for word in rest if not word.text.startswith("-i")):
            raise UnreadableValue("shell(): a sed script that may run commands or write files")
    elif program == "tar":
        if rest and re.match(r"[A-Za-z]*[IF]", rest[0].text):
            raise UnreadableValue("shell(): tar with I or F may run a command")
    elif program in ("mapfile", "readarray"):
        if any(word.text.startswith("-C") for word in rest):
            raise UnreadableValue(f"shell(): {program} -C runs code")
    elif program in ("source", ".") and not (rest and rest[0].sure):
        raise UnreadableValue("shell(): a sourced file that is only known at run time")


def _program(word: Word) -> str:
    base = normal(word.text.rpartition("/")[2])
    # In ~/bin/tool the folder is not certain, but the name is.
    tilde = word.text.startswith("~") and "/" in word.text and not re.search(r"[*?\[{$]", word.text)
    if not (word.sure or tilde) or not base:
        raise UnreadableValue("shell(): a program whose name only comes about at run time")
    return base


def _joined(words: Sequence[Word]) -> str:
    if not all(word.sure for word in words):
        raise UnreadableValue("shell(): code that only comes about at run time")
    return " ".join(word.text for word in words)


def _refuse_running_options(program: str, rest: list[Word]) -> None:
    for option in RUNNING_OPTIONS.get(program, ()):
        for word in rest:
            text = word.text
            cluster = len(option) == 2 and re.match(rf"-\w*{re.escape(option[1])}", text)
            if text == option or text.startswith(option + "=") or cluster:
                raise UnreadableValue(f"shell(): {program} {option} may run a command")


def _after_options(program: str, wrapper: Wrapper, words: list[Word]) -> int:
    """Index of the first word of the command that a wrapper runs."""
    at = 0
    while at < len(words):
        word = words[at]
        text = word.text
        if text == "--":
            at += 1
            break
        if text.startswith("-") and text != "-":
            at += _option_length(program, wrapper, text)
            continue
        if not (wrapper.assignments and _ASSIGNMENT.match(text)):
            break
        _check_assignment(text)
        at += 1
    at = min(at + wrapper.skip, len(words))
    if not all(word.sure for word in words[:at]):
        raise UnreadableValue(f"shell(): {program} with options only known at run time")
    return at


def _check_assignment(text: str) -> None:
    name = text.partition("=")[0]
    if name in POWERFUL_VARIABLES or name.startswith(POWERFUL_PREFIXES):
        raise UnreadableValue(f"shell(): {name} changes which programs run")


def _option_length(program: str, wrapper: Wrapper, text: str) -> int:
    """How many words an option of a wrapper takes: itself, and its value where that is apart."""
    if text.startswith("--"):
        name, equals, _ = text.partition("=")
        if name in wrapper.long:
            return 1
        if name in wrapper.long_valued:
            return 1 if equals else 2
    else:
        for index, letter in enumerate(text[1:], 1):
            if letter in wrapper.valued:
                return 1 if text[index + 1 :] else 2
            if letter not in wrapper.bare:
                break
        else:
            return 1
    raise UnreadableValue(f"shell(): {program} with {text} is not understood")


def _wrapped(program: str, rest: list[Word]) -> Step:
    if program == "env":
        split = _env_split(rest)
        if split:
            return split
    at = _after_options(program, WRAPPERS[program], rest)
    step = Step(ShellCall(program, tuple(rest[:at])))
    command = rest[at:]
    if program == "command" and any(w.text in ("-v", "-V") for w in rest[:at]):
        step.call = ShellCall(program, tuple(rest))
    elif program == "xargs" and command:
        step.commands.append(_fed_by_xargs(rest[:at], command))
    elif command:
        step.commands.append(command)
    return step


def _fed_by_xargs(own: list[Word], command: list[Word]) -> list[Word]:
    """The command with the words that xargs puts in, or appends, at run time."""
    replaced = {"{}"}
    for index, word in enumerate(own):
        if word.text in ("-I", "--replace"):
            replaced.update(each.text for each in own[index + 1 : index + 2])
        elif word.text.startswith(("-I", "--replace=")):
            replaced.add(word.text.removeprefix("--replace=").removeprefix("-I"))
    filled = [UNKNOWN if any(r in w.text for r in replaced) else w for w in command]
    return [*filled, UNKNOWN]


def _env_split(rest: list[Word]) -> Step | None:
    """``env -S "cmd arg"``: the words of the command in one string."""
    for index, word in enumerate(rest):
        if word.text in ("-S", "--split-string"):
            return Step(ShellCall("env", tuple(rest[:index])), code=[_joined(rest[index + 1 :])])
        if word.text.startswith(("-S", "--split-string=")):
            value = Word(word.text.removeprefix("--split-string=").removeprefix("-S"), word.sure)
            code = _joined([value, *rest[index + 1 :]])
            return Step(ShellCall("env", tuple(rest[:index])), code=[code])
        if not word.text.startswith("-"):
            break
    return None


def _shell(program: str, rest: list[Word], given: str | None) -> Step:
    """A shell: code after ``-c``, a script file, or code on standard input."""
    step = Step(ShellCall(program, tuple(rest)))
    letters, at = _shell_options(program, rest)
    operands = rest[at:]
    if any(word.text in ("--version", "--help") for word in rest[:at]):
        return step
    if "c" in letters:
        if not operands:
            raise UnreadableValue(f"shell(): {program} -c without code")
        step.code.append(_joined(operands[:1]))
    elif "s" in letters or not operands:
        if given is None:
            raise UnreadableValue(f"shell(): {program} runs what it reads from its input")
        step.code.append(given)
    return step


def _shell_options(program: str, rest: list[Word]) -> tuple[set[str], int]:
    """Letters of the options of a shell, and the index of the first word after them."""
    letters: set[str] = set()
    at = 0
    while at < len(rest):
        text = rest[at].text
        if not rest[at].sure:
            raise UnreadableValue(f"shell(): what {program} runs is only known at run time")
        if text in ("-", "--"):
            return letters, at + 1
        if not text.startswith(("-", "+")):
            break
        found = set() if text.startswith("--") else set(text[1:])
        known = text in SHELL_LONG if text.startswith("--") else found <= SHELL_LETTERS
        if not known:
            raise UnreadableValue(f"shell(): {program} with {text} is not understood")
        letters |= found
        at += 1 + len(found & {"o", "O"})
    return letters, min(at, len(rest))


def _find(rest: list[Word]) -> Step:
    own: list[Word] = []
    step = Step(ShellCall("find", ()))
    at = 0
    while at < len(rest):
        word = rest[at]
        own.append(word)
        at += 1
        if word.text in _EXEC:
            end = at
            while end < len(rest) and rest[end].text not in (";", "+"):
                end += 1
            command = [UNKNOWN if "{}" in each.text else each for each in rest[at:end]]
            if not command or end == len(rest):
                raise UnreadableValue(f"shell(): find {word.text} without an end")
            step.commands.append(command)
            at = end + 1
    step.call = ShellCall("find", tuple(own))
    return step


def _code_option(rest: list[Word]) -> list[str]:
    """Values of ``-c`` and ``--command``."""
    found: list[str] = []
    for index, word in enumerate(rest):
        if not word.sure:
            raise UnreadableValue("shell(): a word that may be -c")
        if word.text in ("-c", "--command"):
            found.append(_joined(rest[index + 1 : index + 2]))
        elif word.text.startswith("--command="):
            found.append(word.text.partition("=")[2])
        elif re.match(r"-\w*c", word.text):
            raise UnreadableValue(f"shell(): {word.text} is not understood")
    return found


def _check_git(rest: list[Word]) -> None:
    """Refuse the ways in which git runs programs of the caller's choice."""
    at = 0
    while at < len(rest) and rest[at].text.startswith("-"):
        text = rest[at].text
        if text.startswith("-c"):
            setting = rest[at + 1].text.lower() if text == "-c" and at + 1 < len(rest) else ""
            if not setting.startswith(HARMLESS_GIT_SETTINGS):
                raise UnreadableValue("shell(): git -c may run a command")
        at += 2 if text in ("-c", "-C", "--git-dir", "--work-tree", "--namespace") else 1
    command = [word.text for word in rest[at:]]
    if any(not word.sure for word in rest[: at + 1]):
        raise UnreadableValue("shell(): a git command that is only known at run time")
    if any(text.startswith(("!", "ext::")) or "=!" in text for text in command):
        raise UnreadableValue("shell(): a git setting that runs a command")
    if (command[:1] == ["rebase"] and "-x" in command) or command[:2] == ["submodule", "foreach"]:
        raise UnreadableValue(f"shell(): git {command[0]} runs a command")
    if command[:1] and command[0] in RUNNING_GIT_COMMANDS:
        raise UnreadableValue(f"shell(): git {command[0]} runs programs")
