import base64
import hmac
import json
import warnings
from functools import partial
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, RSAKey
from token_issuing import ISSUER, NOW, NOW_NS, claims, document, keys, shared_secret, signed

from remit.credentials import Right
from remit.errors import AuthenticationError, ConfigError
from remit.identity.jwks import MAX_AGE, MIN_INTERVAL, PATIENCE, KeyRing
from remit.identity.settings import TokenIssuer
from remit.identity.tokens import TokenVerifier

KEYS = keys()
RS = KEYS["RS256"]


def issuer(**changed):
    fields = {
        "name": "corp",
        "issuer": ISSUER,
        "audience": ["remit", "remit-test"],
        "jwks_file": "jwks.json",
        "rights": ["agent"],
    }
    return msgspec.convert(fields | changed, TokenIssuer, dec_hook=lambda _, name: Path(name))


def verifier(*found, **changed):
    ring = KeyRing("jwks.json")
    ring.load(document(*(found or KEYS.values())), NOW_NS)
    return TokenVerifier([issuer(**changed)], {"corp": ring})


def identify(token, **changed):
    return verifier(**changed).identify(token, NOW_NS)


def refused(word, token, **changed):
    with pytest.raises(AuthenticationError, match=word) as error:
        identify(token, **changed)
    return error.value


rs = partial(signed, RS, "RS256")


# Signatures.


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_good_token_of_each_algorithm(algorithm):
    identity = identify(signed(KEYS[algorithm], algorithm, claims()))
    assert identity.principal.id == "inventory-bot"
    assert identity.principal.known == "authenticated"
    assert (identity.rights, identity.credential) == (frozenset({Right.AGENT}), "jwt:corp")


def test_an_algorithm_must_be_on_the_list():
    refused("algorithm", rs(claims()), algorithms=["ES256"])
    refused("algorithm", signed(RS, "PS256", claims()))
    assert identify(signed(RS, "PS256", claims()), algorithms=["PS256"])
    with pytest.raises(msgspec.ValidationError):
        issuer(algorithms=["HS256"])
    with pytest.raises(msgspec.ValidationError):
        issuer(algorithms=["none"])


def test_algorithm_confusion():
    """Signed with HMAC under the public key, in every spelling of it that is public."""
    public = RS.as_pem(private=False)
    for secret in (public, public.strip(), json.dumps(RS.as_dict(private=False)).encode()):
        content = f"{part({'alg': 'HS256', 'kid': 'RS256'})}.{part(claims())}"
        mac = hmac.digest(secret, content.encode(), "sha256")
        token = f"{content}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        refused("algorithm", token)
    assert identify(rs(claims()))


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def test_no_signature_at_all():
    for algorithm in ("none", "None", "NONE", "", None, 7):
        header = {"alg": algorithm, "kid": "RS256"}
        for end in ("", rs(claims()).rpartition(".")[2]):
            with pytest.raises(AuthenticationError):
                identify(f"{part(header)}.{part(claims())}.{end}")


def test_a_key_of_another_kind_than_the_algorithm():
    token = signed(KEYS["ES256"], "ES256", claims(), kid="RS256")
    refused("signature", token)


def test_another_signer_and_changed_claims():
    other = RSAKey.generate_key(2048, {"kid": "RS256"})
    refused("signature", signed(other, "RS256", claims()))
    head, _, signature = rs(claims()).split(".")
    body = rs(claims(sub="admin-bot")).split(".")[1]
    refused("signature", f"{head}.{body}.{signature}")


def test_headers_that_bring_their_own_key_are_not_followed():
    attacker = RSAKey.generate_key(2048, {"kid": "evil"})
    inline = attacker.as_dict(private=False)
    refused("publish", signed(attacker, "RS256", claims(), jwk=inline))
    refused("signature", signed(attacker, "RS256", claims(), kid="RS256", jwk=inline))
    token = signed(attacker, "RS256", claims(), kid="RS256", jku="https://evil.example")
    refused("signature", token)


def test_critical_headers_that_nobody_knows_are_refused():
    for header in ({"crit": ["b64"], "b64": False}, {"crit": ["x-more"], "x-more": 1}):
        with pytest.raises(AuthenticationError):
            identify(rs(claims(), **header))
    assert identify(rs(claims(), nonce="not critical"))


@pytest.mark.parametrize(
    "token",
    ["", "x", "a.b.c", "..", "....", "e30.e30.", "e30.e30.e30", "a.b.c.d.e", "W10.e30.AA"],
)
def test_what_is_no_token(token):
    refused("nor a signed token", token)


def test_tokens_out_of_bounds():
    refused("16384", rs(claims(padding="x" * 16_000)))
    refused("16384", "é")


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_noise_is_refused_in_words(one, two, three):
    with pytest.raises(AuthenticationError):
        identify(f"{one}.{two}.{three}")


# Claims.


def test_expiry_and_clock_skew():
    assert identify(rs(claims(exp=NOW - 59)))
    refused("expired", rs(claims(exp=NOW - 60)))
    refused("expired", rs(claims(exp=NOW)), leeway=0)
    assert identify(rs(claims(exp=NOW + 1)), leeway=0)


def test_not_before_and_issued_at():
    assert identify(rs(claims(nbf=NOW + 60)))
    refused("nbf", rs(claims(nbf=NOW + 61)))
    assert identify(rs(claims(iat=NOW + 60)))
    refused("iat", rs(claims(iat=NOW + 61)))
    assert identify(rs(claims(iat=None)))


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", [NOW], {}, "1800000300"])
def test_times_are_numbers(claim, value):
    refused(claim, rs(claims(**{claim: value})))


def test_a_token_for_ever_is_not_believed():
    refused("lives longer", rs(claims(exp=NOW + 90_000)))
    refused("lives longer", rs(claims(iat=NOW - 90_000)))
    refused("lives longer", rs(claims(iat=None, exp=NOW + 90_000)))
    assert identify(rs(claims(exp=NOW + 90_000)), max_lifetime=100_000)


@pytest.mark.parametrize(
    "audience", ["other", ["other"], [], "", "REMIT", {"remit": 1}, ["remit", 1]]
)
def test_the_audience(audience):
    refused("aud", rs(claims(aud=audience)))


def test_one_audience_of_several_is_enough():
    assert identify(rs(claims(aud=["other", "remit-test"])))


@pytest.mark.parametrize("claim", ["exp", "aud", "sub", "azp"])
def test_claims_that_must_be_there(claim):
    token = rs(claims(**{"azp": "console", claim: None}))
    refused(f"no claim '{claim}'", token, required=["azp"])


def test_the_issuer_is_matched_exactly():
    for other in ("https://evil.example", ISSUER + "/", ISSUER.upper()):
        refused("issuer", rs(claims(iss=other)))
    refused("nor a signed token", rs(claims(iss=None)))
    refused("nor a signed token", rs(claims(iss=[ISSUER])))


def test_types_of_token():
    assert identify(rs(claims(), typ="at+JWT"))
    refused("type", rs(claims(), typ="logout+jwt"))


@pytest.mark.parametrize("name", ["", 7, ["a"], "x" * 257, "a\u200bb", " a", "a\n"])
def test_ids_that_are_none(name):
    refused("claim", rs(claims(sub=name)))


def test_the_id_claim_and_its_prefix():
    identity = identify(rs(claims(client="bot-7")), id_claim="client", id_prefix="corp:")
    assert identity.principal.id == "corp:bot-7"


# Mapping.


def test_roles_and_team_only_from_the_lists():
    token = rs(claims(groups=["reader", "root", 7], dept="warehouse"))
    mapped = {
        "roles_claim": "groups",
        "allowed_roles": ["reader", "writer"],
        "team_claim": "dept",
        "allowed_teams": ["warehouse"],
    }
    principal = identify(token, **mapped).principal
    assert (principal.roles, principal.team) == (("reader",), "warehouse")
    principal = identify(rs(claims(groups={"reader": 1}, dept="sales")), **mapped).principal
    assert (principal.roles, principal.team) == ((), None)
    both = rs(claims(dept=["warehouse", "sales"]))
    refused("one team", both, **mapped | {"allowed_teams": ["warehouse", "sales"]})


def test_raw_claims_give_neither_rights_nor_roles():
    token = rs(claims(rights=["admin"], roles=["root"], kind="person", agents=["x"]))
    identity = identify(token)
    assert identity.rights == {Right.AGENT}
    assert (identity.principal.roles, identity.principal.kind) == ((), "agent")


PEOPLE = {
    "rights": [],
    "kind": "person",
    "rules": [
        {"claim": "groups", "equals": "finance", "roles": ["finance"], "rights": ["reviewer"]},
        {"claim": "groups", "equals": "audit", "rights": ["auditor"], "team": "audit"},
        {"claim": "groups", "equals": "bots", "kind": "agent"},
        {"claim": "tier", "equals": "svc", "kind": "service", "rights": ["agent"], "agents": ["b"]},
    ],
}


def test_rules_match_whole_values_exactly():
    identity = identify(rs(claims(groups=["finance", "audit"])), **PEOPLE)
    assert identity.rights == {Right.REVIEWER, Right.AUDITOR}
    assert (identity.principal.roles, identity.principal.team) == (("finance",), "audit")
    for near in ("Finance", "finance ", "finance,audit", ["financeX"], [["finance"]], None, 1):
        assert identify(rs(claims(groups=near)), **PEOPLE).rights == frozenset()


def test_a_service_by_rule():
    identity = identify(rs(claims(tier="svc")), **PEOPLE)
    assert (identity.principal.kind, identity.agents) == ("service", ("b",))


def test_rules_that_make_no_caller():
    refused("cannot hold", rs(claims(groups=["bots", "finance"])), **PEOPLE)
    refused("contradict", rs(claims(groups=["bots"], tier="svc")), **PEOPLE)


# Delegation (RFC 8693).


def chain(identity):
    return [(link.kind, link.id) for link in identity.principal.chain()]


def test_the_outermost_actor_calls_on_behalf_of_the_others():
    token = rs(claims(sub="ada", groups=["finance"], act={"sub": "sub-bot", "act": {"sub": "bot"}}))
    identity = identify(token, delegation=True, **PEOPLE)
    assert chain(identity) == [("agent", "sub-bot"), ("agent", "bot"), ("person", "ada")]
    assert identity.rights == {Right.AGENT}
    assert identity.principal.roles == ()
    assert identity.principal.user is not None
    assert identity.principal.user.roles == ("finance",)
    assert all(link.known == "authenticated" for link in identity.principal.chain())


def test_a_delegation_is_believed_only_where_that_is_configured():
    refused("delegation", rs(claims(sub="ada", act={"sub": "bot"})))
    refused("delegation", rs(claims(act=None) | {"act": None}))


def nested(depth):
    act = None
    for number in range(depth):
        act = {"sub": f"bot-{number}"} | ({"act": act} if act else {})
    return act


@pytest.mark.parametrize(
    ("act", "word"),
    [
        ({}, "not text"),
        ({"sub": ""}, "not text"),
        ("bot", "cannot speak for"),
        ([{"sub": "bot"}], "cannot speak for"),
        ({"sub": "bot", "iss": "https://other.example"}, "cannot speak for"),
        (nested(9), "more than 8"),
        ({"sub": "bot", "act": 7}, "cannot speak for"),
    ],
)
def test_actors_that_are_none(act, word):
    refused(word, rs(claims(sub="ada", act=act)), delegation=True)


def test_act_null_names_nobody():
    refused("nobody", rs(claims(sub="ada") | {"act": None}), delegation=True)


def test_eight_actors_are_believed():
    token = rs(claims(sub="ada", act=nested(8) | {"iss": ISSUER}))
    assert len(chain(identify(token, delegation=True))) == 9


# Keys.


def ring(*found, at=NOW_NS):
    made = KeyRing("jwks.json")
    made.load(document(*found), at)
    return made


def test_rotation():
    old, new = (RSAKey.generate_key(2048, {"kid": name}) for name in ("old", "new"))
    known = ring(old)
    verify = TokenVerifier([issuer()], {"corp": known})
    assert verify.identify(signed(old, "RS256", claims()), NOW_NS)
    with pytest.raises(AuthenticationError, match="does not publish") as unknown:
        verify.identify(signed(new, "RS256", claims()), NOW_NS)
    assert unknown.value.refresh == "corp"
    known.load(document(new), NOW_NS)
    assert verify.identify(signed(new, "RS256", claims()), NOW_NS)
    with pytest.raises(AuthenticationError, match="does not publish"):
        verify.identify(signed(old, "RS256", claims()), NOW_NS)


def test_a_bad_signature_does_not_ask_for_keys():
    assert refused("expired", rs(claims(exp=NOW - 100))).refresh is None
    other = RSAKey.generate_key(2048, {"kid": "RS256"})
    assert refused("signature", signed(other, "RS256", claims())).refresh is None


def test_a_token_without_kid_fits_only_a_single_key():
    token = rs(claims(), kid=None)
    assert verifier(RS).identify(token, NOW_NS)
    refused("publish", token)


def test_when_keys_are_fetched():
    empty = KeyRing("x")
    assert empty.due(0)
    assert empty.stale(0)
    assert empty.find("RS256", 0) is None
    empty.attempted(0)
    assert not empty.due(MIN_INTERVAL - 1)
    assert empty.due(MIN_INTERVAL)
    known = ring(RS, at=0)
    assert not known.stale(MAX_AGE - 1)
    assert known.stale(MAX_AGE)
    assert known.find("RS256", PATIENCE - 1) is not None
    assert known.find("RS256", PATIENCE) is None


def test_keys_that_are_no_public_signature_keys_are_left_out():
    weak = RSAKey.import_key(
        rsa.generate_private_key(65537, 2048).public_key(), {"kid": "enc", "use": "enc"}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        small = RSAKey.import_key(rsa.generate_private_key(65537, 1024), {"kid": "small"})
        symmetric = shared_secret("x" * 32)
    ops = RSAKey.import_key(RS.as_dict(private=False), {"kid": "ops", "key_ops": ["encrypt"]})
    entries = [key.as_dict() for key in (weak, small, symmetric, ops)]
    entries += [{"kty": "future"}, {"kty": "EC", "kid": "broken", "crv": "P-256"}, {}]
    entries += [{"kty": "RSA", "n": 5}, {"kty": ["RSA"]}]
    entries += [{"kty": "EC", "kid": "off", "crv": "P-256", "x": "AA", "y": "AA"}]
    made = KeyRing("jwks.json")
    with pytest.raises(ConfigError, match="no public signature key"):
        made.load(json.dumps({"keys": entries}).encode(), NOW_NS)
    made.load(json.dumps({"keys": [*entries, RS.as_dict()]}).encode(), NOW_NS)
    assert [key.kid for key in made._keys] == ["RS256"]
    assert not made._keys[0].is_private


def test_two_keys_of_one_name_are_none():
    known = ring(RS, ECKey.generate_key("P-256", {"kid": "RS256"}))
    assert known.find("RS256", NOW_NS) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": []}', b"\xff"])
def test_documents_that_are_no_key_sets_change_nothing(content):
    known = ring(RS)
    with pytest.raises(ConfigError, match=r"^jwks\.json"):
        known.load(content, NOW_NS + 1)
    assert known.find("RS256", NOW_NS) is not None


def test_a_document_that_is_too_large():
    with pytest.raises(ConfigError, match="larger"):
        KeyRing("x").load(b" " * 1_048_577, 0)
