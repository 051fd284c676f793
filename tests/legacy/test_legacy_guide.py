"""The blocks of docs/legacy.md: the example's files, commands that run, all settings."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from legacy_world import EXAMPLE

from remit.config import parse_config
from remit.config.legacy import BreakerConfig, LegacyConfig, UpstreamCredential, with_legacy_secrets
from remit.errors import ConfigError

PAGE = (EXAMPLE.parents[1] / "docs" / "legacy.md").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_shows_the_examples_files():
    assert blocks("toml")[0].removeprefix("# remit.toml\n") == (EXAMPLE / "remit.toml").read_text()
    assert blocks("yaml")[0].removeprefix("# remit.yaml\n") == (EXAMPLE / "remit.yaml").read_text()


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_run(tmp_path: Path):
    folder = tmp_path / "legacy"
    shutil.copytree(EXAMPLE, folder)
    ports = {"5000": str(free_port()), "8700": str(free_port())}
    config = (folder / "remit.toml").read_text()
    config = f'[server]\nlisten = ["127.0.0.1:8700"]\nsocket = ""\n\n{config}'
    script = 'trap "kill \\$(jobs -p)" EXIT\n' + "\necho\n".join(blocks("sh"))
    script = script.replace("curl -s", "curl -s --show-error -w '\\n'")
    listening = "until curl -s -o /dev/null http://127.0.0.1:{}/livez; do sleep 0.1; done"
    assert "sleep 3\n" in script
    script = script.replace("sleep 3\n", "\n".join(map(listening.format, ports)) + "\n")
    for usual, free in ports.items():
        config, script = config.replace(usual, free), script.replace(usual, free)
    (folder / "remit.toml").write_text(config)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=folder,
        env={**os.environ, "PATH": programs},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert '"name":"Pallet"' in said
    assert "[redacted]" in said
    assert "customer.example" not in said
    answers = [json.loads(line) for line in said.splitlines() if line.startswith('{"')]
    assert [each["code"] for each in answers if "code" in each] == ["denied"]
    assert [each for each in answers if "total" in each] == [{"id": 1, "total": 29.0}] * 2


def test_the_documented_settings_are_the_defaults(tmp_path: Path):
    whole = blocks("toml")[1]
    [found] = parse_config(whole, "remit.toml", tmp_path).legacy
    bare = LegacyConfig(
        name="inventory",
        url="https://inventory.corp.com",
        credentials=(UpstreamCredential(name="inventory", secret="INVENTORY_KEY"),),
    )
    assert found == bare
    named = set(re.findall(r"(?m)^(?:# )?(\w+) =", whole))
    for kind in (LegacyConfig, UpstreamCredential, BreakerConfig):
        assert set(kind.__struct_fields__) - {"credentials", "breaker"} <= named


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('url = "ftp://x"', "is no URL"),
        ('url = "https://x"\n[[mcp]]\nname = "up"\nurl = "https://x"', "same name"),
        ('url = "https://x/"', "without the slash"),
        ('url = "https://u:p@x"', "keep credentials out"),
        ('url = "http://x.corp"', "in the clear"),
        ('url = "https://x"\nhost = "a b"', "no host name"),
        ('url = "https://x"\nheaders = ["Authorization"]', "Remit's own"),
        ('url = "https://x"\npass_headers = ["X-Remit-Session"]', "Remit's own"),
        ('url = "https://x"\npass_headers = ["Connection"]', "Remit's own"),
        ('url = "https://x"\ntimeout = "2h"', "timeout must be"),
        ('url = "https://x"\nhold = "2h"', "hold must be"),
        ('url = "https://x"\nmax_body = "1B"', "max_body must be"),
        ('url = "https://x"\nbreaker = {pause = "2h"}', "pause must be"),
        ('url = "https://x"\ncredential = "x"', "did you mean credentials"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nheader = "Host"',
         "cannot hold a credential"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nuser = "a:b"',
         "without a colon"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nscope = "a"',
         "need a token_url"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nclient_id = "a"',
         "go together"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nclient_id = "a"\n'
         'token_url = "http://x.corp"', "in the clear"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\nprefix = "a\\n"',
         "printable"),
        ('url = "https://x"\n' + 2 * '[[legacy.credentials]]\nname = "a"\nsecret = "A"\n', "twice"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\n'
         '[[legacy.credentials]]\nname = "b"\nsecret = "A"\n', "for all operations"),
        ('url = "https://x"\n[[legacy.credentials]]\nname = "a"\nsecret = "A"\ndoes = ["read"]\n'
         '[[legacy.credentials]]\nname = "b"\nsecret = "A"\ndoes = ["read"]\n', "same kind"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said(tmp_path: Path, lines: str, said: str):
    with pytest.raises(ConfigError, match=said):
        parse_config(f'[[legacy]]\nname = "up"\n{lines}', "remit.toml", tmp_path)


def test_names_of_other_actions_are_taken(tmp_path: Path):
    with pytest.raises(ConfigError, match="names of other actions begin with http"):
        parse_config('[[legacy]]\nname = "http"\nurl = "https://x"', "remit.toml", tmp_path)


def test_secrets_and_names_that_cannot_be():
    server = LegacyConfig(
        name="up",
        url="https://x",
        credentials=(UpstreamCredential(name="a", secret="KEY"),),
    )
    [(_, secrets)] = with_legacy_secrets([server], {"KEY": "v-4711"}.get)
    assert "v-4711" not in repr(secrets)
    for values, said in (({}, "KEY, which is not set"), ({"KEY": "a\nb"}, "no secret that can")):
        with pytest.raises(ConfigError, match=said):
            with_legacy_secrets([server], values.get)
    with pytest.raises(ConfigError, match="two servers"):
        with_legacy_secrets([server, server], {"KEY": "v"}.get)
