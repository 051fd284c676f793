"""Text as Remit compares it: one normal form, one wide form, and what hides inside a string.

An attacker may spell a word in many ways that a person or a tool reads as the same. ``normal`` is
the exact form (NFKC). ``fold`` is the wide form for rules that restrict. ``invisibles`` and
``looks_alike`` report what no honest name contains. No I/O.
"""

from __future__ import annotations

import re
import unicodedata

# Default_Ignorable_Code_Point of the Unicode Character Database, the interlinear annotation
# marks, and the braille blank, which is drawn as nothing.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f]")

# Letters of other scripts by the Latin letter that a reader takes them for. Forms that NFKC
# already makes Latin (full-width, mathematical, roman numerals) need no entry.
_LOOK_ALIKES = {
    "a": "аАαΑɑⱭᴀᎪꭺꓮⲁⲀᗩ",
    "b": "вВьЬβΒʙƅƄꞵᏏᏴᏼꓐⲃⲂᛒᗷ",
    "c": "сСςᴄᏟꮯꓚⲥⲤᑕ",
    "d": "ԁԀɖɗᴅժᎠꭰᏧꮷꓓᗪ",
    "e": "еЕєЄҽҼεΕɛᴇ℮Ꭼꭼꓰⲉ",
    "f": "ϝϜƒꜰꞘꞙꓝᖴ",
    "g": "ɡɢցԌԍƍᏀꮐᏳᏻꓖ",
    "h": "һҺнНΗհʜᎻꮋᏂꮒꓧⲏⲎᕼ",
    "i": "іІιΙıİɪɩᎥꭵꓲⲓⲒ",
    "j": "јЈϳͿᴊյᎫꭻꓙᒍ",
    "k": "кКκΚᴋĸᏦꮶꓗⲕⲔ",
    "l": "ӏӀʟǀլᏞꮮꓡⳑⳐᒪ",
    "m": "мМΜᴍϻϺᎷꮇꓟⲙⲘᗰ",
    "n": "ηΝոռɴƞꓠⲛⲚᑎ",
    "o": "оОοΟσօՕᴏᴑꓳⲟⲞⵔסഠ",
    "p": "рРρΡᴘƿᏢꮲꓑⲣⲢᑭ",
    "q": "ԛԚգզʠᑫ",
    "r": "гГᴦʀɼᎡꭱᏒꮢꓣⲅᖇ",
    "s": "ѕЅꜱʂՏƽႽᏚꮪᏕꮥꓢ",
    "t": "тТτΤᴛᎢꭲꓔⲧⲦ",
    "u": "υμսՍᴜʋꞟꭎꭒꓴᑌ",
    "v": "νѵѴᴠᏙꮩꓦᐯ",
    "w": "ѡѠԝԜաωᴡɯᎳꮃᏔꮤꓪ",
    "x": "хХχΧꓫⲭⲬᕽⵝ",
    "y": "уУүҮγΥʏყɣỿᶌᎩꭹᎽꮍꓬⲩⲨ",
    "z": "ζΖᴢᏃꮓꓜⲍⲌ",
}
_LATIN = {ord(other): latin for latin, others in _LOOK_ALIKES.items() for other in others}


def normal(s: str) -> str:
    """Return ``s`` in Unicode form NFKC: full-width and other compatibility forms made plain."""
    return s if s.isascii() else unicodedata.normalize("NFKC", s)


def name(s: str) -> str:
    """Return ``s`` as tool and argument names are compared: NFKC and case-folded."""
    if s.isascii():
        return s.lower()
    return normal(normal(s).casefold())


def matches(pattern: str, name: str) -> bool:
    """Return whether ``name`` fits ``pattern``, in which ``*`` is any run of characters.

    Both in the same form. Linear in the length of the name for each ``*``.
    """
    if "*" not in pattern:
        return pattern == name
    head, *middle, tail = pattern.split("*")
    if len(name) < len(head) + len(tail) or not name.startswith(head) or not name.endswith(tail):
        return False
    at, stop = len(head), len(name) - len(tail)
    for part in middle:
        found = name.find(part, at, stop)
        if found < 0:
            return False
        at = found + len(part)
    return True


def fold(s: str) -> str:
    """Return the wide form of ``s``, in which spellings that read the same become equal.

    NFKC, invisible and control characters removed, look-alike letters made Latin, case-folded,
    blanks at the ends removed and every run of blanks made one. Folding twice changes nothing.
    """
    if s.isascii():
        if not s.isprintable():
            s = _CONTROL.sub("", s)
        return " ".join(s.split()).lower()
    return " ".join(_fold_once(_fold_once(s)).split())


def _fold_once(s: str) -> str:
    bare = _CONTROL.sub("", _INVISIBLE.sub("", normal(s)))
    return bare.translate(_LATIN).casefold()


def invisibles(s: str) -> tuple[int, ...]:
    """Return the positions of characters in ``s`` that are not drawn.

    Zero-width and bidirectional controls, tags, variation selectors and all other characters that
    Unicode calls default-ignorable.
    """
    if s.isascii():
        return ()
    return tuple(match.start() for match in _INVISIBLE.finditer(s))


def looks_alike(name: str) -> bool:
    """Return whether ``name`` could pass for a plain ASCII name without being one.

    True if it holds invisible characters, or letters that look Latin but are not, either among
    ASCII letters or as all the letters that it has.
    """
    if name.isascii():
        return False
    if _INVISIBLE.search(name):
        return True
    letters = [letter for letter in normal(name) if letter.isalpha()]
    others = sum(ord(letter) in _LATIN for letter in letters)
    latin = sum(letter.isascii() for letter in letters)
    return others > 0 and (latin > 0 or others == len(letters))
