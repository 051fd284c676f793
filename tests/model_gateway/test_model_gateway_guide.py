"""The code of docs/model-gateway.md is what it says: it loads, and it runs."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from scripted_models import Call, Script, ScriptedModels

from remit.config.file import parse_config
from remit.config.models import GatewayConfig
from remit.policy import load

PAGE = (Path(__file__).parents[2] / "docs" / "model-gateway.md").read_text(encoding="utf-8")
AGENT = """
import openai
tools = [{"type": "function", "function": {"name": "read_stock", "parameters": {}}}]
said = openai.OpenAI().chat.completions.create(
    model="gpt-5", messages=[{"role": "user", "content": "go"}], tools=tools
)
print(said.choices[0].message.tool_calls[0].function.name)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_documented_configuration_has_the_defaults() -> None:
    _, whole = blocks("toml")
    config = parse_config(whole, "remit.toml", Path("/srv"))
    assert config.model_gateway == GatewayConfig()
    [model] = config.models
    named = set(re.findall(r"(?m)^(\w+) =", whole))
    assert named >= {*model.__struct_fields__, *config.model_gateway.__struct_fields__}
    bare = '[[models]]\nname = "openai"\nformat = "openai"\nurl = "https://api.openai.com"\n'
    assert parse_config(bare, "remit.toml", Path("/srv")).models == (model,)


def test_the_documented_policy_has_no_fault() -> None:
    [document] = blocks("yaml")
    policies = load({"remit.yaml": document})
    assert policies.warnings == ()


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_the_commands_run(tmp_path: Path) -> None:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    models = ScriptedModels()
    models.script = lambda _: Script(parts=(Call("read_stock", {}),))
    asyncio.run_coroutine_threadsafe(models.start(), loop).result(10)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = f'[server]\nlisten = ["127.0.0.1:{port}"]\nsocket = ""\n'
    config = blocks("toml")[0].replace(
        'format = "openai"\nmodels', f'format = "openai"\nurl = "{models.url}"\nmodels'
    )
    (tmp_path / "remit.toml").write_text(server + config)
    (tmp_path / "remit.yaml").write_text(blocks("yaml")[0])
    (tmp_path / "agent.py").write_text(AGENT)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    try:
        [commands] = blocks("sh")
        done = subprocess.run(
            ["bash", "-euc", f"remit agents add somebody >/dev/null\n{commands}"],
            cwd=tmp_path,
            env={**os.environ, "PATH": programs},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "read_stock\n"
    finally:
        asyncio.run_coroutine_threadsafe(models.stop(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
