"""The conformance suite sees the same through the gateway as directly, check by check."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import pytest
from conformance import ERAS, Checks, run_suite, totals
from installing import LOCKS, Peers
from serving_mcp import AGENT, add_key, serving, table, verified

DIRECT = {"2025-11-25": (84, 0), "2026-07-28": (152, 0), "every scenario": (207, 25)}
"""Passed and failed of the pinned suite against the pinned server; the failures are of an
extension that the server does not have."""


def test_the_pinned_source_is_of_the_installed_release():
    version = importlib.metadata.version("mcp")
    assert (LOCKS / "sdk.txt").read_text().startswith(f"mcp=={version} ")


@pytest.mark.parametrize("era", ERAS)
def test_directly_the_suite_finds_what_it_is_known_to_find(
    peers: Peers, everything_server: str, era: str
):
    assert totals(run_suite(peers, everything_server, era)) == DIRECT[era]


ALLOW = """\
remit: 1
default: deny
agents: {inventory-bot: {}}
rules:
  - {id: everything, tools: '*', effect: allow}
"""


@pytest.fixture(scope="module")
def governed(
    everything_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The URL of the same server behind the gateway, and the key of an agent."""
    folder = tmp_path_factory.mktemp("governed")
    with serving(folder, ALLOW, table("everything", url=everything_server)) as server:
        yield server.mcp("everything"), add_key(folder, AGENT)
    assert verified(folder)["decision"] > 0


@pytest.mark.parametrize("era", ERAS)
def test_through_the_gateway_the_suite_finds_the_same_check_by_check(
    peers: Peers, everything_server: str, governed: tuple[str, str], era: str
):
    direct = run_suite(peers, everything_server, era)
    url, key = governed
    through = run_suite(peers, url, era, key=key)
    assert totals(direct) == DIRECT[era]
    assert different(direct, through) == {}


def different(direct: Checks, through: Checks) -> dict[str, str]:
    """Checks that ended differently, in words."""
    return {
        name: f"{direct.get(name)} directly, {through.get(name)} through the gateway"
        for name in direct.keys() | through.keys()
        if direct.get(name) != through.get(name)
    }


def test_a_gateway_that_refuses_is_noticed(
    peers: Peers, everything_server: str, governed: tuple[str, str]
):
    """The comparison can fail: without a key, nothing passes."""
    era = "2025-11-25"
    url, _ = governed
    refused = run_suite(peers, url, era, key="nobody")
    assert len(different(run_suite(peers, everything_server, era), refused)) > 30
