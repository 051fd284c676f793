from __future__ import annotations

import re
from pathlib import Path

import pytest

from remit.config import Address, ByteCount, Config, Duration, parse_config, read_config, secret
from remit.config.places import key_lines
from remit.errors import ConfigError

FOLDER = Path("/srv/remit")


def read(text: str) -> Config:
    return parse_config(text, "remit.toml", FOLDER)


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return str(caught.value)


def test_without_a_file_everything_is_beside_the_policy() -> None:
    config = read_config(None, FOLDER)
    assert config.server.listen == ("127.0.0.1:8700",)
    assert config.server.socket == FOLDER / "remit.sock"
    assert config.server.socket_mode == 0o600
    assert config.policy.path == FOLDER / "remit.yaml"
    assert config.store.path == FOLDER / "remit.db"
    assert config.signing.key == FOLDER / "remit.key"
    assert config == read("")
    assert read_config(None).policy.path == Path.cwd() / "remit.yaml"


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "remit.toml"
    file.write_text("""
[server]
listen = ["127.0.0.1:8700", "[::1]:8700", "0.0.0.0:8443"]
socket = "/run/remit/remit.sock"
socket_mode = 0o660
public_url = "https://remit.corp.com"
drain = "20s"
tls = { certificate = "tls/server.pem", key = "tls/server.key", client_ca = "/etc/ca.pem" }

[limits]
body = "2MiB"
header = "16KiB"
depth = 80
connections = 200
request_time = "1m"
keepalive = "500ms"

[policy]
path = "policy"
poll = "2s"

[store]
path = "data/remit.db"

[signing]
key = "data/remit.key"
interval = "1s"

[log]
level = "debug"

[[identity.peers]]
principal = "inventory-bot"
uid = 1000
rights = ["agent"]
""")
    config = read_config(file)
    assert [(each.host, each.port) for each in config.server.listen] == [
        ("127.0.0.1", 8700),
        ("::1", 8700),
        ("0.0.0.0", 8443),
    ]
    assert [each.loopback for each in config.server.listen] == [True, True, False]
    assert config.server.socket == Path("/run/remit/remit.sock")
    assert config.server.socket_mode == 0o660
    assert config.server.tls is not None
    assert config.server.tls.certificate == tmp_path / "tls/server.pem"
    assert config.server.tls.client_ca == Path("/etc/ca.pem")
    assert config.limits.body == 2 * 1024 * 1024
    assert config.limits.request_time == 60.0
    assert config.limits.keepalive == 0.5
    assert config.policy.path == tmp_path / "policy"
    assert config.signing.interval == 1.0
    assert config.log.level == "debug"
    assert config.identity.peers[0].uid == 1000


def test_no_socket() -> None:
    assert read('[server]\nsocket = ""').server.socket is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[server]\nlisten = [", "remit.toml: not TOML: "),
        (
            "[server]\nlisten = []\npublc_url = 'x'",
            "remit.toml:3: server.publc_url: there is no such setting; did you mean public_url?",
        ),
        ("[server]\npublic-url = 'x'", "remit.toml:2: server.public-url: there is no such setting"),
        ("[sever]", "remit.toml:1: sever: there is no such setting; did you mean server?"),
        ("zebra = 1", "remit.toml:1: zebra: there is no such setting; there are "),
        ("server = 3", "remit.toml:1: server: Expected `object`, got `int`"),
        ("\n[limits]\nbody = 1", "remit.toml:3: limits.body: write a size such as 512KiB"),
        ("[limits]\nbody = '1TB'", "remit.toml:2: limits.body: write a size"),
        ("[limits]\nbody = '1B'", "remit.toml:1: limits: body must be between 1KiB"),
        ("[limits]\nheader = '1B'", "header must be between"),
        ("[limits]\nconnections = 0", "remit.toml:2: limits.connections: Expected `int` >= 1"),
        ("[limits]\nrequest_time = 30", "remit.toml:2: limits.request_time: write a duration"),
        ("[limits]\nkeepalive = '0s'", "keepalive must be between 100ms and 1h"),
        ("[policy]\npoll = '0s'", "poll must be between"),
        ("[signing]\ninterval = '0s'", "interval must be between"),
        ("[server]\ndrain = '1h'", "drain must be between"),
        ("[server]\nlisten = ['here']", "remit.toml:2: server.listen[0]: write host:port"),
        ("[server]\nlisten = ['::1:80']", "write host:port"),
        ("[server]\nlisten = [80]", "write host:port"),
        ("[server]\nlisten = ['*:80']", "name the interface"),
        ("[server]\nlisten = ['a:99999']", "ports go up to 65535"),
        ("[server]\nlisten = []\nsocket = ''", "nobody can connect"),
        ("[server]\nsocket_mode = 0o400", "server.socket_mode: Expected `int` >= 384"),
        ("[store]\npath = ''", "remit.toml:2: store.path: write a path, in quotes"),
        ("[store]\npath = 3", "remit.toml:2: store.path: write a path, in quotes"),
        ("[server]\npublic_url = 'remit'", "public_url: 'remit' is no URL like"),
        ("[server]\npublic_url = 'https://a/'", "write it without the slash at its end: https://a"),
        ("[log]\nlevel = 'loud'", "remit.toml:2: log.level: Invalid enum value 'loud'"),
        (
            "[[identity.issuers]]\nname = 'a'\n\n[[identity.issuers]]\nclient_secret = 'x'",
            "remit.toml:5: identity.issuers.client_secret: this looks like a secret. Secrets are",
        ),
        (
            "[server.tls]\ncertificate = '-----BEGIN PRIVATE KEY-----'",
            "remit.toml:2: server.tls.certificate: this looks like a secret.",
        ),
        ("[signing]\nkey = 'PRIVATE+KEY+remit+1+a'", "signing.key: this looks like a secret."),
    ],
)
def test_faults_name_the_line_and_the_key(text: str, expected: str) -> None:
    assert expected in fault(text)


def test_all_unknown_keys_are_told_at_once() -> None:
    told = fault("[limits]\ndeph = 3\n[server]\nlisen = []").splitlines()
    assert [line.split(": ")[0:2] for line in told] == [
        ["remit.toml:2", "limits.deph"],
        ["remit.toml:4", "server.lisen"],
    ]


def test_a_secret_is_not_quoted() -> None:
    assert "hunter2" not in fault("[server]\nadmin_password = 'hunter2'")


@pytest.mark.parametrize("address", ["0.0.0.0:80", "[::]:80", "10.0.0.1:80", "remit.corp.com:80"])
def test_other_machines_are_let_in_only_by_tls_or_on_purpose(address: str) -> None:
    assert "would be sent to it in the clear" in fault(f"[server]\nlisten = ['{address}']")
    on_purpose = f"[server]\nlisten = ['{address}']\ninsecure_plain_http = true"
    assert read(on_purpose).server.listen == (address,)
    tls = f"[server]\nlisten = ['{address}']\ntls = {{certificate = 'c', key = 'k'}}"
    assert read(tls).server.tls is not None


def test_loopback_needs_no_tls() -> None:
    for address in ("localhost:1", "127.8.9.1:1", "[::1]:1"):
        assert Address.read(address).loopback


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 5"):
        read_config(tmp_path / "bad.toml")
    (tmp_path / "large.toml").write_bytes(b"#" * 1_048_577)
    with pytest.raises(ConfigError, match="larger than"):
        read_config(tmp_path / "large.toml")


def test_durations_and_sizes() -> None:
    assert [Duration.read(text) for text in ("250ms", "30s", "1.5m", "2 h", "1d")] == [
        0.25,
        30.0,
        90.0,
        7200.0,
        86400.0,
    ]
    assert [ByteCount.read(text) for text in ("1B", "1KB", "1KiB", "1.5MiB")] == [
        1,
        1000,
        1024,
        1_572_864,
    ]
    for bad in ("", "s", "-1s", "1", "1e3s", "1 minute", None, 5):
        with pytest.raises(ValueError, match="write a duration"):
            Duration.read(bad)


def test_secrets_come_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2\n")
    assert secret("REMIT_X", {}) is None
    assert secret("REMIT_X", {"REMIT_X": "a"}) == "a"
    assert secret("REMIT_X", {"REMIT_X_FILE": str(file)}) == "hunter2"
    with pytest.raises(ConfigError, match="both set"):
        secret("REMIT_X", {"REMIT_X": "a", "REMIT_X_FILE": str(file)})
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        secret("REMIT_X", {"REMIT_X_FILE": str(tmp_path / "none")})
    file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        secret("REMIT_X", {"REMIT_X_FILE": str(file)})


def test_keys_are_found_where_they_are() -> None:
    lines = key_lines(
        'a = 1\n[b.c]  # here\n"d.e" = """\nf = 3\n"""\ng.h = 2\n[[i]]\nj = 1\n[[i]]\nj = 2\n'
    )
    assert lines == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("b", "c", "d.e"): 3,
        ("b", "c", "g"): 6,
        ("b", "c", "g", "h"): 6,
        ("i",): 7,
        ("i", "j"): 8,
    }


def test_the_documented_file_has_the_defaults() -> None:
    guide = Path(__file__).parents[1] / "docs" / "server.md"
    block = guide.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    assert read(block) == read("")
    everything = read(re.sub(r"(?m)^# (?=[\[a-z])", "", block))
    assert everything.server.public_url == "https://remit.corp.com"
    assert everything.server.tls is not None
    named = set(key_lines(re.sub(r"(?m)^# (?=[\[a-z])", "", block)))
    for table in ("server", "limits", "policy", "store", "signing", "log"):
        fields = getattr(everything, table).__struct_fields__
        assert {(table, name) for name in fields} <= named


def test_files_of_identity_start_where_the_configuration_is(tmp_path: Path) -> None:
    text = """
[signing]
key = "keys/remit.key"
[[identity.issuers]]
name = "corp"
issuer = "https://login.corp.example"
audience = ["remit"]
jwks_file = "jwks.json"
"""
    identity = parse_config(text, "remit.toml", tmp_path).identity
    assert identity.issuers[0].jwks_file == tmp_path / "jwks.json"
    assert identity.delegation_key == tmp_path / "remit.delegation"
