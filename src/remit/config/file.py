"""``remit.toml`` -> ``Config``: every fault with its line and its whole key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from remit.config.places import key_lines
from remit.config.settings import Config
from remit.config.units import Address, ByteCount, Duration
from remit.errors import ConfigError

CONFIG_FILE = "remit.toml"
_MAX_FILE = 1_048_576

_SECRET_WORDS = re.compile(r"secret|passw|passphrase|token|credential|api_?key|private_?key", re.I)
_SECRET_VALUES = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|PRIVATE\+KEY\+|\bremit_[a-z2-7]{16}_")
_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_STEP = re.compile(r"[^.\[]+|\[[^\]]*\]")

_Key: TypeAlias = tuple[str, ...]
_Settings = TypeVar("_Settings", bound=Struct)


def read_config(path: Path | None, folder: Path | None = None) -> Config:
    """Read the settings of a server.

    Args:
        path: the file; None for the defaults, beside ``folder``.
        folder: where relative paths start without a file; by default the working directory.

    Raises:
        ConfigError: it cannot be read, or something in it is wrong.
    """
    if path is None:
        return parse_config("", CONFIG_FILE, (folder or Path.cwd()).absolute())
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise ConfigError(f"{path}: larger than {_MAX_FILE:,} bytes; no configuration is")
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    return parse_config(text, str(path), path.absolute().parent)


def parse_config(text: str, name: str, folder: Path) -> Config:
    """Read settings from TOML text.

    Args:
        text: the content of the file.
        name: its name, for messages.
        folder: where relative paths start.

    Raises:
        ConfigError: something in it is wrong; names every unknown key, or the first other fault.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not TOML: {error}") from None
    lines = key_lines(text)
    server = tables.get("server")
    if isinstance(server, dict) and server.get("socket") == "":
        server["socket"] = None  # TOML has no word for none

    def fault(key: _Key, problem: str) -> str:
        plain = tuple(part for part in key if part[0] != "[")
        ends = range(len(plain), 0, -1)
        line = next((lines[plain[:end]] for end in ends if plain[:end] in lines), 1)
        shown = ".".join(key).replace(".[", "[")
        return f"{name}:{line}: {shown}: {problem}"

    faults = [fault(key, problem) for key, problem in _faults(tables, Config, ())]
    if faults:
        raise ConfigError("\n".join(faults))

    def read(kind: type[Any], written: Any) -> Any:
        if kind is Path:
            return _path(written, folder)
        if kind in (Duration, ByteCount, Address):
            return kind.read(written)
        raise NotImplementedError(kind)

    try:
        config = msgspec.convert(tables, Config, dec_hook=read)
    except msgspec.ValidationError as error:
        problem = str(error)
        place = _PLACE.search(problem)
        key = () if place is None else tuple(_STEP.findall(place[1]))
        raise ConfigError(fault(key, _PLACE.sub("", problem))) from None
    return _placed(config, folder)


def _path(written: Any, folder: Path) -> Path:
    if not isinstance(written, str) or not written:
        raise ValueError("write a path, in quotes")
    return folder / Path(written).expanduser()


def _placed(table: _Settings, folder: Path) -> _Settings:
    """Give the same settings with every relative path, the default ones too, below ``folder``."""
    changed: dict[str, Any] = {}
    for name in table.__struct_fields__:
        value = getattr(table, name)
        if isinstance(value, Path):
            changed[name] = folder / value
        elif isinstance(value, Struct):
            changed[name] = _placed(value, folder)
    return msgspec.structs.replace(table, **changed)


def _faults(value: Any, kind: Any, key: _Key) -> Iterator[tuple[_Key, str]]:
    """Unknown keys and secrets below ``key``, where a value of type ``kind`` is expected."""
    if isinstance(value, str) and _SECRET_VALUES.search(value):
        yield key, f"this looks like a secret. {_INSTEAD}"
    elif isinstance(value, Mapping):
        fields = _fields(kind)
        for name, item in value.items():
            below = (*key, name)
            if fields is not None and name not in fields:
                yield below, _unknown(name, sorted(fields))
            else:
                yield from _faults(item, None if fields is None else fields[name], below)
    elif isinstance(value, list):
        items = next(iter(get_args(kind)), None) if get_origin(kind) in (tuple, list) else None
        for item in value:
            yield from _faults(item, items, key)


_INSTEAD = (
    "Secrets are not kept in this file: set them in the environment, or let a variable "
    "that ends in _FILE name a file that holds one (docs/server.md)"
)


def _fields(kind: Any) -> dict[str, Any] | None:
    """The keys that a table may have, with their types; None where any will do."""
    for each in get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,):
        if isinstance(each, type) and issubclass(each, Struct):
            return {found.encode_name: found.type for found in msgspec.structs.fields(each)}
    return None


def _unknown(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.replace("-", "_").lower(), known, n=1)
    if close:
        return f"there is no such setting; did you mean {close[0]}?"
    if _SECRET_WORDS.search(name):
        return f"this looks like a secret. {_INSTEAD}"
    return f"there is no such setting; there are {', '.join(known)}"
