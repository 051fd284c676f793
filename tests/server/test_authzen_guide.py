"""The blocks of docs/authzen.md run as they stand there, against a whole server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from live import config_in, live_server

PAGE = Path(__file__).parents[2] / "docs" / "authzen.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
PRINTED = "http://127.0.0.1:8700"
NEEDED = ("bash", "curl", "jq")

pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason=f"needs {', '.join(NEEDED)}"
)


def fits(printed: Any, got: Any) -> bool:
    """Whether an answer is the one in the guide, where "..." stands for any text."""
    if printed == "...":
        return isinstance(got, str)
    if isinstance(printed, dict) and isinstance(got, dict):
        return printed.keys() == got.keys() and all(fits(printed[key], got[key]) for key in got)
    return bool(printed == got)


def values(output: str) -> Any:
    """The JSON value that was printed, or the list of them."""
    reader, found, rest = json.JSONDecoder(), [], output.strip()
    while rest:
        value, end = reader.raw_decode(rest)
        found.append(value)
        rest = rest[end:].lstrip()
    return found[0] if len(found) == 1 else found


def test_the_blocks_run_in_order(tmp_path: Path) -> None:
    policy = next(text for language, text in BLOCKS if language == "yaml")
    settings = next(text for language, text in BLOCKS if language == "toml")
    local = '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\n\n'
    following = [*BLOCKS[1:], ("", "")]
    with live_server(config_in(tmp_path, policy, local + settings)) as server:
        script = "set -eu\n" + "printf '\\0'\n".join(
            text.replace(PRINTED, server.url) for language, text in BLOCKS if language == "sh"
        )
        answers = [
            answer.replace(PRINTED, server.url) if kind == "json" else ""
            for (language, _), (kind, answer) in zip(BLOCKS, following, strict=True)
            if language == "sh"
        ]
        for key in server.keys.values():
            server.revoke(key)  # the guide begins without any
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    outputs = done.stdout.split("\0")
    assert sum(bool(answer) for answer in answers) == 6
    for answer, output in zip(answers, outputs, strict=True):
        if answer:
            assert fits(json.loads(answer), values(output)), output


def test_the_settings_in_the_guide_are_settings(tmp_path: Path) -> None:
    for language, text in BLOCKS:
        if language == "toml":
            assert config_in(tmp_path, text=text).authzen.clients[0].service == "portal"
