"""Fixtures: what the gateway is tested against."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from installing import Peers, peers
from processes import free_port, listening


@pytest.fixture(scope="session", name="peers")
def _peers() -> Peers:
    return peers()


@pytest.fixture(scope="session")
def everything_server(peers: Peers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the MCP Python SDK's server of all features."""
    port, log = free_port(), tmp_path_factory.mktemp("everything") / "server.log"
    command = [sys.executable, "-m", "mcp_everything_server", "--log-level", "ERROR"]
    folder: Path = peers.everything_server
    with listening([*command, "--port", str(port)], port, log, cwd=folder):
        yield f"http://localhost:{port}/mcp"
