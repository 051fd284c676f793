"""The blocks of docs/identity.md do what they say."""

import re
import tomllib
from pathlib import Path

import msgspec
from biscuit_auth import Biscuit, KeyPair, PublicKey

from remit.cli.app import run
from remit.credentials import Credential, CredentialId, Right
from remit.identity.delegation import DelegationRoot, narrowing_of
from remit.identity.settings import IdentitySettings

GUIDE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text()


KEY = Credential(
    id=CredentialId("abcdefgh234567ab"),
    digest=b"",
    principal="inventory-bot",
    kind="agent",
    rights=(Right.AGENT,),
    created_at=0,
)


def block(language):
    (found,) = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    return found


def test_the_settings_are_good_ones():
    read = tomllib.loads(block("toml"))
    settings = msgspec.convert(read["identity"], IdentitySettings)
    assert settings.issuers[0].rules[0].rights == (Right.REVIEWER,)
    assert settings.peers[0].principal == "inventory-bot"


def test_the_token_is_narrowed():
    root = DelegationRoot(KeyPair().private_key)
    names = {
        "token": root.mint(KEY, narrowing_of(until=10**19 // 5)),
        "public_key": root.public_key,
        "session": "s-1",
    }
    exec(block("python"), names)
    _, narrowing = root.read(names["narrower"])
    assert narrowing.tools == (("db.query", "web.*"),)
    assert narrowing.sessions == {"s-1"}


def test_the_three_forms_are_the_ones_that_are_written(tmp_path):
    root = DelegationRoot.open_or_create(tmp_path / "k")
    narrowing = narrowing_of(
        tools=["db.query", "web.*"], sessions=["s-1", "s-2"], until=1_893_456_000 * 10**9
    )
    token = root.mint(KEY, narrowing).removeprefix("biscuit_")
    source = Biscuit.from_base64(token, PublicKey(root.public_key)).block_source(0)
    forms = re.findall("^    (check if .*)$", GUIDE, re.MULTILINE)
    assert [line + ";" for line in forms] == source.splitlines()[2:]


def test_the_commands_are_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = re.findall(r"^    \$ remit (.*)$", GUIDE, re.MULTILINE)
    assert len(commands) == 6
    key = ""
    for line in commands:
        assert run([*line.replace("KEY", key).split(), "--json"]) == 0, line
        key = key or re.findall('"id": "([a-z2-7]{16})"', capsys.readouterr().out)[0]
