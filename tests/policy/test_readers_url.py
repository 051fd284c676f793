import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.policy.readers import UnreadableValue, url
from remit.policy.readers.url import read

PRIVATE = [
    "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/", "http://0x7f000001/",
    "http://0177.0.0.1/", "http://017700000001/", "http://127.0.0.1./", "http://0/", "http://0.0.0.0/",
    "http://10.0.0.1/", "http://172.16.3.4/", "http://192.168.1.1/", "http://100.64.1.1/",
    "http://169.254.169.254/latest/meta-data", "http://2852039166/", "http://0xa9fea9fe/",
    "http://[fd00:ec2::254]/", "http://224.0.0.1/", "http://255.255.255.255/", "http://240.0.0.1/",
    "http://192.0.0.8/", "http://192.88.99.1/", "http://198.18.0.1/", "http://192.0.2.1/",
    "http://[::1]/", "http://[::]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:10.0.0.1]/",
    "http://[::127.0.0.1]/", "http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b:1::1]/",
    "http://[2002:7f00:1::]/", "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "http://[fe80::1]/",
    "http://[fc00::1]/", "http://[ff02::1]/", "http://[2001:db8::1]/",
    "http://localhost/", "http://LOCALHOST:8080/", "http://localhost./", "http://a.localhost/",
    "http://metadata.google.internal/", "http://printer.local/", "http://server/", "http://db.corp/",
    "http://127。0。0。1/", "http://①②⑦.0.0.1/", "http://１２７.1/", "http://127.0.0.1.nip.io/",
    "http://localtest.me/", "file:///etc/passwd", "data:text/plain,x", "javascript:alert(1)",
    "mailto:a@b.c", "gopher://x.example/", "custom://10.0.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("value", PRIVATE)
def test_addresses_inside_are_private(value):
    assert read(value).private


@pytest.mark.parametrize(
    "value",
    [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://good.example\\@evil.example/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_probe_p21_url(value):
    try:
        reading = read(value)
    except UnreadableValue:
        return
    assert reading.private
    assert reading.host != "good.example"


@pytest.mark.parametrize(
    "value",
    [
        "", "x", "/x", "//x/y", "http:", "http:x", "http:/x", "http:///x", "http://", "http://?x",
        "http://good.example\\@evil.example/", "http://good.example@evil.example/", "http://a:b@c.example/",
        "http://@c.example/", "http:\\\\evil.example", "http://a b/", "http://a.example/ b", " http://a.example/",
        "http://a.example\t/", "http://a\n.example/", "http://a.example/\x00", "ht\ttp://a.example/",
        "http://good.example＠evil.example/", "http://good.example%40evil.example/", "http://ex%61mple.com/",
        "http://a..b/", "http://.a.example/", "http://-a.example/", "http://a,b.example/", "http://1.2.3.4.5/",
        "http://256.1.1.1/", "http://a.example:99999/", "http://a.example:x/", "http://[::1", "http://[fe80::1%25eth0]/",
        "http://a\u200b.example/", "http://a\u00ad.example/", "http://a.example\u2028/", "http://xn--\u200d/",
        "http://good.example\u3000/", "http://a.example/\ud800",
        "1http://a.example", "http://a.b'c.example/",
    ],
)  # fmt: skip
def test_urls_that_clients_read_differently_are_unreadable(value):
    with pytest.raises(UnreadableValue, match=r"url\(\)"):
        read(value)


@pytest.mark.parametrize(
    "value", [None, 1, ["http://a.example"], "http://a.example/" + "x" * 70_000]
)
def test_only_text_of_bearable_length_is_read(value):
    with pytest.raises(UnreadableValue):
        read(value)


@pytest.mark.parametrize(
    ("value", "host", "port", "path", "query", "origin"),
    [
        ("https://example.com", "example.com", 443, "/", "", "https://example.com"),
        (
            "HTTPS://API.Example.com/v1?a=b#c",
            "api.example.com",
            443,
            "/v1",
            "a=b",
            "https://api.example.com",
        ),
        (
            "http://example.com:8080/a/../b",
            "example.com",
            8080,
            "/b",
            "",
            "http://example.com:8080",
        ),
        ("http://example.com:80/", "example.com", 80, "/", "", "http://example.com"),
        ("https://example.com./x", "example.com", 443, "/x", "", "https://example.com"),
        (
            "https://bücher.example/",
            "xn--bcher-kva.example",
            443,
            "/",
            "",
            "https://xn--bcher-kva.example",
        ),
        (
            "https://example.com/a%2fb?x=%20&y=ä",
            "example.com",
            443,
            "/a%2fb",
            "x=%20&y=%C3%A4",
            "https://example.com",
        ),
        ("wss://example.com/s", "example.com", 443, "/s", "", "wss://example.com"),
        ("ftp://example.com/f", "example.com", 21, "/f", "", "ftp://example.com"),
        ("http://8.8.8.8/", "8.8.8.8", 80, "/", "", "http://8.8.8.8"),
        (
            "http://[2606:4700::1111]:81/",
            "2606:4700::1111",
            81,
            "/",
            "",
            "http://[2606:4700::1111]:81",
        ),
        ("https://a_b.example.com/", "a_b.example.com", 443, "/", "", "https://a_b.example.com"),
        ("https://xn--crp-sed.com/", "xn--crp-sed.com", 443, "/", "", "https://xn--crp-sed.com"),
        ("https://example.com/@user", "example.com", 443, "/@user", "", "https://example.com"),
        (
            "https://example.com/?next=http://10.0.0.1/",
            "example.com",
            443,
            "/",
            "next=http://10.0.0.1/",
            "https://example.com",
        ),
        ("http://[2002:808:808::]/", "2002:808:808::", 80, "/", "", "http://[2002:808:808::]"),
        (
            "http://[64:ff9b::8.8.8.8]/",
            "64:ff9b::808:808",
            80,
            "/",
            "",
            "http://[64:ff9b::808:808]",
        ),
    ],
)
def test_ordinary_urls_are_read(value, host, port, path, query, origin):
    reading = read(value)
    assert (reading.host, reading.port, reading.path, reading.query, reading.origin) == (
        host, port, path, query, origin,
    )  # fmt: skip
    assert reading.scheme == value.partition(":")[0].lower()
    assert not reading.private


def test_schemes_without_a_host_have_none():
    reading = read("file:///etc/passwd?x")
    assert (reading.scheme, reading.host, reading.port, reading.origin) == ("file", "", 0, "")
    assert (reading.path, reading.query) == ("/etc/passwd", "x")


@given(st.text() | st.text("htps:/@\\[]0123456789abcdefx.%#?", max_size=40).map("http://".__add__))
def test_any_text_is_read_or_unreadable(value):
    try:
        reading = read(value)
    except UnreadableValue:
        return
    assert isinstance(reading, url.UrlReading)
    assert reading.host or reading.private


@given(st.integers(0, 2**32 - 1))
def test_every_number_is_the_address_that_it_spells(number):
    dotted = ".".join(str(byte) for byte in number.to_bytes(4))
    reading = read(f"http://{dotted}/")
    for spelling in (number, hex(number), f"0{number:o}"):
        other = read(f"http://{spelling}/")
        assert (other.host, other.private) == (dotted, reading.private)
    mapped = read(f"http://[::ffff:{dotted}]/")
    assert mapped.private == reading.private
