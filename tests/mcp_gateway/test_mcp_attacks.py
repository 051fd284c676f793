"""What a server must never see: the attacks, through the gateway and through a naive one.

The naive gateway is the variant that shows that each attack is one: what is marked as seen through
it stops as well, everything else it lets pass to the forbidden tool.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from attacks import ATTACKS, SAFE, Attack
from processes import free_port, listening
from raw import RawClient, RawPipe, piped
from readings import Reached, read_journal
from serving_mcp import granted_tools, wrap_command

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


POLICY = """\
remit: 1
default: deny
agents: {inventory-bot: {}, other-bot: {}}
people: {grace: {roles: [reviewers]}}
rules:
  - {id: all, tools: ['up.*', 'pipe.*'], effect: allow}
  - {id: forbidden, tools: ['up.danger', 'pipe.danger'], effect: deny}
  - {id: careful, tools: ['up.careful', 'pipe.careful'], effect: ask, approvers: [reviewers]}
"""


@dataclass
class Wrapped:
    """A scripted server behind ``remit wrap``."""

    pipe: RawPipe
    journal: Path
    folder: Path


@pytest.fixture(scope="module")
def wrapped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wrapped]:
    folder = tmp_path_factory.mktemp("wrapped")
    (folder / "remit.yaml").write_text(POLICY)
    journal = folder / "journal"
    server = [sys.executable, str(HERE / "scripted.py"), "stdio", str(journal)]
    with piped(wrap_command("pipe", server), folder) as pipe:
        yield Wrapped(pipe.open(), journal, folder)
    assert_all_decided(folder, read_journal(journal))


def assert_all_decided(folder: Path, reached: list[Reached]) -> None:
    """Every call that reached a server has a record that granted it, one for each."""
    calls = Counter(tool for each in reached for tool in each.tools)
    granted = Counter(tool for tool in granted_tools(folder))
    assert calls["safe"] > 0
    assert calls <= granted, calls - granted


@pytest.mark.parametrize("attack", STDIO, ids=names)
def test_no_attack_over_stdio_reaches_the_server(wrapped: Wrapped, attack: Attack):
    before = len(read_journal(wrapped.journal))
    stdio_attack(wrapped.pipe, attack)
    assert "danger" not in reached_since(before, wrapped.journal)
