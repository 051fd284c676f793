"""The README does what it says: its policy, its program and its commands, in that order."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "README.md"
TEXT = PAGE.read_text(encoding="utf-8")
REMIT = Path(sys.executable).with_name("remit")


def block(language: str, containing: str) -> str:
    found = [
        block
        for block in re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
        if containing in block
    ]
    assert len(found) == 1, f"one {language} block with {containing!r}, not {len(found)}"
    return found[0]


THE_PROGRAM = block("python", "Guard.open").replace(
    ") -> list[dict]: ...", ") -> list[dict]:\n    return [{'ran': sql}]"
)
OPENING = next(line for line in THE_PROGRAM.splitlines() if "Guard.open" in line)
SERVER = "http://127.0.0.1:8700"


def run(command: list[str], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def test_one_screen_of_use(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text(block("yaml", "no-destructive-sql"))
    run([str(REMIT), "check"], tmp_path)
    told = run([sys.executable, "-c", THE_PROGRAM], tmp_path)
    assert "no-destructive-sql (remit.yaml:" in told
    assert "Open a migration request." in told
    handle = told.strip().splitlines()[-1]
    assert handle.startswith("ap")

    commands = block("sh", "remit audit verify")
    path = f"{REMIT.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", commands],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert handle in done.stdout
    assert "deny" in done.stdout
    assert "verified  log.remit" in done.stdout


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The server of the page, on a port that is free; where it listens."""
    (tmp_path / "remit.yaml").write_text(block("yaml", "no-destructive-sql"))
    (tmp_path / "remit.toml").write_text('[server]\nlisten = ["127.0.0.1:0"]\n')
    assert "\nremit serve " in block("sh", "remit serve")
    log = tmp_path / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([str(REMIT), "serve"], cwd=tmp_path, stderr=stream)
    try:
        deadline = time.monotonic() + 30
        url = None
        while url is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
            url = re.search(r'"listening".*"(http://127\.0\.0\.1:\d+)"', log.read_text())
        yield url[1]
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture
def key(server: str, tmp_path: Path) -> str:
    """The key that the page has its reader make."""
    command = re.search(r"^remit (agents add [\w-]+)", block("sh", "remit serve"), re.MULTILINE)
    assert command is not None
    shown = run([str(REMIT), *command[1].split()], tmp_path)
    found = re.search(r"remit_\w+", shown)
    assert found is not None
    return found[0]


def test_through_a_server(server: str, key: str, tmp_path: Path) -> None:
    """The program of the first screen with the other way to make its guard, elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    connect = block("python", "Guard.connect").replace(SERVER, server)
    program = THE_PROGRAM.replace(OPENING, connect)
    assert "Guard.open" not in program
    told = run([sys.executable, "-c", program], elsewhere, REMIT_KEY=key)
    assert "no-destructive-sql (remit.yaml:" in told
    assert "Open a migration request." in told
    handle = told.strip().splitlines()[-1]
    assert handle in run([str(REMIT), "approvals", "list"], tmp_path)
    assert list(elsewhere.iterdir()) == []


def test_from_any_language(server: str, key: str, tmp_path: Path) -> None:
    command = block("sh", "/access/v1/evaluation").replace(SERVER, server)
    answer = json.loads(run(["bash", "-c", command], tmp_path, REMIT_KEY=key))
    assert answer["decision"] is False
    assert answer["context"]["reason"] == "no-destructive-sql"

    allowed = command.replace("drop table stock", "select * from stock")
    assert json.loads(run(["bash", "-c", allowed], tmp_path, REMIT_KEY=key))["decision"] is True


def test_without_the_server_nothing_runs(tmp_path: Path) -> None:
    connect = block("python", "Guard.connect").replace(SERVER, "http://127.0.0.1:9")
    program = f"from remit import Guard\n{connect}\nguard.session(agent='inventory-bot')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "REMIT_KEY": "remit_key"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Unavailable" in done.stderr
    assert "does not answer" in done.stderr


def test_every_page_that_it_names_is_there() -> None:
    named = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert named
    assert [page for page in named if not (PAGE.parent / page).exists()] == []


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    targets = re.findall(r"^([a-z]+):", (PAGE.parent / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert command in targets
