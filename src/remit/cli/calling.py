"""A server, as commands call it: its API with somebody's key."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from remit.client import Transport, read_endpoint
from remit.client.connection import Response
from remit.errors import AuthenticationError, ConfigError, Denied, InvalidRequest, Unavailable

T = TypeVar("T")
CommandFunction = TypeVar("CommandFunction", bound=Callable[..., Any])
_TIME = 10.0


def key_file_option(command: CommandFunction) -> CommandFunction:
    """Give a command the option ``--key-file``, the key with which it calls a server."""
    option = click.option(
        "--key-file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="File with an API key of that server.",
    )
    return option(command)


class ServerCaller:
    """Calls the API of one server."""

    def __init__(self, server: str, key_file: Path | None) -> None:
        """Prepare to talk to a server.

        Raises:
            ConfigError: the address or the key cannot be used.
        """
        key = None if key_file is None else key_file.read_text().strip()
        self._nameless = key is None
        if key == "":
            raise ConfigError(f"{key_file}: holds no API key")
        self._transport = Transport(read_endpoint(server), key, _TIME)

    def ask(
        self, method: str, path: str, kind: type[T], body: object = None, patience: float = 0.0
    ) -> T:
        """Make a request; a write whose answer is lost is sent again, and happens once.

        Args:
            method: of HTTP.
            path: with the query.
            kind: type of a good answer's body.
            body: to send as JSON.
            patience: seconds that the server may wait by design.

        Raises:
            Unavailable: the server does not answer, or fails.
            AuthenticationError: it does not know the key.
            Denied: the key has not the right.
            InvalidRequest: the server refuses the request.
        """
        sent = None if body is None else msgspec.json.encode(body)
        key = None if body is None else secrets.token_hex(16)
        response = self._transport.ask(method, path, sent, key=key, patience=patience)
        if response.status == 401 and self._nameless:
            raise AuthenticationError(
                "The server wants to know who asks: give --key-file FILE, a file with an API key "
                "(remit agents add and remit agents key make one)."
            )
        if response.status >= 400:
            raise _refused(response)
        try:
            return msgspec.json.decode(response.body, type=kind)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"The server's answer cannot be read ({error}).") from error

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()


def _refused(response: Response) -> Exception:
    """The error that an answer stands for."""
    try:
        told = msgspec.json.decode(response.body, type=dict[str, object])
    except msgspec.MsgspecError:
        told = {}
    detail = str(told.get("detail", f"it answered {response.status}, and did not say why"))
    if response.status == 401:
        return AuthenticationError(detail)
    if response.status == 403:
        return Denied(detail)
    if response.status < 500:
        return InvalidRequest(detail)
    return Unavailable(f"The server failed: {detail}")
