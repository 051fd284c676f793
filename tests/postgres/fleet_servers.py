"""Real ``remit serve`` processes on one database."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import serving

CONFIG = """
[server]
listen = ["127.0.0.1:0"]
socket = ""
[store]
url = "{url}"
node = "{node}"
timeout = "{timeout}"
[signing]
key = "{key}"
interval = "{interval}"
"""
_SKEWED = """
import sys, time
right = time.time_ns
time.time_ns = lambda: right() + %d
from remit.cli import main
sys.argv = ["remit", "serve"]
sys.exit(main())
"""


class FleetFolder:
    """Folders of the nodes of a fleet: each with a policy and a configuration, one key for all."""

    def __init__(
        self,
        folder: Path,
        url: str,
        policy: str,
        nodes: int,
        *,
        timeout: str = "5s",
        interval: str = "1s",
        direct: str | None = None,
    ) -> None:
        """Prepare them; ``direct`` leads to the database beside whatever is in between."""
        self.url = direct or url
        self.signing_key = folder / "remit.key"
        self.folders = [folder / f"node{number}" for number in range(nodes)]
        for number, each in enumerate(self.folders):
            each.mkdir()
            (each / "remit.yaml").write_text(policy, encoding="utf-8")
            (each / "remit.toml").write_text(
                CONFIG.format(
                    url=url,
                    node=f"node{number}",
                    key=self.signing_key,
                    timeout=timeout,
                    interval=interval,
                ),
                encoding="utf-8",
            )

    def key(self, agent: str = "bot") -> str:
        """Make a key of the agent."""
        os.environ["REMIT_STORE_URL"] = self.url
        try:
            return serving.key_of(self.folders[0], agent)
        finally:
            del os.environ["REMIT_STORE_URL"]

    def start(self, number: int, skew: int = 0) -> serving.ServerProcess:
        """Start a node, whose clock is ``skew`` seconds ahead; it listens."""
        if not skew:
            return serving.ServerProcess(self.folders[number])
        return serving.ServerProcess(self.folders[number], ("-c", _SKEWED % (skew * 10**9)))
