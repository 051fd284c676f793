"""kill -9 of a real server while a request is on its way: it is not sent a second time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import requests
from benchmarks.serving import ServerProcess, key_of
from counting_server import CountingServer

POLICY = """
remit: 1
default: deny
agents:
  bot: {roles: [clerk]}
tools:
  - {match: ["http.post up.corp/orders"], does: write}
rules:
  - {id: orders, roles: [clerk], tools: ["http.post up.corp/orders"], effect: allow}
"""
CONFIG = """
[server]
listen = ["127.0.0.1:0"]
socket = ""
[[legacy]]
name = "up"
host = "up.corp"
url = "{url}"
"""


def test_a_request_on_its_way_is_not_sent_again_after_a_kill(tmp_path: Path):
    behind = CountingServer()
    behind.answers["/orders"] = b""  # it takes the order, and says nothing yet
    (tmp_path / "remit.yaml").write_text(POLICY)
    (tmp_path / "remit.toml").write_text(CONFIG.format(url=behind.url))
    headers = {"Authorization": f"Bearer {key_of(tmp_path)}", "Idempotency-Key": "order-1"}

    def order(server: ServerProcess) -> requests.Response:
        url = f"http://{server.host}:{server.port}/legacy/up/orders"
        return requests.post(url, json={"n": 1}, headers=headers, timeout=20)

    server = ServerProcess(tmp_path)
    try:
        lost: list[Exception] = []

        def ask() -> None:
            try:
                order(server)
            except requests.RequestException as error:
                lost.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        deadline = time.monotonic() + 10
        while not behind.lines and time.monotonic() < deadline:
            time.sleep(0.01)
        server.kill()
        asking.join(10)
        assert lost
        server = ServerProcess(tmp_path)
        again = order(server)
        assert (again.status_code, again.json()["code"]) == (409, "outcome-unknown")
        assert behind.lines == ["POST /orders"]
    finally:
        server.kill()
        behind.close()


def test_serve_refuses_what_cannot_work(tmp_path: Path):
    (tmp_path / "remit.yaml").write_text(POLICY)
    (tmp_path / "remit.toml").write_text(
        CONFIG.format(url="http://127.0.0.1:9") + 'openapi = "missing.yaml"\n'
    )
    command = [sys.executable, "-m", "remit", "serve"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    assert "missing.yaml: No such file or directory" in done.stderr + done.stdout
    (tmp_path / "missing.yaml").write_text(json.dumps({"openapi": "3.1.0"}))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert "openapi.paths: there are none" in done.stderr + done.stdout
