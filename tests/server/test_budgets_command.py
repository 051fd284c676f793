"""``remit budgets --server``: the same commands with somebody's key, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Live, config_in, live_server

from remit.cli.app import run
from remit.credentials import Right
from remit.model import AccessRequest, Action, Estimate, Outcome, Usage
from serving import POLICY

BUDGETS = "\nbudgets:\n  - {id: day, by: agent, limit: {usd: 1}, per: day}\n"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    folder = tmp_path_factory.mktemp("live")
    with live_server(config_in(folder, POLICY.split("\nbudgets:")[0] + BUDGETS)) as server:
        yield server


def command(live: Live, folder: Path, right: Right, *arguments: str) -> int:
    key = folder / "key"
    key.write_text(live.keys[right])
    return run(["budgets", *arguments, "--server", live.url, "--key-file", str(key)])


def test_look_raise_reset_and_export(
    live: Live, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, governor = live.parts.store, live.parts.governor
    session = store.read(lambda view: view.session(live.session))
    assert session is not None
    request = AccessRequest(
        principal=session.principal,
        session=session.id,
        action=Action(name="db.query", kind="model"),
        estimate=Estimate(usage=Usage(nano_usd=400_000_000), model="large"),
    )
    made = store.write(lambda t: governor.admit(t, request))
    assert made.granted
    store.write(lambda t: governor.settle(t, made.id, request, Outcome(status="ok")))
    assert command(live, tmp_path, Right.AUDITOR) == 0
    assert "40%" in capsys.readouterr().out
    change = ("set", "day", "--limit", "3", "--for", "1h", "--as", "ada", "--json")
    assert command(live, tmp_path, Right.AUDITOR, *change) == 4
    capsys.readouterr()
    assert command(live, tmp_path, Right.ADMIN, *change) == 0
    assert json.loads(capsys.readouterr().out)["limit"] == 3_000_000_000
    assert command(live, tmp_path, Right.ADMIN, "reset", "day", "--json") == 0
    assert json.loads(capsys.readouterr().out)["spent"] == 0
    assert command(live, tmp_path, Right.ADMIN, "show", "day") == 0
    assert "agent inventory-bot" in capsys.readouterr().out
    given = ("export", "--by", "model", "--since", "2020-01-01", "--json")
    assert command(live, tmp_path, Right.ADMIN, *given) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["model"], row["usd"]) == ("large", "0.4")
