"""Targets, origins and headers of HTTP requests: read in one way, or refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.protocols.http_headers import read_headers
from remit.protocols.http_target import (
    HttpFault,
    HttpOrigin,
    encode_pairs,
    encode_path,
    grouped,
    read_absolute,
    read_form,
    read_host,
    read_origin,
    read_target,
)


@pytest.mark.parametrize(
    ("raw", "path", "sent"),
    [
        ("/", "/", "/"),
        ("/a/b/", "/a/b/", "/a/b/"),
        ("/%61/b%20c", "/a/b c", "/a/b%20c"),
        ("/a:b@c/(d),e=f'", "/a:b@c/(d),e=f'", "/a:b@c/(d),e=f'"),
        ("/%C3%A9t%C3%A9", "/été", "/%C3%A9t%C3%A9"),
        ("/a%2Bb", "/a+b", "/a+b"),
        ("/a...b", "/a...b", "/a...b"),
    ],
)
def test_a_path_is_sent_in_its_one_spelling(raw: str, path: str, sent: str):
    target = read_target(raw)
    assert (target.path, target.sent) == (path, sent)
    assert "/" + "/".join(target.segments) == path


@pytest.mark.parametrize(
    "raw",
    [
        "", "a", "http://x/a", "*", "/a//b", "//a", "/a\\b", "/a;b", "/a b", "/a\"b", "/a|b", "/é",
        "/%2f", "/%5C", "/%00", "/%0a", "/%7f", "/%3f", "/%23", "/%25", "/%3b", "/%", "/%2", "/%zz",
        "/.", "/..", "/a/../b", "/%2e%2e/a", "/.%2E", "/...", "/%20", "/.%20.", "/%c0%ae", "/%ff",
        "/%EF%BC%8F", "/%EF%BD%81", "/a%E2%80%8Bb", "/a\n", "/a#b",
    ],
)  # fmt: skip
def test_a_path_that_servers_read_differently_is_refused(raw: str):
    with pytest.raises(HttpFault) as fault:
        read_target(raw)
    assert fault.value.status == 400
    assert fault.value.message


def test_a_target_is_bounded():
    with pytest.raises(HttpFault, match="too long") as fault:
        read_target("/" + "a" * 9000)
    assert (fault.value.status, fault.value.code) == (414, "target-too-long")


@pytest.mark.parametrize(
    ("raw", "query"),
    [
        ("", {}),
        ("a=1", {"a": "1"}),
        ("a=1&b=2&a=3&a=4", {"a": ["1", "3", "4"], "b": "2"}),
        ("a", {"a": ""}),
        ("&a=1&&", {"a": "1"}),
        ("a=b+c%2Bd%26", {"a": "b c+d&"}),
        ("a[]=1&a[]=2", {"a[]": ["1", "2"]}),
        ("q=%C3%A9%0A", {"q": "é\n"}),
        ("=x", {"": "x"}),
    ],
)
def test_a_query_is_read_by_name(raw: str, query: dict[str, object]):
    target = read_target(f"/x?{raw}")
    assert target.query == query
    assert target.sent == (f"/x?{raw}" if raw else "/x")


@pytest.mark.parametrize(
    "raw",
    ["a;b", "a=%", "a=%zz", "a=%ff", "a=%00", "a=\\", "a=<", "a=é", "a=1&A=2", "_method=DELETE",
     "%5Fmethod=x", "_METHOD=x", "a%20=1", "a%0A=1", "%EF%BD%81=1&a=2"],
)  # fmt: skip
def test_a_query_that_servers_read_differently_is_refused(raw: str):
    with pytest.raises(HttpFault):
        read_target(f"/x?{raw}")


def test_a_query_is_bounded():
    with pytest.raises(HttpFault) as fault:
        read_form("&".join(f"a{n}=1" for n in range(1001)))
    assert fault.value.status == 413


@pytest.mark.parametrize(
    ("authority", "shown"),
    [
        ("CRM.Corp.com", "crm.corp.com"),
        ("crm.corp.com.", "crm.corp.com"),
        ("crm.corp.com:80", "crm.corp.com"),
        ("crm.corp.com:8080", "crm.corp.com:8080"),
        ("10.0.0.1", "10.0.0.1"),
        ("[::1]:8080", "[::1]:8080"),
        ("[::FFFF:10.0.0.1]", "10.0.0.1"),
        ("[0:0::1]", "[::1]"),
        ("my_host", "my_host"),
        ("xn--caf-dma.example", "xn--caf-dma.example"),
    ],
)
def test_a_host_has_one_spelling(authority: str, shown: str):
    assert read_origin("http", authority).authority == shown
    assert str(read_origin("http", authority)) == f"http://{shown}"


@pytest.mark.parametrize(
    "authority",
    ["", ":80", "a:b", "a:0", "a:65536", "a:123456", "user@host", "a b", "a/b", "a\\b", "a%41",
     "127.1", "2130706433", "0x7f.1", "0x7f000001", "010.0.0.1", "1.2.3.4.5", "1.2.3.256", "a.0x",
     "[::1", "::1", "[x]", "[::1%eth0]", "[fe80::1%25eth0]", "café.example", "a..b", "-a.b", "a-.b",
     "a" * 64, ".".join(["a" * 60] * 5), "."],
)  # fmt: skip
def test_a_host_that_clients_read_differently_is_refused(authority: str):
    with pytest.raises(HttpFault) as fault:
        read_origin("https", authority)
    assert fault.value.code == "bad-host"


def test_an_absolute_target_is_split_once():
    origin, target = read_absolute("HTTP://CRM.corp:8080/a?b=c")
    assert (origin, target.sent) == (HttpOrigin("http", "crm.corp", 8080), "/a?b=c")
    assert read_absolute("https://crm.corp")[1].path == "/"
    assert read_absolute("https://crm.corp?a=b")[1].query == {"a": "b"}
    for wrong in ("/a", "ftp://x/", "http:/x", "http://a\\b/", "http://u@h/", "http://a#b"):
        with pytest.raises(HttpFault):
            read_absolute(wrong)


def test_a_host_alone():
    assert read_host("[::1]") == "::1"


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), max_size=4))
def test_whatever_path_is_read_is_sent_as_it_was_decided_on(segments: list[str]):
    written = encode_path("/" + "/".join(segments))
    try:
        target = read_target(written)
    except HttpFault:
        return
    assert read_target(target.sent).path == target.path == "/" + "/".join(segments)


@given(st.text(max_size=60))
def test_nothing_but_a_fault_comes_of_made_up_targets(text: str):
    for read in (read_target, read_absolute, read_form, read_host):
        with contextlib.suppress(HttpFault):
            read(text)  # type: ignore[operator]


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), st.text())))
def test_pairs_are_read_as_they_were_written(pairs: list[tuple[str, str]]):
    try:
        found = read_form(encode_pairs(pairs))
    except (HttpFault, UnicodeEncodeError):
        return
    assert list(found) == pairs
    assert sum(len(v) if isinstance(v, list) else 1 for v in grouped(found).values()) == len(pairs)


# Headers


def test_headers_are_found_in_any_case_and_passed_on_without_what_is_ours():
    headers = read_headers(
        [
            ("Host", "x"), ("Authorization", "Bearer k"), ("X-Trace", "a"), ("x-trace", "b"),
            ("Cookie", "c"), ("Connection", "keep-alive"), ("X-Remit-Session", "s"),
            ("X-Forwarded-For", "1.2.3.4"), ("Accept", "*/*"), ("Content-Length", "2"),
        ]
    )  # fmt: skip
    assert headers.one("X-TRACE") == "a, b"
    assert headers.one("x-none") is None
    assert headers.named(["Accept", "X-None"]) == {"accept": "*/*"}
    assert headers.forwarded() == [("X-Trace", "a"), ("x-trace", "b"), ("Accept", "*/*")]
    assert ("Cookie", "c") in headers.forwarded(["cookie"])
    assert "Content-Length" not in dict(headers.forwarded(["content-length"]))


@pytest.mark.parametrize(
    "pairs",
    [
        [("Host", "a"), ("host", "b")],
        [("Content-Length", "1"), ("Transfer-Encoding", "chunked")],
        [("X_Role", "admin")],
        [("X Role", "admin")],
        [("", "x")],
        [("X-A", "b\rc")],
        [("X-A", "b\nc")],
        [("X-A", "b\0c")],
        [("X-A", "\xe9")],
        [("X-HTTP-Method-Override", "DELETE")],
        [("X-Original-URL", "/admin")],
        [("Connection", "close, X-Role")],
        [("Connection", "upgrade"), ("Upgrade", "websocket")],
        [("Upgrade", "h2c")],
        [("Trailer", "X-A")],
        [("X-Tenant", "a"), ("X-Tenant", "b")],
    ],
)
def test_headers_that_servers_read_differently_are_refused(pairs: list[tuple[str, str]]):
    with pytest.raises(HttpFault):
        read_headers(pairs, once=["X-Tenant"])
