"""The blocks of docs/console.md, and the pictures that it and the screens have."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from desk import POLICY
from scene import Scene

from remit.cli.app import run
from remit.config.file import parse_config
from remit.credentials import Right
from remit.storage.sqlite import SqliteStore

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "console.md").read_text()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return found


def test_the_configuration_is_one(tmp_path: Path):
    config = parse_config(block("toml"), "remit.toml", tmp_path)
    assert config.console.session == 8 * 3600
    assert config.console.oidc
    assert config.console.oidc.client_id in config.identity.issuers[0].audience


def test_the_command_makes_a_key_of_a_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "remit.yaml").write_text(POLICY)
    program, *words = shlex.split(block("sh"))
    assert program == "remit"
    assert run(words) == 0
    store = SqliteStore(tmp_path / "remit.db")
    (credential,) = store.read(lambda view: list(view.credentials()))
    store.close()
    assert (credential.principal, credential.kind) == ("grace", "person")
    assert set(credential.rights) == {Right.REVIEWER, Right.AUDITOR}


def test_every_screen_has_its_pictures_and_they_are_small():
    for name in Scene.SCREENS:
        for suffix in ("", "-phone"):
            picture = DOCS / "screenshots" / f"{name}{suffix}.png"
            assert picture.read_bytes().startswith(b"\x89PNG"), picture.name
            assert picture.stat().st_size < 250_000
    for picture in re.findall(r"\]\((screenshots/[^)]+)\)", TEXT):
        assert (DOCS / picture).exists()
