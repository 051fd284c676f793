"""The conformance suite sees the same through the gateway as directly, check by check."""

from __future__ import annotations

import importlib.metadata

import pytest
from conformance import ERAS, run_suite, totals
from installing import LOCKS, Peers

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
