"""The fixture of the AuthZEN certification scenario as a Remit policy, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from remit.api import authzen
from remit.config import Config, parse_config
from remit.credentials import Right
from remit.identity.model import Identity
from remit.model import Principal
from serving import Answer, Client, parts_of, serving

POLICY = """
remit: 1
default: deny
people:
  alice: {roles: [editor]}
  bob: {roles: [reader, admin]}
tools:
  - {match: [record.read], does: read}
  - {match: [record.write], does: write}
  - {match: [record.delete], does: delete}
rules:
  - {id: reading, roles: [editor, reader], tools: [record.read], effect: allow}
  - {id: writing, roles: [editor], tools: [record.write], effect: allow}
  - id: archived-is-for-admins
    tools: [record.write]
    when: has(args.status) && args.status == "archived" && !("admin" in agent.roles)
    effect: deny
    because: An archived record is changed by admins only.
  - id: admins-change-archived-ones
    roles: [admin]
    tools: [record.write]
    when: has(args.status) && args.status == "archived"
    effect: allow
  - {id: soft-deletion, roles: [editor], tools: [record.delete], when: args.soft, effect: allow}
"""

SETTINGS = """
[server]
public_url = "https://pdp.example.com"

[[authzen.clients]]
service = "portal"
subjects = [{type = "user"}]
roles_property = "role"
allowed_roles = ["admin"]

[[authzen.resources]]
type = "record"
id = "record-1"
properties = {status = "active"}

[[authzen.resources]]
type = "record"
id = "record-2"
properties = {status = "archived"}
"""


def portal(name: str = "portal", *agents: str) -> Identity:
    return Identity(
        principal=Principal(id=name, kind="service", known="authenticated"),
        rights=frozenset({Right.AGENT}),
        credential=f"key:{name}",
        agents=agents,
    )


def configured(text: str) -> Config:
    return parse_config(text, "remit.toml", Path("/nowhere"))


class Pdp:
    """Asks a decision point as one enforcement point."""

    def __init__(self, client: Client, token: str = "portal") -> None:
        self.client = client
        self.token = token

    async def post(self, path: str, body: Any, **options: Any) -> Answer:
        where = f"/access/v1/{path}"
        return await self.client("POST", where, token=self.token, json=body, **options)

    async def get(self, path: str) -> Answer:
        return await self.client("GET", path, token=self.token)


@asynccontextmanager
async def scenario(text: str = SETTINGS) -> AsyncIterator[Pdp]:
    parts = parts_of(POLICY, config=configured(text), identities={"portal": portal()})
    async with serving(parts, authzen.ROUTES) as client:
        yield Pdp(client)
