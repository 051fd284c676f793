"""Bodies of HTTP requests and answers as JSON values."""

from __future__ import annotations

import contextlib
import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.protocols.http_body import LIMITS, NO_BODY, media_type, read_body, read_json, read_shown
from remit.protocols.http_csv import read_csv, write_csv
from remit.protocols.http_target import HttpFault
from remit.protocols.http_xml import MAX_DEPTH, MAX_ELEMENTS, read_xml, soap_call

FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=abc"


def test_media_types():
    found = media_type(' Text/XML; Charset="utf-8" ;action=x')
    assert (found.name, found.parameters) == ("text/xml", {"charset": "utf-8", "action": "x"})
    for wrong in ("", "json", "a/b; c", "a/b; c=1; C=2", 'a/b; c="\\""', "a/b, c/d"):
        with pytest.raises(HttpFault) as fault:
            media_type(wrong)
        assert fault.value.status == 415


@pytest.mark.parametrize(
    ("media", "raw", "kind", "value"),
    [
        ("application/json", b'{"a": [1, "b"]}', "json", {"a": [1, "b"]}),
        ("application/vnd.api+json; charset=UTF-8", b"[]", "json", []),
        (FORM, b"a=1&b=x+y&a=2", "form", {"a": ["1", "2"], "b": "x y"}),
        ("text/plain", "é".encode(), "text", "é"),
        ("text/xml", b"<a>b</a>", "xml", {"a": "b"}),
        ("application/soap+xml", b"<a/>", "xml", {"a": ""}),
        ("application/graphql", b"{ a }", "text", "{ a }"),
    ],
)
def test_bodies_become_values(media: str, raw: bytes, kind: str, value: object):
    body = read_body(media, None, raw)
    assert (body.kind, body.value, body.raw) == (kind, value, raw)


def test_what_has_no_structure_is_said_in_short():
    body = read_body("image/png", "identity", b"\x89PNG")
    digest = hashlib.sha256(b"\x89PNG").hexdigest()
    assert body.value == {"media": "image/png", "bytes": 4, "sha256": digest}
    assert read_body(None, None, b"") is NO_BODY


@pytest.mark.parametrize(
    ("media", "encoding", "raw", "status"),
    [
        (None, None, b"x", 415),
        ("application/json", "gzip", b"x", 415),
        ("application/json; charset=utf-16", None, b"{}", 415),
        ("application/json", None, b'{"a": 1, "a": 2}', 400),
        ("application/json", None, b'{"b": [{"a": 1, "A": 2}]}', 400),
        ("application/json", None, b'{"a": 1, "\xef\xbd\x81": 2}', 400),
        ("application/json", None, b"NaN", 400),
        ("application/json", None, b"[" * 60 + b"]" * 60, 400),
        ("application/json", None, b'"' + b"a" * LIMITS.bytes + b'"', 413),
        ("text/plain", None, b"a" * (LIMITS.bytes + 1), 413),
        ("text/plain", None, b"\xff", 400),
        (FORM, None, b"a=%zz", 400),
        (FORM, None, b"a=1&A=2", 400),
    ],
)
def test_bodies_that_servers_read_differently_are_refused(
    media: str | None, encoding: str | None, raw: bytes, status: int
):
    with pytest.raises(HttpFault) as fault:
        read_body(media, encoding, raw)
    assert fault.value.status == status


def test_answers_are_read_as_far_as_that_goes():
    assert read_shown("application/json", b'{"a": 1, "A": 2}').value == {"a": 1, "A": 2}
    assert read_shown("application/json", b"not json").kind == "opaque"
    assert read_shown("application/json", b"{}", "gzip").kind == "opaque"
    assert read_shown(None, b"x").kind == "opaque"
    assert read_shown("text/html", b"<p>").value == "<p>"
    assert read_shown("text/csv", b"a,b\r\n1,2\r\n").value == [{"a": "1", "b": "2"}]
    assert read_shown("text/csv", b"a,b\r\n1\r\n").kind == "text"
    assert read_shown("x", b"y").media == "x"
    assert read_shown("text/plain", b"") is NO_BODY


@given(st.binary(max_size=200), st.sampled_from(["application/json", FORM, PARTS, "text/xml"]))
def test_nothing_but_a_fault_comes_of_made_up_bodies(raw: bytes, media: str):
    with contextlib.suppress(HttpFault):
        json.dumps(read_body(media, None, raw).value)


def test_a_number_that_is_no_json_says_where():
    with pytest.raises(HttpFault, match=r"args\.x"):
        read_json(b"[1,]", "args.x")


# Tables


def test_tables_by_column():
    rows = read_csv('id,name\r\n1,"Byron, Ada"\r\n2,"a ""b"""\r\n')
    assert rows == [{"id": "1", "name": "Byron, Ada"}, {"id": "2", "name": 'a "b"'}]
    assert read_csv(write_csv(rows).decode()) == rows


@pytest.mark.parametrize("written", ["", "a,b", "a,A\n1,2", "a,\n1,2", "a,b\n1", 'a,b\n"1,2',
                                     ",".join(map(str, range(600))) + "\n1"])  # fmt: skip
def test_what_is_no_sure_table(written: str):
    assert read_csv(written) is None


# Multipart


def part(head: str, content: str = "x") -> bytes:
    return f"--abc\r\n{head}\r\n\r\n{content}\r\n".encode()


NAME = 'Content-Disposition: form-data; name="a"'
FILE = 'Content-Disposition: form-data; name="f"; filename="x.csv"'


def test_multipart_parts_by_name():
    raw = (
        part(NAME)
        + part(NAME, "")
        + part(f"{FILE}\r\nContent-Type: text/csv", "1,2")
        + b"--abc--\r\n"
    )
    value = read_body(PARTS, None, raw).value
    digest = hashlib.sha256(b"1,2").hexdigest()
    file = {"filename": "x.csv", "media": "text/csv", "bytes": 3, "sha256": digest}
    assert value == {"a": ["x", ""], "f": file}
    assert read_body(PARTS, None, part(f"{NAME}\r\nContent-Length: 1") + b"--abc--").value == {
        "a": "x"
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"x" + part(NAME) + b"--abc--",
        part(NAME),
        part(NAME) + b"--abc--x",
        part("X: y") + b"--abc--",
        part(f"{NAME}\r\nX-A: b") + b"--abc--",
        part(f"{NAME}\r\n{NAME}") + b"--abc--",
        part(f"{NAME}\r\nContent-Type text/plain") + b"--abc--",
        part(f"{NAME}\nContent-Type: text/plain") + b"--abc--",
        part(f"{NAME}\r\nContent-Type: b@d") + b"--abc--",
        part(f"{NAME}\r\nContent-Type: a/{'b' * 2000}") + b"--abc--",
        part('Content-Disposition: form-data; name="a"; name="b"') + b"--abc--",
        part('Content-Disposition: form-data; name="a"; filename="../x"') + b"--abc--",
        part("Content-Disposition: form-data; name=a") + b"--abc--",
        part('Content-Disposition: form-data; name="_method"') + b"--abc--",
        part('Content-Disposition: form-data; name=" a"') + b"--abc--",
        part(NAME) + part(NAME.replace('"a"', '"A"')) + b"--abc--",
        part(NAME, "\n--abc\nhidden") + b"--abc--",
        b"--abc\r\n" + NAME.encode() + b"\r\n--abc--",
        b"--abc" + NAME.encode() + b"\r\n\r\nx\r\n--abc--",
        part(NAME, "TEXT").replace(b"TEXT", b"\xff") + b"--abc--",
        part(NAME) * 201 + b"--abc--",
    ],
)  # fmt: skip
def test_multipart_that_servers_read_differently_is_refused(raw: bytes):
    with pytest.raises(HttpFault) as fault:
        read_body(PARTS, None, raw)
    assert fault.value.code in ("bad-multipart", "look-alike-names")


@pytest.mark.parametrize("media", ["multipart/form-data", 'multipart/form-data; boundary="a b"'])
def test_multipart_needs_a_plain_boundary(media: str):
    with pytest.raises(HttpFault, match="boundary"):
        read_body(media, None, b"x")


# XML and SOAP


def test_xml_by_element():
    found = read_xml(
        b'<?xml version="1.0" encoding="utf-8"?><a x="1">t<b/><b>2</b> <c xmlns="u">3</c></a>'
    )
    assert found == {"a": {"@x": "1", "b": ["", "2"], "{u}c": "3", "#text": "t"}}
    assert read_xml(b"<a><b/>\n</a>") == {"a": {"b": ""}}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<a>",
        b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://x/"><a/>',
        b"<?php x?><a/>",
        b'<?xml version="1.0" encoding="latin-1"?><a/>',
        b"<a>\xff</a>",
        b"<a>" * (MAX_DEPTH + 2) + b"</a>" * (MAX_DEPTH + 2),
        b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>",
        b"<a>&other;</a>",
    ],
)
def test_xml_with_more_in_it_is_refused(raw: bytes):
    with pytest.raises(HttpFault):
        read_xml(raw)


def envelope(
    body: str, space: str = "http://schemas.xmlsoap.org/soap/envelope/", head: str = ""
) -> dict[str, object]:
    return read_xml(
        f'<s:Envelope xmlns:s="{space}">{head}<s:Body>{body}</s:Body></s:Envelope>'.encode()
    )


ORDER = '<Buy xmlns="urn:shop"><item>7</item></Buy>'


@pytest.mark.parametrize("action", [None, "", '""', "Buy", '"urn:shop/Buy"', "urn:shop#Buy"])
def test_soap_messages_name_what_they_ask_for(action: str | None):
    for space in (
        "http://schemas.xmlsoap.org/soap/envelope/",
        "http://www.w3.org/2003/05/soap-envelope",
    ):
        call = soap_call(envelope(ORDER, space), action)
        assert call is not None
        assert (call.action, call.namespace, call.arguments) == ("Buy", "urn:shop", {"item": "7"})
    assert soap_call(read_xml(b"<a/>"), None) is None
    empty = soap_call(envelope("<Ping/>"), None)
    assert empty is not None
    assert (empty.namespace, empty.arguments) == ("", {})


ADDRESSED = (
    '<s:Header><Action xmlns="http://www.w3.org/2005/08/addressing">urn:{}</Action></s:Header>'
)


def test_soap_addressing_names_the_same():
    assert soap_call(envelope(ORDER, head=ADDRESSED.format("Buy")), None) is not None
    with pytest.raises(HttpFault):
        soap_call(envelope(ORDER, head=ADDRESSED.format("Cancel")), None)


@pytest.mark.parametrize(
    ("body", "action"),
    [(ORDER, "Cancel"), (ORDER, "urn:shop/NotBuy"), (ORDER + "<Cancel/>", None),
     (ORDER + ORDER, None), ("", None), ("text", None)],
)  # fmt: skip
def test_soap_messages_that_ask_for_two_things_are_refused(body: str, action: str | None):
    with pytest.raises(HttpFault):
        soap_call(envelope(body), action)


def test_a_soap_envelope_without_a_body_is_refused():
    with pytest.raises(HttpFault):
        soap_call(read_xml(b'<Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"/>'), None)
