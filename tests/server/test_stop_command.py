"""``remit stop --server``: the switch of a running server, from the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest
from live import config_in, live_server

from remit import Denied, Guard
from remit.cli.app import run
from remit.credentials import Right


@pytest.fixture
def live(tmp_path):
    with live_server(config_in(tmp_path)) as server:
        yield server


@pytest.fixture
def remit(live, tmp_path, capsys):
    """Run ``remit`` against the server, as somebody with one right."""

    def command(*arguments, right: Right = Right.ADMIN):
        file = tmp_path / f"{right.value}.key"
        file.write_text(live.keys[right] + "\n")
        capsys.readouterr()
        code = run([*arguments, "--server", live.url, "--key-file", str(file)])
        return code, capsys.readouterr()

    return command


def test_from_stop_to_resume(live, remit) -> None:
    with Guard.connect(live.url, credential=live.keys[Right.AGENT]) as guard:
        call = guard.wrap(lambda: "rows", name="db.query")
        with guard.session(agent="inventory-bot"):
            assert call() == "rows"
            code, shown = remit("stop", "--all", "--reason", "drill", "--wait", "0", "--json")
            assert code == 0, shown.out
            made = json.loads(shown.out)
            assert (made["stop"]["scope"], made["first_refusal"]) == ("all", None)
            with pytest.raises(Denied, match="stopped everything: drill"):
                call()
            code, shown = remit("stop", "--list")
            assert made["stop"]["id"] in shown.out
            code, shown = remit("resume", "--all")
            assert code == 0
            assert call() == "rows"
            code, shown = remit("resume", made["stop"]["id"])
            assert code == 2
            assert "no such stop" in shown.err


def test_only_an_admin(remit) -> None:
    for right in set(Right) - {Right.ADMIN}:
        for arguments in (("stop", "--all"), ("stop", "--list"), ("resume", "--all")):
            code, shown = remit(*arguments, right=right)
            assert code == 4
            assert "admin" in shown.err


def test_bad_keys_and_addresses(live, tmp_path, capsys) -> None:
    file = tmp_path / "key"
    file.write_text(live.keys[Right.ADMIN][:-4] + "aaaa")
    assert run(["stop", "--all", "--server", live.url, "--key-file", str(file)]) == 4
    file.write_text("\n")
    assert run(["stop", "--all", "--server", live.url, "--key-file", str(file)]) == 2
    assert run(["stop", "--all", "--server", "http://127.0.0.1:1"]) == 3
    assert run(["stop", "--list", "--server", live.url]) == 4
    assert "does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("to", ["server", "file"])
def test_how_soon_after_the_command_a_client_is_refused(to, live, tmp_path) -> None:
    """A real command in a process of its own; the client calls about every millisecond."""
    refused: list[float] = []
    with Guard.connect(live.url, credential=live.keys[Right.AGENT]) as guard:
        call = guard.wrap(lambda: "rows", name="db.query")

        def busy() -> None:
            with guard.session(agent="inventory-bot"):
                while not refused:
                    try:
                        call()
                    except Denied:
                        refused.append(time.monotonic())
                    time.sleep(0.001)

        thread = threading.Thread(target=busy)
        thread.start()
        time.sleep(0.3)
        (tmp_path / "key").write_text(live.keys[Right.ADMIN])
        where = {
            "server": ["--server", live.url, "--key-file", str(tmp_path / "key")],
            "file": ["--policy", str(tmp_path / "remit.yaml")],
        }
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "remit", "stop", "--all", "--wait", "5", "--json", *where[to]],
            capture_output=True,
            check=True,
            timeout=60,
        )
        thread.join(10)
    made = json.loads(done.stdout)
    command = made["in_force_ms"] + made["first_refusal"]["after_ms"]
    print(
        f"{to}: in force {made['in_force_ms']:.1f} ms after the command began, first refusal "
        f"{made['first_refusal']['after_ms']:.1f} ms later, {command:.1f} ms in all "
        f"({1000 * (refused[0] - began):.0f} ms with the start of Python)"
    )
    assert command < 1000
