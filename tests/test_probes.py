"""The probes: ways in that were seen to work on systems of this kind, one test each.

Every test shows that the action did not run, or that the tampering was detected, through the
public surface (SDK, command line) wherever that exists. ``ran`` opens a guard with the given rules
on a real store, calls a governed function, and says whether its body ran; most tests also call it
once harmlessly, so that a guard that refuses everything would fail them.
"""

from __future__ import annotations

import contextvars
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from guarding import (
    ACT,
    HEAD,
    RULES,
    approve,
    decisions,
    exported,
    log,
    open_guard,
    outcomes,
    permit_only,
    ran,
    ran_on,
    stop,
    verifies,
    write_policy,
)
from remit import (
    ApprovalError,
    ApprovalRequired,
    AuditError,
    Denied,
    Guard,
    InvalidArgument,
    PolicyError,
    StoreError,
)
from walking import runs_when_called

WORD = 'args.word == "drop"'


# Rules that silently do not match


def test_p01_value_in_another_case(tmp_path: Path) -> None:
    for word in ("drop", "DROP", "Drop", "dRoP"):
        assert not ran(tmp_path, stop(WORD), word)
    assert ran(tmp_path, stop(WORD), "keep")
    assert ran(tmp_path, permit_only(WORD), "drop")
    assert not ran(tmp_path, permit_only(WORD), "DROP")


def test_p02_trailing_or_inner_blanks(tmp_path: Path) -> None:
    for word in ("drop ", " drop", "\tdrop\n", "drop\u00a0"):
        assert not ran(tmp_path, stop(WORD), word)
    for word in ("drop table", "drop  table", "drop\ttable", "drop\n table "):
        assert not ran(tmp_path, stop('args.word == "drop table"'), word)
    assert ran(tmp_path, stop(WORD), "droplet")


def test_p03_full_width_letters(tmp_path: Path) -> None:
    assert not ran(tmp_path, stop(WORD), "\uff44\uff52\uff4f\uff50")
    assert not ran(tmp_path, stop(WORD), "\uff24rop")


def test_p04_zero_width_characters(tmp_path: Path) -> None:
    for hidden in ("\u200b", "\u200d", "\ufeff", "\u2060", "\u00ad", "\u202e", "\U000e0001"):
        assert not ran(tmp_path, stop(WORD), f"dr{hidden}op")


def test_p05_homoglyphs_in_tool_or_argument_names(tmp_path: Path) -> None:
    wiping = stop("true", tools="[wipe]")
    assert ran(tmp_path, wiping, "x", tool="note")
    for tool in ("w\u0456pe", "\u051dipe", "wip\u0435", "WIPE", "wi\u200bpe", "\uff57ipe"):
        assert not ran(tmp_path, wiping, "x", tool=tool)
    target = stop('has(args.target) && args.target == "all"')
    assert ran(tmp_path, target, target="one")
    for name in ("target", "t\u0430rget", "TARGET", "tar\u200bget", "\uff54arget"):
        assert not ran(tmp_path, target, **{name: "all"})


def test_p06_a_list_or_object_where_a_string_was_expected(tmp_path: Path) -> None:
    for word in (["drop"], {"a": "drop"}, [["drop"]], ("drop",), 7, True):
        assert not ran(tmp_path, stop(WORD), word)
        assert not ran(tmp_path, stop('args.word.contains("drop")'), word)


def test_p07_the_argument_under_another_name(tmp_path: Path) -> None:
    rules = stop('args.order == "drop"')
    assert ran(tmp_path, rules, order="keep")
    assert not ran(tmp_path, rules, order="drop")
    for name in ("Order", "orders", "command", "word"):
        assert not ran(tmp_path, rules, **{name: "drop"})


def test_p08_as_a_second_positional_argument(tmp_path: Path) -> None:
    rules = stop('args.second == "drop"')
    assert ran(tmp_path, rules, "x", "keep")
    assert not ran(tmp_path, rules, "x", "drop")


def test_p09_in_keyword_arguments_that_the_function_collects(tmp_path: Path) -> None:
    rules = stop('args.extra == "drop"')
    assert ran(tmp_path, rules, extra="keep")
    assert not ran(tmp_path, rules, extra="drop")
    assert not ran(tmp_path, rules, extra="keep", Extra="drop")


def test_p10_nested_one_level_deeper(tmp_path: Path) -> None:
    rules = stop('args.word.action == "drop"')
    assert ran(tmp_path, rules, {"action": "keep"})
    assert not ran(tmp_path, rules, {"action": "drop"})
    assert not ran(tmp_path, rules, {"inner": {"action": "drop"}})
    assert not ran(tmp_path, rules, {"action": {"action": "drop"}})
    assert not ran(tmp_path, rules, [{"action": "drop"}])


def test_p11_the_functions_own_name_is_what_rules_see(tmp_path: Path) -> None:
    called: list[str] = []
    with open_guard(tmp_path, stop("true", tools="[wipe]")) as guard:

        @guard.tool
        def wipe() -> None:
            called.append("wipe")

        @guard.tool
        def keep() -> None:
            called.append("keep")

        with guard.session(agent="bot"):
            with pytest.raises(Denied):
                wipe()
            keep()
        assert decisions(guard) == ["wipe deny", "keep allow"]
    assert called == ["keep"]


@pytest.mark.parametrize(
    ("condition", "matching", "harmless"),
    [
        ('!(args.word == "keep")', "drop", "keep"),
        ('(args.word == "drop")', "drop", "keep"),
        ('args.word == "x" || args.word == "drop"', "drop", "keep"),
        ('args.word == "drop" && (args.second == "" || false)', "drop", "keep"),
        ('args.word.contains("ro")', "drop", "keep"),
        ('args.word.matches("^d.*p$")', "drop", "keep"),
        ('args.word.startsWith("dr")', "drop", "keep"),
        ('args.word in ["drop", "wipe"]', "wipe", "keep"),
        ("args.word < -5", -6, -5),
        ("args.word >= -2.5", -2.5, -3),
        ('args.word == "this or that"', "this or that", "this"),
        ('args.word == "a \\"or\\" b"', 'a "or" b', "a"),
    ],
)
def test_p12_operators_that_load_but_never_match(
    tmp_path: Path, condition: str, matching: object, harmless: object
) -> None:
    assert not ran(tmp_path, stop(condition), matching)
    assert ran(tmp_path, stop(condition), harmless)


@pytest.mark.parametrize(
    "condition",
    ['not args.word == "drop"', 'args.word == "a" OR true', "args.word = 1", "args.word is 1"],
)
def test_p12_what_is_not_an_operator_does_not_load(tmp_path: Path, condition: str) -> None:
    with pytest.raises(PolicyError):
        open_guard(tmp_path, stop(condition))


def test_p13_a_field_that_is_absent_is_not_zero(tmp_path: Path) -> None:
    rules = permit_only("args.amount <= 100")
    assert ran(tmp_path, rules, amount=100)
    assert not ran(tmp_path, rules, amount=101)
    assert not ran(tmp_path, rules)
    assert not ran(tmp_path, rules, amount=None)
    assert not ran(tmp_path, rules, amount="")


def test_p14_a_rule_that_raises_does_not_allow(tmp_path: Path) -> None:
    rules = permit_only("10 / args.word == 5")
    assert ran(tmp_path, rules, 2)
    assert not ran(tmp_path, rules, 0)
    assert not ran(tmp_path, rules, "2")
    with open_guard(tmp_path, rules) as guard, guard.session(agent="bot"):
        act = guard.wrap(lambda word: word, name="act")
        with pytest.raises(Denied) as caught:
            act(0)
        assert caught.value.reasons[0].rule == "rule-error"


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("default: deny", "defualt: deny"),
        ("default: deny", "Default: deny"),
        ("default: deny", "default: dney"),
        ("effect: allow", "efect: allow"),
        ("effect: allow", "effect: permit"),
        ("does: read", "does: reed"),
        ("roles: [worker], tools", "Roles: [worker], tools"),
    ],
)
def test_p15_misspelt_key_miscased_key_unknown_action_name(
    tmp_path: Path, written: str, instead: str
) -> None:
    whole = HEAD + ACT
    assert written in whole
    path = tmp_path / "remit.yaml"
    path.write_text(whole.replace(written, instead, 1))
    with pytest.raises(PolicyError) as caught:
        Guard.open(path)
    assert "remit.yaml:" in str(caught.value)
    assert not (tmp_path / "remit.db").exists()


SQL = stop("sql(args.word).destructive")


def test_p16_an_sql_rule_when_the_sql_parser_is_not_installed(tmp_path: Path) -> None:
    write_policy(tmp_path, SQL)
    program = """
    import sys
    if sys.argv[2] == "without":
        sys.modules["sqlglot"] = None
    from remit import Guard
    guard = Guard.open(sys.argv[1])
    act = guard.wrap(lambda word: print("RAN"), name="act")
    with guard.session(agent="bot"):
        act("select 1")
    """

    def output(parser: str) -> str:
        command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "remit.yaml")]
        done = subprocess.run([*command, parser], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is (parser == "with"), done.stderr
        return done.stdout

    assert "RAN" in output("with")
    assert "RAN" not in output("without")


def test_p17_second_statement_after_a_harmless_one(tmp_path: Path) -> None:
    assert ran(tmp_path, SQL, "SELECT 1")
    for statement in (
        "SELECT 1; DROP TABLE t",
        "SELECT 1;\n-- harmless\nDROP TABLE t;",
        "select 1; /* x */ truncate t",
        "WITH gone AS (DELETE FROM t RETURNING *) SELECT * FROM gone",
        "this is no SQL at all (",
    ):
        assert not ran(tmp_path, SQL, statement)


def test_p18_a_path_that_climbs_out(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    rules = permit_only(f'path(args.word).within("{root}")')
    assert ran(tmp_path, rules, str(root / "a.txt"))
    for path in (f"{root}/../etc/passwd", "/etc/../etc/passwd", f"{root}/a/../../b", f"{root}x"):
        assert not ran(tmp_path, rules, path)
    assert not ran(tmp_path, stop('path(args.word).within("/etc")'), "/tmp/../etc/passwd")


def test_p19_a_symbolic_link_out_of_the_allowed_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "link").symlink_to("/etc")
    (root / "folder" / "file").symlink_to("/etc/passwd")
    rules = permit_only(f'path(args.word).within("{root}")')
    assert ran(tmp_path, rules, str(root / "folder" / "other"))
    assert not ran(tmp_path, rules, str(root / "link" / "passwd"))
    assert not ran(tmp_path, rules, str(root / "folder" / "file"))


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf /",
        "rm -r -f /",
        "rm / -fr",
        "rm --recursive --force /",
        "/bin/rm -rf /",
        "'rm' -rf /",
        "r\\m -rf /",
        "{rm,-rf,/}",
        "$(echo rm) -rf /",
        "`echo rm` -rf /",
        "echo $(rm -rf /)",
        "env rm -rf /",
        "env A=1 rm -rf /",
        "sudo -u root rm -rf /",
        "sh -c 'rm -rf /'",
        'bash -lc "rm -rf /"',
        "sh <<EOF\nrm -rf /\nEOF",
        "find / -exec rm {} +",
        "find / -name x -delete -exec rm -rf {} \\;",
        "echo / | xargs rm -rf",
        "true; rm -rf /",
        "true && rm -rf /",
        "ls | rm -rf /",
        "ls & rm -rf /",
        "nohup rm -rf / &",
        "eval 'rm -rf /'",
        "X=rm; $X -rf /",
        "if true; then rm -rf /; fi",
    ],
)
def test_p20_shell_commands_that_hide_what_they_run(tmp_path: Path, command: str) -> None:
    assert not ran(tmp_path, stop('"rm" in shell(args.word).programs'), command)


def test_p20_an_honest_shell_command_runs(tmp_path: Path) -> None:
    assert ran(tmp_path, stop('"rm" in shell(args.word).programs'), "ls -l /tmp | grep rm")


@pytest.mark.parametrize(
    "url",
    [
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://good.example\\@evil.example/",
        "http://good.example@evil.example/",
        "http://evil.example/good.example",
        "http://good.example.evil.example/",
        "http://\uff47ood.example.evil.example/",
        "not a url",
    ],
)
def test_p21_urls_that_are_not_what_they_seem(tmp_path: Path, url: str) -> None:
    assert not ran(tmp_path, permit_only('url(args.word).host == "good.example"'), url)
    private = stop('url(args.word).private || url(args.word).host.endsWith("evil.example")')
    assert not ran(tmp_path, private, url)
    assert ran(tmp_path, private, "http://good.example/")


# Going round the guard


def test_p22_the_wrapped_function_is_not_reachable(tmp_path: Path) -> None:
    called: list[str] = []

    def careless(text: str) -> None:
        called.append(text)

    assert runs_when_called(careless, called), "the walk must find what is in reach"
    called.clear()
    with open_guard(tmp_path) as guard:

        @guard.tool
        def note(text: str) -> None:
            called.append(text)

        assert not hasattr(note, "__wrapped__")
        assert not runs_when_called(note, called)


def test_p23_rules_emptied_at_run_time(tmp_path: Path) -> None:
    with open_guard(tmp_path, stop(WORD)) as guard:
        left: list[object] = [guard.policies]
        seen = set()
        while left:
            part = left.pop()
            if id(part) in seen or isinstance(part, str | bytes | int | type):
                continue
            seen.add(id(part))
            for name in ("clear", "pop", "popitem"):
                method = getattr(part, name, None)
                if callable(method) and not isinstance(part, threading.Thread):
                    with pytest.raises((TypeError, AttributeError)):
                        method()
            for name in [n for n in dir(part) if not n.startswith("_")]:
                with pytest.raises((AttributeError, TypeError)):
                    setattr(part, name, ())
                value = getattr(part, name)
                if not callable(value):
                    left.append(value)
                if isinstance(value, tuple):
                    left.extend(value)
        for name in ("policies", "store"):
            with pytest.raises(AttributeError):
                setattr(guard, name, None)
        assert not ran_on(guard, "drop")
        assert ran_on(guard, "keep")


def test_p24_a_caller_supplied_context_does_not_override_the_action(tmp_path: Path) -> None:
    lies: dict[str, Any] = {
        "action": {"name": "note"},
        "tool": "note",
        "name": "note",
        "args": {"word": "keep"},
        "principal": {"id": "root", "roles": ["admin"]},
        "session": {"labels": []},
    }
    rules = stop(WORD, tools="[wipe]")
    called: list[str] = []
    with open_guard(tmp_path, rules) as guard:
        wipe = guard.wrap(lambda word: called.append(word), name="wipe")
        with guard.session(agent="bot", context=lies):
            with pytest.raises(Denied):
                wipe("drop")
            with (
                pytest.raises(Denied),
                guard.permit("wipe", {"word": "drop"}, context=lies) as permit,
            ):
                called.append(str(permit))
            wipe("keep")
        records = [r for r in log(guard) if r.kind == "decision"]
        assert {(r.tool, r.principal[0].id) for r in records} == {("wipe", "bot")}
    assert called == ["keep"]


def test_p25_a_sub_agent_created_inside_a_tool_is_governed(tmp_path: Path) -> None:
    called: list[str] = []
    with open_guard(tmp_path) as guard:

        @guard.tool
        def add(text: str) -> None:
            called.append(text)

        @guard.tool
        def note(text: str) -> None:
            with guard.session(agent="bot"):  # a stronger agent than the caller
                add(text)

        @guard.tool(name="note")
        def bare(text: str) -> None:
            threading.Thread(target=swallow, args=(add, text)).start()
            contextvars.Context().run(swallow, add, text)

        with guard.session(agent="reader-bot"):
            with pytest.raises(Denied):
                note("by delegation")
            bare("by leaving the session behind")
        with guard.session(agent="bot"):
            note("allowed to both")
        chains = [[link.id for link in r.principal] for r in log(guard) if r.tool == "add"]
        assert ["bot", "reader-bot"] in chains
    assert called == ["allowed to both"]


def swallow(fn: Callable[[str], None], text: str) -> None:
    with pytest.raises(Denied):
        fn(text)


@pytest.fixture
def paying(tmp_path: Path) -> Iterator[tuple[Guard, Callable[[int], None], list[int]]]:
    """A guard, a governed payment that is held above 100, and what was paid."""
    paid: list[int] = []
    with open_guard(tmp_path) as guard:

        def pay(amount: int) -> None:
            paid.append(amount)

        yield guard, guard.wrap(pay), paid


Paying = tuple[Guard, Callable[[int], None], list[int]]


def held(pay: Callable[[int], None], amount: int) -> str:
    with pytest.raises(ApprovalRequired) as caught:
        pay(amount)
    return caught.value.approval


def test_p26_an_approval_used_twice(paying: Paying) -> None:
    guard, pay, paid = paying
    with guard.session(agent="bot", user="ada"):
        approve(guard, held(pay, 500))
        pay(500)
        held(pay, 500)
    assert paid == [500]


def test_p26_an_approval_used_by_many_at_once(paying: Paying) -> None:
    guard, pay, paid = paying
    with guard.session(agent="bot", user="ada") as session:
        approve(guard, held(pay, 500))

        def attempt(_: int) -> bool:
            try:
                pay(500)
            except ApprovalRequired:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(session.bind(attempt), range(8))) == 1
    assert paid == [500]


def test_p27_an_approval_for_other_arguments(paying: Paying) -> None:
    guard, pay, paid = paying
    with guard.session(agent="bot", user="ada"):
        approve(guard, held(pay, 500))
        held(pay, 501)
        held(pay, 500.5)  # type: ignore[arg-type]
    with guard.session(agent="sub-bot", user="ada"):
        held(pay, 500)
    assert paid == []


def test_p28_an_approval_after_the_policy_changed(tmp_path: Path, paying: Paying) -> None:
    guard, pay, paid = paying
    with guard.session(agent="bot", user="ada"):
        approve(guard, held(pay, 500))
        write_policy(tmp_path, RULES.replace("amount > 100", "amount > 99"))
        guard.reload()
        held(pay, 500)
    assert paid == []


def test_p29_an_approval_after_it_expired(tmp_path: Path) -> None:
    now = [time.time_ns()]
    paid: list[int] = []
    rules = RULES.replace("approvers: [lead]", "approvers: [lead], expires: 10m")
    with open_guard(tmp_path, rules, clock=lambda: now[0]) as guard:

        def payment(amount: int) -> None:
            paid.append(amount)

        pay = guard.wrap(payment, name="pay")
        with guard.session(agent="bot", user="ada"):
            approve(guard, held(pay, 500))
            now[0] += 601 * 10**9
            held(pay, 500)
            late = held(pay, 700)
            now[0] += 601 * 10**9
            assert late != held(pay, 700)
    assert paid == []


def test_p30_an_approval_by_its_own_requester(paying: Paying) -> None:
    guard, pay, paid = paying
    with guard.session(agent="bot", user="grace"):
        approval = held(pay, 500)
        with pytest.raises(ApprovalError):
            approve(guard, approval, by="grace")
        with pytest.raises(ApprovalError):
            approve(guard, approval, by="bot")
        with pytest.raises(ApprovalError):
            approve(guard, approval, by="GRACE")
        held(pay, 500)
        assert paid == []
        approve(guard, approval, by="alan")
        pay(500)
    assert paid == [500]


def test_p31_a_json_rpc_batch(tmp_path: Path) -> None:
    """No gateway exists yet; what does: a batch is no set of arguments, and every call is one."""
    batch = [{"method": "tools/call", "params": {"name": "wipe"}}, {"method": "ping"}]
    with open_guard(tmp_path, stop("true", tools="[wipe]")) as guard:
        with guard.session(agent="bot"):
            for arguments in (batch, tuple(batch), json.dumps(batch)):
                with pytest.raises((InvalidArgument, TypeError, ValueError)):
                    guard.permit("note", arguments)  # type: ignore[arg-type]
        assert decisions(guard) == []


def test_p32_duplicate_json_keys(tmp_path: Path) -> None:
    """No gateway exists yet; what does: the strict reader, and the command line that uses it."""
    from remit import canonical

    text = b'{"word": "keep", "word": "drop"}'
    assert json.loads(text) == {"word": "drop"}
    with pytest.raises(InvalidArgument, match="twice"):
        canonical.parse(text)
    with pytest.raises(InvalidArgument, match="twice"):
        canonical.parse(b'{"word": "keep", "w\\u006frd": "drop"}')
    path = write_policy(tmp_path, stop(WORD))
    command = ["explain", "--policy", str(path), "--agent", "bot", "--tool", "act", "--args"]
    done = subprocess.run(
        [sys.executable, "-m", "remit", *command, text.decode()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "twice" in done.stderr


def test_p33_header_says_one_tool_body_another(tmp_path: Path) -> None:
    """No gateway exists yet; what does: nothing beside the action's own name names the action."""
    with open_guard(tmp_path, stop("true", tools="[wipe]")) as guard, guard.session(agent="bot"):
        for claim in ({"name": "note"}, {"tool": "note"}, {"method": "note"}):
            with pytest.raises(Denied), guard.permit("wipe", claim, context=claim):
                raise AssertionError("the block ran")
        assert decisions(guard) == ["wipe deny"] * 3


# Limits that do not hold


LIMITED = f"{ACT}budgets:\n  - {{id: three, by: agent, limit: {{calls: 3}}, per: day}}\n"


def attempts(guard: Guard, count: int) -> int:
    """How many of ``count`` calls ran."""
    return sum(ran_on(guard, str(n)) for n in range(count))


def test_p34_limit_reset_by_a_new_object_or_a_restart(tmp_path: Path) -> None:
    with open_guard(tmp_path, LIMITED) as guard:
        assert attempts(guard, 2) == 2
    with Guard.open(tmp_path / "remit.yaml") as again:
        assert attempts(again, 5) == 1
    program = "import sys; sys.path.insert(0, sys.argv[2])\nfrom guarding import *\n"
    program += "print(sum(ran_on(Guard.open(sys.argv[1]), 'x') for _ in range(2)))"
    command = [sys.executable, "-c", program, str(tmp_path / "remit.yaml")]
    done = subprocess.run(
        [*command, str(Path(__file__).parent)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "0"


def test_p35_limit_counted_per_wrapper_instead_of_per_agent(tmp_path: Path) -> None:
    called: list[int] = []
    with open_guard(tmp_path, LIMITED) as guard:
        tools = [guard.wrap(lambda n: called.append(n), name=f"tool{i}") for i in range(4)]
        for tool in tools:
            with guard.session(agent="bot"):
                if not called:
                    for n in range(3):
                        tool(n)
                with pytest.raises(Denied, match="three"):
                    tool(4)
    assert called == [0, 1, 2]


def test_p36_twenty_threads_that_check_then_spend(tmp_path: Path) -> None:
    with open_guard(tmp_path, LIMITED) as guard, ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(lambda n: ran_on(guard, str(n)), range(40))) == 3


def test_p37_four_processes(tmp_path: Path) -> None:
    write_policy(tmp_path, LIMITED)
    program = "import sys; sys.path.insert(0, sys.argv[2])\nfrom guarding import *\n"
    program += "g = Guard.open(sys.argv[1]); print(sum(ran_on(g, str(n)) for n in range(5)))"
    command = [sys.executable, "-c", program, str(tmp_path / "remit.yaml")]
    command.append(str(Path(__file__).parent))
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(child.communicate(timeout=60)[0]) for child in children) == 3


def test_p38_one_call_that_costs_more_than_what_is_left(tmp_path: Path) -> None:
    rules = (
        "tools: [{match: [pay], does: pay, cost: {usd: args.usd}}]\n"
        "rules: [{id: all, tools: [pay], effect: allow}]\n"
        "budgets: [{id: dollar, by: agent, limit: {usd: 1}, per: year}]\n"
    )
    paid: list[float] = []
    with open_guard(tmp_path, rules) as guard, guard.session(agent="bot"):
        pay = guard.wrap(lambda usd: paid.append(usd), name="pay")
        pay(usd=0.6)
        for usd in (50, 0.4000000001, 1e300, 0.41):
            with pytest.raises(Denied, match=r"dollar|amount|more than"):
                pay(usd=usd)
        pay(usd=0.4)
        with pytest.raises(Denied, match="dollar"):
            pay(usd=0.000000001)
    assert paid == [0.6, 0.4]


def saying(usd: object) -> Any:
    """A tool that claims to have cost that much."""
    return lambda: {"usd": usd}


def test_p39_negative_nan_infinite_or_missing_usage(tmp_path: Path) -> None:
    rules = (
        "tools: [{match: [pay], does: pay, cost: {usd: {at-most: 1, charge: result.usd}}}]\n"
        "rules: [{id: all, tools: [pay], effect: allow}]\n"
        "budgets: [{id: dollars, by: agent, limit: {usd: 9}, per: year, notify: []}]\n"
    )
    claims: list[object] = [-5, float("nan"), float("inf"), None, "0", True, [], {}, 1e308]
    with open_guard(tmp_path, rules) as guard, guard.session(agent="bot"):
        for claim in claims:
            guard.wrap(saying(claim), name="pay")()
        with pytest.raises(Denied, match="dollars"):
            guard.wrap(lambda: {"usd": 0}, name="pay")()
        charged = [r.charges[0].spent for r in log(guard) if r.kind == "outcome"]
    assert charged == [1_000_000_000] * len(claims)
    for text in (
        *("calls: -3", "calls: .nan", "calls: .inf", "calls: 0", "calls: 1.5", "cals: 3"),
        *("usd: -1", "usd: .nan", "usd: .inf", "usd: 0", "usd: 0.0000000001", "usd: 1e99"),
        *("usd: '5'", "seconds: -1", "tokens: 0", "tokens: true"),
    ):
        with pytest.raises(PolicyError):
            open_guard(tmp_path, LIMITED.replace("calls: 3", text))


def killed_while_it_acts(folder: Path) -> None:
    """Run a program that is killed with SIGKILL while its governed function runs."""
    program = """
    import os, signal, sys
    from remit import Guard
    guard = Guard.open(sys.argv[1])
    act = guard.wrap(lambda word: os.kill(os.getpid(), signal.SIGKILL), name="act")
    with guard.session(agent="bot"):
        act("x")
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(folder / "remit.yaml")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_p40_a_client_killed_between_the_check_and_the_charge(tmp_path: Path) -> None:
    write_policy(tmp_path, LIMITED)
    killed_while_it_acts(tmp_path)
    killed_while_it_acts(tmp_path)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        assert attempts(guard, 5) == 1


# A log that lies


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[Path, bytes]:
    """A folder with a log of everything that can happen, and its export."""
    with open_guard(tmp_path) as guard:
        note = guard.wrap(lambda text: text, name="note")
        pay = guard.wrap(lambda amount: amount, name="pay")
        with guard.session(agent="bot", user="ada", intent="test"):
            for n in range(3):
                note(f"note {n}")
            with pytest.raises(Denied):
                note("drop")
            approve(guard, held(pay, 500))
            pay(500)
    data = exported(tmp_path)
    assert verifies(tmp_path, data), "the untouched export must verify"
    return tmp_path, data


def records_of(data: bytes) -> list[int]:
    """Numbers of the lines that are records."""
    lines = data.split(b"\n\n")[0].split(b"\n")
    return [n for n, line in enumerate(lines) if n and line.startswith(b"{")]


def other(value: Any) -> Any:
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        flipped = "b" if value[-1:] == "a" else "a"
        return value[:-1] + flipped
    if isinstance(value, list):
        return [*value[:-1], other(value[-1])] if value else [1]
    return {**value, next(iter(value)): other(next(iter(value.values())))}


def test_p41_any_single_field_of_a_record_changed(recorded: tuple[Path, bytes]) -> None:
    folder, data = recorded
    lines = data.split(b"\n")
    changes = 0
    for number in records_of(data):
        record = json.loads(lines[number])
        for name in record:
            altered = {**record, name: other(record[name])}
            body = json.dumps(altered, separators=(",", ":")).encode()
            assert not verifies(folder, b"\n".join([*lines[:number], body, *lines[number + 1 :]]))
            without = {key: value for key, value in record.items() if key != name}
            body = json.dumps(without, separators=(",", ":")).encode()
            assert not verifies(folder, b"\n".join([*lines[:number], body, *lines[number + 1 :]]))
            changes += 1
    assert changes > 100


def cut(data: bytes, last: int) -> bytes:
    """The export without its last records and what belongs to them."""
    head, checkpoint = data.split(b"\n\n", 1)
    lines = head.split(b"\n")
    return b"\n".join(lines[: records_of(data)[-last]]) + b"\n\n" + checkpoint


def shorten_store(folder: Path, statement: str) -> None:
    db = sqlite3.connect(folder / "remit.db")
    db.execute(statement)
    db.commit()
    db.close()


def test_p42_the_last_five_records_deleted(recorded: tuple[Path, bytes]) -> None:
    folder, data = recorded
    assert not verifies(folder, cut(data, 5))
    shorten_store(
        folder,
        "delete from records where position > (select max(position) from records) - 5",
    )
    with pytest.raises((AuditError, StoreError)):
        Guard.open(folder / "remit.yaml")


def test_p43_all_records_deleted(recorded: tuple[Path, bytes]) -> None:
    folder, data = recorded
    assert not verifies(folder, cut(data, len(records_of(data))))
    shorten_store(folder, "delete from records")
    with pytest.raises((AuditError, StoreError)):
        Guard.open(folder / "remit.yaml")


def test_p44_the_file_emptied(recorded: tuple[Path, bytes]) -> None:
    """An empty export never verifies; an emptied store is a new log, which an older checkpoint,
    kept outside, shows.
    """
    import io

    from remit.audit.verify import verify_export
    from remit.signing import read_vkey

    folder, data = recorded
    assert not verifies(folder, b"")
    kept_outside = data.split(b"\n\n", 1)[1]
    for leftover in folder.glob("remit.db*"):
        leftover.unlink()
    (folder / "remit.db").touch()
    try:
        with Guard.open(folder / "remit.yaml") as guard, guard.session(agent="bot"):
            guard.wrap(lambda text: text, name="note")("a")
    except (AuditError, StoreError):
        return
    keys = [read_vkey(folder / "remit.pub")]
    fresh = io.BytesIO(exported(folder))
    try:
        assert not verify_export(fresh, keys, since=kept_outside).verified
    except AuditError:
        return


def test_p45_all_hashes_recomputed_after_an_edit(recorded: tuple[Path, bytes]) -> None:
    """The forger recomputes the whole tree and writes a checkpoint, but has no key to sign it."""
    from remit.audit.checkpoint import Checkpoint, sign_checkpoint
    from remit.audit.merkle import Frontier, leaf_hash
    from remit.signing import FileSigner, read_vkey

    folder, data = recorded
    key = read_vkey(folder / "remit.pub")
    head = data.split(b"\n\n", 1)[0].replace(b'"tool":"pay"', b'"tool":"pax"')
    lines = head.split(b"\n")
    frontier = Frontier()
    frontier.extend(leaf_hash(lines[number]) for number in records_of(data))
    forged = Checkpoint(key.name, len(records_of(data)), frontier.root())
    own = FileSigner.create(folder / "forger.key", key.name)
    for signer_key, sign in ((own.vkey, own.sign), (key, own.sign)):
        note = sign_checkpoint(forged, signer_key, sign)
        assert not verifies(folder, head + b"\n\n" + note)


def test_p46_two_honest_writers(tmp_path: Path) -> None:
    write_policy(tmp_path)
    program = """
    import sys
    from remit import Guard
    with Guard.open(sys.argv[1]) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            for n in range(20):
                note(str(n))
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "remit.yaml")]
    children = [subprocess.Popen(command) for _ in range(2)]
    assert [child.wait(timeout=60) for child in children] == [0, 0]
    assert verifies(tmp_path, exported(tmp_path))
    with Guard.open(tmp_path / "remit.yaml") as guard:
        assert outcomes(guard) == ["note ok"] * 40


def test_p47_eight_threads_on_one_log(tmp_path: Path) -> None:
    with open_guard(tmp_path) as guard:
        note = guard.wrap(lambda text: text, name="note")

        def work(number: int) -> None:
            with guard.session(agent="bot"):
                for n in range(10):
                    note(f"{number}/{n}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert outcomes(guard) == ["note ok"] * 80
    assert verifies(tmp_path, exported(tmp_path))


def test_p48_a_torn_tail_after_a_crash(tmp_path: Path) -> None:
    write_policy(tmp_path)
    killed_while_it_acts_with_notes(tmp_path, 5)
    wal = tmp_path / "remit.db-wal"
    assert wal.exists(), "the crash must leave a write-ahead log behind"
    before = wal.read_bytes()
    wal.write_bytes(before[:-1000])
    with Guard.open(tmp_path / "remit.yaml") as guard:
        kinds = [record.kind for record in log(guard)]
        assert kinds.count("outcome") >= 4
        with guard.session(agent="bot"):
            guard.wrap(lambda text: text, name="note")("goes on")
    assert verifies(tmp_path, exported(tmp_path))


def killed_while_it_acts_with_notes(folder: Path, notes: int) -> None:
    program = f"""
    import os, signal, sys
    from remit import Guard
    guard = Guard.open(sys.argv[1])
    note = guard.wrap(lambda text: text, name="note")
    with guard.session(agent="bot"):
        for n in range({notes}):
            note(str(n))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(folder / "remit.yaml")]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL


def test_p49_many_records_within_one_moment(tmp_path: Path) -> None:
    """There are no files to rotate; records of one and the same nanosecond are all kept."""
    at = time.time_ns()
    with open_guard(tmp_path, clock=lambda: at) as guard:
        note = guard.wrap(lambda text: text, name="note")
        with guard.session(agent="bot"):
            for n in range(20):
                note(str(n))
        assert outcomes(guard) == ["note ok"] * 20
        assert len({record.action for record in log(guard) if record.kind == "outcome"}) == 20
    assert verifies(tmp_path, exported(tmp_path))


def test_p50_a_power_cut_after_acknowledgement(tmp_path: Path) -> None:
    """Every write is flushed before it is acknowledged; tests/storage cuts the power for real."""
    write_policy(tmp_path)
    killed_while_it_acts_with_notes(tmp_path, 7)
    with Guard.open(tmp_path / "remit.yaml") as guard:
        assert outcomes(guard) == ["note ok"] * 7
        settings = guard.store._engine._connection  # type: ignore[attr-defined]
        assert settings.execute("pragma synchronous").fetchone() == (2,)
        assert settings.execute("pragma journal_mode").fetchone() == ("wal",)


def test_p51_a_reader_with_the_verification_key_cannot_forge(
    recorded: tuple[Path, bytes],
) -> None:
    from remit.audit.checkpoint import Checkpoint, sign_checkpoint
    from remit.errors import ConfigError
    from remit.signing import ExternalSigner, FileSigner, read_vkey

    folder, data = recorded
    key = read_vkey(folder / "remit.pub")
    head = data.split(b"\n\n", 1)[0]
    forged = Checkpoint(key.name, len(records_of(data)), b"\x00" * 32)
    as_secret = FileSigner(key.name, key.public)
    note = sign_checkpoint(forged, key, as_secret.sign)
    assert not verifies(folder, head + b"\n\n" + note)
    with pytest.raises(ConfigError):
        ExternalSigner(key, as_secret.sign).sign(b"message")


def test_p52_the_outcome_of_an_allowed_action_is_recorded(tmp_path: Path) -> None:
    now = [time.time_ns()]
    with open_guard(tmp_path, clock=lambda: now[0]) as guard:

        @guard.tool
        def note(text: str) -> str:
            if text == "fails":
                raise KeyError(text)
            if text == "stops":
                raise KeyboardInterrupt
            return text

        with guard.session(agent="bot"):
            note("a")
            with pytest.raises(KeyError):
                note("fails")
            with pytest.raises(KeyboardInterrupt):
                note("stops")
        assert outcomes(guard) == ["note ok", "note error", "note cancelled"]
    write_policy(tmp_path, ACT)
    killed_while_it_acts(tmp_path)
    now[0] = time.time_ns() + 3600 * 10**9
    with Guard.open(tmp_path / "remit.yaml", clock=lambda: now[0]) as guard:
        guard.store.write(
            lambda t: guard_governor(guard, now[0]).expire(t),
        )
        assert outcomes(guard)[-1] == "act unknown"


def guard_governor(guard: Guard, now: int) -> Any:
    from remit.governor import Governor

    return Governor(policies=lambda: guard.policies, clock=lambda: now, entropy=os.urandom)
