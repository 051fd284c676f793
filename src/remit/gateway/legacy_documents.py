"""OpenAPI documents of legacy APIs, read from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from remit.config.legacy import LegacyConfig
from remit.errors import ConfigError, InvalidArgument
from remit.protocols.openapi import ApiDocument, read_openapi

_MAX_FILE = 16 * 1_048_576
_TIME = "tag:yaml.org,2002:timestamp"


class _DocumentLoader(yaml.SafeLoader):
    """YAML without dates: JSON has none."""


_DocumentLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TIME]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_document(settings: LegacyConfig) -> ApiDocument:
    """The OpenAPI document of a server that is configured with one.

    Raises:
        ConfigError: it cannot be read, or used.
    """
    assert settings.openapi is not None
    return document_at(settings.openapi, settings.name)


def document_at(path: Path, name: str) -> ApiDocument:
    """An OpenAPI document in a file.

    Args:
        path: of the file, JSON or YAML.
        name: stands before the names of the operations.

    Raises:
        ConfigError: it cannot be read, or used.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"legacy {name}: openapi: {path}: {error.strerror}") from None
    if len(data) > _MAX_FILE:
        raise ConfigError(f"legacy {name}: {path}: larger than {_MAX_FILE:,} bytes")
    try:
        return read_openapi(_parsed(data), name)
    except (ValueError, yaml.YAMLError, InvalidArgument) as error:
        raise ConfigError(f"legacy {name}: {path}: {error}") from None


def _parsed(data: bytes) -> Any:
    text = data.decode()
    if text.lstrip().startswith("{"):
        return json.loads(text)
    return yaml.load(text, Loader=_DocumentLoader)  # noqa: S506 - a safe loader
