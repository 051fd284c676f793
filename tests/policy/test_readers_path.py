# ruff: noqa: E501 (tables of cases)
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.policy.readers import UnreadableValue
from remit.policy.readers.path import read


@pytest.mark.parametrize(
    ("value", "normal", "name", "suffix", "hidden"),
    [
        ("/etc/passwd", "/etc/passwd", "passwd", "", False),
        ("/etc/../etc/passwd", "/etc/passwd", "passwd", "", False),
        ("//etc///./passwd/", "/etc/passwd", "passwd", "", False),
        ("/../../x", "/x", "x", "", False),
        ("/", "/", "", "", False),
        (".", ".", ".", "", False),
        ("a/..", ".", ".", "", False),
        ("a/../../b", "../b", "b", "", False),
        ("..", "..", "..", "", False),
        ("src/main.py", "src/main.py", "main.py", ".py", False),
        ("a.tar.gz", "a.tar.gz", "a.tar.gz", ".gz", False),
        (".bashrc", ".bashrc", ".bashrc", "", True),
        ("a/.git/config", "a/.git/config", "config", "", True),
        ("a/.git/../b", "a/b", "b", "", False),
        ("...", "...", "...", "", True),
        ("..x", "..x", "..x", "", True),
        ("app/[slug]/page.tsx", "app/[slug]/page.tsx", "page.tsx", ".tsx", False),
        ("a b/ü.txt", "a b/ü.txt", "ü.txt", ".txt", False),
        ("100%.txt", "100%.txt", "100%.txt", ".txt", False),
        ("a$", "a$", "a$", "", False),
        ("x~", "x~", "x~", "", False),
        ("ﬁle.txt", "ﬁle.txt", "ﬁle.txt", ".txt", False),
    ],
)
def test_ordinary_paths_are_read(value, normal, name, suffix, hidden):
    reading = read(value)
    assert (reading.normal, reading.name, reading.suffix, reading.hidden) == (
        normal,
        name,
        suffix,
        hidden,
    )


@pytest.mark.parametrize(
    "value",
    ["", "a\x00b", "a\nb", "a\u200bb", "a\u202eb", "~/x", "~", "~ada/x", "$HOME/x", "${HOME}", "$(pwd)/x",
     "`pwd`", "a\\b", "..\\x", "C:/x", "c:x", "%2e%2e/x", "/a/%2E%2e/b", "*.py", "a?", "{a,b}",
     "file:///etc/passwd", "http://x/y", "\uff0e\uff0e/x", "a\uff0fb", "\u2025/x", "\uff5e/x", "\uff04HOME"],
)  # fmt: skip
def test_paths_that_programs_expand_or_decode_are_unreadable(value):
    with pytest.raises(UnreadableValue, match=r"path\(\)"):
        read(value)


@pytest.mark.parametrize("value", [None, 1, ["/x"], b"/x", "/x" * 40_000])
def test_only_text_of_bearable_length_is_read(value):
    with pytest.raises(UnreadableValue):
        read(value)


def test_probe_p18_dot_dot():
    assert read("/etc/../etc/passwd").within("/etc")
    assert not read("/srv/data/../../etc/passwd").within("/srv/data")
    assert not read("/srv/data/../data2/x").within("/srv/data")
    assert not read("a/../../b").within(".")
    assert not read("..").within(".")


def test_probe_p19_symlink_out_of_the_root():
    resolved = {"/srv/data/link/x": "/etc/x", "/srv/data/ok": "/srv/data/ok", "link": "/etc/passwd"}
    assert not read("/srv/data/link/x", resolved).within("/srv/data")
    assert read("/srv/data/ok", resolved).within("/srv/data")
    assert not read("link", resolved).within(".")
    assert not read("link", resolved).within("/srv/data")
    # Inside by its target but not by its spelling is not inside either.
    assert not read("/tmp/l", {"/tmp/l": "/srv/data/x"}).within("/srv/data")


def test_within_compares_whole_parts():
    assert read("/srv/data").within("/srv/data/")
    assert read("/srv/data/a").within("/srv/./data")
    assert not read("/srv/database").within("/srv/data")
    assert read("/anything").within("/")
    assert read("src/a").within("src")
    assert read("src/a").within(".")
    assert read(".").within(".")
    assert not read("src").within("src/a")


def test_relative_paths_need_the_edge():
    with pytest.raises(UnreadableValue, match="relative"):
        read("a").within("/srv")
    with pytest.raises(UnreadableValue, match="relative"):
        read("/srv/a", {"/srv/a": "/srv/a"}).within("srv")
    assert read("a", {"a": "/srv/a"}).within("/srv")
    assert read("a", {"a": "/srv/a"}).within(".")
    assert read(".", {".": "/srv"}).within(".")
    assert not read("a", {"a": "/etc/a"}).within("/srv")
    with pytest.raises(UnreadableValue):
        read("/a").within("~")
    with pytest.raises(UnreadableValue, match="not absolute"):
        read("a", {"a": "b"})


def test_hidden_sees_where_symlinks_lead():
    assert read("notes.txt", {"notes.txt": "/srv/.env"}).hidden
    assert not read("src/a.py", {"src/a.py": "/home/ada/.work/src/a.py"}).hidden
    assert read("/srv/a", {"/srv/a": "/srv/.git/a"}).hidden
    assert not read("/srv/a", {"/srv/a": "/srv/a"}).hidden


@given(st.text() | st.text("./ab~$%\\", max_size=30))
def test_any_text_is_read_or_unreadable(value):
    try:
        reading = read(value)
    except UnreadableValue:
        return
    expected = posixpath.normpath(value)
    assert reading.normal == (expected[1:] if expected.startswith("//") else expected)
    assert read(reading.normal).normal == reading.normal
    if not value.startswith("/"):
        assert reading.within(".") == (not (reading.normal + "/").startswith("../"))
