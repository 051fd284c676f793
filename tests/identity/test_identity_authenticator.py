import json
import os
import secrets
from pathlib import Path

import msgspec
import pytest
from certificate_making import NOW_NS, Authority
from token_issuing import ISSUER, claims, document, signed
from token_issuing import keys as token_keys

from identities import settings_in
from remit.credentials import CredentialId, Right
from remit.errors import AuthenticationError, ConfigError
from remit.identity import Peer, RequestFacts, authenticator, keys, permits
from remit.identity.authenticator import Authenticator
from remit.identity.delegation import attenuate, narrowing_of
from remit.identity.settings import IdentitySettings
from remit.storage.memory import MemoryStore

CA = Authority()
BOT_CERTIFICATE = CA.leaf("spiffe://corp.example/agents/cert-bot")[0]
ME = os.getuid()
TOKEN_KEYS = token_keys()
SETTINGS = {
    "issuers": [
        {
            "name": "corp",
            "issuer": ISSUER,
            "audience": ["remit"],
            "jwks_file": "jwks.json",
            "rights": ["agent"],
        }
    ],
    "certificates": [{"spiffe": "spiffe://corp.example/agents/*", "rights": ["agent"]}],
    "peers": [{"uid": ME, "principal": "socket-bot", "rights": ["agent"]}],
}
SOCKET = Peer(1, ME, 1)


class Place:
    """An authenticator with a store behind it."""

    def __init__(self, directory):
        self.authenticator = Authenticator.open(settings_in(directory, SETTINGS))
        self.authenticator.rings["corp"].load(document(*TOKEN_KEYS.values()), NOW_NS)
        self.store = MemoryStore()

    def key(self, principal="key-bot", kind="agent", rights=(Right.AGENT,), **more):
        return self.store.write(
            lambda t: keys.issue(
                t,
                principal=principal,
                kind=kind,
                rights=frozenset(rights),
                now=NOW_NS,
                entropy=secrets.token_bytes,
                **more,
            )
        )

    def ask(self, *authorization, transport="tcp", now=NOW_NS, **facts):
        shown = RequestFacts(transport=transport, authorization=authorization, **facts)

        def lookup(name):
            return self.store.read(lambda t: t.credential(name))

        return self.authenticator.authenticate(shown, lookup, now)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_an_api_key(place):
    issued = place.key(kind="service", agents=["bot"])
    identity = place.ask(f"Bearer {issued.text}")
    assert (identity.principal.id, identity.principal.kind) == ("key-bot", "service")
    assert identity.credential == f"key:{issued.credential.id}"
    assert (identity.rights, identity.agents) == ({Right.AGENT}, ("bot",))
    assert identity.principal.known == "authenticated"
    assert identity.principal.roles == ()
    assert issued.text not in repr(identity)


def test_a_token(place):
    token = signed(TOKEN_KEYS["ES256"], "ES256", claims(), kid="ES256")
    at = 1_800_000_000 * 10**9
    place.authenticator.rings["corp"].load(document(*TOKEN_KEYS.values()), at)
    assert place.ask(f"bearer  {token}", now=at).credential == "jwt:corp"


def test_a_delegation(place):
    root = place.authenticator.root
    issued = place.key()
    token = root.mint(issued.credential, narrowing_of(until=NOW_NS + 10**12))
    token = attenuate(token, root.public_key, narrowing_of(tools=["db.*"]))
    identity = place.ask(f"Bearer {token}")
    assert identity.credential == f"delegation:{issued.credential.id}"
    assert permits(identity, "web.get", None, NOW_NS) is not None
    place.store.write(lambda t: keys.revoke(t, issued.credential.id, NOW_NS))
    with pytest.raises(AuthenticationError, match="not active"):
        place.ask(f"Bearer {token}")


def test_a_certificate_counts_on_tls_only(place):
    identity = place.ask(transport="tls", certificate=BOT_CERTIFICATE)
    assert identity.principal.id == "cert-bot"
    for transport in ("tcp", "unix"):
        with pytest.raises(AuthenticationError, match="Say who you are"):
            place.ask(transport=transport, certificate=BOT_CERTIFICATE)


def test_a_peer_counts_on_the_socket_only(place):
    assert place.ask(transport="unix", peer=SOCKET).principal.id == "socket-bot"
    for transport in ("tcp", "tls"):
        with pytest.raises(AuthenticationError, match="Say who you are"):
            place.ask(transport=transport, peer=SOCKET)


def test_a_header_comes_first_and_never_falls_back(place):
    good = place.key().text
    assert place.ask(f"Bearer {good}", transport="unix", peer=SOCKET).principal.id == "key-bot"
    shown = {"transport": "tls", "certificate": BOT_CERTIFICATE}
    assert place.ask(f"Bearer {good}", **shown).principal.id == "key-bot"
    for bad in ("Bearer remit_x", "Bearer", "Bearer ", "Basic YWRhOmFkYQ==", "", good):
        with pytest.raises(AuthenticationError):
            place.ask(bad, transport="unix", peer=SOCKET)
        with pytest.raises(AuthenticationError):
            place.ask(bad, **shown)


def test_a_bad_certificate_is_refused(place):
    der = CA.leaf("spiffe://other.example/agents/cert-bot")[0]
    with pytest.raises(AuthenticationError, match="nobody"):
        place.ask(transport="tls", certificate=der)


def test_one_header_is_enough(place):
    good = f"Bearer {place.key().text}"
    with pytest.raises(AuthenticationError, match="one Authorization"):
        place.ask(good, good)


def test_nothing_shown(place):
    for transport in ("tcp", "tls", "unix"):
        with pytest.raises(AuthenticationError, match="Authorization: Bearer") as error:
            place.ask(transport=transport)
        assert error.value.refresh is None


def test_refusals_never_quote_the_credential(place):
    key = place.key().text
    secret = key.rpartition("_")[2]
    place.store.write(lambda t: keys.revoke(t, CredentialId(key.split("_")[1]), NOW_NS))
    token = signed(TOKEN_KEYS["ES256"], "ES256", claims(exp=1))
    for shown in (key, key[:-1] + "7", token, f"biscuit_{secret}", f"x{secret}"):
        with pytest.raises(AuthenticationError) as error:
            place.ask(f"Bearer {shown}")
        assert secret[:20] not in str(error.value)
        assert token.rpartition(".")[2] not in str(error.value)


def test_uses_are_counted_once_and_taken_once(place, monkeypatch):
    first, second = place.key(), place.key()
    for now in (NOW_NS, NOW_NS + 5):
        place.ask(f"Bearer {first.text}", now=now)
    root = place.authenticator.root
    token = root.mint(second.credential, narrowing_of(until=NOW_NS + 10**12))
    place.ask(f"Bearer {token}")
    assert place.authenticator.take_uses() == {
        first.credential.id: NOW_NS + 5,
        second.credential.id: NOW_NS,
    }
    assert place.authenticator.take_uses() == {}
    monkeypatch.setattr(authenticator, "_MAX_USES", 1)
    for issued in (first, second, first):
        place.ask(f"Bearer {issued.text}")
    assert list(place.authenticator.take_uses()) == [first.credential.id]


def test_files_are_beside_the_settings(tmp_path):
    place = Place(tmp_path)
    assert (tmp_path / "remit.delegation").stat().st_mode & 0o777 == 0o600
    assert place.authenticator.rings["corp"].source == str(tmp_path / "jwks.json")
    url = SETTINGS["issuers"][0] | {"jwks_url": "https://login.corp.example/keys"}
    del url["jwks_file"]
    settings = settings_in(tmp_path, {"issuers": [url]})
    opened = Authenticator.open(settings)
    assert opened.rings["corp"].source == "https://login.corp.example/keys"
    (tmp_path / "remit.delegation").chmod(0o644)
    with pytest.raises(ConfigError):
        Authenticator.open(settings)


def test_settings_survive_json():
    settings = settings_in(Path("/etc/remit"), SETTINGS)
    text = json.dumps(msgspec.to_builtins(settings, enc_hook=str))
    read = msgspec.json.decode(text, type=IdentitySettings, dec_hook=lambda _, name: Path(name))
    assert read == settings
