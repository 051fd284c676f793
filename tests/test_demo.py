"""The demo itself: it must end well, and it must be able to end badly."""

import json
import subprocess
import sys

import pytest

from remit import Guard
from remit.cli.app import run
from remit.demo import story, tell
from remit.demo.agent import SCENES


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The whole demo, run as a user runs it."""
    folder = tmp_path_factory.mktemp("demo") / "kept"
    ran = subprocess.run(
        [sys.executable, "-m", "remit", "demo", "--json", "--keep", folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stderr == ""
    return ran.returncode, json.loads(ran.stdout), folder


def test_everything_that_must_be_stopped_was_stopped(told):
    code, report, _ = told
    assert [each for each in report["expectations"] if not each["met"]] == []
    assert report["ok"] is True
    assert code == 0


def test_without_remit_the_damage_is_real(told):
    assert told[1]["without"] == {
        "invoices": None,
        "orders": 1,
        "customer_rows_outside": 3,
        "stock_pages": 40,
        "refunded": 5400,
        "backup_intact": False,
    }


def test_every_refusal_has_a_rule_and_a_reason(told):
    refused = [each for each in told[1]["attempts"] if each["verdict"] in ("denied", "held")]
    assert {each["scene"] for each in refused} == {scene.key for scene in SCENES}
    assert all(each["rule"] and each["because"] for each in refused)


def test_it_is_quick_enough_to_watch(told):
    assert told[1]["seconds"] < 20


def test_the_kept_folder_holds_what_the_demo_says(told):
    folder = told[2]
    names = {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}
    assert {"governed/remit.yaml", "governed/remit.db", "log/export.jsonl"} <= names
    assert (folder / "without" / "backups" / "shop.sql").read_text() == ""
    assert (folder / "governed" / "backups" / "shop.sql").read_text() != ""


def test_a_used_folder_is_refused(tmp_path, capsys):
    (tmp_path / "mine").write_text("x")
    assert run(["demo", "--keep", str(tmp_path)]) == 2
    assert "empty" in capsys.readouterr().err


class Leaky:
    """A guard that lets everything through: what the demo must notice."""

    def wrap(self, tool, *, name):
        return tool

    def __getattr__(self, name):
        return getattr(self.guard, name)

    @classmethod
    def open(cls, path):
        leaky = cls()
        leaky.guard = Guard.open(path)
        return leaky


def test_a_guard_that_lets_everything_through_fails_the_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(story, "Guard", Leaky)
    ended = tell(tmp_path, lambda _: None)
    assert not ended.ok
    unmet = {each.what for each in ended.expectations if not each.met}
    for what in ("invoices", "orders", "customer_rows_outside", "stock_pages", "refunded"):
        assert f"with Remit: {what}" in unmet


def test_a_verifier_that_accepts_everything_fails_the_demo(tmp_path, monkeypatch):
    monkeypatch.setattr(story, "_FORGERIES", (((lambda export: export), "Not forged at all."),))
    ended = tell(tmp_path, lambda _: None)
    (unmet,) = [each for each in ended.expectations if not each.met]
    assert (unmet.expected, unmet.found) == (1, 0)


def test_what_a_person_sees(capsys):
    assert run(["demo"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "== Without Remit:",
        "ran     http.post",
        "== With Remit:",
        "denied  db.query",
        "The production database is frozen",
        "and 34 times more",
        "held    refunds.pay",
        "$ remit approvals approve",
        "== Tampering:",
        "at least one was altered",
        "records were removed",
        "its newest records were deleted",
        "table is gone",
        "expectations met in",
    ):
        assert part in shown
    assert "not as it must be" not in shown
    assert "/tmp/" not in shown


def test_a_demo_that_went_wrong_says_what_and_ends_with_1(monkeypatch, capsys):
    monkeypatch.setattr(story, "Guard", Leaky)
    assert run(["demo"]) == 1
    shown = capsys.readouterr().out
    assert "not as it must be: with Remit: invoices: expected 240, found None" in shown


def test_a_tool_that_breaks_is_no_end_of_the_demo(tmp_path):
    from remit.demo.agent import Refusal, Scene, ToolCall
    from remit.demo.stage import play_bare
    from remit.demo.world import World

    answers = []

    def script(world):
        answers.append((yield ToolCall("web.get", {"url": f"{world.site.origin}/absent"})))

    world = World(tmp_path / "world")
    seen = []
    try:
        scene = Scene("x", "breaks", "a", "ada", "look", script, ("failed",))
        play_bare(scene, world, seen.append)
    finally:
        world.close()
    assert [each.verdict for each in seen] == ["failed"]
    assert isinstance(answers[0], Refusal)
