"""docs/scale.md: its configuration is one, its commands and files exist, its simulation runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from benchmarks.simulate_fleet import MAX_GROUP, Costs, simulate

from remit.cli.app import root
from remit.config import parse_config

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_the_configuration_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    config = parse_config(block, "remit.toml", tmp_path)
    assert config.store.url is not None
    assert config.store.url.startswith("postgresql://remit@")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://remit@db/remit",
        "postgresql://remit:secret@db/remit",
        "postgresql://remit@db/remit?password=secret",
    ],
)
def test_other_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"store"):
        parse_config(f'[store]\nurl = "{url}"\n', "remit.toml", tmp_path)


def test_the_commands_are_there() -> None:
    lines = re.findall(r"^    (remit .*)$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        command: click.Command = root
        for word in shlex.split(line, comments=True)[1:]:
            if not isinstance(command, click.Group):
                break
            found = command.get_command(click.Context(command), word)
            assert found is not None, line
            command = found


def test_the_files_are_there() -> None:
    for name in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (ROOT / "docs" / name).exists(), name
    for name in re.findall(r"`((?:deploy|tests)/[^`]*)`", PAGE):
        assert (ROOT / name).exists(), name


def test_a_simulated_fleet_does_what_is_asked_until_the_head_is_full() -> None:
    costs = Costs(node=100e-6, head=1.5e-3, each=80e-6)
    calm = simulate(10, 10.0, costs, seconds=6)
    assert calm.rate == pytest.approx(50, rel=0.15)
    assert calm.p99 < 0.05
    full = simulate(10, 4000.0, costs, seconds=6)
    most = MAX_GROUP / (costs.head + costs.each * MAX_GROUP) / 2
    assert full.rate == pytest.approx(most, rel=0.05)
    assert full.head > 0.95
    assert full.p99 > calm.p99
