"""From a path and a method to a route. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from remit.api.frame import Problem, Route


class _Node:
    """One segment of the paths: those that go on literally, by any word, or with all the rest."""

    __slots__ = ("any", "literal", "rest", "routes")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}
        """By method: the route and the names of its parameters."""


class RouteTable:
    """All routes of a server, to be found by method and path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Take the routes in.

        Raises:
            ValueError: two routes would answer the same requests, or a path is no template.
        """
        self._root = _Node()
        self._plain: dict[str, _Node] = {}
        for route in routes:
            self._add(route)

    def find(self, method: str, path: str) -> tuple[Route, Mapping[str, str]]:
        """The route of a request, and the parameters in its path, percent-decoded.

        Args:
            method: ``HEAD`` finds the route of ``GET``.
            path: as sent, without the query.

        Raises:
            Problem: 404, there is no such path; 405, it is there for other methods.
        """
        node, values = self._node(path)
        found = node.routes.get("GET" if method == "HEAD" else method)
        if found is None:
            allowed = _allow(node.routes)
            raise Problem(
                405,
                "method-not-allowed",
                f"This path takes {allowed}.",
                headers={"Allow": allowed},
            )
        route, names = found
        return route, dict(zip(names, values, strict=True)) if names else _NONE

    def allowed(self, path: str) -> str:
        """The value of ``Allow`` for a path; ``*`` stands for the server as a whole.

        Raises:
            Problem: 404, there is no such path.
        """
        return _allow(_METHODS if path == "*" else self._node(path)[0].routes)

    def _node(self, path: str) -> tuple[_Node, list[str]]:
        """The node of a path and the parameters on the way."""
        node = self._plain.get(path)
        values: list[str] = []
        if node is None and path.startswith("/"):
            node = self._walk(path.split("/")[1:], values)
        if node is None:
            raise Problem(404, "not-found", "There is nothing at this path.")
        return node, values

    def _add(self, route: Route) -> None:
        node = self._root
        names: list[str] = []
        segments = route.path.split("/")
        if segments[0] or len(segments) < 2:
            raise ValueError(f"{route.path}: a path begins with /")
        for index, segment in enumerate(segments[1:], 2):
            if not segment.startswith("{"):
                node = node.literal.setdefault(segment, _Node())
                continue
            name = segment[1:-1]
            if name.endswith("...") and index == len(segments):
                node.rest = node = node.rest or _Node()
            else:
                node.any = node = node.any or _Node()
            names.append(name.removesuffix("..."))
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path}: there are two such routes")
        node.routes[route.method] = (route, tuple(names))
        if not names:
            self._plain[route.path] = node

    def _walk(self, segments: list[str], values: list[str]) -> _Node | None:
        """Follow the segments; a literal one is preferred to a parameter, and never left again."""
        node = self._root
        for index, segment in enumerate(segments):
            literal = node.literal.get(segment)
            if literal is not None:
                node = literal
            elif node.any is not None and segment:
                values.append(_decoded(segment))
                node = node.any
            elif node.rest is not None and segment:
                values.append("/".join(map(_decoded, segments[index:])))
                return node.rest
            else:
                return None
        return node if node.routes else None


_NONE: Mapping[str, str] = {}
_METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


def _allow(routes: Iterable[str]) -> str:
    methods = {*routes, "OPTIONS"}
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))


def _decoded(segment: str) -> str:
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise Problem(404, "not-found", "There is nothing at this path: not UTF-8.") from None
