"""Which model APIs a request may go to, and what its action is called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct

from remit import text
from remit.api.frame import Problem
from remit.config.models import ApiFormat, ModelConfig
from remit.protocols.model_format import Target
from remit.protocols.model_paths import target_of

FORMATS: Mapping[str, ApiFormat] = {
    "/openai/": "openai",
    "/anthropic/": "anthropic",
    "/gemini/": "gemini",
}
NAMED = "/models/"
"""Prefix of the paths that name their model API: ``/models/NAME/v1/...``."""
RESERVED = ("model.", "hosted.")
"""How names of actions begin that no tool of an agent may have."""

_PLAIN = re.compile(r"/[A-Za-z0-9._~:@%/-]*")
_HIDDEN = re.compile(r"%2[ef5]|//|/\.\.?(?:/|$)|%5c", re.I)
_VERSION = re.compile(r"/v1[a-z]*(?:/|$)")
_LIST = re.compile(r"/v1(?:beta)?/models")


class ModelWay(Struct, frozen=True):
    """Where a request wants to go, as its path says."""

    choices: tuple[ModelConfig, ...]
    """Model APIs that may be meant, in the order of the configuration."""
    path: str
    """The path there, with its version."""
    target: Target | None
    """What it asks for; None for the list of models."""


def way_of(
    models: Sequence[ModelConfig], prefix: str, method: str, path: str, format_only: bool = False
) -> ModelWay:
    """Where a request goes.

    Args:
        models: all model APIs.
        prefix: the mount that it came to.
        method: of HTTP.
        path: below the mount, beginning with ``/``; for ``/models/`` with the name.
        format_only: whether what the path asks for does not matter.

    Raises:
        Problem: 404, nothing is there, or it is not let through.
    """
    if not _PLAIN.fullmatch(path) or _HIDDEN.search(path):
        raise Problem(404, "not-found", "This path is not one of a model API.")
    if prefix == NAMED:
        _, name, rest = f"{path}/".split("/", 2)
        choices = tuple(each for each in models if each.name == name)
        path = f"/{rest.rstrip('/')}"
    else:
        choices = tuple(each for each in models if each.format == FORMATS[prefix])
    if not choices:
        raise Problem(
            404,
            "no-such-model-api",
            "No model API is configured here; see [[models]] in remit.toml.",
        )
    if not _VERSION.match(path):
        path = f"/v1{path}"
    if method == "GET" and _LIST.fullmatch(path):
        return ModelWay(choices, path, None)
    target = target_of(method, path)
    if format_only and target is None:
        target = target_of("POST", _USUAL[choices[0].format])
    if target is None or not _speaks(target, choices[0].format):
        raise Problem(
            404,
            "not-let-through",
            f"The model gateway does not let {method} {path} through: only what it can govern. "
            "See docs/model-gateway.md for the list.",
        )
    return ModelWay(choices, path, target)


_USUAL: Mapping[str, str] = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/m:generateContent",
}
_WIRE: Mapping[ApiFormat, tuple[str, ...]] = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "gemini": ("gemini",),
}


def _speaks(target: Target, wanted: ApiFormat) -> bool:
    return target.format.name.startswith(_WIRE[wanted])


def candidates(
    models: Sequence[ModelConfig], choices: Sequence[ModelConfig], model: str
) -> tuple[ModelConfig, ...]:
    """The model APIs to ask for a model: the first that has it, then those that stand in for it.

    Raises:
        Problem: 404, none has it.
    """
    wanted = text.name(model)
    first = next(
        (
            each
            for each in choices
            if any(text.matches(text.name(pattern), wanted) for pattern in each.models)
        ),
        None,
    )
    if first is None:
        raise Problem(
            404, "no-such-model", f"No model API is configured that has the model {model!r}."
        )
    by_name = {each.name: each for each in models}
    return (first, *(by_name[name] for name in first.failover))


def action_name(api: ModelConfig, model: str) -> str:
    """What policy sees as the tool of a call to a model: ``model.<api>.<model>``."""
    return f"model.{api.name}.{model}"
