"""A server for tests, in the test's own event loop, over a real socket."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from yarl import URL

from remit import api
from remit.api.frame import Parts, Route
from remit.api.http import HttpApi
from remit.api.state import PolicyInForce
from remit.config import Config
from remit.credentials import Right
from remit.errors import AuthenticationError
from remit.governor import Governor
from remit.guard.checkpoints import Checkpointer
from remit.identity.model import Identity, RequestFacts
from remit.model import Principal
from remit.policy import load
from remit.signing import FileSigner
from remit.storage import Store
from remit.storage.memory import MemoryStore

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [inventory-reader], team: warehouse}
people:
  ada: {roles: [security-team]}
tools:
  - {match: ["db.query"], does: read}
  - {match: ["send_email"], does: send}
rules:
  - {id: reading, tools: ["db.query"], effect: allow}
  - {id: mail, tools: [send_email], effect: ask, approvers: [ada]}
"""


class Tokens:
    """An authenticator for tests: a bearer token is the name of an identity."""

    def __init__(self, known: Mapping[str, Identity]) -> None:
        self.known = known

    async def authenticate(self, facts: RequestFacts) -> Identity:
        for value in facts.authorization:
            identity = self.known.get(value.removeprefix("Bearer "))
            if identity is not None:
                return identity
        raise AuthenticationError("Send a credential with this request.")


def person(name: str, *rights: Right) -> Identity:
    principal = Principal(id=name, kind="person")
    return Identity(principal=principal, rights=frozenset(rights), credential=f"key:{name}")


def agent(name: str) -> Identity:
    rights = frozenset({Right.AGENT})
    return Identity(principal=Principal(id=name), rights=rights, credential=f"key:{name}")


IDENTITIES = {
    "inventory-bot": agent("inventory-bot"),
    "other-bot": agent("other-bot"),
    "ada": person("ada", Right.REVIEWER),
    "editor": person("editor", Right.EDITOR),
    "auditor": person("auditor", Right.AUDITOR),
    "admin": person("admin", Right.ADMIN),
}


def parts_of(
    policy: str = POLICY,
    *,
    store: Store | None = None,
    config: Config | None = None,
    identities: Mapping[str, Identity] = IDENTITIES,
    clock: Callable[[], int] = time.time_ns,
    **others: Any,
) -> Parts:
    """Everything that handlers work with, over a store in memory."""
    kept = store or MemoryStore()
    policies = PolicyInForce(load({"remit.yaml": policy}))
    governor = Governor(policies=lambda: policies.current, clock=clock, entropy=os.urandom)
    kept.write(governor.adopt)
    signer = FileSigner("remit-test", secrets.token_bytes(32))
    return Parts(
        config=config or Config(),
        store=kept,
        governor=governor,
        policies=policies,
        checkpointer=Checkpointer(kept, signer, 5.0),
        authenticator=Tokens(identities),
        clock=clock,
        entropy=os.urandom,
        **others,
    )


class Client:
    """Calls one server; a token stands for who calls."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def __call__(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        encoded: bool = True,
        **options: Any,
    ) -> Answer:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        async with self.session.request(
            method, URL(self.url + path, encoded=True), headers=headers, **options
        ) as response:
            return Answer(response, await response.read())


class Answer:
    """A response, read to its end."""

    def __init__(self, response: aiohttp.ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def serving(parts: Parts, routes: Iterable[Route] | None = None) -> AsyncIterator[Client]:
    """Serve ``routes`` (by default all there are) on a port of this machine."""
    loop = asyncio.get_running_loop()
    http = HttpApi(parts, api.routes() if routes is None else routes).server()
    listening = await loop.create_server(http, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    try:
        async with aiohttp.ClientSession() as session:
            yield Client(session, f"http://127.0.0.1:{port}")
    finally:
        listening.close()
        parts.changes.drain()
        await http.shutdown(1.0)
        await asyncio.to_thread(parts.store.close)
