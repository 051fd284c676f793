"""Smuggling and confusion: nothing reaches the server behind that was not decided on as it arrives.

Raw sockets against the real server, in front of one that reads leniently and counts what it gets.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from counting_server import CountingServer
from legacy_world import LegacyAgent, LegacyWorld, legacy_world
from naive_reverse import NaiveProxy

POLICY = """
remit: 1
default: deny
agents:
  inventory-bot: {roles: [reader]}
tools:
  - {match: ["http.get up.corp/items*", "graphql.query up.corp/graphql"], does: read}
  - {match: ["http.post up.corp/items"], does: write}
rules:
  - id: items
    roles: [reader]
    tools: ["http.get up.corp/items*", "http.post up.corp/items", "graphql.query up.corp/graphql"]
    effect: allow
"""
CONFIG = """
[[legacy]]
name = "up"
url = "{url}"
host = "up.corp"
max_body = "64KiB"
timeout = "5s"
[limits]
request_time = "1s"
"""
HEAD = b"Host: x\r\nAuthorization: Bearer KEY\r\n"
ITEMS = b"/legacy/up/items"
TWO = b"Content-Length: 2\r\n"
CHUNK = b"FFFF\r\n" + b" " * 0xFFFF + b"\r\n"
ADMIN = b"GET /admin HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


def get(target: bytes, more: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HEAD + more + b"\r\n"


def post(more: bytes, body: bytes, target: bytes = b"/legacy/up/items") -> bytes:
    return (
        b"POST " + target + b" HTTP/1.1\r\n" + HEAD + b"Content-Type: application/json\r\n"
        + more + b"\r\n" + body
    )  # fmt: skip


HIDDEN = b"0\r\n\r\n" + ADMIN
LENGTH = b"Content-Length: %d\r\n" % len(HIDDEN)
SMUGGLING = {
    "length-and-chunked": post(LENGTH + b"Transfer-Encoding: chunked\r\n", HIDDEN),
    "chunked-and-length": post(b"Transfer-Encoding: chunked\r\n" + LENGTH, HIDDEN),
    "chunked-blank": post(LENGTH + b"Transfer-Encoding : chunked\r\n", HIDDEN),
    "chunked-tab": post(LENGTH + b"Transfer-Encoding:\tchunked\r\n", HIDDEN),
    "chunked-folded": post(LENGTH + b"Transfer-Encoding:\r\n chunked\r\n", HIDDEN),
    "chunked-unknown": post(LENGTH + b"Transfer-Encoding: xchunked\r\n", HIDDEN),
    "chunked-list": post(b"Transfer-Encoding: chunked, identity\r\n", HIDDEN),
    "chunked-twice": post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", HIDDEN),
    "chunked-twice-on-a-line": post(b"Transfer-Encoding: chunked, chunked\r\n", HIDDEN),
    "chunked-other-letter": post(LENGTH + b"Transfer-Encoding: \xe7hunked\r\n", HIDDEN),
    "two-lengths": post(b"Content-Length: 2\r\n" + LENGTH, b"{}" + ADMIN),
    "length-list": post(b"Content-Length: 2, 40\r\n", b"{}" + ADMIN),
    "length-plus": post(b"Content-Length: +2\r\n", b"{}" + ADMIN),
    "length-hex": post(b"Content-Length: 0x2\r\n", b"{}" + ADMIN),
    "length-negative": post(b"Content-Length: -1\r\n", b"{}" + ADMIN),
    "length-with-underscore": post(b"Content-Length: 2\r\nContent_Length: 40\r\n", b"{}" + ADMIN),
    "chunk-size-too-large": post(
        b"Transfer-Encoding: chunked\r\n", b"FFFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n" + ADMIN
    ),
    "chunk-without-end": post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}GET /admin HTTP/1.1\r\n"),
    "chunk-with-line-feeds": post(b"Transfer-Encoding: chunked\n", b"2\n{}\n0\n\n" + ADMIN),
    "trailers": post(
        b"Transfer-Encoding: chunked\r\nTrailer: X-Http-Method-Override\r\n",
        b"2\r\n{}\r\n0\r\nX-Http-Method-Override: DELETE\r\n\r\n",
    ),
    "body-of-a-get": get(b"/legacy/up/items", b"Content-Length: 2\r\n") + b"{}" + ADMIN,
    "bare-line-feeds": b"GET /legacy/up/items HTTP/1.1\nHost: x\nAuthorization: Bearer KEY\n\n"
    + ADMIN,
    "line-feed-in-target": get(b"/legacy/up/items\nGET /admin"),
    "blank-before-colon": get(b"/legacy/up/items", b"X-A : b\r\n"),
    "folded-header": get(b"/legacy/up/items", b"X-A: b\r\n c: d\r\n"),
    "return-in-header": get(b"/legacy/up/items", b"X-A: b\rX-Admin: yes\r\n"),
    "line-feed-in-header": get(b"/legacy/up/items", b"X-A: b\n\nGET /admin HTTP/1.1\n\n\r\n"),
    "zero-in-header": get(b"/legacy/up/items", b"X-A: b\0c\r\n"),
    "header-without-a-name": get(b"/legacy/up/items", b": b\r\n"),
    "http-0.9": b"GET /legacy/up/items\r\n",
    "http-0.9-version": b"GET /legacy/up/items HTTP/0.9\r\n" + HEAD + b"\r\n",
    "http-2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + ADMIN,
    "http-1.9": b"GET /legacy/up/items HTTP/1.9 \r\n" + HEAD + b"\r\n",
    "many-blanks": b"GET  /legacy/up/items  HTTP/1.1\r\n" + HEAD + b"\r\n",
}
"""Where one request ends and the next one begins, or whether it is one."""
CONFUSION = {
    "two-hosts": get(b"/legacy/up/items", b"Host: admin.corp\r\n"),
    "two-credentials": get(b"/legacy/up/items", b"Authorization: Bearer other\r\n"),
    "two-types": post(b"Content-Type: text/plain\r\nContent-Length: 2\r\n", b"{}"),
    "absolute-form": get(b"http://admin.corp/admin"),
    "absolute-form-of-the-mount": get(b"http://admin.corp/legacy/up/items"),
    "absolute-form-with-dots": get(b"http://x/legacy/up/items/../../admin"),
    "authority-form": b"CONNECT admin.corp:443 HTTP/1.1\r\n" + HEAD + b"\r\n",
    "asterisk-form": b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n",
    "encoded-slash": get(b"/legacy/up/items%2f..%2fadmin"),
    "encoded-slash-doubly": get(b"/legacy/up/items%252f..%252fadmin"),
    "backslash": get(b"/legacy/up/items\\..\\admin"),
    "encoded-backslash": get(b"/legacy/up/items%5c..%5cadmin"),
    "dots": get(b"/legacy/up/items/../admin"),
    "encoded-dots": get(b"/legacy/up/items/%2e%2e/admin"),
    "half-encoded-dots": get(b"/legacy/up/items/.%2e/admin"),
    "dots-with-parameter": get(b"/legacy/up/items/..;/admin"),
    "dots-to-another-mount": get(b"/legacy/up/../../v1/admin"),
    "overlong-utf-8": get(b"/legacy/up/items/%c0%ae%c0%ae/admin"),
    "wide-slash": get(b"/legacy/up/items/..%EF%BC%8Fadmin"),
    "two-slashes": get(b"/legacy/up//items/../admin"),
    "zero-in-path": get(b"/legacy/up/items%00/../admin"),
    "question-mark-in-path": get(b"/legacy/up/items%3f/../admin"),
    "fragment": get(b"/legacy/up/items#/../admin"),
    "raw-letters": get("/legacy/up/items/é".encode()),
    "method-override": post(b"X-HTTP-Method-Override: DELETE\r\nContent-Length: 2\r\n", b"{}"),
    "method-override-in-query": post(TWO, b"{}", b"/legacy/up/items?_method=DELETE"),
    "path-override": get(b"/legacy/up/items", b"X-Original-URL: /admin\r\n"),
    "path-override-of-iis": get(b"/legacy/up/items", b"X-Rewrite-URL: /admin\r\n"),
    "underscore-header": get(b"/legacy/up/items", b"X_Forwarded_User: root\r\n"),
    "headers-of-the-connection": get(ITEMS, b"Connection: X-Role\r\nX-Role: a\r\n"),
    "websocket": get(b"/legacy/up/items", b"Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    "http-2-cleartext": get(
        ITEMS, b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n"
    ),
    "trace": b"TRACE /legacy/up/items HTTP/1.1\r\n" + HEAD + b"\r\n",
    "made-up-method": b"GETADMIN /legacy/up/items HTTP/1.1\r\n" + HEAD + b"\r\n",
    "small-method": b"get /legacy/up/items HTTP/1.1\r\n" + HEAD + b"\r\n",
    "compressed": post(b"Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"{}"),
    "duplicate-keys": post(b"Content-Length: 15\r\n", b'{"a":1, "a": 2}'),
    "keys-in-another-case": post(b"Content-Length: 15\r\n", b'{"a":1, "A": 2}'),
    "other-charset": b"POST /legacy/up/items HTTP/1.1\r\n" + HEAD
    + b"Content-Type: application/json; charset=utf-16\r\nContent-Length: 4\r\n\r\n{\0}\0",
    "duplicate-query": get(b"/legacy/up/items?id=1&ID=2"),
    "query-with-semicolon": get(b"/legacy/up/items?id=1;admin=1"),
    "query-with-bad-escape": get(b"/legacy/up/items?id=%zz"),
    "other-server": get(b"/legacy/other/items"),
    "no-server": get(b"/legacy/"),
    "held-of-nobody": get(b"/legacy/-/held/../up/items"),
}  # fmt: skip
"""What one reader takes for something else than another."""


@pytest.fixture(scope="module")
def behind() -> Iterator[CountingServer]:
    server = CountingServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, behind: CountingServer
) -> Iterator[LegacyWorld]:
    folder = tmp_path_factory.mktemp("attacks")
    with legacy_world(folder, CONFIG.format(url=behind.url), POLICY) as found:
        yield found


@pytest.fixture
def bot(world: LegacyWorld, behind: CountingServer) -> LegacyAgent:
    behind.lines.clear()
    behind.bytes = b""
    return world.agent("inventory-bot", "up")


def status(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer.startswith(b"HTTP/1.") else 0


def allowed(world: LegacyWorld, since: int) -> list[str]:
    """Method and path of what was allowed, as it was decided on."""
    found = [each for each in world.records()[since:] if each.kind == "decision"]
    return [
        f"{(each.tool or '').partition(' ')[0].partition('.')[2].upper()} "
        f"{(each.tool or '').partition('up.corp')[2]}"
        for each in found
        if str(each.effect) == "allow"
    ]


@pytest.mark.parametrize("name", [*SMUGGLING, *CONFUSION])
def test_nothing_arrives_that_was_not_decided_on(
    world: LegacyWorld, behind: CountingServer, bot: LegacyAgent, name: str
):
    since = len(world.records())
    answer = bot.raw({**SMUGGLING, **CONFUSION}[name], wait=1.5)
    assert status(answer) == 0 or status(answer) >= 400 or name in LENIENT, answer[:300]
    assert behind.lines == [f"{line}" for line in allowed(world, since)]
    assert b"admin" not in behind.bytes.lower()
    assert bot("GET", "/items").status_code == 200  # and the server goes on


LENIENT = {"bare-line-feeds", "many-blanks", "asterisk-form"}
"""May be answered: what arrives is what was decided on all the same."""


def test_what_is_good_arrives_as_it_was_decided_on(
    world: LegacyWorld, behind: CountingServer, bot: LegacyAgent
):
    assert status(bot.raw(get(b"/legacy/up/items/%61%20b?x=%61+b"))) == 200
    assert behind.lines == ["GET /items/a%20b?x=%61+b"]
    assert b"KEY" not in behind.bytes
    assert bot.key.encode() not in behind.bytes
    assert b"Host: up.corp\r\n" in behind.bytes
    assert status(bot.raw(post(b"Content-Length: 8\r\n", b'{"a": 1}'))) == 200
    chunked = post(b"Transfer-Encoding: chunked\r\n", b"2\r\n{}\r\n0\r\n\r\n")
    assert status(bot.raw(chunked)) == 200
    assert behind.lines[1:] == ["POST /items", "POST /items"]
    assert b"chunked" not in behind.bytes


def test_each_request_of_a_pipeline_is_decided_on_by_itself(
    behind: CountingServer, bot: LegacyAgent
):
    three = get(b"/legacy/up/items") + get(b"/legacy/up/admin") + get(b"/legacy/up/items/2")
    answer = bot.raw(three)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.count(b"HTTP/1.1 403") == 1
    assert behind.lines == ["GET /items", "GET /items/2"]


@pytest.mark.parametrize(
    "data",
    [
        get(b"/legacy/up/items/" + b"a" * 9000),
        get(b"/legacy/up/items", b"X-A: " + b"a" * 9000 + b"\r\n"),
        post(b"Content-Length: 70000\r\n", b"{}"),
        post(b"Transfer-Encoding: chunked\r\n", 2 * CHUNK + b"0\r\n\r\n"),
        post(b"Content-Length: 400\r\n", b"[" * 200 + b"]" * 200),
        get(b"/legacy/up/items?" + b"&".join(b"a%d=1" % n for n in range(1100))),
    ],
    ids=["target", "header", "length", "chunks", "depth", "query"],
)  # fmt: skip
def test_what_is_too_large_goes_nowhere(behind: CountingServer, bot: LegacyAgent, data: bytes):
    assert status(bot.raw(data)) in (400, 413, 414, 431)
    assert behind.lines == []


@pytest.mark.parametrize("sent", [b"GET /legacy/up/items HTTP/1.1\r\nHost: x\r\nX-A: ",
                                  post(b"Content-Length: 100\r\n", b"{")])  # fmt: skip
def test_who_sends_slowly_holds_up_nobody(
    world: LegacyWorld, behind: CountingServer, bot: LegacyAgent, sent: bytes
):
    host, port = world.url.removeprefix("http://").split(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(20)]
    try:
        for each in slow:
            each.sendall(sent.replace(b"KEY", bot.key.encode()))
        begun = time.monotonic()
        assert bot("GET", "/items/fast").status_code == 200
        for each in slow:
            each.sendall(b"a")
        if b"100" in sent:  # a body that does not come is given up after request_time
            slow[0].settimeout(5)
            assert status(slow[0].recv(4096)) == 408
        assert time.monotonic() - begun < 5
    finally:
        for each in slow:
            each.close()
    assert behind.lines == ["GET /items/fast"]


HIDDEN_MUTATIONS = {
    "alias": {"query": "mutation { products: deleteProduct(id: 1) { id } }"},
    "batch": [{"query": "{ products { id } }"}, {"query": "mutation { deleteProduct(id: 1) }"}],
    "second-operation": {
        "query": "query A { products { id } } mutation B { deleteProduct(id: 1) { id } }",
        "operationName": "A",
    },
    "fragment": {
        "query": "mutation { ...F } fragment F on Mutation { deleteProduct(id: 1) { id } }"
    },
    "comment": {"query": "# query\nmutation\n#{ products { id } }\n{ deleteProduct(id: 1) }"},
    "stored": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "ab"}}},
    "unknown-member": {"query": "{ products { id } }", "mutation": "deleteProduct"},
    "other-case": {"query": "{ products { id } }", "Query": "mutation { deleteProduct(id: 1) }"},
    "schema": {"query": "{ products { id } } extend type Query { x: Int }"},
    "circle": {"query": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"},
    "too-deep": {"query": "{a" * 500 + "}" * 500},
    "mutation-in-get": {"query": "query { products { id } } mutation { deleteProduct(id: 1) }"},
    "too-wide": {"query": "{" + " ".join(f"a{n}: products {{ id }}" for n in range(2000)) + "}"},
    "doubling": {"query": "{ ...F0 } " + " ".join(
        f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(25)
    ) + " fragment F25 on Query { products { id } }"},
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN_MUTATIONS)
def test_no_mutation_hides_in_graphql(behind: CountingServer, bot: LegacyAgent, name: str):
    answer = bot("POST", "/graphql", json=HIDDEN_MUTATIONS[name])
    assert answer.status_code in (400, 403), answer.text
    assert behind.lines == []


def test_a_query_of_graphql_passes(behind: CountingServer, bot: LegacyAgent):
    asked = {"query": "query Q($n: Int) { p: products(first: $n) { id } }", "variables": {"n": 2}}
    assert bot("POST", "/graphql", json=asked).status_code == 200
    assert bot("GET", "/graphql", params={"query": "{ products { id } }"}).status_code == 200
    hidden = {"query": "mutation { deleteProduct(id: 1) { id } }"}
    assert bot("GET", "/graphql", params=hidden).status_code == 403
    assert [line.partition("?")[0] for line in behind.lines] == ["POST /graphql", "GET /graphql"]


def test_redirects_are_not_followed_and_lead_nowhere_else(behind: CountingServer, bot: LegacyAgent):
    places = {
        "http://169.254.169.254/latest": None,
        "//127.0.0.1:1/x": None,
        "/\\evil.example/x": None,
        "http://evil.example@127.0.0.1/": None,
        f"{behind.url}/items/7?a=b": "/legacy/up/items/7?a=b",
        "/items/7": "/legacy/up/items/7",
        "7": "/legacy/up/items/7",
        "../../../v1/agents": "/legacy/up/v1/agents",
    }
    for place, told in places.items():
        behind.lines.clear()
        behind.answers["/items/redirect"] = (
            f"HTTP/1.1 302 Found\r\nLocation: {place}\r\nRefresh: 0; url={place}\r\n"
            f"Content-Length: 0\r\n\r\n"
        ).encode()
        answer = bot("GET", "/items/redirect")
        assert answer.status_code == 302
        assert answer.headers.get("Location") == told, place
        assert "Refresh" not in answer.headers
        assert behind.lines == ["GET /items/redirect"]


def test_without_protection_attacks_arrive(behind: CountingServer):
    """The variant without Remit: a proxy with a rule on the start of the path."""
    proxy = NaiveProxy(behind.port, "/legacy/up/items")
    try:
        arrived = set()
        for name, data in {**SMUGGLING, **CONFUSION}.items():
            behind.lines.clear()
            behind.bytes = b""
            host, port = proxy.url.removeprefix("http://").split(":")
            with socket.create_connection((host, int(port)), timeout=0.15) as opened:
                opened.sendall(data)
                try:
                    while opened.recv(65536):
                        pass
                except OSError:
                    pass
            if b"admin" in behind.bytes.lower():
                arrived.add(name)
    finally:
        proxy.close()
    assert {"length-plus", "encoded-slash", "backslash", "dots", "path-override"} <= arrived
    assert len(arrived) > 20, sorted(arrived)
