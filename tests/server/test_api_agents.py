"""Keys over HTTP, with the real authenticator: who may manage them, and what comes of it."""

from __future__ import annotations

import re
import time
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from identities import settings_in
from remit.api import agents
from remit.audit.record import parse_record
from remit.credentials import Right
from remit.errors import ConfigError
from remit.identity.authenticator import Authenticator
from remit.identity.delegation import attenuate, narrowing_of
from remit.identity.keys import first_admin
from remit.server.authentication import RequestAuthenticator
from serving import parts_of, serving


async def nothing(_: str) -> bytes:
    raise OSError("there is no network here")


class Site:
    """A server whose first admin is ada."""

    def __init__(self, parts, client):
        self.parts = parts
        self.client = client
        self.admin = ""

    async def ask(self, method, path, token=None, **options):
        return await self.client(method, path, token=token or self.admin or None, **options)

    async def add(self, principal="inventory-bot", **more):
        answer = await self.ask("POST", "/v1/credentials", json={"principal": principal, **more})
        assert answer.status == 201, answer.body
        return answer.json


@asynccontextmanager
async def site(directory: Path):
    parts = parts_of()
    authenticator = Authenticator.open(settings_in(directory, {}))
    asking = RequestAuthenticator(authenticator, parts.store, parts.clock, nothing)
    parts = replace(parts, authenticator=asking)
    secret = first_admin(parts.store, now=parts.clock(), entropy=parts.entropy)
    async with serving(parts, agents.ROUTES) as client:
        made = Site(parts, client)
        body = {"secret": secret, "principal": "ada"}
        answer = await client("POST", "/v1/bootstrap", json=body)
        assert answer.status == 201
        made.admin = answer.json["key"]
        again = await client("POST", "/v1/bootstrap", json=body)
        assert (again.status, again.json["code"]) == (401, "unauthenticated")
        assert again.headers["WWW-Authenticate"].startswith("Bearer")
        yield made


async def test_the_first_admin_and_a_first_agent(tmp_path):
    async with site(tmp_path) as here:
        body = {"principal": "inventory-bot", "expires_in": 3600, "note": "nightly"}
        made = await here.ask("POST", "/v1/agents", json=body)
        assert made.status == 201
        assert re.fullmatch("remit_[a-z2-7]{16}_[a-z2-7]{52}", made.json["key"])
        assert made.json["credential"]["rights"] == ["agent"]
        assert "digest" not in made.body.decode()
        again = await here.ask("POST", "/v1/agents", json=body)
        assert (again.status, again.json["code"]) == (400, "invalid-request")
        me = await here.ask("GET", "/v1/identity", token=made.json["key"])
        assert me.json["id"] == "inventory-bot"
        assert me.json["rights"] == ["agent"]
        listed = (await here.ask("GET", "/v1/agents")).json
        assert [(each["id"], each["declared"]) for each in listed] == [
            ("ada", True),
            ("inventory-bot", True),
        ]


async def test_who_is_not_declared_is_shown_as_that(tmp_path):
    async with site(tmp_path) as here:
        await here.add("stranger")
        await here.add("mesh", kind="service", rights=["agent"], agents=["inventory-bot"])
        listed = (await here.ask("GET", "/v1/agents")).json
        assert [each["declared"] for each in listed] == [True, False, False]


async def test_keys_are_listed_shown_revoked(tmp_path):
    async with site(tmp_path) as here:
        made = await here.add()
        name = made["credential"]["id"]
        shown = await here.ask("GET", f"/v1/credentials/{name}")
        assert shown.json == made["credential"]
        query = "/v1/credentials?principal=inventory-bot"
        assert [each["id"] for each in (await here.ask("GET", query)).json] == [name]
        for _ in range(2):
            gone = await here.ask("POST", f"/v1/credentials/{name}/revoke")
            assert (gone.status, gone.json["state"]) == (200, "revoked")
        refused = await here.ask("GET", "/v1/identity", token=made["key"])
        assert refused.status == 401
        assert "revoked" in refused.json["detail"]
        assert (await here.ask("GET", query)).json == []
        assert len((await here.ask("GET", query + "&all=true")).json) == 1
        everything = (await here.ask("GET", "/v1/credentials?all=true")).json
        assert {each["principal"] for each in everything} == {"ada", "inventory-bot"}


async def test_all_keys_of_somebody_are_revoked_at_once(tmp_path):
    async with site(tmp_path) as here:
        made = [await here.add() for _ in range(2)]
        gone = await here.ask("POST", "/v1/agents/inventory-bot/revoke")
        assert {each["id"] for each in gone.json} == {each["credential"]["id"] for each in made}
        assert (await here.ask("POST", "/v1/agents/inventory-bot/revoke")).status == 404


async def test_a_key_is_rotated(tmp_path):
    async with site(tmp_path) as here:
        old = await here.add()
        path = f"/v1/credentials/{old['credential']['id']}/rotate"
        new = await here.ask("POST", path, json={"grace": 60})
        assert new.status == 201
        for key in (old["key"], new.json["key"]):
            assert (await here.ask("GET", "/v1/identity", token=key)).status == 200
        path = f"/v1/credentials/{new.json['credential']['id']}/rotate"
        newest = await here.ask("POST", path)
        assert (await here.ask("GET", "/v1/identity", token=new.json["key"])).status == 401
        assert (await here.ask("GET", "/v1/identity", token=newest.json["key"])).status == 200
        assert (await here.ask("POST", path)).status == 400


async def test_what_is_not_there(tmp_path):
    async with site(tmp_path) as here:
        for method, path in (
            ("GET", "/v1/credentials/none"),
            ("POST", "/v1/credentials/none/revoke"),
            ("POST", "/v1/credentials/none/rotate"),
        ):
            assert (await here.ask(method, path)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {"principal": ""},
        {"principal": "bot", "rights": ["root"]},
        {"principal": "bot", "rights": ["agent", "admin"]},
        {"principal": "bot", "rights": []},
        {"principal": "bot", "kind": "person"},
        {"principal": "bot", "kind": "service", "rights": ["reviewer"]},
        {"principal": "bot", "expires_in": 0},
        {"principal": "bot", "digest": "x"},
        {"principal": "b\u200bot"},
        {"principal": "ada"},
        {},
    ],
)
async def test_keys_that_cannot_be_made(tmp_path, body):
    async with site(tmp_path) as here:
        for path in ("/v1/credentials", "/v1/agents"):
            answer = await here.ask("POST", path, json=body)
            assert answer.status == 400
        assert len((await here.ask("GET", "/v1/credentials?all=true")).json) == 1


async def test_only_admins_manage_keys(tmp_path):
    """Every route of this table with every right, both ways."""
    async with site(tmp_path) as here:
        tokens = {Right.ADMIN: here.admin, Right.AGENT: (await here.add())["key"]}
        for right in (Right.REVIEWER, Right.EDITOR, Right.AUDITOR):
            made = await here.add(right.value, kind="person", rights=[right.value])
            tokens[right] = made["key"]
        for route in agents.ROUTES:
            path = route.path.replace("{id}", "none")
            for right, token in tokens.items():
                answer = await here.ask(route.method, path, token=token)
                allowed = not isinstance(route.rights, frozenset) or right in route.rights
                assert (answer.status == 403) is not allowed, (route.path, right)
            if isinstance(route.rights, frozenset):
                answer = await here.client(route.method, path)
                assert answer.status == 401


async def test_what_admins_do_is_recorded(tmp_path):
    async with site(tmp_path) as here:
        made = await here.add()
        await here.ask("POST", f"/v1/credentials/{made['credential']['id']}/revoke")
        store = here.parts.store
        found = store.read(lambda t: [parse_record(each.body) for each in t.records(0, 99)])
        records = [each for each in found if each.kind == "credential"]
        words = ["bootstrap secret used; issued", "issued", "revoked"]
        assert [each.note.startswith(word) for each, word in zip(records, words, strict=True)] == [
            True
        ] * 3
        assert [each.principal[0].id for each in records] == ["ada"] * 3
        body = b"".join(msgspec.json.encode(each) for each in found).decode()
        assert made["key"].rpartition("_")[2] not in body


async def test_an_agent_delegates_its_key(tmp_path):
    async with site(tmp_path) as here:
        key = (await here.add())["key"]
        asked = {"expires_in": 600, "tools": ["db.*"]}
        minted = await here.ask("POST", "/v1/delegations", token=key, json=asked)
        assert minted.status == 201
        token = minted.json["token"]
        assert 0 < minted.json["expires_at"] - time.time_ns() <= 600 * 10**9
        me = (await here.ask("GET", "/v1/identity", token=token)).json
        assert (me["id"], me["credential"].partition(":")[0]) == ("inventory-bot", "delegation")
        narrower = attenuate(token, minted.json["public_key"], narrowing_of(sessions=["s1"]))
        assert (await here.ask("GET", "/v1/identity", token=narrower)).status == 200
        again = await here.ask("POST", "/v1/delegations", token=token)
        assert (again.status, again.json["code"]) == (403, "not-delegable")
        bad = await here.ask("POST", "/v1/delegations", token=key, json={"tools": ["a b"]})
        assert bad.status == 400
        longest = await here.ask("POST", "/v1/delegations", token=key, json={"expires_in": 10**6})
        assert longest.json["expires_at"] - time.time_ns() <= 3600 * 10**9


async def test_a_service_cannot_delegate(tmp_path):
    async with site(tmp_path) as here:
        key = (await here.add("mesh", kind="service", rights=["agent"]))["key"]
        assert (await here.ask("POST", "/v1/delegations", token=key)).status == 403


async def test_when_the_clock_went_back_the_records_say_so(tmp_path):
    async with site(tmp_path) as here:
        store = here.parts.store
        late = time.time_ns() + 10**12
        body = store.read(lambda t: next(iter(t.records(0, 1)))).body
        store.write(lambda t: t.append(body, at=late))
        await here.add()
        found = store.read(lambda t: list(t.records(0, 99)))[-1]
        assert "behind the log" in (parse_record(found.body).note or "")


def test_config_errors_are_told(tmp_path):
    with pytest.raises(ConfigError):
        Authenticator.open(settings_in(tmp_path, {"delegation_key": "no/such/place"}))
