"""YAML with positions: what is refused, where the fault points, where scalars come from."""

from __future__ import annotations

import pytest
import yaml as pyyaml
from hypothesis import given
from hypothesis import strategies as st

from remit.policy import yaml
from remit.policy.reading import plain
from remit.policy.yaml import YamlMap, YamlScalar, decode, origins, parse


def read(text: str | bytes):
    source, faults = decode("x.yaml", text)
    if faults:
        return None, faults
    return parse(source)


def value(text: str):
    root, faults = read(text)
    assert faults == []
    assert root is not None
    return plain(root)


def one_fault(text: str | bytes):
    _, faults = read(text)
    assert len(faults) == 1, faults
    return faults[0]


@pytest.mark.parametrize("loader", [pyyaml.SafeLoader, yaml._LOADER])
def test_plain_data_is_read(loader, monkeypatch):
    monkeypatch.setattr(yaml, "_LOADER", loader)
    text = "a: [1, -2.5, 1e3, true, false, null, ~, '', on fire]\non: {b: |\n  x\n }\nc:\n"
    assert value("a: [1, -2.5, 1e3, true, false, null, ~, '', on fire]\non: {b: 'y'}\nc:\n") == {
        "a": [1, -2.5, 1000.0, True, False, None, None, "", "on fire"],
        "on": {"b": "y"},
        "c": None,
    }
    assert read(text)[1] != []


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert value("\ufeffa: 1") == {"a": 1}
    source, _ = decode("x", b"\xef\xbb\xbfa: 1")
    assert source.text == "a: 1"


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("a: yes", (1, 4, 3), "take yes for a boolean", "Write true, or quote"),
        ("a: Off", (1, 4, 3), "take Off for a boolean", "Write false, or quote"),
        ("a: True", (1, 4, 4), "take True for a boolean", "Write true"),
        ("a: 010", (1, 4, 3), "disagree about what 010", "quote it: '010'"),
        ("a: 0x1F", (1, 4, 4), "disagree", "decimal"),
        ("a: 1_000", (1, 4, 5), "disagree", "decimal"),
        ("a: 1:30", (1, 4, 4), "disagree", "decimal"),
        ("a: .inf", (1, 4, 4), "disagree", "decimal"),
        ("a: -.NaN", (1, 4, 5), "disagree", "decimal"),
        ("a: -1e999", (1, 4, 6), "disagree", "decimal"),
        ("a: +1", (1, 4, 2), "disagree", "decimal"),
        ("a: " + "9" * 41, (1, 4, 41), "disagree", "decimal"),
        ("a: &x 1", (1, 4, 4), "anchor", "Quote"),
        ("a: *x", (1, 4, 2), "alias", "'*x'"),
        ("a: [*]", (1, 6, 1), "scanning an alias", "quoted: '*'"),
        ("a: !!str 1", (1, 4, 7), "tag", "must be quoted"),
        ("a: ! x", (1, 4, 3), "tag", "must be quoted"),
        ("a: !(b)", (1, 4, 4), "tag", "must be quoted"),
        ("a: !b.all(r, r == 'x')", (1, 12, 1), "not YAML", "must be quoted"),
        ("a: 1\nb: 2\na: 3", (3, 1, 1), "duplicate key 'a', already given in line 1", "Keep"),
        ("<<: {a: 1}", (1, 1, 2), "merge key", "Write"),
        ("? [a]\n: 1", (1, 3, 3), "a key must be a word", None),
        ("*a : 1", (1, 1, 2), "alias", "quoted"),
        ("&a b: 1", (1, 1, 4), "a key cannot have", None),
        ("%YAML 1.1\n---\na: 1", (1, 1, 9), "directive", "Remove"),
        ("a: 1\n---\nb: 1", (2, 1, 3), "second document", "a file for each"),
        ("a: b: c", (1, 5, 1), "mapping values", "Quote a value that contains a colon"),
        ("a: @x", (1, 4, 1), "cannot start any token", "Quote a value that starts with '@'"),
        ("a: 'x", (1, 6, 1), "unexpected end of stream, while scanning a quoted", None),
        ("a: [b", (1, 6, 1), "not YAML", None),
        ("a:\n\t- b", (2, 1, 1), "a tab", "Use spaces"),
        ("a: x\u202ey", (1, 5, 1), "U+202E", "escape"),
        ("a: \x00", (1, 4, 1), "U+0000", "escape"),
        ("a: \ufeffx", (1, 4, 1), "byte order mark", "escape"),
        ("a: \x85", (1, 4, 1), "invisible line break", "escape"),
        (b"ab: \xff", (1, 5, 1), "byte 0xff is not UTF-8", "Save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), (1, 1, 1), "is not UTF-8", "UTF-8"),
    ],
)
def test_refused(text, place, message, hint):
    fault = one_fault(text)
    assert message in fault.message
    assert hint in (fault.suggestion or "") if hint else fault.suggestion is None
    found = fault.at.line, fault.at.column, fault.width
    if "not YAML" not in message and "end of stream" not in message:
        assert found == place


def test_an_alias_bomb_is_stopped_at_its_first_alias():
    lines = ["a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [
        f"{c}: &{c} [{','.join(['*' + p] * 9)}]"
        for p, c in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    _, faults = read("\n".join(lines))
    assert {fault.message for fault in faults} == {
        "a YAML anchor is not allowed",
        "a YAML alias is not allowed",
    }


@pytest.mark.parametrize("text", ["[" * 10_000, "{a: " * 10_000, "- " * 5_000 + "x"])
def test_too_deep(text):
    assert "nested deeper than 32 levels" in one_fault(text).message


def test_too_large():
    fault = one_fault("a: " + "x" * (1 << 20))
    assert "larger than 1048576 bytes" in fault.message
    assert fault.source is None, "nobody wants to see that line"


def test_at_most_twenty_forbidden_characters_are_listed():
    assert len(read("\t\n" * 100)[1]) == 20


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n...\n"])
def test_no_document(text):
    root, faults = read(text)
    assert faults == []
    assert root is None or (isinstance(root, YamlScalar) and root.value is None)


def test_a_tag_does_not_make_a_number():
    root, _ = read("a: !!int '7'")
    assert isinstance(root, YamlMap)
    assert plain(root) == {"a": "7"}


# Where the characters of a scalar stand in the document


def scalar_of(text: str) -> YamlScalar:
    root, faults = read(text)
    assert not faults, faults
    assert isinstance(root, YamlMap)
    node = root.entries["when"][1]
    assert isinstance(node, YamlScalar)
    return node


@pytest.mark.parametrize(
    "text",
    [
        "when: plain text (a) 'b' \"c\"\n",
        "when: plain text\n  on two lines\n\n  and after a blank one\n",
        "when: 'it''s quoted'\n",
        "when: 'quoted\n  on lines\n\n\n  twice'\n",
        'when: "with \\"escapes\\" \\u0041\\x42 \\\\ \\n end"\n',
        'when: "folded\n  \\\n  then joined"\n',
        'when: "folded\n  here and \\\n  joined   blanks\\ \n  kept"\n',
        "when: |\n  literal\n    indented\n\n  end\n",
        "when: |-  # a comment\n  literal\n",
        "when: >\n  folded\n  lines\n\n    more\n  end\n",
        "when: >-\n\n  leading blank\n",
        "a: 1\r\nwhen: 'windows\r\n  lines'\r\n",
    ],
)
def test_origins_of_each_style(text):
    node = scalar_of(text)
    places = origins(node, text)
    assert len(places) == len(node.text) + 1
    assert places == sorted(places)
    for char, place in zip(node.text, places, strict=False):
        if char.strip():
            assert text[place] in (char, "\\"), (char, text[place:])


def test_the_origin_of_a_block_scalar_without_text():
    text = "when: |"
    assert origins(scalar_of(text), text) == [len(text)]


WORDS = st.text(st.sampled_from("ab'\"\\ (&|=é漢😀.#:"), min_size=1, max_size=40)


@given(
    st.lists(WORDS, min_size=1, max_size=4),
    st.sampled_from(["'", '"', "|", ">"]),
    st.integers(20, 90),
)
def test_origins_of_whatever_pyyaml_writes(words, style, width):
    said = "\n".join(words)
    text = pyyaml.dump({"when": said}, default_style=style, width=width, allow_unicode=True)
    source, faults = decode("x", text)
    root, more = parse(source)
    if faults or more:
        return
    assert isinstance(root, YamlMap)
    # PyYAML quotes the key as well.
    node = root.entries["when"][1]
    assert isinstance(node, YamlScalar)
    assert node.text == said
    places = origins(node, text)
    for char, place in zip(said, places, strict=False):
        if char.strip():
            assert text[place] in (char, "\\")


def test_a_fault_inside_a_scalar_ends_with_its_line():
    text = "when: 'first line\n  second'\n"
    source, _ = decode("x", text)
    fault = source.fault_within(scalar_of(text), 6, 10, "here")
    assert (fault.at.line, fault.at.column, fault.width) == (1, 14, 4)
    after = source.fault_within(scalar_of(text), 11, 6, "there")
    assert (after.at.line, after.at.column, after.width) == (2, 3, 6)
    beyond = source.fault_within(scalar_of(text), 500, 6, "beyond")
    assert beyond.at.line == 2
    assert source.line(99) == ""
