"""The arguments of a call, whole: every one of them by name, as policy must see it.

Positional and keyword arguments and defaults all end up under their parameter's name, ``*args``
as a list under its own, ``**kwargs`` at the top level. What a method is called on is not an
argument.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from remit import canonical, text
from remit.errors import ConfigError, InvalidArgument
from remit.guard.conversion import JsonSnapshot, is_plain
from remit.model import Digest

_RECEIVERS = ("self", "cls")
_FIXED = frozenset({str, int, float, bool, bytes, type(None)})
_PLAIN = (str, int, float, bool, list, dict, tuple, bytes, type(None))


class ToolSignature:
    """How a function's arguments become the named JSON object that rules read.

    Attributes:
        name: the tool's name as policy sees it.
        schema: digest over the names, kinds and annotations of its parameters; approvals are
            bound to it.
    """

    __slots__ = ("_injected", "_receiver", "_signature", "name", "schema", "shown")

    def __init__(
        self, fn: Callable[..., Any], *, name: str | None, injected: Sequence[str] = ()
    ) -> None:
        """Read the signature of ``fn``.

        Args:
            fn: the function, method or callable that will be governed.
            name: the tool's name; by default the function's, qualified by its class.
            injected: parameters that the host fills in (a connection, a context object) and that
                no agent can: they are kept from policy, and refused when they hold plain JSON.

        Raises:
            ConfigError: it has no readable signature, or ``injected`` names no parameter of it.
        """
        try:
            self.shown = inspect.signature(fn)
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"{fn!r} has no signature that Python can read; wrap it in a function that names "
                "its parameters"
            ) from error
        self._signature = self.shown
        self.name = name or _name_of(fn)
        self._receiver = _receiver_of(fn, self._signature)
        self._injected = frozenset(injected)
        missing = self._injected - self._signature.parameters.keys()
        if missing:
            raise ConfigError(f"{self.name}() has no parameter {', '.join(sorted(missing))}")
        self.schema = _schema_digest(self.name, self._signature)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> BoundCall:
        """Bind one call.

        Raises:
            InvalidArgument: the arguments do not fit the signature, are not JSON, or two of them
                would be seen under one name.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(f"{self.name}()", f"{error}; it was not run") from error
        given = frozenset(bound.arguments)
        bound.apply_defaults()
        return BoundCall(self, bound, given, self.snapshot(bound, given))

    def snapshot(self, bound: inspect.BoundArguments, given: frozenset[str]) -> dict[str, Any]:
        """Give the arguments as one JSON object. ``given`` are those that the caller passed."""
        seen: dict[str, Any] = {}
        convert = JsonSnapshot().of
        for name, value in bound.arguments.items():
            if name == self._receiver and type(value) not in _PLAIN:
                continue
            if name in self._injected:
                if name in given:
                    _check_injected(name, value)
                continue
            kind = self._signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                self._flatten(seen, value, convert)
                continue
            try:
                seen[name] = convert(value, f"args.{name}")
            except InvalidArgument:
                # A default that is not JSON was written by the host and cannot be chosen by an
                # agent; policy sees the argument as absent.
                if name in given:
                    raise
        return dict(canonical.check(seen, "args"))

    def _flatten(
        self, seen: dict[str, Any], extra: Mapping[str, Any], convert: Callable[[Any, str], Any]
    ) -> None:
        taken = {text.name(name) for name in self._signature.parameters}
        for key, value in extra.items():
            if text.name(key) in taken:
                raise InvalidArgument(
                    f"args.{key[:60]}", f"cannot be told from another argument of {self.name}()"
                )
            taken.add(text.name(key))
            seen[key] = convert(value, f"args.{key[:60]}")


class BoundCall:
    """One call: the objects that the function will get, and the JSON that policy sees of them."""

    __slots__ = ("_bound", "_given", "_tool", "arguments")

    def __init__(
        self,
        tool: ToolSignature,
        bound: inspect.BoundArguments,
        given: frozenset[str],
        arguments: dict[str, Any],
    ) -> None:
        self._tool = tool
        self._bound = bound
        self._given = given
        self.arguments = arguments

    @property
    def args(self) -> tuple[Any, ...]:
        """Positional arguments for the function."""
        return self._bound.args

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments for the function."""
        return self._bound.kwargs

    def adopt(self, arguments: Mapping[str, Any]) -> None:
        """Take the arguments that were decided on as the ones to run with.

        Raises:
            InvalidArgument: an argument is no longer what it was when policy saw it (lists can be
                changed by another thread), or an obligation changes one that is not plain JSON.
        """
        if self._changed():
            raise InvalidArgument("args", "were changed after they had been decided on")
        if arguments is not self.arguments:
            self._rewrite(arguments)

    def _changed(self) -> bool:
        if all(type(value) in _FIXED for value in self._bound.arguments.values()):
            return False
        try:
            now = self._tool.snapshot(self._bound, self._given)
        except InvalidArgument:
            return True
        return canonical.encode(now) != canonical.encode(self.arguments)

    def _rewrite(self, arguments: Mapping[str, Any]) -> None:
        if arguments.keys() != self.arguments.keys():
            raise InvalidArgument("args", "an obligation adds or removes an argument")
        for name, value in arguments.items():
            if canonical.encode(value) != canonical.encode(self.arguments[name]):
                self._replace(name, value)
        self.arguments = dict(arguments)

    def _replace(self, name: str, value: Any) -> None:
        held = self._bound.arguments
        if name not in held:
            held = next(v for k, v in held.items() if self._is_extra(k) and name in v)
        elif self._is_rest(name):
            held[name], value = list(held[name]), tuple(value)
        if not is_plain(held[name]):
            raise InvalidArgument(
                f"args.{name}", "an obligation rewrites it, but it is not plain JSON"
            )
        held[name] = value

    def _is_extra(self, name: str) -> bool:
        kind = self._bound.signature.parameters[name].kind
        return kind is inspect.Parameter.VAR_KEYWORD

    def _is_rest(self, name: str) -> bool:
        kind = self._bound.signature.parameters[name].kind
        return kind is inspect.Parameter.VAR_POSITIONAL


def _name_of(fn: Callable[..., Any]) -> str:
    qualified: str = getattr(fn, "__qualname__", "") or type(fn).__qualname__
    return qualified.rpartition("<locals>.")[2]


def _receiver_of(fn: Callable[..., Any], signature: inspect.Signature) -> str | None:
    """The parameter that stands for the object a method is called on, if ``fn`` is a method."""
    owner = getattr(fn, "__qualname__", "").rpartition(".")[0]
    if not owner or owner.endswith("<locals>"):
        return None
    first = next(iter(signature.parameters), None)
    return first if first in _RECEIVERS else None


def _check_injected(name: str, value: Any) -> None:
    if type(value) in _PLAIN and value is not None:
        raise InvalidArgument(
            f"args.{name}",
            "is declared as injected by the host, but holds plain data that an agent could have "
            "chosen; take it off injected=[...]",
        )


def _schema_digest(name: str, signature: inspect.Signature) -> Digest:
    parameters = [
        [
            parameter.name,
            parameter.kind.name,
            _annotation(parameter.annotation),
            parameter.default is not parameter.empty,
        ]
        for parameter in signature.parameters.values()
    ]
    return canonical.digest("tool", name, parameters)


def _annotation(annotation: Any) -> str:
    if annotation is inspect.Parameter.empty:
        return ""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
