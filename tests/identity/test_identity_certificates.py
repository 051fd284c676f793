import contextlib
import ssl

import msgspec
import pytest
from certificate_making import HOUR, NOW_NS, Authority, pem
from hypothesis import given
from hypothesis import strategies as st

from remit.credentials import Right
from remit.errors import AuthenticationError
from remit.identity.certificates import identify_certificate, spiffe_id
from remit.identity.names import check_spiffe, check_spiffe_pattern
from remit.identity.settings import CertificateRule

CA = Authority()
BOT = "spiffe://corp.example/agents/inventory-bot"


def refused(der, word, now=NOW_NS):
    with pytest.raises(AuthenticationError, match=word):
        spiffe_id(der, now)


def test_the_one_uri_is_the_id():
    assert spiffe_id(CA.leaf(BOT, dns=["bot.corp.example"])[0], NOW_NS) == BOT
    assert spiffe_id(CA.leaf(BOT, use=None)[0], NOW_NS) == BOT


def test_certificates_that_name_no_workload():
    refused(CA.leaf(BOT, "spiffe://corp.example/other")[0], "exactly one")
    refused(CA.leaf(dns=["bot.corp.example"])[0], "exactly one")
    refused(CA.leaf(BOT, names=False)[0], "names no workload")
    refused(CA.leaf("https://corp.example/agents/bot")[0], "not a SPIFFE id")
    refused(CA.leaf(BOT, ca=True)[0], "signs others")
    refused(CA.leaf(BOT, use={"key_cert_sign": True})[0], "signs others")
    refused(b"", "names no workload")
    refused(b"\x30\x03\x02\x01\x00", "names no workload")


def test_validity_is_looked_at_for_each_request():
    der = CA.leaf(BOT)[0]
    second = 1_000_000_000
    assert spiffe_id(der, NOW_NS + 3600 * second)
    refused(der, "not valid now", NOW_NS + 3601 * second)
    refused(CA.leaf(BOT, start=HOUR / 2)[0], "not valid now")
    refused(CA.leaf(BOT, end=-HOUR / 2)[0], "not valid now")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "spiffe://",
        "spiffe://corp.example",
        "spiffe://corp.example/",
        "spiffe://corp.example/a/",
        "spiffe://corp.example//a",
        "spiffe://corp.example/a/../b",
        "spiffe://corp.example/.",
        "spiffe://CORP.example/a",
        "spiffe://corp.example:443/a",
        "spiffe://user@corp.example/a",
        "spiffe://corp.example/a?b",
        "spiffe://corp.example/a#b",
        "spiffe://corp.example/%61",
        "spiffe://corp.example/ä",
        "spiffe://corp.example/a\n",
        "SPIFFE://corp.example/a",
        "spiffe:///a",
        "spiffe://corp.example/" + "a" * 2048,
    ],
)
def test_what_is_no_spiffe_id(name):
    with pytest.raises(ValueError):
        check_spiffe(name)


def test_patterns():
    assert check_spiffe_pattern("spiffe://corp.example/agents/*")
    assert check_spiffe_pattern(BOT)
    for bad in ("*", "spiffe://*/a", "spiffe://corp.example/a*", "spiffe://corp.example/*/a"):
        with pytest.raises(ValueError):
            check_spiffe_pattern(bad)


def rules(*entries):
    return msgspec.convert(entries, tuple[CertificateRule, ...])


RULES = rules(
    {"spiffe": "spiffe://corp.example/agents/*", "rights": ["agent"], "team": "warehouse"},
    {
        "spiffe": "spiffe://corp.example/agents/mesh",
        "principal": "orchestrator",
        "kind": "service",
        "rights": ["agent"],
        "agents": ["inventory-bot"],
    },
    {
        "spiffe": "spiffe://corp.example/people/*",
        "principal": "somebody",
        "kind": "person",
        "roles": ["clerk"],
    },
)


def test_whom_a_name_stands_for():
    bot = identify_certificate(BOT, RULES)
    assert (bot.principal.id, bot.principal.team) == ("inventory-bot", "warehouse")
    assert (bot.rights, bot.credential) == ({Right.AGENT}, BOT)
    mesh = identify_certificate("spiffe://corp.example/agents/mesh", RULES)
    assert (mesh.principal.id, mesh.agents) == ("orchestrator", ("inventory-bot",))
    person = identify_certificate("spiffe://corp.example/people/ada", RULES)
    assert (person.principal.id, person.principal.roles) == ("somebody", ("clerk",))


@pytest.mark.parametrize(
    "name",
    [
        "spiffe://other.example/agents/inventory-bot",
        "spiffe://corp.example/agents",
        "spiffe://corp.example/agents/a/b",
        "spiffe://corp.example/x/agents/a",
        "spiffe://corp.example.evil.example/agents/a",
    ],
)
def test_names_that_stand_for_nobody(name):
    assert check_spiffe(name)
    with pytest.raises(AuthenticationError, match="nobody"):
        identify_certificate(name, RULES)


@given(st.binary(max_size=200))
def test_noise_is_refused_in_words(noise):
    refused(noise, "certificate")


def shake_hands(client, server):
    """A TLS handshake in memory; what the server sees of the client."""
    pipes = [ssl.MemoryBIO() for _ in range(2)]
    ends = [
        server.wrap_bio(pipes[0], pipes[1], server_side=True),
        client.wrap_bio(pipes[1], pipes[0], server_hostname="governor.corp.example"),
    ]
    for _ in range(6):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    with contextlib.suppress(ssl.SSLWantReadError):
        ends[0].read(1)
    return ends[0].getpeercert(binary_form=True)


def context(directory, purpose, authority, certificate, key, trusted):
    made = ssl.SSLContext(purpose)
    path = directory / f"{id(key)}.pem"
    path.write_bytes(pem(certificate) + pem(key))
    made.load_cert_chain(path)
    made.load_verify_locations(cadata=pem(trusted.certificate).decode())
    made.verify_mode = ssl.CERT_REQUIRED
    return made


def test_over_a_real_handshake(tmp_path):
    """The TLS layer lets in who is signed by the authority, and only those."""
    _, server_certificate, server_key = CA.leaf(dns=["governor.corp.example"])
    server = context(tmp_path, ssl.PROTOCOL_TLS_SERVER, CA, server_certificate, server_key, CA)
    der, certificate, key = CA.leaf(BOT)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, CA, certificate, key, CA)
    shown = shake_hands(client, server)
    assert shown == der
    assert identify_certificate(spiffe_id(shown, NOW_NS), RULES).principal.id == "inventory-bot"
    forger = Authority()
    _, certificate, key = forger.leaf(BOT)
    client = context(tmp_path, ssl.PROTOCOL_TLS_CLIENT, CA, certificate, key, CA)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server)
