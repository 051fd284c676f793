"""What is in deploy/: accepted by the server, and as locked up as its guide says."""

from __future__ import annotations

import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
POLICY = "remit: 1\ndefault: deny\nrules:\n  - {id: reading, tools: [read_file], effect: allow}\n"


@pytest.mark.parametrize("name", ["remit.toml", "container.toml"])
def test_the_server_accepts_the_configuration(name: str, tmp_path: Path) -> None:
    """As it is but for the folders, which are elsewhere here."""
    text = (DEPLOY / name).read_text()
    for folder in ("/etc/remit", "/var/lib/remit", "/run/remit"):
        text = text.replace(folder, f"{tmp_path}{folder}")
    (tmp_path / "etc/remit/policy").mkdir(parents=True)
    (tmp_path / "etc/remit/policy/remit.yaml").write_text(POLICY)
    written = tmp_path / "etc/remit/remit.toml"
    written.write_text(text)
    command = [sys.executable, "-m", "remit", "serve", "--check", "--config", str(written)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ok" in done.stdout


def the_unit() -> ConfigParser:
    unit = ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string((DEPLOY / "remit.service").read_text())
    return unit


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("DynamicUser", "yes"),
        ("ProtectSystem", "strict"),
        ("NoNewPrivileges", "yes"),
        ("CapabilityBoundingSet", ""),
        ("StateDirectory", "remit"),
        ("StateDirectoryMode", "0700"),
        ("RuntimeDirectory", "remit"),
    ],
)
def test_the_unit_is_locked_up(key: str, value: str) -> None:
    assert the_unit()["Service"][key] == value


def test_the_unit_waits_longer_than_the_server_drains() -> None:
    stop = int(the_unit()["Service"]["TimeoutStopSec"].removesuffix("s"))
    drain = re.search(r'^drain = "(\d+)s"', (DEPLOY / "remit.toml").read_text(), re.MULTILINE)
    assert drain is not None
    assert stop > int(drain[1])


def test_the_image_runs_as_nobody_special_and_names_no_host() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", last, re.MULTILINE)
    assert "://" not in text
    for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
        assert "/" not in image
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split()[:-1])


def test_the_versions_that_the_image_installs_come_from_the_lock() -> None:
    """The edit that its build makes leaves one pinned version on each line."""
    text = (DEPLOY / "Dockerfile").read_text()
    edit = re.search(r"RUN (sed .+) requirements\.lock >", text)
    assert edit is not None
    versions = subprocess.check_output(
        ["bash", "-c", f"{edit[1]} requirements.lock"], cwd=ROOT, text=True
    ).splitlines()
    assert len(versions) > 20
    assert [one for one in versions if not re.fullmatch(r"[\w.-]+==[^\s\\]+( ;.*)?", one)] == []


def test_the_guide_names_what_is_there() -> None:
    text = (ROOT / "docs/deploy.md").read_text()
    for name in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / name).exists(), name
    for name in re.findall(r"`(deploy/[\w.]+)`", text):
        assert (ROOT / name).exists(), name
