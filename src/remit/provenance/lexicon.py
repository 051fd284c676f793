"""Words for what people ask for: verbs by kind of action, nouns by kind of thing, superlatives.

Closed word lists of English, so that what a request asks for is worked out by looking up and
nothing else. A request in words that are not here asks for nothing: what it needs is held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType


def listed(text: str) -> frozenset[str]:
    """The words of a list that is written as one text."""
    return frozenset(text.split())


_FAMILIES = {
    "send": "send email e-mail mail forward reply respond answer message text dm notify inform "
    "tell invite share post publish tweet announce contact write submit deliver ping call "
    "introduce remind broadcast relay transmit upload cc",
    "create": "create make add book schedule set plan write draft save register open reserve order "
    "prepare generate record store put insert note append organize organise arrange "
    "compose start include fill log upload copy invite setup block import build place "
    "sign enroll request",
    "modify": "update change edit modify adjust move reschedule rename append set correct fix "
    "replace extend mark shift postpone revise amend add complete convert increase "
    "decrease raise lower switch turn assign tag label sort archive put enter merge close "
    "resolve reset sync refresh overwrite patch star flag pin accept decline rsvp confirm",
    "delete": "delete remove cancel erase drop clear unsubscribe kick uninvite revoke purge "
    "discard trash wipe terminate unshare unfollow leave destroy clean",
    "pay": "pay transfer refund reimburse wire buy purchase order subscribe tip settle repay "
    "donate spend send charge invoice return deposit withdraw checkout top",
    "execute": "run execute deploy build test install restart start launch compile invoke trigger "
    "rebuild rerun stop",
    "admin": "grant give permit authorize authorise revoke configure enable disable promote demote "
    "allow block ban reset change set update share invite add remove assign",
    "read": "read get find search list show look check see view fetch open browse visit summarize "
    "summarise tell count download query retrieve lookup what who when where which how is "
    "are am",
}
"""Verbs by family. Several families may share a verb."""

_NOUNS = (
    "email e-mail mail message inbox letter draft",
    "event meeting appointment calendar lunch dinner call class reminder booking session",
    "file document doc folder attachment spreadsheet sheet report drive note page",
    "transaction payment money transfer bill invoice rent order refund subscription fee amount "
    "debit balance price difference salary",
    "user account profile info information detail address member person people contact customer",
    "password credential secret key token passphrase pin",
    "reservation booking hotel flight car restaurant table room trip ticket stay",
    "channel group room conversation thread chat",
    "ticket issue task case bug todo item",
    "branch repository repo commit code pull pr merge release",
    "table row record database query entry",
    "server machine instance deployment service pipeline job container cluster",
    "permission access role right",
)

_IRREGULAR = {
    "sent": "send",
    "paid": "pay",
    "bought": "buy",
    "made": "make",
    "wrote": "write",
    "written": "write",
    "ran": "run",
    "gave": "give",
    "told": "tell",
    "put": "put",
    "scheduling": "schedule",
    "people": "people",
    "repaid": "repay",
    "built": "build",
}

SUPERLATIVES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        "largest": ("max", ("size", "length", "amount", "capacity", "count")),
        "biggest": ("max", ("size", "length", "amount", "capacity", "count")),
        "longest": ("max", ("length", "duration", "size")),
        "smallest": ("min", ("size", "length", "amount", "capacity", "count")),
        "shortest": ("min", ("length", "duration", "size")),
        "newest": ("max", ("date", "time", "timestamp", "created", "modified")),
        "latest": ("max", ("date", "time", "timestamp", "created", "modified")),
        "oldest": ("min", ("date", "time", "timestamp", "created", "modified")),
        "earliest": ("min", ("date", "time", "timestamp", "created", "start")),
        "cheapest": ("min", ("price", "cost", "amount", "fee", "rate")),
        "highest": ("max", ("price", "amount", "rating", "score", "cost", "priority")),
        "lowest": ("min", ("price", "amount", "rating", "score", "cost", "priority")),
        "best": ("max", ("rating", "score", "stars")),
        "worst": ("min", ("rating", "score", "stars")),
    }
)
"""Superlative -> whether it means the most or the least, and of which fields."""

FOLLOW = listed("do follow perform execute complete carry handle finish act process")
"""Verbs of a request to do what another text says."""
ORDERS = listed("action instruction step task todo request order direction guideline item")
"""Nouns for what such a text holds."""

OPENERS = listed(
    "please and then to also you or me just kindly now directly immediately finally first next "
    "lastly again us let lets must should would could can will ll afterwards both quickly "
    "simply help go else"
)
"""Words after which a verb in its base form asks for something."""
STOP = listed(
    "the a an and or of to in on at for from with by my your our his her their its it this that "
    "these those me you him them us i we they is are was be been all any some each every new "
    "old please can could would will shall should do does did not no yes if then so as into out "
    "up there here also just"
)
"""Words that name nothing."""


def _by_word(families: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for family, verbs in families.items():
        for verb in verbs.split():
            found.setdefault(verb, set()).add(family)
    return MappingProxyType({verb: frozenset(of) for verb, of in found.items()})


VERBS = _by_word(_FAMILIES)
"""Verb -> families."""
THINGS = _by_word({str(index): nouns for index, nouns in enumerate(_NOUNS)})
"""Noun -> kinds of thing."""
_KNOWN = VERBS.keys() | THINGS.keys() | FOLLOW | ORDERS


def stems(word: str) -> Iterator[str]:
    """The base forms that a word may have, itself first."""
    yield word
    if word in _IRREGULAR:
        yield _IRREGULAR[word]
    for ending, instead in (
        ("ies", "y"),
        ("es", ""),
        ("s", ""),
        ("ing", ""),
        ("ing", "e"),
        ("ed", ""),
        ("ed", "e"),
        ("es", "e"),
    ):
        if word.endswith(ending) and len(word) - len(ending) > 2:
            stem = word[: -len(ending)] + instead
            yield stem
            if len(stem) > 3 and stem[-1] == stem[-2]:
                yield stem[:-1]


def base(word: str) -> str:
    """The base form of a word that is in the lists; other words as they are."""
    return next((stem for stem in stems(word) if stem in _KNOWN), word)


def things(bases: Iterable[str]) -> frozenset[str]:
    """The kinds of thing that these words name; a word that is not in the lists names itself."""
    found: set[str] = set()
    for word in bases:
        found |= THINGS.get(word, frozenset((word,)))
    return frozenset(found)
