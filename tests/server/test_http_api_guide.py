"""The shell block of docs/http-api.md runs as it stands there, against a whole server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from guarding import log
from remoting import ServerThread

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
POLICY = """
remit: 1
default: deny
agents: {inventory-bot: {roles: [reader]}}
tools: [{match: [query], does: read, arguments: {sql: sql}}]
rules: [{id: readers, roles: [reader], tools: [query], effect: allow}]
"""


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="needs bash, curl, jq"
)
def test_an_action_in_shell(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY)
    [block] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    server = ServerThread(tmp_path)
    try:
        done = subprocess.run(
            ["bash", "-euc", block.replace("http://127.0.0.1:8700", server.url)],
            env={**os.environ, "REMIT_KEY": server.key("inventory-bot")},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["false", "true"]
        kept = [f"{each.kind} {each.status or each.effect}" for each in log(server.store)][1:]
        assert kept == ["session started", "decision allow", "outcome ok", "session ended"]
    finally:
        server.stop()
