"""What agents write must not act on the terminal of whoever reads about it."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from remit.cli import rendering
from remit.model import Fault, Location

HOSTILE = "\x1b[2J\x07\x9b31m\u202egpj\u200b\ud800\x7f\r\u2028"


def drawn(thing):
    out = io.StringIO()
    Console(file=out, markup=False, highlight=False, emoji=False, width=200).print(thing)
    return out.getvalue()


def test_control_and_invisible_characters_are_escaped():
    assert rendering.visible("\x1b[2J") == "\\x1b[2J"
    assert rendering.visible("\u202e\u200b") == "\\u202e\\u200b"
    assert rendering.visible("\U000e0041") == "\\U000e0041"
    assert rendering.visible("Grüße, 日本") == "Grüße, 日本"


def test_line_feeds_are_kept_only_on_request():
    assert rendering.visible("a\nb") == "a\\x0ab"
    assert rendering.visible("a\nb\r", lines=True) == "a\nb\\x0d"


@given(st.text())
def test_nothing_unprintable_survives(text):
    shown = rendering.visible(text)
    assert all(char.isprintable() or char.isspace() for char in shown)
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in shown)


def test_markup_is_shown_and_not_obeyed():
    assert drawn(rendering.text("[bold red]x[/] :smile: [link=http://a]b")).strip() == (
        "[bold red]x[/] :smile: [link=http://a]b"
    )


def test_what_is_appended_keeps_its_own_style():
    whole = rendering.text("place: ", "bold").append_text(rendering.text("message"))
    assert [(span.start, span.end, span.style) for span in whole.spans] == [(0, 7, "bold")]
    assert whole.style == ""


def test_hostile_text_in_a_table_stays_text(capsys):
    rendering.console.cache_clear()
    rendering.table(["tool", "note"], [[HOSTILE, HOSTILE]])
    rendering.console.cache_clear()
    shown = capsys.readouterr().out
    assert "\\x1b[2J" in shown
    assert not set(shown) & set(HOSTILE.replace("[2J", "").replace("31m", "").replace("gpj", ""))


def test_json_for_programs_is_ascii_and_reads_back():
    text = rendering.as_json({"tool": HOSTILE})
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    assert json.loads(text) == {"tool": HOSTILE}


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("short", 10, "short"),
        ("exactly ten", 11, "exactly ten"),
        ("much too long", 8, "much to…"),
        ("\x1b\x1b\x1b", 8, "\\x1b\\x1…"),
    ],
)
def test_shortened_never_exceeds_its_width(text, width, expected):
    assert rendering.shortened(text, width) == expected


def test_a_fault_underlines_what_is_wrong_also_after_wide_characters():
    fault = Fault(
        at=Location("remit.yaml", 3, 4),
        message="unknown key",
        suggestion="did you mean 'default'?",
        source="日本 defualt: deny",
        width=7,
    )
    lines = drawn(rendering.fault_text(fault)).splitlines()
    assert lines[0] == "remit.yaml:3:4: error: unknown key"
    assert lines[1] == "    日本 defualt: deny"
    assert lines[2] == "         ^^^^^^^"
    assert lines[3] == "    did you mean 'default'?"


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (350_000, "350 µs"),
        (12_000_000, "12 ms"),
        (1_500_000_000, "1.5 s"),
        (42 * 60 * 10**9, "42 min"),
        (3 * 3600 * 10**9, "3 h"),
    ],
)
def test_durations_have_a_unit_that_suits_them(nanoseconds, expected):
    assert rendering.duration(nanoseconds) == expected


def test_timestamps_are_rfc_3339_in_utc():
    assert rendering.timestamp(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
