import hmac
import re
import secrets
from functools import partial

import msgspec
import pytest

from remit.credentials import CredentialId, Right
from remit.errors import AuthenticationError, InvalidRequest
from remit.identity import keys
from remit.storage.memory import MemoryStore

HOUR = 3_600_000_000_000
AGENT = frozenset({Right.AGENT})
make = partial(
    keys.issue,
    principal="bot",
    kind="agent",
    rights=AGENT,
    now=1000,
    entropy=secrets.token_bytes,
)


@pytest.fixture
def store():
    with MemoryStore() as store:
        yield store


def check(store, key, now=2000):
    return store.read(lambda t: keys.check_key(key, t.credential, now))


def test_a_key_is_shown_once_and_kept_as_a_digest(store):
    issued = store.write(lambda t: make(t, note="nightly"))
    assert re.fullmatch("remit_[a-z2-7]{16}_[a-z2-7]{52}", issued.text)
    stored = store.read(lambda t: t.credential(issued.credential.id))
    assert stored == issued.credential
    secret = issued.text.rpartition("_")[2]
    assert secret not in msgspec.json.encode(stored).decode()
    assert secret not in repr(issued)
    assert secret not in repr(stored)
    assert len(stored.digest) == 32
    assert check(store, issued.text) == stored


def test_no_two_keys_are_alike(store):
    made = [store.write(make) for _ in range(50)]
    assert len({each.text for each in made}) == len({each.credential.id for each in made}) == 50
    with pytest.raises(InvalidRequest, match="random"):
        store.write(lambda t: [make(t, entropy=bytes) for _ in range(2)])


def test_every_bad_key_gets_the_same_words(store):
    issued = store.write(make)
    head, _, secret = issued.text.rpartition("_")
    other = store.write(make).text.rpartition("_")[2]
    flipped = ("b" if secret[0] == "a" else "a") + secret[1:]
    for bad in (
        f"{head}_{other}",
        f"{head}_{flipped}",
        f"{head}_{secret[:-1]}",
        f"{head}_{secret}\n",
        issued.text.upper(),
        f"remit_{'a' * 16}_{secret}",
        f"remit_{'a' * 16}_{'a' * 52}",
        "remit_",
        "",
    ):
        with pytest.raises(AuthenticationError) as refused:
            check(store, bad)
        assert str(refused.value) == keys._BAD_KEY


def test_an_unknown_id_is_compared_like_a_wrong_secret(store, monkeypatch):
    issued = store.write(make)
    compared = []

    def compare(one, other):
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(keys, "hmac", Spy)
    wrong = "a" * 52
    for key in (f"remit_{issued.credential.id}_{wrong}", f"remit_{'a' * 16}_{wrong}"):
        with pytest.raises(AuthenticationError):
            check(store, key)
    assert compared == [(32, 32), (32, 32)]


def test_expired_and_revoked_is_told_only_with_the_right_secret(store):
    ends = store.write(lambda t: make(t, expires_at=5000))
    assert check(store, ends.text, 4999)
    with pytest.raises(AuthenticationError, match="has expired"):
        check(store, ends.text, 5000)
    revoked = store.write(make)
    store.write(lambda t: keys.revoke(t, revoked.credential.id, 3000))
    with pytest.raises(AuthenticationError, match="has been revoked"):
        check(store, revoked.text)
    with pytest.raises(AuthenticationError, match="not valid"):
        check(store, revoked.text[:-1] + ("b" if revoked.text[-1] == "a" else "a"))


def test_revoking_twice_keeps_the_first_time(store):
    issued = store.write(make)
    for now in (3000, 4000):
        revoked = store.write(lambda t, now=now: keys.revoke(t, issued.credential.id, now))
        assert revoked.revoked_at == 3000
    assert store.write(lambda t: keys.revoke(t, CredentialId("none"), 1)) is None


@pytest.mark.parametrize(
    ("wanted", "word"),
    [
        ({"rights": frozenset({Right.REVIEWER})}, "cannot hold"),
        ({"rights": frozenset({Right.AGENT, Right.ADMIN})}, "cannot hold"),
        ({"rights": frozenset()}, "without a right"),
        ({"principal": ""}, "1 to 256"),
        ({"principal": "b\u200bot"}, "cannot be seen"),
        ({"principal": "ｂot"}, "write it as 'bot'"),
        ({"expires_at": 1000}, "expired already"),
        ({"agents": ["other-bot"]}, "service"),
        ({"note": "two\nlines"}, "one line"),
        ({"note": "x" * 201}, "200"),
    ],
)
def test_what_cannot_be_issued(store, wanted, word):
    with pytest.raises(InvalidRequest, match=word):
        store.write(lambda t: make(t, **wanted))
    assert store.read(lambda t: list(t.credentials())) == []


def test_a_service_gets_its_agents(store):
    issued = store.write(lambda t: make(t, kind="service", agents=["bot", "bot", "other-bot"]))
    assert issued.credential.agents == ("bot", "other-bot")


# Rotation.


def test_rotation_ends_the_old_key_at_once_or_after_a_while(store):
    old = store.write(lambda t: make(t, expires_at=11_000, note="n"))
    rotate = partial(keys.rotate, entropy=secrets.token_bytes)
    new = store.write(lambda t: rotate(t, old.credential.id, now=2000, grace=500))
    assert (new.credential.expires_at, new.credential.note) == (12_000, "n")
    assert check(store, old.text, 2499)
    with pytest.raises(AuthenticationError, match="expired"):
        check(store, old.text, 2500)
    newer = store.write(lambda t: rotate(t, new.credential.id, now=3000))
    with pytest.raises(AuthenticationError, match="revoked"):
        check(store, new.text, 3000)
    late = store.write(lambda t: rotate(t, newer.credential.id, now=4000, grace=1 << 60))
    assert check(store, newer.text, 12_999)
    with pytest.raises(AuthenticationError, match="expired"):
        check(store, newer.text, 13_000)
    assert check(store, late.text, 13_000)


def test_a_key_without_end_is_rotated_into_one(store):
    old = store.write(make)
    new = store.write(
        lambda t: keys.rotate(t, old.credential.id, now=5, entropy=secrets.token_bytes, grace=10)
    )
    assert new.credential.expires_at is None
    assert check(store, old.text, 14)
    with pytest.raises(AuthenticationError):
        check(store, old.text, 15)


def test_only_active_keys_are_rotated(store):
    issued = store.write(make)
    store.write(lambda t: keys.revoke(t, issued.credential.id, 3000))
    rotate = partial(keys.rotate, now=4000, entropy=secrets.token_bytes)
    with pytest.raises(InvalidRequest, match="not an active key"):
        store.write(lambda t: rotate(t, issued.credential.id))
    assert store.write(lambda t: rotate(t, CredentialId("none"))) is None


def test_uses_are_kept_to_the_hour_and_never_go_back(store):
    issued = store.write(make)
    name = issued.credential.id

    def used(at):
        store.write(lambda t: keys.record_uses(t, {name: at, CredentialId("gone"): at}))
        return store.read(lambda t: t.credential(name)).last_used_at

    assert used(5 * HOUR + 7) == 5 * HOUR
    assert used(5 * HOUR + 9) == 5 * HOUR
    assert used(4 * HOUR) == 5 * HOUR
    assert used(6 * HOUR) == 6 * HOUR


# The first admin.

begin = partial(keys.first_admin, entropy=secrets.token_bytes)
exchange = partial(keys.exchange, principal="ada", entropy=secrets.token_bytes)


def test_the_bootstrap_secret_makes_one_admin_once(store):
    secret = begin(store, now=1000)
    with pytest.raises(AuthenticationError, match="not valid"):
        check(store, secret)
    issued = store.write(lambda t: exchange(t, secret, now=2000))
    admin = check(store, issued.text)
    assert (admin.principal, admin.kind, admin.rights) == ("ada", "person", (Right.ADMIN,))
    with pytest.raises(AuthenticationError, match="once"):
        store.write(lambda t: exchange(t, secret, now=2001))
    assert begin(store, now=3000) is None
    store.write(lambda t: keys.revoke(t, admin.id, 4000))
    assert begin(store, now=5000) is not None


def test_the_bootstrap_secret_ends_and_a_later_one_replaces_it(store):
    first = begin(store, now=1000)
    with pytest.raises(AuthenticationError):
        store.write(lambda t: exchange(t, first, now=1000 + HOUR))
    second = begin(store, now=2000)
    with pytest.raises(AuthenticationError):
        store.write(lambda t: exchange(t, first, now=3000))
    assert store.write(lambda t: exchange(t, second, now=3000))


def test_a_failed_exchange_does_not_use_the_secret_up(store):
    secret = begin(store, now=1000)
    with pytest.raises(InvalidRequest):
        store.write(lambda t: exchange(t, secret, principal="\u202e", now=2000))
    key = store.write(make).text
    for wrong in (key, "", "remit_x"):
        with pytest.raises(AuthenticationError):
            store.write(lambda t, wrong=wrong: exchange(t, wrong, now=2000))
    assert store.write(lambda t: exchange(t, secret, now=2000))


def test_a_bootstrap_secret_cannot_be_rotated(store):
    begin(store, now=1000)
    (row,) = store.read(lambda t: t.credentials())
    with pytest.raises(InvalidRequest, match="not an active key"):
        store.write(lambda t: keys.rotate(t, row.id, now=2000, entropy=secrets.token_bytes))
