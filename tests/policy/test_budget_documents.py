"""The sections budgets:, prices: and cost: of documents: what they mean, and every fault."""

from typing import Any

import msgspec
import pytest

from remit.budgets.limits import Limit, OnExceed
from remit.errors import PolicyError
from remit.model import ApprovalTerms
from remit.policy import load
from remit.policy.amounts import AmountError, from_text, from_value
from remit.policy.spending import ModelPrice, price_of

HEAD = """remit: 1
people:
  ada: {roles: [finance]}
rules:
  - {id: r, tools: [x], effect: allow}
"""
HOUR = 3_600_000_000_000


def budget(text: str) -> Any:
    policies = load({"remit.yaml": f"{HEAD}budgets:\n  - {text}\n"})
    return (*policies.budgets, *policies.rate_limits)[0]


def test_what_is_written_is_what_is_meant() -> None:
    found = budget(
        "{id: b, by: [team, model], limit: {usd: 0.1, seconds: 1.5, tokens: 7, input_tokens: 8,"
        " output_tokens: 9, calls: 10}, per: month, timezone: Asia/Tokyo, notify: [90, 10, 90],"
        " tools: ['A*'], models: [GPT-*], on_exceed: ask}"
    )
    assert found.limits == (
        Limit("usd", 100_000_000),
        Limit("tokens", 7),
        Limit("input_tokens", 8),
        Limit("output_tokens", 9),
        Limit("calls", 10),
        Limit("seconds", 1_500_000),
    )
    assert (found.by, found.per, found.timezone) == (("team", "model"), "month", "Asia/Tokyo")
    assert (found.notify, found.tools, found.models) == ((10, 90), ("a*",), ("gpt-*",))
    assert found.on_exceed == OnExceed(kind="ask", terms=ApprovalTerms())


def test_windows_scopes_and_what_happens_then() -> None:
    rolling = budget("{id: b, by: org, limit: {calls: 5}, rolling: 90m}")
    assert (rolling.per, rolling.length) == ("rolling", 3 * HOUR // 2)
    assert rolling.notify == (50, 80, 100)
    session = budget("{id: b, by: agent, limit: {usd: 5}, per: session, notify: []}")
    assert (session.by, session.notify) == (("agent", "session"), ())
    task = budget("{id: b, by: task, limit: {usd: 5}, per: session}")
    assert task.by == ("task",)
    asks = budget(
        "{id: b, by: org, limit: {usd: 5}, per: year,"
        " on_exceed: {ask: [finance, ada], raise: 25, for: 2h}}"
    )
    assert asks.on_exceed == OnExceed(
        kind="ask",
        terms=ApprovalTerms(approvers=("finance", "ada")),
        percent=25,
        lasts=2 * HOUR,
    )
    other = budget("{id: b, by: org, limit: {usd: 5}, per: week, on_exceed: {downgrade: small}}")
    assert other.on_exceed == OnExceed(kind="downgrade", model="small")


@pytest.mark.parametrize(
    ("text", "smooth"),
    [
        ("{calls: 5}, per: minute", True),
        ("{calls: 5}, per: second", True),
        ("{calls: 5}, per: 90s", True),
        ("{calls: 5}, per: day, burst: 2", True),
        ("{calls: 5}, per: hour", False),
        ("{calls: 5}, rolling: 1m", False),
        ("{calls: 5, usd: 1}, per: minute", False),
        ("{usd: 1}, per: minute", False),
    ],
)
def test_frequency_is_smoothed_and_amounts_are_counted(text: str, smooth: bool) -> None:
    policies = load({"remit.yaml": f"{HEAD}budgets:\n  - {{id: b, by: org, limit: {text}}}\n"})
    assert (len(policies.rate_limits), len(policies.budgets)) == (smooth, not smooth)


@pytest.mark.parametrize(
    ("text", "place", "message", "hint"),
    [
        ("limit: {usd: «-1»}, per: day", 0, "less than 0", None),
        ("limit: {usd: «0»}, per: day", 0, "never lets anything through", "effect: deny"),
        ("limit: {usd: «.nan»}, per: day", 0, "no number|finite|expected", None),
        ("limit: {usd: «.inf»}, per: day", 0, "more than|finite|expected", None),
        ("limit: {usd: «0.0000000001»}, per: day", 0, "more than 9 decimals", "nine decimals"),
        ("limit: {usd: «9000001»}, per: day", 0, "more than 9000000", None),
        ("limit: {seconds: «0.0000001»}, per: day", 0, "more than 6 decimals", None),
        ("limit: {tokens: «0»}, per: day", 0, "less than 1", None),
        ("limit: {tokens: «1.5»}, per: day", 0, "whole number", None),
        ("limit: {«token»: 5}, per: day", 0, "unknown key", "tokens"),
        ("limit: «{}», per: day", 0, "limits nothing", "at least one of"),
        ("limit: {usd: 1}", 0, "either per or rolling", "rolling: 24h"),
        ("limit: {usd: 1}, per: day, rolling: «24h»", 0, "either per or rolling", None),
        ("limit: {usd: 1}, per: «90s»", 0, "no period of a calendar", "rolling: 90s"),
        ("limit: {usd: 1}, per: «second»", 0, "no period of a calendar", "per: minute"),
        ("limit: {usd: 1}, per: «daily»", 0, "right form", None),
        ("limit: {usd: 1}, per: day, timezone: «Europe/Nowhere»", 0, "time zone", "Europe/Berlin"),
        ("limit: {usd: 1}, per: hour, «timezone»: Europe/Berlin", 0, "no meaning for hour", None),
        ("limit: {usd: 1}, per: day, burst: «5»", 0, "burst goes with", None),
        ("limit: {usd: 1}, per: day, notify: [«0»]", 0, "less than 1", None),
        ("limit: {usd: 1}, per: day, on_exceed: «block»", 0, "'block'", "ask, deny"),
        ("limit: {usd: 1}, per: day, on_exceed: «{}»", 0, "one of ask and downgrade", None),
        (
            "limit: {usd: 1}, per: day, on_exceed: «{ask: ada, downgrade: m}»",
            0,
            "one of ask and downgrade",
            None,
        ),
        ("limit: {usd: 1}, per: day, on_exceed: {ask: [«finanz»]}", 0, "'finanz'", "finance"),
        (
            "limit: {usd: 1}, per: day, on_exceed: {downgrade: m, «raise»: 5}",
            0,
            "no meaning",
            "ask",
        ),
        ("limit: {usd: 1}, per: day, on_exceed: {downgrade: m, «for»: 5m}", 0, "no meaning", "ask"),
        ("limit: {usd: 1}, per: day, «on-exceed»: deny", 0, "unknown key", "on_exceed"),
        ("limit: {calls: 1}, per: minute, «on_exceed»: deny", 0, "no meaning for a limit on", None),
        ("limit: {calls: 1}, per: minute, «notify»: [5]", 0, "no meaning for a limit on", None),
        ("limit: {calls: 1}, per: minute, «models»: [m]", 0, "no meaning for a limit on", None),
        ("limit: {calls: 1}, burst: 1, per: «week»", 0, "burst goes with", "per: minute"),
        ("limit: {calls: 1}, burst: 1", 0, "burst goes with", "per: minute"),
    ],
)
def test_faults(text: str, place: int, message: str, hint: str | None) -> None:
    document = f"{HEAD}budgets:\n  - {{id: b, by: org, {text}}}\n"
    marked = "«" in document
    line = document.splitlines()[6]
    column = line.index("«") + 1 if marked else line.index("id: b") + 5
    document = document.replace("«", "").replace("»", "")
    with pytest.raises(PolicyError, match=message) as caught:
        load({"remit.yaml": document})
    fault = caught.value.faults[place]
    assert (fault.at.line, fault.at.column) == (7, column)
    assert hint is None or hint in (fault.suggestion or "")


@pytest.mark.parametrize("by", ["task", "model"])
def test_frequency_is_not_counted_by_everything(by: str) -> None:
    with pytest.raises(PolicyError, match=f"not counted by {by}"):
        budget(f"{{id: b, by: [{by}], limit: {{calls: 1}}, per: minute}}")


def test_prices() -> None:
    text = "prices:\n  small-*: {input: 0.0375, output: 0.3}\n  '*': {input: 50, output: 200}\n"
    assert load({"remit.yaml": HEAD + text}).meter.prices == (
        ModelPrice(pattern="small-*", input=37_500_000, output=300_000_000),
        ModelPrice(pattern="*", input=50_000_000_000, output=200_000_000_000),
    )
    for wrong, message in {
        "prices: {m: {input: -1, output: 1}}\n": "less than 0",
        "prices: {m: {input: 0.0000000001, output: 1}}\n": "decimals",
        "prices: {m: {input: 1}}\n": "'output' is missing",
        "prices: {m: {input: 1, output: 1}, M: {input: 1, output: 1}}\n": "stated already",
    }.items():
        with pytest.raises(PolicyError, match=message):
            load({"remit.yaml": HEAD + wrong})


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ("{usd: -1}", "less than 0"),
        ("{usd: 0.0000000001}", "more than 9 decimals"),
        ("{input_tokens: 1.5}", "decimals"),
        ("{usd: args.nn * 2}", "no argument|nn"),
        ("{usd: result.cost}", "result"),
        ("{usd: 'args.n == 1'}", "a cost is a number"),
        ("{usd: {at-most: 1}}", "'charge' is missing"),
        ("{usd: {at-most: 1, charge: 'result.x +'}}", "remit.yaml"),
        ("{seconds: {at-most: 1, charge: result.x}}", "expected"),
        ("{usdd: 1}", "unknown key 'usdd'"),
    ],
)
def test_faults_of_costs(cost: str, message: str) -> None:
    tools = f"tools:\n  - {{match: [x], arguments: {{n: int}}, cost: {cost}}}\n"
    with pytest.raises(PolicyError, match=message):
        load({"remit.yaml": HEAD + tools})


def test_amounts_are_exact() -> None:
    assert from_text("0.1", 10**9) == 100_000_000
    assert from_text("1e-9", 10**9) == 1
    assert from_text("123456.789", 10**9) == 123_456_789_000_000
    assert from_value(0.1 + 0.2, "usd") == 300_000_001
    assert from_value(3, "usd") == 3_000_000_000
    assert from_value(1e-12, "usd") == 1
    assert from_value(2.5, "output_tokens") == 3
    for text in ("", "five", "-1", "nan", "inf", "1e99", "0x10"):
        with pytest.raises(AmountError):
            from_text(text, 10**9)
    for value in (True, None, "5", [], -1, float("nan"), float("inf"), 1e300):
        with pytest.raises(AmountError):
            from_value(value, "usd")


def test_the_documents_schema_knows_them() -> None:
    from remit.policy.schema import document_schema

    text = msgspec.json.encode(document_schema()).decode()
    for word in ("rolling", "on_exceed", "at-most", "input_tokens", "quarter", "downgrade"):
        assert word in text


def test_ids_are_taken_once_and_nobody_means_models_without_a_price() -> None:
    twice = "budgets:\n" + "  - {id: b, by: org, limit: {usd: 1}, per: day}\n" * 2
    with pytest.raises(PolicyError, match="is taken at"):
        load({"remit.yaml": HEAD + twice})
    prices = (
        ModelPrice(pattern="small-*", input=1, output=2),
        ModelPrice(pattern="*", input=3, output=4),
    )
    assert price_of(prices, "SMALL-1") is prices[0]
    assert price_of(prices, "large") is None
