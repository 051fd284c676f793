"""A session at a server with a model gateway, for one command: the server is started if need be."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from remit import custody
from remit.cli.init import os_user
from remit.config import Config, secret
from remit.credentials import CredentialId, Right
from remit.errors import AuthenticationError, ConfigError, Denied, Unavailable
from remit.guard.opening import read_documents
from remit.identity.keys import IssuedKey
from remit.journal import Journal
from remit.model import Principal, TaskRemit
from remit.policy import load
from remit.storage import Store
from remit.storage.opening import open_database

_START = 20.0
"""Seconds that a server may take to listen."""
_END = 30.0
"""Seconds that a server which was started here may take to end."""
_PATIENCE = 10.0
"""Seconds that a request to the server may take."""


class GatewaySession(Struct, frozen=True):
    """What a command needs to go through the gateway."""

    url: str
    """Of the server, without a slash at its end."""
    id: str
    key: str
    """A credential that is good in this session alone."""

    def __repr__(self) -> str:
        return f"<session {self.id} at {self.url}>"


@contextmanager
def gateway_session(
    config: Config,
    path: Path | None,
    agent: str | None,
    intent: str | None,
    remit: TaskRemit | None = None,
) -> Iterator[GatewaySession]:
    """Open a session for a command, and end it with the block.

    Args:
        config: of the server.
        path: where that is from; None: the defaults.
        agent: whom the command runs as; None: the only agent that the policy declares.
        intent: what it is for.
        remit: what it is narrowed to.

    Raises:
        ConfigError: the server cannot be started, or it is open whom the command runs as.
        Unavailable: the server does not answer.
        Denied: it does not let the session be opened.
    """
    url = _place(config)
    with _served(url, path), _credential(config, agent) as (key, name):
        server = _Server(url, key)
        narrowed = None if remit is None else msgspec.to_builtins(remit)
        asked = {"agent": name, "intent": intent, "remit": narrowed}
        opened = server.post("/v1/sessions", asked)
        session = opened["id"]
        try:
            token = server.post("/v1/delegations", {"sessions": [session]})["token"]
            yield GatewaySession(url, session, token)
        finally:
            server.post(f"/v1/sessions/{session}/end", None)


def _place(config: Config) -> str:
    settings = config.server
    if settings.public_url is not None:
        return settings.public_url
    if not settings.listen:
        raise ConfigError("server.listen: SDKs need an address such as 127.0.0.1:8700")
    return f"{'http' if settings.tls is None else 'https'}://{settings.listen[0]}"


class _Server:
    """The few requests that are made here."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key

    def post(self, path: str, body: Any) -> Any:
        """Send JSON; the JSON of the answer.

        Raises:
            AuthenticationError: the credential is not good.
            Denied: it is not enough.
            Unavailable: the server did not answer.
        """
        sent = None if body is None else {k: v for k, v in body.items() if v is not None}
        request = urllib.request.Request(  # noqa: S310 - http or https, by the configuration
            self._url + path,
            data=b"" if sent is None else json.dumps(sent).encode(),
            headers={"Authorization": f"Bearer {self._key}"},
            method="POST",
        )
        if sent is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with _OPENER.open(request, timeout=_PATIENCE) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            detail = json.loads(error.read()).get("detail", "")
            if error.code == 401:
                raise AuthenticationError(detail) from None
            raise Denied(f"{path}: {detail}", reasons=()) from None
        except OSError as error:
            raise Unavailable(f"{self._url} does not answer: {error}") from None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _alive(url: str) -> bool:
    try:
        with _OPENER.open(f"{url}/livez", timeout=1):
            return True
    except OSError:
        return False


@contextmanager
def _served(url: str, path: Path | None) -> Iterator[None]:
    """Have a server run, until the end of the block where none does yet.

    Raises:
        ConfigError: it does not start.
    """
    if _alive(url):
        yield
        return
    command = [sys.executable, "-m", "remit", "serve"]
    if path is not None:
        command += ["--config", str(path)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - this program
            command, stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
        try:
            deadline = time.monotonic() + _START
            while not _alive(url):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read()[-2000:].decode("utf-8", "replace")
                    raise ConfigError(f"the server does not start:\n{said}")
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _credential(config: Config, agent: str | None) -> Iterator[tuple[str, str | None]]:
    """A key to open the session with: ``REMIT_KEY``, or one that is made for it and revoked.

    With it comes the agent to name; None where the key says that.

    Raises:
        ConfigError: there is neither a key nor a store.
    """
    given = secret("REMIT_KEY")
    if given is not None:
        yield given, agent
        return
    if config.store.url is None and not config.store.path.exists():
        raise ConfigError(
            f"{config.store.path} is not here, so no key can be made: set REMIT_KEY to one of the "
            "agent's"
        )
    by = Principal(id=os_user() or "somebody on this machine", kind="person")
    name = agent or _only_agent(config)

    def issue(journal: Journal) -> IssuedKey:
        rights = frozenset({Right.AGENT})
        return custody.add_key(
            journal, by, principal=name, kind="agent", rights=rights, note="remit run"
        )

    issued = _changed(config, issue)
    try:
        yield issued.text, None
    finally:
        identifier: CredentialId = issued.credential.id
        _changed(config, lambda journal: custody.revoke_key(journal, by, identifier))


def _changed(config: Config, work: Any) -> Any:
    with closing(_store(config)) as store:
        return store.write(lambda t: work(Journal.begin(t, time.time_ns(), secrets.token_bytes)))


def _store(config: Config) -> Store:
    from remit.storage.sqlite import SqliteStore

    if config.store.url is not None:
        return open_database(config.store.url, secret("REMIT_STORE_PASSWORD"))
    return SqliteStore(config.store.path)


def _only_agent(config: Config) -> str:
    """The agent that the policy declares, where that is one.

    Raises:
        ConfigError: it is not.
    """
    declared = sorted(load(read_documents(config.policy.path)).agents)
    if len(declared) != 1:
        raise ConfigError(
            f"whom does it run as? Say --agent, one of: {', '.join(declared) or 'none declared'}"
        )
    return declared[0]
