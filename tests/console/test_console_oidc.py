"""Signing in with an identity provider: a scripted one, over real HTTP, with every way to cheat."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import requests
from desk import Desk, desk_config, open_desk
from joserfc import jwt
from joserfc.jwk import ECKey

from remit.config import Config
from remit.config.file import parse_config
from remit.console.oidc import Provider
from remit.errors import ConfigError
from remit.server.fetching import post_form, provider_of

SECRET = "s3cret/with+odd=characters"
KEY = ECKey.generate_key("P-256", {"kid": "one"})
OTHER = ECKey.generate_key("P-256", {"kid": "one"})


class ScriptedProvider:
    """An identity provider that does as it is told."""

    def __init__(self) -> None:
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: dict[str, Any] = {}
        self.key = KEY
        self.status = 200
        provider = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                status, body = provider.token(self.headers["Authorization"], form)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def authorize(self, url: str) -> str:
        """What a provider does when somebody has signed in there: the URL to come back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(f"{self.url}/authorize?")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"]
        code = secrets.token_hex(8)
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def token(self, shown: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        name, _, password = base64.b64decode(shown.removeprefix("Basic ")).decode().partition(":")
        if (name, requests.utils.unquote(password)) != ("console", SECRET):
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"][0], None)
        if asked is None or form["redirect_uri"][0] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": "console",
            "sub": "grace",
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "groups": ["security"],
            **self.claims,
        }
        token = jwt.encode({"alg": "ES256", "kid": "one"}, claims, self.key)
        return self.status, {"id_token": token}


@pytest.fixture
def scripted() -> Iterator[ScriptedProvider]:
    provider = ScriptedProvider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


def settings(provider: ScriptedProvider, more: str = "") -> str:
    return f"""
[server]
listen = ["127.0.0.1:0"]
socket = ""
drain = "1s"
[console.oidc]
issuer = "corp"
client_id = "console"
authorization_endpoint = "{provider.url}/authorize"
token_endpoint = "{provider.url}/token"
{more}
[[identity.issuers]]
name = "corp"
issuer = "{provider.url}"
audience = ["console"]
jwks_file = "keys.json"
kind = "person"
[[identity.issuers.rules]]
claim = "groups"
equals = "security"
rights = ["reviewer"]
"""


@pytest.fixture
def desk(scripted: ScriptedProvider, tmp_path: Path) -> Iterator[Desk]:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    config = desk_config(tmp_path, text=settings(scripted))
    assert config.console.oidc

    async def post(url: str, form: Any, who: tuple[str, str]) -> bytes:
        async with aiohttp.ClientSession() as session:
            return await partial(post_form, session)(url, form, who)

    provider = Provider(config.console.oidc, SECRET, secrets.token_bytes, post)
    with open_desk(config, provider) as opened:
        yield opened


def departed(desk: Desk, browser: requests.Session) -> str:
    answer = browser.get(f"{desk.url}/console/oidc", allow_redirects=False)
    assert answer.status_code == 303
    return answer.headers["Location"]


def back(desk: Desk, browser: requests.Session, url: str) -> requests.Response:
    return browser.get(url, allow_redirects=False)


def test_somebody_of_the_provider_gets_in_with_the_rights_of_the_rules(
    desk: Desk, scripted: ScriptedProvider
):
    assert "Sign in with your organisation" in requests.get(f"{desk.url}/console/login").text
    browser = requests.Session()
    answer = back(desk, browser, scripted.authorize(departed(desk, browser)))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/approvals")
    page = browser.get(f"{desk.url}/console/approvals")
    assert "grace" in page.text
    assert browser.get(f"{desk.url}/console/agents").status_code == 403
    held = desk.call(desk.session(), "send_email", to="a@b.example", subject="x").approval
    said = browser.post(
        f"{desk.url}/console/approvals/{held}/approve",
        data={"reason": ""},
        headers={"Origin": desk.url},
    )
    assert "Approved" in said.text


CLAIMS = {
    "another audience": {"aud": "else"},
    "another issuer": {"iss": "https://evil.example"},
    "expired": {"exp": 1_000_000},
    "another sign-in": {"nonce": "other"},
    "no nonce": {"nonce": ""},
    "no rights": {"groups": []},
}


@pytest.mark.parametrize("what", CLAIMS)
def test_a_token_that_is_not_for_this_is_not_believed(
    desk: Desk, scripted: ScriptedProvider, what: str
):
    scripted.claims = CLAIMS[what]
    browser = requests.Session()
    answer = back(desk, browser, scripted.authorize(departed(desk, browser)))
    assert answer.status_code in (401, 403)
    assert "remit_console=" not in answer.headers.get("Set-Cookie", "")


def test_a_token_of_another_key_is_not_believed(desk: Desk, scripted: ScriptedProvider):
    scripted.key = OTHER
    browser = requests.Session()
    assert back(desk, browser, scripted.authorize(departed(desk, browser))).status_code == 401


def test_a_sign_in_belongs_to_the_browser_that_began_it_and_ends_once(
    desk: Desk, scripted: ScriptedProvider
):
    victim, attacker = requests.Session(), requests.Session()
    # An attacker's own way back, opened in somebody else's browser, signs nobody in.
    url = scripted.authorize(departed(desk, attacker))
    assert back(desk, victim, url).status_code == 401
    url = scripted.authorize(departed(desk, attacker))
    assert back(desk, attacker, url).status_code == 303
    assert back(desk, attacker, url).status_code == 401
    assert (
        back(desk, victim, f"{desk.url}/console/oidc/back?code=x&state=\u00fc").status_code == 401
    )


def test_a_provider_that_says_no_or_nothing_is_told_of(desk: Desk, scripted: ScriptedProvider):
    browser = requests.Session()
    asked = parse_qs(urlsplit(departed(desk, browser)).query)
    url = f"{desk.url}/console/oidc/back?state={asked['state'][0]}&error=access_denied<b>"
    answer = back(desk, browser, url)
    assert answer.status_code == 401
    assert "access_denied&lt;b&gt;" in answer.text
    scripted.status = 500
    assert back(desk, browser, scripted.authorize(departed(desk, browser))).status_code == 401


def test_settings_that_would_not_do_are_refused(
    tmp_path: Path, scripted: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
):
    def provider(text: str) -> Any:
        return provider_of(parse_config(text, "remit.toml", tmp_path), None, secrets.token_bytes)  # type: ignore[arg-type]

    assert provider_of(Config(), None, secrets.token_bytes) is None  # type: ignore[arg-type]
    good = settings(scripted)
    with pytest.raises(ConfigError, match="REMIT_CONSOLE_OIDC_SECRET"):
        provider(good)
    monkeypatch.setenv("REMIT_CONSOLE_OIDC_SECRET", SECRET)
    assert provider(good) is not None
    with pytest.raises(ConfigError, match="named 'corp'"):
        provider(good.replace('client_id = "console"', 'client_id = "else"'))
    with pytest.raises(ConfigError, match="https://"):
        provider(good.replace(f"{scripted.url}/token", "http://idp.example/token"))
    with pytest.raises(ConfigError, match="openid"):
        provider(settings(scripted, 'scope = "profile"'))
    with pytest.raises(ConfigError, match="7 days"):
        provider('[console]\nsession = "9999h"\n')
