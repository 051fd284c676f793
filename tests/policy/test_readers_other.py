# ruff: noqa: E501 (tables of cases)
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.policy.functions import READERS
from remit.policy.readers import UnreadableValue, email
from remit.policy.readers import json as json_reader

TYPES = {"int": int, "bool": bool, "string": str, "list<string>": tuple}
SAMPLES = {
    "sql": "select 1",
    "shell": "ls -l",
    "url": "https://example.com/",
    "path": "a/b",
    "email": "ada@corp.com",
    "json": '{"a": 1}',
}


def test_the_table_holds_every_reader():
    assert set(READERS) == set(SAMPLES)
    with pytest.raises(TypeError):
        READERS["sql"] = READERS["url"]


@pytest.mark.parametrize("name", SAMPLES)
def test_fields_and_methods_are_as_declared(name):
    reader = READERS[name]
    assert reader.name == name
    result = reader.load()(SAMPLES[name])
    for field, kind in reader.fields.items():
        assert isinstance(getattr(result, field), TYPES[kind])
    for method, (*parameters, returned) in reader.methods.items():
        assert parameters == ["string"]
        assert isinstance(getattr(result, method)("x"), TYPES[returned])
    if reader.returns == "object":
        with pytest.raises(AttributeError):
            setattr(result, next(iter(reader.fields)), None)


@pytest.mark.parametrize("name", SAMPLES)
def test_probe_p06_a_list_or_object_where_a_string_was_expected(name):
    function = READERS[name].load()
    for value in (None, True, 3, 1.5, ["x"], {"x": 1}, b"x"):
        with pytest.raises(UnreadableValue, match=f"{name}.. reads a string, this is a"):
            function(value)


@pytest.mark.parametrize(
    ("value", "local", "domain"),
    [
        ("ada@corp.com", "ada", "corp.com"),
        ("Ada.Lovelace+x@Corp.COM", "Ada.Lovelace+x", "corp.com"),
        ("o'neil_1@a-b.example", "o'neil_1", "a-b.example"),
        ("ada@localhost", "ada", "localhost"),
        ("ada@bücher.example", "ada", "xn--bcher-kva.example"),
        ("ada@cоrp.com", "ada", "xn--crp-sed.com"),
        ("ädä@corp.com", "ädä", "corp.com"),
    ],
)
def test_plain_addresses_are_read(value, local, domain):
    reading = email.read(value)
    assert (reading.local, reading.domain) == (local, domain)


@pytest.mark.parametrize(
    "value",
    ["", "ada", "@corp.com", "ada@", "Ada <ada@corp.com>", "a@corp.com,b@evil.example", "a@b@corp.com",
     "a@corp.com b@evil.example", '"x y"@corp.com', '"a@corp.com"@evil.example', "ada(x)@corp.com", "ada@[127.0.0.1]",
     "ada@corp..com", "ada@-corp.com", "ada@corp.com.", "ada@corp.com\n", "ada@corp.com\nbcc:x@evil.example",
     "ａda@corp.com", "ada＠corp.com", "ada@corp\u200b.com", ".ada@corp.com", "ada..x@corp.com", "a" * 65 + "@corp.com",
     "ada@" + "a" * 64 + ".com", "ada@" + "a." * 160 + "com", "ada@corp.com;b@evil.example", "ada@co_rp.com",
     "ada%evil.example@corp.com", "evil.example!ada@corp.com" , "ada@\u2028", "ada@ü\ud800", "ada@xn--ü"],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_unreadable(value):
    with pytest.raises(UnreadableValue, match=r"email\(\)"):
        email.read(value)


@given(st.text() | st.emails())
def test_any_text_is_an_address_or_unreadable(value):
    try:
        reading = email.read(value)
    except UnreadableValue:
        return
    assert reading.domain.isascii()
    assert reading.local + "@" == value[: len(reading.local) + 1]


def test_json_is_read_strictly():
    assert json_reader.read('{"a": [1, "x", null]}') == {"a": [1, "x", None]}
    for bad in ("", "{", '{"a":1,"a":2}', "NaN", "1 2", "[" * 100, '"\\ud800"', '"\ud800"'):
        with pytest.raises(UnreadableValue, match=r"json\(\)"):
            json_reader.read(bad)
