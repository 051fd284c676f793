import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit import text

any_text = st.text()


def test_normal_makes_compatibility_forms_plain():
    assert text.normal("ＤＲＯＰ ｔａｂｌｅ") == "DROP table"
    assert text.normal("𝓭𝓻𝓸𝓹 ①") == "drop 1"
    plain = "drop"
    assert text.normal(plain) is plain


def test_name_ignores_case_and_width():
    assert text.name("DB.Query") == text.name("ｄｂ.ｑｕｅｒｙ") == "db.query"
    assert text.name("STRASSE") == text.name("straße")


@pytest.mark.parametrize(
    "spelling",
    [
        "DROP table",
        "  drop\t\n table ",
        "ｄｒｏｐ　ｔａｂｌｅ",
        "d\u200brop ta\u00adble",
        "\ufeffdrop\u00a0table\u202e",
        "drор tаblе",
        "ԁrοp tabꓡe",
        "ⅾrop table",
        "𝐝𝐫𝐨𝐩 table",
        "DR\U000e0041OP table",
        "drop\x00 t\x08able",
        "d\ufe0frop table\u2060",
        "ᎠᏒOᏢ TᎪBᏞE",
        "drop ΤΑΒLΕ",
    ],
)
def test_fold_makes_spellings_equal(spelling):
    assert text.fold(spelling) == "drop table"


def test_fold_keeps_what_differs():
    assert text.fold("drop tables") != text.fold("drop table")
    assert text.fold("Привет") == text.fold("привет") != text.fold("приведет")
    assert text.fold("日本") == "日本"


@given(any_text)
def test_fold_twice_changes_nothing(s):
    assert text.fold(text.fold(s)) == text.fold(s)


@given(any_text)
def test_the_name_of_a_name_is_itself(s):
    assert text.name(text.name(s)) == text.name(s)


def test_every_single_character_folds_once_and_for_all():
    for code in range(0x110000):
        once = text.fold(chr(code))
        assert text.fold(once) == once


@pytest.mark.parametrize(
    ("s", "positions"),
    [
        ("plain", ()),
        ("café", ()),
        ("a\u200bb\u200d", (1, 3)),
        ("\u202eabc", (0,)),
        ("x\U000e0041", (1,)),
        ("x\ufe0f", (1,)),
        ("soft\u00adhyphen", (4,)),
        ("\u2800", (0,)),
    ],
)
def test_invisibles(s, positions):
    assert text.invisibles(s) == positions


@pytest.mark.parametrize(
    "name",
    [
        "send_еmail",
        "db\u200b.query",
        "drор",
        "Ꭰᖇᴏᴘ",
        "сор",
        "ѕсоре",
        "paypаl",
        "ｄrоp",
        "query\U000e0020",
    ],
)
def test_looks_alike(name):
    assert text.looks_alike(name)


@pytest.mark.parametrize(
    "name",
    [
        "send_email",
        "поиск_файла",
        "検索",
        "größe",
        "λέξη",
        "recherche.élève",
        "ｄｂ",
        "１２３",
        "日.本",
    ],
)
def test_honest_names_do_not_look_alike(name):
    assert not text.looks_alike(name)


def test_the_table_holds_nothing_that_normal_form_already_handles():
    for code in text._LATIN:
        assert unicodedata.normalize("NFKC", chr(code)) == chr(code)
        assert not chr(code).isascii()


def test_no_letter_stands_for_two():
    assert len(text._LATIN) == sum(map(len, text._LOOK_ALIKES.values()))
    assert len(text._LATIN) > 200
