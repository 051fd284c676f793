"""What a server must never see: the attacks, through the gateway and through a naive one.

The naive gateway is the variant that shows that each attack is one: what is marked as seen through
it stops as well, everything else it lets pass to the forbidden tool.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from attacks import ATTACKS, SAFE, Attack
from processes import free_port, listening
from raw import RawClient, RawPipe, piped
from readings import Reached, read_journal

HERE = Path(__file__).parent
STDIO = [attack for attack in ATTACKS if attack.stdio]


def names(attack: Attack) -> str:
    return attack.name


@dataclass
class Upstream:
    """The scripted server, and what reached it."""

    url: str
    journal: Path

    @property
    def reached(self) -> list[Reached]:
        return read_journal(self.journal)


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upstream]:
    folder, port = tmp_path_factory.mktemp("upstream"), free_port()
    journal = folder / "journal"
    command = [sys.executable, str(HERE / "scripted.py"), "http", str(port), str(journal)]
    with listening(command, port, folder / "log", cwd=folder):
        yield Upstream(f"http://127.0.0.1:{port}/mcp", journal)


@pytest.fixture(scope="module")
def naive(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RawClient]:
    folder, port = tmp_path_factory.mktemp("naive"), free_port()
    command = [sys.executable, str(HERE / "naive.py"), "http", upstream.url, str(port)]
    with listening(command, port, folder / "log", cwd=folder):
        yield RawClient(f"http://127.0.0.1:{port}/mcp").open()


def reached_since(before: int, journal: Path) -> set[str]:
    """Tools that what came since could be read as a call of."""
    return {tool for each in read_journal(journal)[before:] for tool in each.tools}


@pytest.mark.parametrize("attack", ATTACKS, ids=names)
def test_a_naive_http_gateway_lets_the_attack_through(
    naive: RawClient, upstream: Upstream, attack: Attack
):
    before = len(upstream.reached)
    naive.send(attack.body, attack.headers)
    seen = "danger" in reached_since(before, upstream.journal)
    assert seen is not attack.seen_through


@pytest.fixture(scope="module")
def naive_wrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RawPipe, Path]]:
    folder = tmp_path_factory.mktemp("naive-wrap")
    journal = folder / "journal"
    server = [sys.executable, str(HERE / "scripted.py"), "stdio", str(journal)]
    with piped([sys.executable, str(HERE / "naive.py"), "stdio", *server], folder) as pipe:
        yield pipe, journal


@pytest.mark.parametrize("attack", STDIO, ids=names)
def test_a_naive_stdio_gateway_lets_the_attack_through(
    naive_wrap: tuple[RawPipe, Path], attack: Attack
):
    pipe, journal = naive_wrap
    before = len(read_journal(journal))
    stdio_attack(pipe, attack)
    assert ("danger" in reached_since(before, journal)) is not attack.seen_through


def stdio_attack(pipe: RawPipe, attack: Attack) -> None:
    """Attack, then make a good call: it must be answered still."""
    pipe.send(attack.body)
    answer = pipe.ask({**SAFE, "id": f"after {attack.name}"})
    assert answer["result"]["content"][0]["text"].startswith("ran safe"), answer
