"""Whatever form a text is written in, one of its readings is what it says."""

from __future__ import annotations

import base64
import html
from time import perf_counter
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.inspection import encodings
from remit.inspection.encodings import DECODERS, decoded, readings, strings

SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


def _grouped(text: str, size: int, between: str) -> str:
    return between.join(text[at : at + size] for at in range(0, len(text), size))


def _selectors(text: str) -> str:
    codes = text.encode()
    return "".join(chr(0xFE00 + code if code < 16 else 0xE00F0 + code) for code in codes)


FORMS = {
    "base64": lambda s: base64.b64encode(s.encode()).decode(),
    "base64 without padding": lambda s: base64.b64encode(s.encode()).decode().rstrip("="),
    "base64 for URLs": lambda s: base64.urlsafe_b64encode(b"??>" + s.encode()).decode(),
    "base64 in lines": lambda s: _grouped(base64.b64encode(s.encode()).decode(), 28, "\n"),
    "base32": lambda s: base64.b32encode(s.encode()).decode(),
    "base32 in small letters": lambda s: base64.b32encode(s.encode()).decode().lower().rstrip("="),
    "hexadecimal": lambda s: s.encode().hex(),
    "hexadecimal in capitals": lambda s: s.encode().hex().upper(),
    "hexadecimal with blanks": lambda s: s.encode().hex(" "),
    "hexadecimal with colons": lambda s: s.encode().hex(":"),
    "hexadecimal as in C": lambda s: ", ".join(f"0x{code:02x}" for code in s.encode()),
    "backslash and x": lambda s: "".join(f"\\x{code:02x}" for code in s.encode()),
    "backslash and u": lambda s: "".join(f"\\u{ord(c):04x}" for c in s),
    "backslash, u and braces": lambda s: "".join(f"\\u{{{ord(c):x}}}" for c in s),
    "octal": lambda s: "".join(f"\\{code:03o}" for code in s.encode()),
    "percent": lambda s: "".join(f"%{code:02X}" for code in s.encode()),
    "percent in part": lambda s: s.replace("_", "%5f"),
    "entities": lambda s: "".join(f"&#{ord(c)};" for c in s),
    "entities in hexadecimal": lambda s: "".join(f"&#x{ord(c):x};" for c in s),
    "decimal": lambda s: " ".join(str(code) for code in s.encode()),
    "blanks": lambda s: " ".join(s),
    "groups of four": lambda s: _grouped(s, 4, " "),
    "groups with dashes": lambda s: _grouped(s, 5, "-"),
    "a line end within": lambda s: s[:20] + "\n    " + s[20:],
    "full width": lambda s: "".join(chr(ord(c) + 0xFEE0) for c in s),
    "nothing drawn between": lambda s: "\u200b".join(s),
    "tags": lambda s: "".join(chr(0xE0000 + ord(c)) for c in s),
    "variation selectors": _selectors,
}
PLACES = ["{}", "The key is {} and works.", "https://c.example/p?d={}&e=1", '{{"a": "{}"}}']


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_read(form: str, place: str) -> None:
    written = place.format(FORMS[form](SECRET))
    assert SECRET not in written
    found = readings(written)
    assert any(SECRET in reading.text for reading in found), [r.text for r in found]


_TWICE = ["base64", "hexadecimal", "percent", "entities", "base32", "backslash and u"]


@pytest.mark.parametrize("inner", _TWICE)
@pytest.mark.parametrize("outer", _TWICE)
def test_forms_on_top_of_each_other_are_read(outer: str, inner: str) -> None:
    written = f"see {FORMS[outer](FORMS[inner](SECRET))} there"
    assert any(SECRET in reading.text for reading in readings(written))


_TEXTS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=20, max_size=60)


@given(_TEXTS, st.sampled_from(["base64", "hexadecimal", "percent", "entities"]))
def test_any_text_is_read_again(text: str, form: str) -> None:
    if form == "entities" and html.unescape(text) != text:
        return
    if form == "percent" and quote(text) == text:
        return
    found = readings(FORMS[form](text))
    assert any(text in reading.text for reading in found)


def test_a_reading_says_how_it_was_made() -> None:
    twice = FORMS["base64"](FORMS["hexadecimal"](SECRET))
    how = [reading.how for reading in readings(twice) if SECRET in reading.text]
    assert how == [("base64", "hexadecimal")]


def test_what_is_encoded_may_start_anywhere_in_a_run() -> None:
    for glued in ("", "a", "ab", "abc", "a/b/c/"):
        written = f"https://c.example/{glued}{FORMS['base64'](SECRET)}"
        assert any(SECRET in reading.text for reading in readings(written)), glued


def test_plain_text_has_no_readings() -> None:
    assert readings("The quick brown fox jumps over the lazy dog.") == ()
    assert readings("4f1c9e2a-8d3b-4c5e-9f6a-7b8c9d0e1f2a") == ()
    assert readings("d41d8cd98f00b204e9800998ecf8427e") == ()
    assert readings("Größe: 10 °C, naïve, 漢字") == ()


def test_escapes_that_are_no_characters_stay() -> None:
    assert readings(r"\ud800\U99999999") == ()


def test_of_a_long_text_only_the_surroundings_are_kept() -> None:
    filling = "word " * 2000
    written = f"{filling}{FORMS['percent'](SECRET)} {filling}{FORMS['percent']('end')}"
    [reading] = [each for each in readings(written) if each.how == ("percent",)]
    assert SECRET in reading.text
    assert reading.text.endswith("word end")
    assert len(reading.text) < 4 * encodings.CONTEXT + 100


def test_decoding_ends_when_a_text_was_made_to_have_many_readings() -> None:
    written = "%2525252541 " + " ".join(form(SECRET) for form in FORMS.values())
    found, whole = decoded(written, depth=3)
    assert len(found) <= encodings.MOST
    assert sum(len(each.text) for each in found) <= 8 * len(written) + 65_536
    assert not whole
    assert {each.how[0] for each in found} == set(DECODERS), "the nearest readings come first"


def test_what_was_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "MOST", 1)
    found, whole = decoded(FORMS["base64"](FORMS["hexadecimal"](SECRET)))
    assert (len(found), whole) == (1, False)


@settings(max_examples=60)
@given(st.text(max_size=300))
def test_no_text_breaks_a_decoder(text: str) -> None:
    for decoder in DECODERS.values():
        said = decoder(text)
        assert said is None or said != text
    assert len(readings(text)) <= encodings.MOST


@pytest.mark.parametrize(
    "piece", ["%41", "&amp;", "QUJD", "41 ", "a b ", "\\x41", "\u200b", "🙂", "AAAAAAAAAAAAAAAA\n"]
)
def test_work_grows_with_the_length_only(piece: str) -> None:
    def took(size: int) -> float:
        text = piece * (size // len(piece))
        start = perf_counter()
        readings(text)
        return perf_counter() - start

    took(4_000)
    assert took(400_000) < 100 * took(40_000) + 0.5


def test_strings_of_a_value_come_in_order() -> None:
    value = {"to": ["a", {"b": None}], "n": 4111, "x": True, "t": ("c", 1.5)}
    assert strings(value) == ["to", "a", "b", "n", "4111", "x", "t", "c", "1.5"]
