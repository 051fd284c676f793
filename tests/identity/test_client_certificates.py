"""A guard that is connected over TLS: whom it believes, and whom the server takes it for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from certificate_making import Authority, pem

from guarding import RULES, write_policy
from remit import ConfigError, Guard, Unavailable
from remit.errors import AuthenticationError
from remoting import ServerThread

TLS = """
[server.tls]
certificate = "server.pem"
key = "server.pem"
client_ca = "ca.pem"
[[identity.certificates]]
spiffe = "spiffe://corp.example/bot"
principal = "bot"
rights = ["agent"]
"""

CA = Authority()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerThread]:
    write_policy(tmp_path, RULES)
    _, certificate, key = CA.leaf(dns=["localhost"])
    (tmp_path / "server.pem").write_bytes(pem(certificate) + pem(key))
    (tmp_path / "ca.pem").write_bytes(pem(CA.certificate))
    started = ServerThread(tmp_path, more=TLS)
    try:
        yield started
    finally:
        started.stop()


def test_a_client_certificate_says_who_calls(server: ServerThread, tmp_path: Path) -> None:
    url = server.url.replace("127.0.0.1", "localhost")
    _, certificate, key = CA.leaf("spiffe://corp.example/bot")
    shown = tmp_path / "bot.pem"
    shown.write_bytes(pem(certificate) + pem(key))
    with Guard.connect(url, ca=tmp_path / "ca.pem", certificate=shown) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            assert note("a") == "a"
    _, certificate, key = CA.leaf("spiffe://corp.example/another")
    shown.write_bytes(pem(certificate) + pem(key))
    with (
        Guard.connect(url, ca=tmp_path / "ca.pem", certificate=shown) as guard,
        pytest.raises(AuthenticationError),
    ):
        guard.session(agent="bot")
    with Guard.connect(url, ca=tmp_path / "ca.pem", credential=server.key("bot")) as guard:
        assert guard.session(agent="bot").agent == "bot"


def test_only_the_server_that_was_meant_is_believed(server: ServerThread, tmp_path: Path) -> None:
    key = server.key("bot")
    other = tmp_path / "other.pem"
    other.write_bytes(pem(Authority().certificate))
    named = server.url.replace("127.0.0.1", "localhost")
    for url, ca in ((named, None), (named, other), (server.url, tmp_path / "ca.pem")):
        with (
            Guard.connect(url, ca=ca, credential=key) as guard,
            pytest.raises(Unavailable, match="certificate"),
        ):
            guard.session(agent="bot")
    other.write_bytes(b"nothing")
    with pytest.raises(ConfigError):
        Guard.connect(named, ca=other)
