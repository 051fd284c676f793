"""Token keys fetched over HTTP while requests wait for them."""

from __future__ import annotations

import asyncio
import json
import secrets
from functools import partial

import aiohttp
import pytest
from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from identities import settings_in
from remit.credentials import Right
from remit.errors import AuthenticationError
from remit.identity import RequestFacts, keys
from remit.identity.authenticator import Authenticator
from remit.identity.jwks import MAX_AGE, MAX_DOCUMENT, MIN_INTERVAL
from remit.server.authentication import RequestAuthenticator
from remit.server.fetching import fetch_document
from remit.storage.memory import MemoryStore

START = 1_800_000_000 * 10**9
ISSUER = "https://login.corp.example"


class Issuer:
    """Somebody who publishes keys over HTTP and signs tokens."""

    def __init__(self):
        self.key = ECKey.generate_key("P-256", {"kid": "first"})
        self.asked = 0
        self.answer = None

    def rotate(self, kid):
        self.key = ECKey.generate_key("P-256", {"kid": kid})

    async def keys(self, request):
        self.asked += 1
        await asyncio.sleep(0.01)
        if self.answer is not None:
            return self.answer()
        return web.Response(body=json.dumps(KeySet([self.key]).as_dict(private=False)))

    def token(self, now):
        seconds = now // 10**9
        claims = {"iss": ISSUER, "aud": "remit", "sub": "bot", "exp": seconds + 300}
        return jwt.encode({"alg": "ES256", "kid": self.key.kid}, claims, self.key)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now


class Asking:
    """An authenticator that fetches from a real HTTP server."""

    def __init__(self, directory, url, fetch):
        settings = {
            "issuers": [
                {
                    "name": "corp",
                    "issuer": ISSUER,
                    "audience": ["remit"],
                    "rights": ["agent"],
                    "jwks_url": url,
                }
            ]
        }
        self.clock = Clock()
        self.store = MemoryStore()
        self.authenticator = Authenticator.open(settings_in(directory, settings))
        self.requests = RequestAuthenticator(self.authenticator, self.store, self.clock, fetch)

    async def __call__(self, token):
        facts = RequestFacts(transport="tcp", authorization=(f"Bearer {token}",))
        return await self.requests.authenticate(facts)


@pytest.fixture
async def issuer(aiohttp_server):
    made = Issuer()
    app = web.Application()
    app.router.add_get("/keys", made.keys)
    server = await aiohttp_server(app)
    made.url = f"http://127.0.0.1:{server.port}/keys"
    return made


@pytest.fixture
async def asking(issuer, tmp_path):
    async with aiohttp.ClientSession() as session:
        yield Asking(tmp_path, issuer.url, partial(fetch_document, session))


async def test_keys_come_with_the_first_token(issuer, asking):
    identity = await asking(issuer.token(START))
    assert identity.principal.id == "bot"
    assert await asking(issuer.token(START))
    assert issuer.asked == 1


async def test_many_who_wait_for_one_key_ask_once(issuer, asking):
    found = await asyncio.gather(*(asking(issuer.token(START)) for _ in range(20)))
    assert {each.principal.id for each in found} == {"bot"}
    assert issuer.asked == 1


async def test_rotation_is_noticed_and_limited(issuer, asking):
    await asking(issuer.token(START))
    issuer.rotate("second")
    with pytest.raises(AuthenticationError, match="does not publish"):
        await asking(issuer.token(START))
    assert issuer.asked == 1
    asking.clock.now += MIN_INTERVAL
    assert await asking(issuer.token(asking.clock.now))
    assert issuer.asked == 2
    for _ in range(5):
        stranger = Issuer()
        stranger.rotate(secrets.token_hex(4))
        with pytest.raises(AuthenticationError):
            await asking(stranger.token(asking.clock.now))
    assert issuer.asked == 2


async def test_what_is_wrong_is_told(issuer, asking):
    for answer, word in (
        (lambda: web.Response(status=404), "404"),
        (lambda: web.Response(status=302, headers={"Location": "/keys"}), "302"),
        (lambda: web.Response(body=b" " * (MAX_DOCUMENT + 1)), "larger"),
        (lambda: web.Response(body=b"{}"), "key set"),
        (lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}), ""),
    ):
        issuer.answer = answer
        faults = await asking.requests.tend()
        assert list(faults) == ["keys of corp"]
        assert word in faults["keys of corp"]
        with pytest.raises(AuthenticationError):
            await asking(issuer.token(START))
    issuer.answer = None
    assert await asking.requests.tend() == {}
    assert await asking(issuer.token(START))


async def test_nobody_answers(asking, unused_tcp_port, tmp_path):
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{unused_tcp_port}/keys"
        alone = Asking(tmp_path, url, partial(fetch_document, session))
        assert list(await alone.requests.tend()) == ["keys of corp"]
        with pytest.raises(AuthenticationError, match="does not publish"):
            await alone(Issuer().token(START))


async def test_old_keys_are_fetched_anew(issuer, asking):
    await asking.requests.tend()
    await asking.requests.tend()
    assert issuer.asked == 1
    asking.clock.now += MAX_AGE
    await asking.requests.tend()
    assert issuer.asked == 2


async def test_keys_from_a_file(issuer, tmp_path):
    settings = {
        "issuers": [
            {"name": "corp", "issuer": ISSUER, "audience": ["remit"], "jwks_file": "keys.json"}
        ]
    }
    authenticator = Authenticator.open(settings_in(tmp_path, settings))

    async def no_network(url):
        raise AssertionError(url)

    requests = RequestAuthenticator(authenticator, MemoryStore(), lambda: START, no_network)
    assert "keys of corp" in await requests.tend()
    (tmp_path / "keys.json").write_text(json.dumps(KeySet([issuer.key]).as_dict(private=False)))
    assert await requests.tend() == {}
    facts = RequestFacts(transport="tcp", authorization=(f"Bearer {issuer.token(START)}",))
    assert (await requests.authenticate(facts)).principal.id == "bot"


async def test_uses_are_stored(issuer, asking):
    issued = asking.store.write(
        lambda t: keys.issue(
            t,
            principal="bot",
            kind="agent",
            rights=frozenset({Right.AGENT}),
            now=START,
            entropy=secrets.token_bytes,
        )
    )
    await asking(issued.text)
    await asking.requests.tend()
    stored = asking.store.read(lambda t: t.credential(issued.credential.id))
    assert stored.last_used_at == START - START % 3_600_000_000_000
    assert asking.requests.root is asking.authenticator.root


async def test_a_revoked_key_is_refused_from_the_next_turn_on(issuer, asking):
    """Requests that come together share one read; those that come later do not."""
    issued = asking.store.write(
        lambda t: keys.issue(
            t,
            principal="bot",
            kind="agent",
            rights=frozenset({Right.AGENT}),
            now=START,
            entropy=secrets.token_bytes,
        )
    )
    await asyncio.gather(*(asking(issued.text) for _ in range(8)))
    asking.store.write(lambda t: keys.revoke(t, issued.credential.id, START))
    await asyncio.sleep(0)
    with pytest.raises(AuthenticationError, match="revoked"):
        await asking(issued.text)
