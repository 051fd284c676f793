"""The code of docs/egress.md and docs/envoy.md is what it says: it loads, and it runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from remit.config.egress import EgressConfig, EnvoyConfig
from remit.config.file import parse_config
from remit.policy import load

ROOT = Path(__file__).parents[2]
NEEDS = pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "python3"))), reason="needs bash, curl, python3"
)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def run(script: str, folder: Path, ports: dict[str, int]) -> str:
    """What a script of a guide prints; other ports, and whatever it starts is ended."""
    known = "|".join(ports)
    script = re.sub(rf"127\.0\.0\.1:({known})", lambda at: f"127.0.0.1:{ports[at[1]]}", script)
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-euc", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        process.wait(60)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
    assert process.stdout is not None
    with process.stdout as printed:
        return printed.read()


def test_the_documented_settings_are_the_defaults() -> None:
    _, egress = blocks("egress", "toml")
    config = parse_config(egress, "remit.toml", Path("/srv"))
    assert config.egress is not None
    plain = parse_config("[egress]\n", "remit.toml", Path("/srv"))
    assert config.egress == plain.egress
    named = set(re.findall(r"(?m)^(?:# )?(\w+) =", egress))
    assert named == set(EgressConfig.__struct_fields__)
    _, envoy = blocks("envoy", "toml")
    found = parse_config(envoy, "remit.toml", Path("/srv")).envoy
    assert found == EnvoyConfig(hosts=("inventory.corp.example",))
    assert set(re.findall(r"(?m)^(\w+) =", envoy)) == set(EnvoyConfig.__struct_fields__)


def test_the_documented_policies_have_no_fault() -> None:
    for page in ("egress", "envoy"):
        [document] = blocks(page, "yaml")
        assert load({"remit.yaml": document}).warnings == ()


@NEEDS
def test_the_commands_of_the_forward_proxy_run(tmp_path: Path) -> None:
    serve, proxy = free_port(), free_port()
    [policy], [script] = blocks("egress", "yaml"), blocks("egress", "sh")
    (tmp_path / "remit.yaml").write_text(policy)
    listen = f'[server]\nlisten = ["127.0.0.1:{serve}"]\nsocket = ""\n'
    settings = blocks("egress", "toml")[0] + f'listen = ["127.0.0.1:{proxy}"]\n'
    (tmp_path / "remit.toml").write_text(listen + settings)
    printed = run(script, tmp_path, {"8701": proxy, "8700": serve})
    told = json.loads(printed[printed.index('{"type"') :])
    assert told["code"] == "denied"
    assert "pastebin.example" in told["detail"]


@NEEDS
def test_the_commands_of_envoy_run(tmp_path: Path) -> None:
    serve, check, front = free_port(), free_port(), free_port()
    [policy], [script] = blocks("envoy", "yaml"), blocks("envoy", "sh")
    (tmp_path / "remit.yaml").write_text(policy)
    listen = f'[server]\nlisten = ["127.0.0.1:{serve}"]\nsocket = ""\n'
    settings = blocks("envoy", "toml")[0].replace("8702", str(check))
    (tmp_path / "remit.toml").write_text(listen + settings)
    shipped = (ROOT / "deploy" / "envoy" / "grpc.yaml").read_text()
    ports = {"8702": check, "10000": front, "9901": free_port(), "5000": free_port()}
    shipped = re.sub(r"port_value: (\d+)", lambda found: f"port_value: {ports[found[1]]}", shipped)
    (tmp_path / "deploy" / "envoy").mkdir(parents=True)
    (tmp_path / "deploy" / "envoy" / "grpc.yaml").write_text(shipped)
    install, commands = script.split("\n", 1)
    assert install.startswith("pip install")
    commands = commands.replace("-l error", "-l error --use-dynamic-base-id")
    printed = run(commands, tmp_path, {"10000": front, "8700": serve, "9901": ports["9901"]})
    told = json.loads(printed[printed.index('{"type"') :])
    assert told["code"] == "denied"
    assert "inventory.corp.example/admin" in told["detail"]
