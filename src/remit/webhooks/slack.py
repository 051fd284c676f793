"""A message as Slack shows it: Block Kit, with nothing in it that Slack would take for markup.

What agents wrote goes into plain text, or into a preformatted block as the JSON that it is, with
everything escaped that could end the block, mention somebody, or not be what it looks like.
Pure. Limits are those of Slack's Block Kit reference.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from remit import text
from remit.protocols.approval_views import ApprovalView
from remit.webhooks.messages import BudgetNews, Message, RunawayNews, StopNews

HEADER = 150
SECTION = 3_000
FIELD = 2_000
"""Characters that a block takes at most."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_FENCE = "```"
_TITLES = {
    "approval.pending": "Approval needed",
    "approval.vote": "One more yes",
    "approval.approved": "Approved",
    "approval.rejected": "Rejected",
    "approval.withdrawn": "Withdrawn",
    "approval.expired": "Expired",
    "approval.used": "Approval used",
    "stop.set": "Stopped",
    "stop.lifted": "Resumed",
    "budget.reached": "Budget used",
    "budget.overrun": "Budget overrun",
    "budget.raised": "Budget raised",
    "budget.reset": "Budget reset",
    "runaway.seen": "Runaway agent",
}


def payload(message: Message) -> dict[str, Any]:
    """The JSON of an incoming webhook."""
    title = _TITLES[message.event]
    if message.approval is not None:
        head = f"{title}: {message.approval.tool}"
        blocks = _approval(message.approval)
    elif message.budget is not None:
        head = f"{title}: {message.budget.cell}"
        blocks = _budget(message.budget)
    elif message.runaway is not None:
        head = f"{title}: {message.runaway.agent}"
        blocks = _runaway(message.runaway)
    else:
        stop = message.stop or StopNews(id="", scope="all", value="", by="", reason="")
        head = f"{title}: {_scope(stop)}"
        blocks = _stop(stop)
    first = {"type": "header", "text": _plain(head, HEADER)}
    # ``text`` is for notifications; with blocks beside it Slack shows it nowhere else.
    return {"text": safe(head, HEADER), "mrkdwn": False, "blocks": [first, *blocks]}


def _approval(approval: ApprovalView) -> list[dict[str, Any]]:
    details = approval.details
    who = [] if details is None else [f"{link.kind} {link.id}" for link in details.requester]
    facts = [
        ("Who", " for ".join(who)),
        ("State", approval.state.value),
        ("Rules", ", ".join(approval.rules)),
        ("Until", _when(approval.expires_at)),
    ]
    if approval.closed_by is not None:
        facts.append(("By", approval.closed_by))
    blocks = [_facts(facts)]
    for words in (approval.because, approval.reason):
        if words:
            blocks.append({"type": "section", "text": _plain(words, SECTION)})
    if details is not None and details.arguments is not None:
        blocks.append(_preformatted(details.arguments))
    return [*blocks, _context(f"remit approvals show {approval.id}")]


def _stop(stop: StopNews) -> list[dict[str, Any]]:
    blocks = [_facts([("What", _scope(stop)), ("By", stop.by)])]
    if stop.reason:
        blocks.append({"type": "section", "text": _plain(stop.reason, SECTION)})
    return [*blocks, _context(f"remit resume {stop.id}")]


def _budget(budget: BudgetNews) -> list[dict[str, Any]]:
    name = budget.cell.partition("/")[0]
    share = f"{100 * budget.spent // budget.limit} %" if budget.limit else "-"
    return [_facts([("Budget", name), ("Used", share)]), _context(f"remit budgets show {name}")]


def _runaway(runaway: RunawayNews) -> list[dict[str, Any]]:
    done = "let through" if runaway.granted else "refused"
    facts = [("Tool", runaway.tool), ("Call", done), ("Session", runaway.session)]
    blocks = [_facts(facts), {"type": "section", "text": _plain("; ".join(runaway.saw), SECTION)}]
    return [*blocks, _context(f"remit stop --session {runaway.session}")]


def _scope(stop: StopNews) -> str:
    return "everything" if stop.scope == "all" else f"{stop.scope} {stop.value}"


def _facts(facts: Iterable[tuple[str, str]]) -> dict[str, Any]:
    fields = [_plain(f"{name}: {words or '-'}", FIELD) for name, words in facts]
    return {"type": "section", "fields": fields}


def _context(words: str) -> dict[str, Any]:
    return {"type": "context", "elements": [_plain(words, FIELD)]}


def _plain(words: str, limit: int) -> dict[str, Any]:
    return {"type": "plain_text", "text": safe(words, limit), "emoji": False}


def _preformatted(arguments: Any) -> dict[str, Any]:
    """A value as JSON between fences. Cut where it is too long, and then it says so."""
    wire = msgspec.json.format(msgspec.json.encode(arguments), indent=2).decode()
    room = SECTION - 2 * len(_FENCE) - 80
    shown, left = _cut(wire.replace("`", "\\u0060"), room, lines=True)
    note = f"\n{left} more characters are not shown" if left else ""
    words = f"{_FENCE}{shown}{_FENCE}{note}"
    return {"type": "section", "text": {"type": "mrkdwn", "text": words, "verbatim": True}}


def safe(words: str, limit: int) -> str:
    """Text that reads as what it is: no markup, no invisible or control characters, not too long.

    Args:
        words: anything.
        limit: characters that the result has at most, each escape counted as it is written.
    """
    shown, left = _cut(words, limit, lines=False)
    if not left:
        return shown or " "
    shown, _ = _cut(words, limit - 1, lines=False)
    return f"{shown}\u2026"


def _cut(words: str, limit: int, *, lines: bool) -> tuple[str, int]:
    """As much of the escaped words as fits, never half an escape; and how much was left out."""
    hidden = frozenset(text.invisibles(words))
    pieces: list[str] = []
    used = 0
    for place, character in enumerate(words):
        piece = _escaped(character, place in hidden, lines)
        if used + len(piece) > limit:
            return "".join(pieces), len(words) - place
        pieces.append(piece)
        used += len(piece)
    return "".join(pieces), 0


def _escaped(character: str, hidden: bool, lines: bool) -> str:
    if character in _ENTITIES:
        return _ENTITIES[character]
    if character == "\n" and lines:
        return character
    category = unicodedata.category(character)
    if hidden or (category[0] in "CZ" and character != " "):
        units = character.encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
    return character


def _when(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")
