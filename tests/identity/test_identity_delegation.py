import base64
import os
import stat
from functools import partial

import msgspec
import pytest
from biscuit_auth import Biscuit, BiscuitBuilder, BlockBuilder, KeyPair, PrivateKey, PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from remit import text
from remit.credentials import Credential, CredentialId, Right
from remit.errors import AuthenticationError, ConfigError, InvalidRequest
from remit.identity import Narrowing, delegation, keyfile, permits
from remit.identity.delegation import PREFIX, DelegationRoot, attenuate, narrowing_of

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
END = NOW + 3600 * SECOND
PAIR = KeyPair()
ROOT = DelegationRoot(PAIR.private_key)
KEY = Credential(
    id=CredentialId("abcdefgh234567ab"),
    digest=bytes(32),
    principal="inventory-bot",
    kind="agent",
    rights=(Right.AGENT,),
    created_at=0,
)
TOKEN = ROOT.mint(KEY, narrowing_of(until=END))


def identify(token, key=KEY, now=NOW, root=ROOT):
    return root.identify(token, {KEY.id: key}.get, now)


def allows(token, tool="db.query", session="s1", now=NOW):
    try:
        return permits(identify(token, now=now), tool, session, now) is None
    except AuthenticationError:
        return False


def narrow(token, **wanted):
    return attenuate(token, ROOT.public_key, narrowing_of(**wanted))


def appended(token, source):
    """``token`` with any block at all, as a hostile holder would make it."""
    biscuit = Biscuit.from_base64(token.removeprefix(PREFIX), PAIR.public_key)
    return PREFIX + biscuit.append(BlockBuilder(source)).to_base64()


# What it is for.


def test_a_token_stands_for_its_key():
    identity = identify(TOKEN)
    assert (identity.principal.id, identity.principal.known) == ("inventory-bot", "authenticated")
    assert identity.rights == {Right.AGENT}
    assert identity.credential == f"delegation:{KEY.id}"
    assert identity.narrowed == Narrowing(until=END)


def test_a_holder_narrows_it_step_by_step():
    tools = narrow(TOKEN, tools=["DB.*", "web.get"])
    session = narrow(tools, sessions=["s1", "s2"])
    both = narrow(session, tools=["db.query"], sessions=["s1"], until=NOW + 60 * SECOND + 5)
    assert identify(both).narrowed == Narrowing(
        tools=(("db.*", "web.get"), ("db.query",)),
        sessions=frozenset({"s1"}),
        until=NOW + 60 * SECOND,
    )
    assert allows(tools, "web.get", "s9")
    assert not allows(tools, "web.post")
    assert allows(session, "db.query", "s2")
    assert allows(both)
    assert not allows(both, session="s2")
    assert not allows(both, "db.drop")
    assert allows(session, now=NOW + 60 * SECOND)
    assert not allows(both, now=NOW + 60 * SECOND)


def test_a_token_may_be_minted_narrow():
    token = ROOT.mint(KEY, narrowing_of(tools=["db.*"], sessions=["s1"], until=END))
    assert identify(token).narrowed == narrowing_of(tools=["db.*"], sessions=["s1"], until=END)


def test_it_ends_with_its_time_and_with_its_key():
    assert identify(TOKEN, now=END - 1)
    with pytest.raises(AuthenticationError, match="expired"):
        identify(TOKEN, now=END)
    replace = partial(msgspec.structs.replace, KEY)
    for key in (
        None,
        replace(revoked_at=NOW),
        replace(expires_at=NOW),
        replace(kind="person", rights=(Right.ADMIN,)),
        replace(rights=()),
    ):
        with pytest.raises(AuthenticationError, match="not active"):
            identify(TOKEN, key)


def test_what_cannot_be_minted():
    person = msgspec.structs.replace(KEY, kind="person", rights=(Right.ADMIN,))
    with pytest.raises(InvalidRequest, match="key of an agent"):
        ROOT.mint(person, narrowing_of(until=END))
    with pytest.raises(InvalidRequest, match="has an end"):
        ROOT.mint(KEY, narrowing_of(tools=["x"]))
    for nothing in (Narrowing(tools=((),), until=END), Narrowing(sessions=frozenset(), until=END)):
        with pytest.raises(InvalidRequest, match="nothing through"):
            ROOT.mint(KEY, nothing)


@pytest.mark.parametrize("bad", ["", 'a"b', "a\\", "a;b", "a b", "*a", "a*b*", "a\n"])
def test_names_that_a_token_cannot_hold(bad):
    with pytest.raises(InvalidRequest):
        narrowing_of(tools=[bad])
    if "*" not in bad:
        with pytest.raises(InvalidRequest):
            narrowing_of(sessions=[bad])


def test_what_cannot_be_narrowed():
    with pytest.raises(InvalidRequest, match="Name tools"):
        narrow(TOKEN)
    for token, public in (
        ("biscuit_x", ROOT.public_key),
        (TOKEN, str(KeyPair().public_key)),
        (TOKEN, "ed25519/zz"),
        (TOKEN, ""),
    ):
        with pytest.raises(InvalidRequest, match="not a delegation token"):
            attenuate(token, public, narrowing_of(tools=["x"]))


# Attacks.

NARROW = narrow(TOKEN, tools=["db.query"], sessions=["s1"])


@pytest.mark.parametrize(
    "block",
    [
        'tool("rm");',
        f'credential("{"b" * 16}");',
        'session("s2");',
        "time(2000-01-01T00:00:00Z);",
        'right("admin");',
        "remit(1);",
        "tool($t) <- session($t);",
        'tool("rm") <- true;',
        "check if true;",
        'check if tool("db.query") or true;',
        'check if tool($t), $t.starts_with("db.") or true;',
        'check if tool($t), $s.starts_with("db."), session($s);',
        'check if tool($t), $t.ends_with("db.");',
        'check if tool($t), $t != "x";',
        'check all tool($t), $t.starts_with("db.");',
        'reject if tool("x");',
        "check if time($t), $t > 2000-01-01T00:00:00Z;",
        "check if time($t), $t <= 2030-01-01T00:00:00Z;",
        'check if tool("db.query"), session("s1");',
        'check if tool("a") or session("s1");',
        'check if tool("x") trusting previous;',
        'check if tool("with blank in it");',
        'check if tool("star*");',
        'check if operation("read");',
    ],
)
def test_a_block_with_anything_else_spoils_the_token(block):
    for token in (TOKEN, NARROW):
        with pytest.raises(AuthenticationError):
            identify(appended(token, block))


def test_facts_of_a_holder_are_no_facts_of_the_root():
    """The classic: claim another key, another tool, another session, in a block of one's own."""
    evil = appended(NARROW, f'credential("{"z" * 16}"); tool("rm"); session("s2");')
    assert not allows(evil, "rm", "s2")
    assert not allows(evil)


def test_a_scope_before_a_check_changes_nothing():
    token = appended(NARROW, 'trusting previous; check if tool("rm"); check if session("s1");')
    assert not allows(token, "rm")
    assert not allows(token)


def test_blocks_signed_by_a_third_party_are_refused():
    stranger = KeyPair()
    biscuit = Biscuit.from_base64(NARROW.removeprefix(PREFIX), PAIR.public_key)
    block = biscuit.third_party_request().create_block(
        stranger.private_key, BlockBuilder('check if tool("rm");')
    )
    token = PREFIX + biscuit.append_third_party(stranger.public_key, block).to_base64()
    with pytest.raises(AuthenticationError, match="third party"):
        identify(token)


def test_another_root_key():
    other = DelegationRoot(KeyPair().private_key)
    with pytest.raises(AuthenticationError, match="do not verify"):
        identify(other.mint(KEY, narrowing_of(until=END)))
    with pytest.raises(AuthenticationError, match="do not verify"):
        identify(TOKEN, root=other)


def test_a_block_cannot_be_cut_off():
    """Whatever part of a narrowed token is left or changed, it is never the wider one."""
    body = NARROW.removeprefix(PREFIX)
    for at in range(0, len(body), 7):
        for changed in (body[:at], body[at:], body[:at] + "A" + body[at + 1 :]):
            if changed != body:
                assert not allows(PREFIX + changed, "rm", "s2")


def minted(source):
    return PREFIX + BiscuitBuilder(source).build(PAIR.private_key).to_base64()


@pytest.mark.parametrize(
    "source",
    [
        "",
        "remit(1);",
        f'remit(2); credential("{KEY.id}");',
        f'credential("{KEY.id}");',
        'remit(1); credential("short");',
        f'remit(1); credential("{KEY.id}"); credential("{"b" * 16}");',
        f'remit(1); credential("{KEY.id}"); admin("yes"); '
        "check if time($t), $t < 2030-12-01T00:00:00Z;",
    ],
)
def test_the_root_signs_nothing_else(source):
    """A token of the same key that some other program minted."""
    with pytest.raises(AuthenticationError):
        identify(minted(source))


def test_a_root_token_without_an_end_is_expired():
    with pytest.raises(AuthenticationError, match="expired"):
        identify(minted(f'remit(1); credential("{KEY.id}");'))


def test_dates_that_are_none():
    with pytest.raises(AuthenticationError, match="no such time"):
        delegation._restriction("check if time($t), $t < 2030-02-30T00:00:00Z")


def test_tokens_out_of_bounds():
    token = TOKEN
    for number in range(15):
        token = narrow(token, sessions=[f"s{number}", "s1"])
    assert identify(token)
    with pytest.raises(AuthenticationError, match="16 blocks"):
        identify(narrow(token, tools=["x"]))
    with pytest.raises(AuthenticationError, match="not a delegation token"):
        identify(PREFIX + "A" * 8192)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_noise_is_refused_in_words(noise):
    with pytest.raises(AuthenticationError):
        identify(PREFIX + noise.decode("latin-1"))


@settings(max_examples=300)
@given(st.data())
def test_flipped_bytes_never_verify(data):
    raw = bytearray(Biscuit.from_base64(NARROW.removeprefix(PREFIX), PAIR.public_key).to_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    assert not allows(PREFIX + base64.urlsafe_b64encode(raw).decode(), "rm", "s2")


# Narrowing never widens, whatever is appended.

WORDS = st.sampled_from(["db.query", "db.drop", "web.get", "rm"])
PATTERNS = WORDS | WORDS.map(lambda word: word[:3] + "*")
SESSIONS = st.sampled_from(["s1", "s2"])
WANTED = st.fixed_dictionaries(
    {},
    optional={
        "tools": st.lists(PATTERNS, min_size=1, max_size=3),
        "sessions": st.lists(SESSIONS, min_size=1, max_size=2),
        "until": st.integers(-2, 5).map(lambda hours: NOW + hours * 3600 * SECOND),
    },
).filter(bool)
FORMS = st.sampled_from(
    [
        'tool("{}")',
        'check if tool("{}")',
        'check if tool($x), $x.starts_with("{}")',
        'check if session("{}") or session("s1")',
        'check if session("{}") or tool("rm")',
        'session("{}")',
        "check if true",
        "check if time($t), $t < 2999-01-01T00:00:00Z",
        "check if time($u), $u < 2020-01-01T00:00:00Z",
        'tool($t) <- session($t), $t != "{}"',
    ]
)
BLOCKS = st.lists(st.tuples(FORMS, WORDS | SESSIONS), min_size=1, max_size=3).map(
    lambda lines: "".join(form.format(word) + ";\n" for form, word in lines)
)


@settings(max_examples=150, deadline=None)
@given(st.lists(WANTED, max_size=2), st.lists(BLOCKS | WANTED, min_size=1, max_size=3))
def test_no_block_ever_widens(before, after):
    token = TOKEN
    for wanted in before:
        token = narrow(token, **wanted)
    calls = [
        {"tool": tool, "session": session, "now": now}
        for tool in ("db.query", "db.drop", "web.get", "rm")
        for session in ("s1", "s2", None)
        for now in (NOW, END - 1)
    ]
    allowed = [allows(token, **call) for call in calls]
    for block in after:
        token = appended(token, block) if isinstance(block, str) else narrow(token, **block)
        now_allowed = [allows(token, **call) for call in calls]
        assert all(was or not now for was, now in zip(allowed, now_allowed, strict=True))
        allowed = now_allowed


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters='"\\;*'), min_size=1, max_size=8)
        .filter(lambda word: not any(map(str.isspace, text.name(word))))
        .filter(lambda word: not set('"\\;*') & set(text.name(word))),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_written_is_read_again(words):
    narrowing = narrowing_of(tools=[*words, "x.*"], sessions=["s"], until=END)
    assert identify(ROOT.mint(KEY, narrowing)).narrowed == narrowing


# The key file.


def test_the_root_key_is_made_once_and_kept_private(tmp_path):
    path = tmp_path / "remit.delegation"
    first = DelegationRoot.open_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    again = DelegationRoot.open_or_create(path)
    assert again.public_key == first.public_key
    assert identify(first.mint(KEY, narrowing_of(until=END)), root=again)
    secret = path.read_text().strip().rpartition("/")[2]
    assert secret not in repr(first)
    assert PrivateKey(f"ed25519-private/{secret}")
    assert PublicKey(first.public_key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_root_key_that_others_may_read_is_not_used(tmp_path, mode):
    path = tmp_path / "k"
    DelegationRoot.open_or_create(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        DelegationRoot.open_or_create(path)


def test_root_keys_that_are_none(tmp_path):
    path = tmp_path / "k"
    path.write_text("ed25519-private/0badc0de\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a root key") as error:
        DelegationRoot.open_or_create(path)
    assert "0badc0de" not in str(error.value)
    (tmp_path / "d").mkdir()
    with pytest.raises(ConfigError):
        DelegationRoot.open_or_create(tmp_path / "d")
    os.mkfifo(tmp_path / "f", 0o600)
    with pytest.raises(ConfigError, match="regular file"):
        DelegationRoot.open_or_create(tmp_path / "f")
    with pytest.raises(ConfigError, match="No such file"):
        DelegationRoot.open_or_create(tmp_path / "missing" / "k")


def test_a_race_for_the_root_key_has_one_winner(tmp_path, monkeypatch):
    path = tmp_path / "k"
    winner = DelegationRoot.open_or_create(path)
    monkeypatch.setattr(keyfile.os.path, "lexists", lambda _: False)
    assert DelegationRoot.open_or_create(path).public_key == winner.public_key
    assert [each.name for each in tmp_path.iterdir()] == ["k"]
