"""Shell commands as actions: what a reader understands of one, and what nobody can.

A command whose every word is certain is ``shell.run``, with the paths that it reads and writes made
absolute. One whose programs are certain, but not all of their words (variables, wildcards), is
``shell.partial``. Anything else is ``shell.opaque``: policy treats that as the worst.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from remit.policy.readers import UnreadableValue
from remit.policy.readers import shell as reader
from remit.policy.readers.shell import ShellReading

_MOVING = frozenset({"cd", "pushd"})
_MOST_MOVES = 5
_MOST_PATHS = 400


def shell_action(command: Any, cwd: str) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of the action that a command is.

    Args:
        command: as the agent wrote it.
        cwd: the folder that it starts in; absolute.
    """
    told: dict[str, Any] = {"command": command, "cwd": cwd}
    try:
        reading = reader.read(command)
    except UnreadableValue as why:
        return "shell.opaque", {**told, "why": str(why)}
    told["programs"] = list(reading.programs)
    try:
        places = _places(reading, cwd)
        told["reads"] = _absolute((*reading.reads, *_named(reading)), places)
        told["writes"] = _absolute(reading.writes, places)
        for program in reading.programs:
            reading.flags(program)
    except UnreadableValue as why:
        return "shell.partial", {**told, "reads": [], "writes": [], "why": str(why)}
    return "shell.run", told


def _named(reading: ShellReading) -> list[str]:
    """Arguments that are paths by their looks: a program that is not known may read them."""
    return [
        word
        for word in reading.arguments
        if "/" in word and not word.startswith("-") and " " not in word
    ]


def _places(reading: ShellReading, cwd: str) -> list[str]:
    """Every folder that some part of a command may run in, were any of its ``cd`` to fail.

    Raises:
        UnreadableValue: where it moves to is only known at run time, or it moves too often.
    """
    moves: list[str] = []
    for call in reading.calls:
        if call.program in _MOVING:
            targets = [
                word for word in call.words if not word.text.startswith("-") or not word.sure
            ]
            if len(targets) != 1 or not targets[0].sure or len(call.words) != 1:
                raise UnreadableValue("shell(): where it changes to is not certain")
            moves.append(targets[0].text)
        elif call.program in ("popd", "chroot"):
            raise UnreadableValue(f"shell(): {call.program} changes the folder")
    if len(moves) > _MOST_MOVES:
        raise UnreadableValue("shell(): too many changes of the folder")
    chains = (chosen for count in range(len(moves) + 1) for chosen in combinations(moves, count))
    return list(dict.fromkeys(posixpath.join(cwd, *chosen) for chosen in chains))


def _absolute(paths: Iterable[str], places: Iterable[str]) -> list[str]:
    found = dict.fromkeys(
        posixpath.normpath(posixpath.join(place, path)) for path in paths for place in places
    )
    if len(found) > _MOST_PATHS:
        raise UnreadableValue("shell(): too many paths")
    return list(found)
