"""Made-up conditions and inputs, for tests that compare one evaluator with another.

Conditions come from any object with the methods of ``random.Random``, so that hypothesis can
shrink them; inputs from a plain ``random.Random``, because a condition needs many.
"""

from __future__ import annotations

import ast
import re
from random import Random
from typing import Any

from hypothesis import strategies as st

from remit.model import Finding, Outcome, Principal, Session, SessionId
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.evaluate import Scope, evaluate
from remit.policy.lower import lower
from remit.policy.origins import Controls, ToolFacts
from remit.policy.python import Bindings
from remit.provenance.grounding import Provenance
from remit.provenance.memory import Memory, say
from remit.provenance.observing import Fields, observe

CONSTANTS = {"company": "@corp.com", "limit": 10, "teams": ("red", "Blue", "ｏps"), "nothing": None}

PATTERNS = ["drop", "^d", "[^a-z]", "d+r?o", "(?i)RED", "^$", r"\\d+", "x y|a"]
PLAIN_WORDS = ["drop", "DROP", "Drop ", "a", "b", "", "select  x", "x y", "X  Y", "12", "-3", "1.5"]
ODD_WORDS = [
    "ｄｒｏｐ",
    "dr\u200bop",
    "dгop",
    " drop\t",
    "é",
    "e\u0301",
    "ﬁ",
    "dr\x00op",
    "\u00a0a",
]
NUMBERS = [0, 1, -1, 2, 3, 10, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 1.0, -2.5, 1e300, 3.0]
KNOWN = tuple(
    Provenance(observe(say(Memory(), said), {"id": "drop", "note": "x 3"}, {}, fields))
    for said in ("query drop 3", "")
    for fields in (Fields(), Fields(labels=("untrusted", "secret"), platform=("id",)))
)
SIGNATURE = (
    "args", "context", "agent", "user", "session", "tool", "result", "outcome", "now", "findings",
    "resolved", "controls", "provenance",
)  # fmt: skip


def _forms(table: str) -> dict[str, list[str]]:
    """Forms by kind of value: ``kind: form ; form``, continued on indented lines."""
    entries = re.split(r"\n    (?=\w+:)", table.rstrip())[1:]
    pairs = (entry.split(":", 1) for entry in entries)
    return {kind: " ".join(forms.split()).split(" ; ") for kind, forms in pairs}


# <kind> is made in turn; <loop MACRO OVER ELEMENT BODY> is a loop.
LEAVES = _forms(
    """
    string: args.s ; args.s ; args.t ; args.t ; args["s"] ; args.m.k ; <word> ; <word>
    number: args.n ; args.n ; args.k ; args.k ; args["n"] ; args.m.n ; <digits>
    bool: args.p ; args.q ; true ; false ; has(args.s) ; has(args.m.k) ; ("k" in args.m)
    list: args.xs ; args.xs ; args["xs"] ; [] ; [<word>] ; [<word>, <word>, <word>]
    numbers: args.ns ; args.ns ; [<digits>, <digits>, <digits>]
    map: args.m ; {"k": "drop", "n": 1}
    """
)
FORMS = _forms(
    """
    string: <string>.lowerAscii() ; <string>.upperAscii() ; <string>.trim() ; <list>[0] ;
        <list>[1] ; <list>[-1] ; (<string> + <string>) ; string(<bool>) ; string(<string>) ;
        (<bool> ? <string> : <string>)
    number: size(<string>) ; size(<list>) ; size(<map>) ; <numbers>.size() ; <numbers>[0] ;
        (<number> + <number>) ; (<number> - <number>) ; (<number> * <number>) ; <numbers>[2]
        ; (<number> / <number>) ; (<number> % <number>) ; (-(<number>)) ; int(<number>) ;
        int(<string>) ; double(<number>) ; double(<string>)
    bool: (<string> == <string>) ; (<string> != <string>) ; (<number> == <number>) ;
        (<string> == <word>) ; (<word> != <string>) ; (<list> == <list>) ; (<map> == <map>)
        ; (<bool> == <bool>) ; (<number> != <number>) ; (<string> == null) ;
        (null != <number>) ; (<number> < <number>) ; (<number> <= <number>) ;
        (<string> > <string>) ; (<number> >= <digits>) ; (<digits> > <number>) ;
        (<bool> <= <bool>) ; (<number> == <digits>) ; (true == <bool>) ;
        (<string> in <list>) ; (<number> in <numbers>) ;
        (<string> in <map>) ; (<string> in [<word>, <word>]) ; (<number> in [1, 2, <digits>]) ;
        <string>.contains(<string>) ; <string>.startsWith(<word>) ;
        <string>.endsWith(<word>) ; <string>.matches(<pattern>) ; <string>.contains(<word>)
        ; !<bool> ; !<bool> ; (<bool> && <bool>) ; (<bool> || <bool>) ;
        (<bool> ? <bool> : <bool>) ; <loop all list string bool> ;
        <loop exists list string bool> ; <loop exists_one list string bool> ;
        <loop all numbers number bool> ; <loop exists numbers number bool> ;
        <loop exists_one numbers number bool>
    list: <string>.split(" ") ; <string>.split(",") ; <string>.split("") ; (<list> + <list>)
        ; [<string>, <string>] ; <loop filter list string bool> ;
        <loop map list string string>
    numbers: [<number>, <number>] ; <loop map list string number> ;
        <loop filter numbers number bool>
    map: {"k": <string>, "n": <number>}
    """
)
# What CEL does not have.
OWN_LEAVES = _forms(
    """
    string: context.s ; context.t ; company ; agent.id ; agent.team ; user.id ; result ;
        session.intent ; tool.name ; outcome.status ; url(args.t).host ; findings[0].kind
    number: context.n ; limit ; session.depth ; outcome.duration ; now.epoch ; now.year ;
        now.month ; now.day ; now.hour ; now.minute ; now.weekday ;
        session.calls("db.query") ; session.calls(args.s)
    bool: has(context.p) ; has(user.id) ; has(agent.team) ; flows(args.s, untrusted) ;
        tool.declared ; flows(args, "secret") ; from_user(args.s) ; unseen(args) ; asked_for(pay) ;
        grounded(args.n) ; from_trusted(controls.who) ; asked_for(action) ; flows(args.s, secret) ;
        ("admin" in agent.roles) ; has(args.S) ;
        url(args.s).private ; path(args.s).within("/tmp") ; has(now.hour) ;
        (nothing == null) ; findings.exists(f, f.kind == "Secret") ; has(now.year) ;
        found("secret") ; found("github-token") ;
        findings.exists(f, f.sign == "iban") ; has(url(args.t).host) ;
        context.p
    list: teams ; agent.roles ; session.labels ; tool.does ; user.roles ; context.xs
    numbers: context.ns
    map: context.m ; context ; args
    """
)
OWN_FORMS = _forms(
    """
    bool: (json(<string>) == <string>) ; <string>.endsWith("p ") ; (<word> in <list>) ;
        (<string> in teams) ; <string>.contains(" drop") ; (<string> == company)
    number: min(<number>, <number>) ; max(<number>, <number>, 3) ; max(<numbers>)
    """
)
_PLACE = re.compile(r"<([a-z_ ]+)>")


def randoms() -> st.SearchStrategy[Any]:
    """Sources of choices: half of them shrink, half of them are evenly spread."""
    return st.randoms(use_true_random=False) | st.integers(0, 2**32).map(Random)


class Maker:
    """Makes the text of a condition. ``common`` keeps to what CEL has, and to ASCII."""

    def __init__(self, random: Any, *, common: bool) -> None:
        self.random = random
        self.elements: list[tuple[str, str]] = []
        self.names = iter("xyzuvw")
        self.words = PLAIN_WORDS if common else PLAIN_WORDS + ODD_WORDS
        own = ({}, {}) if common else (OWN_LEAVES, OWN_FORMS)
        self.leaves = {kind: each + own[0].get(kind, []) for kind, each in LEAVES.items()}
        self.forms = {kind: each + own[1].get(kind, []) for kind, each in FORMS.items()}

    def condition(self, depth: int = 3) -> str:
        return self.make("bool", depth)

    def make(self, kind: str, depth: int) -> str:
        if kind == "word":
            word = self.random.choice(self.words)
            return '"' + word.replace("\x00", "\\x00").replace("\t", "\\t") + '"'
        if kind == "digits":
            return repr(self.random.choice(NUMBERS))
        if kind == "pattern":
            return f'r"{self.random.choice(PATTERNS)}"'
        if kind.startswith("loop "):
            return self.loop(*kind.split()[1:], depth)
        if self.random.random() < 0.04:  # anything may stand anywhere; the checker has a say
            kind = self.random.choice(list(LEAVES))
        leaves = self.leaves[kind] + [name for name, of in self.elements if of == kind] * 4
        simple = depth <= 0 or self.random.random() < 0.2
        form = self.random.choice(leaves if simple else self.forms[kind])
        return _PLACE.sub(lambda place: self.make(place[1], depth - 1), form)

    def loop(self, macro: str, over: str, element: str, body: str, depth: int) -> str:
        name = next(self.names, None)
        if name is None:
            return "args.p"
        items = self.make(over, depth)
        self.elements.append((name, element))
        inner = self.make(body, depth)
        self.elements.pop()
        return f"{items}.{macro}({name}, {inner})"


def make_args(random: Random, *, common: bool, wrong: float = 0.08) -> dict[str, Any]:
    """Arguments; about one field in twelve is missing or of another type than conditions expect."""
    words = PLAIN_WORDS if common else PLAIN_WORDS + ODD_WORDS
    word = lambda: random.choice(words)  # noqa: E731
    number = lambda: random.choice(NUMBERS)  # noqa: E731
    good = {
        "s": word, "t": word, "n": number, "k": number,
        "p": lambda: random.random() < 0.5, "q": lambda: random.random() < 0.5,
        "xs": lambda: [word() for _ in range(random.randrange(4))],
        "ns": lambda: [number() for _ in range(random.randrange(4))],
        "m": lambda: {"k": word(), "n": number()},
    }  # fmt: skip
    bad = [None, True, 3, 2.5, "drop", [], ["a", 1], {}, {"k": 1}]
    if not common:
        bad += [2**70, float("nan"), [None], {"K": "x"}, "http://127.0.0.1/", "/tmp/../etc"]
    args = {}
    for name, make in good.items():
        if random.random() >= wrong:
            args[name] = make()
        elif random.random() < 0.7:
            args[name] = random.choice(bad)
    return args


def make_scope(random: Random) -> Scope:
    """A scope in which any part may be odd or missing."""
    agent = Principal(
        id="inventory-bot",
        roles=random.choice([(), ("admin",), ("reader", "ＡＤＭＩＮ"), ("Admin ",)]),
        team=random.choice([None, "red", "RED"]),
    )
    user = random.choice([None, Principal(id="ada", kind="person", roles=("drop",))])
    session = Session(
        id=SessionId("s"),
        principal=agent,
        started_at=0,
        intent=random.choice([None, "drop"]),
        labels=random.choice([(), ("untrusted",), ("secret", "untrusted")]),
        calls=random.choice([{}, {"db.query": 3}, {"DB.query": 2, "db.query": 1}, {"*": 1}]),
        depth=random.randrange(3),
    )
    return Scope(
        agent=agent,
        user=user,
        session=session,
        tool=ToolFacts(name="db.query", does=("read", "send"), declared=random.random() < 0.5),
        now=random.randrange(0, 4 * 10**18),
        args=make_args(random, common=False),
        context=make_args(random, common=False, wrong=0.4),
        outcome=Outcome(status="ok", error=random.choice([None, "drop"]), duration=7),
        result=random.choice([None, "drop", {"k": "DROP"}]),
        findings=random.choice([(), (Finding(kind="secret", where="args.s", message="m"),)]),
        constants=CONSTANTS,
        controls=Controls(who=random.choice([(), ("drop",), ("DROP", 3)])),
        provenance=random.choice([None, *KNOWN]),
    )


def outcome_of(run: Any) -> tuple[Any, ...]:
    """What calling ``run`` comes to: a value, or an error with its words and place."""
    try:
        return ("value", run())
    except ConditionError as error:
        return ("error", error.message, error.offset)
    except MissingFact as error:
        return ("missing", error.message, error.offset)


def lowered(node: Any, restricts: bool, constants: Any = CONSTANTS) -> Any:
    """Compile a checked condition the way the product does; takes a ``Scope``."""
    bindings = Bindings(constants=constants)
    code = lower(node, restricts=restricts, bindings=bindings)
    arguments = ast.arguments([], [ast.arg(name) for name in SIGNATURE], None, [], [], None, [])
    function = ast.FunctionDef("run", arguments, [ast.Return(code)], [])
    module = ast.fix_missing_locations(ast.Module([function], []))
    exec(compile(module, "<condition>", "exec"), bindings.namespace)
    run = bindings.namespace["run"]
    return lambda scope: run(*(getattr(scope, name) for name in SIGNATURE))


def referenced(node: Any, restricts: bool) -> Any:
    """The reference evaluator with the same interface as ``lowered``."""
    return lambda scope: evaluate(node, scope, restricts)
