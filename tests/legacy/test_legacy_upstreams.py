"""Servers behind the reverse proxy: their credentials, their failures, their answers."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
import requests
from counting_server import CountingServer
from legacy_world import LegacyAgent, LegacyWorld, legacy_world
from token_server import TokenServer

from remit.credentials import Right
from remit.gateway.legacy_upstream import LegacyUpstream

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [clerk]}
  other-bot: {roles: [clerk]}
people:
  ada: {roles: [lead]}
tools:
  - {match: ["http.get up.corp/*"], does: read}
  - {match: ["http.get up.corp/labelled"], does: read, returns: [untrusted]}
  - {match: ["http.get up.corp/send"], does: [read, send]}
  - {match: ["http.post up.corp/*"], does: write}
  - {match: ["http.post up.corp/labelled"], does: write, returns: [untrusted]}
  - {match: ["http.delete up.corp/*"], does: delete}
rules:
  - {id: all, roles: [clerk], tools: ["http.* up.corp/*"], effect: allow}
  - {id: capped, roles: [clerk], tools: ["http.post up.corp/capped"], effect: allow,
     obligations: [{cap: {args.body.amount: 10}}]}
  - {id: moved, roles: [clerk], tools: ["http.post up.corp/moved"], effect: allow,
     obligations: [{rewrite: {args.path: "'/elsewhere'"}}]}
  - {id: asked, tools: ["http.post up.corp/asked", "http.get up.corp/asked"], effect: ask,
     approvers: [lead]}
  - {id: secret, tools: ["http.get up.corp/secret"], on: result, when: result.body.secret == true,
     effect: deny, because: Nobody sees that.}
  - {id: planted, tools: ["http.get up.corp/note"], on: result, when: found("secret"),
     effect: deny, because: It holds a secret.}
  - {id: no-posts-after, tools: ["http.post up.corp/*"], after: untrusted, effect: deny,
     because: The session has read what others wrote.}
  - {id: marked, tools: ["http.get up.corp/table", "http.get up.corp/page"], on: result,
     effect: allow, obligations: [{redact: [result.body.name]}]}
inspect:
  - {tools: ["http.get up.corp/note"], results: [secret]}
"""
CONFIG = """
[[legacy]]
name = "up"
url = "{url}"
host = "up.corp"
timeout = "1s"
connect = "1s"
max_answer = "64KiB"
{more}
"""


def answered(
    body: Any, *headers: str, status: str = "200 OK", media: str = "application/json"
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {media}",
        f"Content-Length: {len(data)}",
        *headers,
    ]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + data


@pytest.fixture
def behind() -> Iterator[CountingServer]:
    server = CountingServer()
    yield server
    server.close()


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@contextmanager
def world_of(
    folder: Path, behind: CountingServer | str, more: str = "", **secrets: str
) -> Iterator[LegacyWorld]:
    url = behind if isinstance(behind, str) else behind.url
    with legacy_world(folder, CONFIG.format(url=url, more=more), POLICY, secrets) as world:
        yield world


def code(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# Credentials

SPLIT = """
[[legacy.credentials]]
name = "reads"
does = ["read"]
secret = "READ_KEY"
[[legacy.credentials]]
name = "writes"
does = ["write"]
header = "X-Key"
secret = "WRITE_KEY"
[[legacy.credentials]]
name = "basic"
does = ["delete"]
user = "remit"
secret = "PASSWORD"
"""
KEYS = {"READ_KEY": "read-1234", "WRITE_KEY": "write-1234", "PASSWORD": "word-1234"}


def test_each_kind_of_operation_gets_its_credential(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind, SPLIT, **KEYS) as world:
        bot = world.agent("inventory-bot", "up")
        assert bot("GET", "/a").status_code == 200
        assert b"Authorization: Bearer read-1234\r\n" in behind.bytes
        assert bot("POST", "/a", headers={"X-Key": "mine"}).status_code == 200
        assert b"X-Key: write-1234\r\n" in behind.bytes
        assert b"mine" not in behind.bytes
        assert bot("DELETE", "/a").status_code == 200
        assert b"Basic " + b64encode(b"remit:word-1234") in behind.bytes
        behind.lines.clear()
        refused = bot("GET", "/send")
        assert code(refused) == (403, "no-credential")
        assert "read, send" in refused.json()["detail"]
        assert behind.lines == []
        used = [each["credential"] for each in world.sealed() if "credential" in each]
        assert used == ["reads", "writes", "basic"]


def test_an_answer_does_not_show_the_credential(tmp_path: Path, behind: CountingServer):
    behind.answers["/echo"] = answered({"key": "read-1234"}, "X-Echo: read-1234")
    with world_of(tmp_path, behind, SPLIT, **KEYS) as world:
        answer = world.agent("inventory-bot", "up")("GET", "/echo")
        assert answer.json() == {"key": "[credential]"}
        assert answer.headers["X-Echo"] == "[credential]"
        assert "read-1234" not in json.dumps(world.sealed())


def oauth(tokens: TokenServer, more: str = "") -> str:
    return f"""
[[legacy.credentials]]
name = "issued"
token_url = "{tokens.url}"
client_id = "remit:1"
secret = "CLIENT_SECRET"
{more}
"""


def test_a_token_is_fetched_kept_and_fetched_anew_when_it_is_rejected(
    tmp_path: Path, behind: CountingServer, tokens: TokenServer
):
    with world_of(
        tmp_path, behind, oauth(tokens, 'scope = "a b"'), CLIENT_SECRET="s/1234"
    ) as world:
        bot = world.agent("inventory-bot", "up")
        for _ in range(3):
            assert bot("GET", "/a").status_code == 200
        assert behind.bytes.count(b"Authorization: Bearer token-1-abc\r\n") == 3
        assert tokens.asked == [
            {"grant_type": "client_credentials", "scope": "a b", "client": "remit%3A1:s%2F1234"}
        ]
        behind.answers["/a"] = answered({}, status="401 Unauthorized")
        assert bot("GET", "/a").status_code == 401
        del behind.answers["/a"]
        assert bot("GET", "/a").status_code == 200
        assert b"token-2-abc" in behind.bytes


def test_refresh_tokens_are_used_once_each(
    tmp_path: Path, behind: CountingServer, tokens: TokenServer
):
    tokens.life = 31  # good for one second
    more = oauth(tokens, 'refresh_secret = "REFRESH"')
    with world_of(tmp_path, behind, more, CLIENT_SECRET="s-1234", REFRESH="first-1") as world:
        bot = world.agent("inventory-bot", "up")
        assert bot("GET", "/a").status_code == 200
        time.sleep(1.1)
        assert bot("GET", "/a").status_code == 200
    assert [each["refresh_token"] for each in tokens.asked] == ["first-1", "refresh-1"]
    assert [each["grant_type"] for each in tokens.asked] == ["refresh_token"] * 2


@pytest.mark.parametrize(
    "answer",
    [
        (500, {"error": "s-1234"}),
        (302, {}),
        (200, b"not json s-1234"),
        (200, []),
        (200, {"token": "x"}),
        (200, {"access_token": "a\nb"}),
        (200, {"access_token": 7}),
        None,
    ],
)
def test_without_a_token_nothing_is_sent_and_nothing_secret_is_said(
    tmp_path: Path, behind: CountingServer, tokens: TokenServer, answer: Any
):
    tokens.answer = answer
    if answer is None:
        tokens.close()
    with world_of(tmp_path, behind, oauth(tokens), CLIENT_SECRET="s-1234") as world:
        bot = world.agent("inventory-bot", "up")
        refused = bot("POST", "/a", headers={"Idempotency-Key": "k"})
        assert code(refused) == (502, "no-credential")
        assert "s-1234" not in refused.text
        assert "issued" in refused.json()["detail"]
        assert behind.lines == []
        assert [each.status for each in world.records() if each.kind == "outcome"] == ["not-run"]
    if answer is None:
        tokens.__init__()  # type: ignore[misc]


def test_a_token_whose_end_nobody_says_is_kept_for_a_while(
    tmp_path: Path, behind: CountingServer, tokens: TokenServer
):
    tokens.life = "soon"
    with world_of(tmp_path, behind, oauth(tokens), CLIENT_SECRET="s-1234") as world:
        bot = world.agent("inventory-bot", "up")
        assert [bot("GET", "/a").status_code for _ in range(2)] == [200, 200]
    assert len(tokens.asked) == 1


# Failures


def test_a_server_that_fails_is_left_alone_and_tried_again(tmp_path: Path, behind: CountingServer):
    more = '[legacy.breaker]\nfailures = 2\npause = "500ms"\n'
    behind.answers["/a"] = answered({}, status="503 Service Unavailable")
    with world_of(tmp_path, behind, more) as world:
        bot = world.agent("inventory-bot", "up")
        assert [bot("GET", "/a").status_code for _ in range(2)] == [503, 503]
        paused = bot("POST", "/b")
        assert code(paused) == (503, "upstream-paused")
        assert paused.headers["Retry-After"] == "1"
        assert behind.lines == ["GET /a", "GET /a"]
        time.sleep(0.6)
        assert bot("GET", "/a").status_code == 503  # one finds out, and it is left alone again
        assert code(bot("GET", "/a")) == (503, "upstream-paused")
        time.sleep(0.6)
        del behind.answers["/a"]
        assert [bot("GET", "/a").status_code for _ in range(3)] == [200] * 3


def test_what_never_arrived_may_be_sent_again(tmp_path: Path):
    with world_of(tmp_path, "http://127.0.0.1:9", "[legacy.breaker]\nfailures = 100\n") as world:
        bot = world.agent("inventory-bot", "up")
        for _ in range(2):
            refused = bot("POST", "/a", headers={"Idempotency-Key": "k"})
            assert code(refused) == (502, "upstream-unreachable")
        assert [each.status for each in world.records() if each.kind == "outcome"] == [
            "not-run"
        ] * 2


@pytest.mark.parametrize("how", ["closed", "slow", "broken-off", "too-large", "too-large-in-parts"])
def test_what_may_have_happened_is_not_sent_again(tmp_path: Path, behind: CountingServer, how: str):
    large = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + 3 * (
        b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    )
    behind.answers["/a"] = {
        "closed": b"",
        "slow": b"",
        "broken-off": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "too-large": answered(b"x" * 70_000, media="text/plain"),
        "too-large-in-parts": large + b"0\r\n\r\n",
    }[how]
    behind.closes = how in ("closed", "broken-off")
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        lost = bot("POST", "/a", headers={"Idempotency-Key": "k"})
        assert code(lost) in ((504, "upstream-unanswered"), (502, "upstream-unanswered"))
        assert code(bot("POST", "/a", headers={"Idempotency-Key": "k"})) == (409, "outcome-unknown")
        world.restart()
        assert code(bot("POST", "/a", headers={"Idempotency-Key": "k"})) == (409, "outcome-unknown")
        assert behind.lines == ["POST /a"]
        assert [each.status for each in world.records() if each.kind == "outcome"] == ["error"]


def test_what_an_api_says_it_did_not_do_may_be_sent_again(tmp_path: Path, behind: CountingServer):
    behind.answers["/a"] = answered({}, "Retry-After: 1", status="429 Too Many Requests")
    with world_of(tmp_path, behind) as world:
        bot, key = world.agent("inventory-bot", "up"), {"Idempotency-Key": "k"}
        assert bot("POST", "/a", headers=key).headers["Retry-After"] == "1"
        behind.answers["/a"] = answered(b"", status="204 No Content")
        for _ in range(2):
            assert bot("POST", "/a", headers=key).status_code == 204
        behind.answers["/b"] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
        assert code(bot("GET", "/b")) == (504, "upstream-unanswered")
        assert behind.lines == ["POST /a", "POST /a", "GET /b"]


def test_whatever_else_goes_wrong_is_recorded(
    tmp_path: Path, behind: CountingServer, monkeypatch: pytest.MonkeyPatch
):
    async def fails(*_: Any) -> Any:
        raise ZeroDivisionError

    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        monkeypatch.setattr(LegacyUpstream, "send", fails)
        assert code(bot("POST", "/a", headers={"Idempotency-Key": "k"})) == (500, "internal")
        monkeypatch.undo()
        assert code(bot("POST", "/a", headers={"Idempotency-Key": "k"})) == (409, "outcome-unknown")
        assert [each.status for each in world.records() if each.kind == "outcome"] == ["error"]


# Answers


def test_policy_withholds_redacts_and_rewrites(tmp_path: Path, behind: CountingServer):
    behind.answers |= {
        "/secret": answered({"secret": True, "x": "42-42"}),
        "/table": answered({"name": "ada", "n": 1}, "ETag: x", "X-Kept: y"),
        "/page": answered(b"<p>ada</p>", media="text/html"),
    }
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        withheld = bot("GET", "/secret")
        assert code(withheld) == (403, "withheld")
        assert withheld.json()["answered"] == 200
        assert "Nobody sees that" in withheld.json()["detail"]
        assert "42-42" not in withheld.text
        redacted = bot("GET", "/table")
        assert redacted.json() == {"name": "[redacted]", "n": 1}
        assert ("ETag" in redacted.headers, redacted.headers["X-Kept"]) == (False, "y")
        assert code(bot("GET", "/page")) == (403, "withheld")  # nobody can redact that there
        assert bot("POST", "/capped", json={"amount": 500, "note": "x"}).status_code == 200
        assert b'{"amount":10,"note":"x"}' in behind.bytes
        assert code(bot("POST", "/moved", json={})) == (403, "denied")
        assert "POST /moved" not in behind.lines


def test_answers_are_inspected_and_label_the_session(tmp_path: Path, behind: CountingServer):
    secret = "AKIA" + "Q3EGZ7T5W2N4Y6K" + "R"
    behind.answers["/note"] = answered(f"key: {secret}".encode(), media="text/plain")
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        withheld = bot("GET", "/note")
        assert code(withheld) == (403, "withheld")
        assert "It holds a secret" in withheld.text
        assert secret not in withheld.text
        assert bot("POST", "/a").status_code == 200
        assert bot("GET", "/labelled").status_code == 200
        assert code(bot("POST", "/a")) == (403, "denied")
        other = {"X-Remit-Session": "nobodys"}
        assert code(bot("POST", "/a", headers=other)) == (404, "no-such-session")


def test_an_answer_with_labels_is_not_shown_in_another_session(
    tmp_path: Path, behind: CountingServer
):
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        key = {"Idempotency-Key": "k"}
        for _ in range(2):
            assert bot("POST", "/labelled", headers=key).status_code == 200
        world.restart()  # and with it begins another session
        again = bot("POST", "/labelled", headers=key)
        assert code(again) == (409, "done-before")
        assert again.json()["answered"] == 200
        other = world.agent("other-bot", "up")  # keys of others never meet
        assert other("POST", "/labelled", headers=key).status_code == 200
        assert behind.lines == ["POST /labelled"] * 2


def test_answers_are_forgotten_and_nothing_is_sent_again(tmp_path: Path, behind: CountingServer):
    behind.answers["/large"] = answered(b"x" * 60_000, media="text/plain")
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        assert bot("POST", "/large", headers={"Idempotency-Key": "k"}).status_code == 200
        world.parts.store.write(lambda t: t.forget_replies(2**62, 1000))
        again = bot("POST", "/large", headers={"Idempotency-Key": "k"})
        assert code(again) == (409, "done-before")
        assert behind.lines == ["POST /large"]


# Holding and knowing who calls


def test_a_held_read_is_refused_with_its_handle(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        held = bot("GET", "/asked")
        assert code(held) == (403, "approval-required")
        assert held.json()["approval"].startswith("ap")
        world.vote()
        assert bot("GET", "/asked").status_code == 200
        assert behind.lines == ["GET /asked"]


def test_a_request_can_wait_for_a_person(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind, 'hold = "10s"') as world:
        bot = world.agent("inventory-bot", "up")
        Timer(0.5, world.vote).start()
        assert bot("POST", "/asked").status_code == 200
        assert behind.lines == ["POST /asked"]


def test_keys_can_be_demanded(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind, 'idempotency = "required"') as world:
        bot = world.agent("inventory-bot", "up")
        assert code(bot("POST", "/a")) == (428, "key-missing")
        assert code(bot("POST", "/a", headers={"Idempotency-Key": "a\tb"})) == (400, "invalid-key")
        assert bot("GET", "/a").status_code == 200
        assert bot("POST", "/a", headers={"Idempotency-Key": "k"}).status_code == 200


def test_old_clients_show_their_key_as_they_can(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        url = f"{world.url}/legacy/up/a?b=c"
        for options in ({"auth": ("anyone", bot.key)}, {"headers": {"X-API-Key": bot.key}}):
            assert requests.get(url, timeout=5, **options).status_code == 200  # type: ignore[arg-type]
        for wrong in ({}, {"auth": ("a", "b")}, {"headers": {"Authorization": "Basic !"}}):
            refused = requests.get(url, timeout=5, **wrong)  # type: ignore[arg-type]
            assert code(refused) == (401, "unauthenticated")
            assert "Basic" in refused.headers["WWW-Authenticate"]
        both = requests.get(url, timeout=5, auth=("a", bot.key), headers={"X-API-Key": "other"})
        assert both.status_code == 401
        assert behind.lines == ["GET /a?b=c"] * 2
        assert bot.key.encode() not in behind.bytes


def test_a_mount_without_a_path_is_its_root(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        assert bot("GET", "").status_code == 200
        assert bot("GET", "?a=b").status_code == 200
        assert behind.lines == ["GET /", "GET /?a=b"]


def test_a_head_has_the_length_that_the_body_would_have(tmp_path: Path, behind: CountingServer):
    behind.answers["/h"] = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-A: b\r\n\r\n"
    with world_of(tmp_path, behind) as world:
        answer = world.agent("inventory-bot", "up")("HEAD", "/h")
        assert (answer.headers["Content-Length"], answer.headers["X-A"]) == ("7", "b")


def test_only_agents_get_in(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind) as world:
        for right in Right:
            if right is Right.AGENT:
                continue
            bot = LegacyAgent(world, world.issue("ada", right), "up")
            assert code(bot("GET", "/a")) == (403, "forbidden")
        assert behind.lines == []


def test_a_status_is_asked_for_with_get_or_post(tmp_path: Path, behind: CountingServer):
    with world_of(tmp_path, behind) as world:
        bot = world.agent("inventory-bot", "up")
        status = bot("POST", "/asked").json()["status_url"]
        assert code(bot("DELETE", status)) == (405, "method-not-allowed")
        assert code(bot("GET", status + "x")) == (404, "not-found")
        world.vote()
        assert bot("POST", status).status_code == 200
