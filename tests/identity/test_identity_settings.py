from pathlib import Path

import msgspec
import pytest

from remit.identity.names import check_principal_id
from remit.identity.settings import IdentitySettings

ISSUER = """
[[issuers]]
name = "corp"
issuer = "https://login.corp.example"
audience = ["remit"]
jwks_url = "https://login.corp.example/keys"
"""


def read(text):
    return msgspec.toml.decode(text, type=IdentitySettings, dec_hook=lambda _, name: Path(name))


def test_everything_is_off_until_it_is_set():
    empty = read("")
    assert (empty.issuers, empty.certificates, empty.peers) == ((), (), ())
    assert empty.delegation_lifetime == 3600


def test_an_issuer_of_few_words_is_strict():
    (issuer,) = read(ISSUER).issuers
    assert set(issuer.algorithms) == {"RS256", "ES256", "EdDSA"}
    assert (issuer.kind, issuer.rights, issuer.delegation) == ("agent", (), False)
    assert issuer.allowed_roles == ()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (ISSUER + 'algoritms = ["RS256"]', "algoritms"),
        (ISSUER + 'algorithms = ["HS256"]', "HS256"),
        (ISSUER + 'algorithms = ["none"]', "none"),
        (ISSUER + "algorithms = []", "must not be empty"),
        (ISSUER + 'jwks_file = "keys.json"', "either"),
        (ISSUER.replace("jwks_url", "#"), "either"),
        (ISSUER.replace("https://login.corp.example/k", "http://login.corp.example/k"), "https"),
        (ISSUER.replace("https://login.corp.example/k", "http://localhost.evil/k"), "https"),
        (ISSUER.replace('["remit"]', "[]"), "must not be empty"),
        (ISSUER.replace('audience = ["remit"]', ""), "audience"),
        (ISSUER + 'roles_claim = "groups"', "goes with"),
        (ISSUER + 'allowed_roles = ["x"]', "goes with"),
        (ISSUER + 'allowed_teams = ["x"]', "goes with"),
        (ISSUER + 'rights = ["reviewer"]', "cannot hold"),
        (ISSUER + "leeway = 3600", "600"),
        (ISSUER + ISSUER, "same name"),
        (ISSUER + ISSUER.replace('"corp"', '"two"'), "same issuer"),
        (
            ISSUER + ISSUER.replace('"corp"', '"two"').replace("login.corp", "login.two"),
            "same id_prefix",
        ),
        ('[[peers]]\nprincipal = "bot"', "either"),
        ('[[peers]]\nprincipal = "bot"\nuid = 1\nuser = "ada"', "either"),
        ('[[peers]]\nprincipal = "bot"\nuid = -1', ">= 0"),
        ('[[peers]]\nprincipal = ""\nuid = 1', "1 to 256"),
        ('[[peers]]\nprincipal = "bot"\nuid = 1\nrights = ["admin"]', "cannot hold"),
        ('[[peers]]\nprincipal = "bot"\nuid = 1\nagents = ["x"]', "service"),
        ('[[certificates]]\nspiffe = "spiffe://a.example/b"', "left out"),
        ('[[certificates]]\nspiffe = "https://a.example/b"\nprincipal = "x"', "SPIFFE"),
        ('[[certificates]]\nspiffe = "spiffe://a.example/b"\nprincipal = " x"', "seen"),
        ("delegation_lifetime = 1", ">= 60"),
    ],
)
def test_what_cannot_be_right_is_refused(text, word):
    with pytest.raises(msgspec.ValidationError, match=word):
        read(text)


def test_two_issuers_told_apart_by_a_prefix():
    two = ISSUER.replace('"corp"', '"two"').replace("login.corp", "login.two")
    assert len(read(ISSUER + two + 'id_prefix = "two:"').issuers) == 2


def test_keys_from_this_machine_need_no_tls():
    assert read(ISSUER.replace("https://login.corp.example/k", "http://127.0.0.1:8080/k"))


@pytest.mark.parametrize("name", ["a", "inventory-bot", "ada@corp.example", "Zoë", "x" * 256])
def test_ids(name):
    assert check_principal_id(name) == name
