"""``remit approvals``: what waits for a person, and the person's answer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from remit.approvals import OPEN, Approval, ApprovalState, state_at
from remit.cli import rendering
from remit.cli.app import json_option
from remit.cli.workspace import known_person, load_policy, open_store, person_option, store_option
from remit.errors import ApprovalError
from remit.governor import Governor
from remit.model import ApprovalId, ApprovalTerms, Principal
from remit.storage import Transaction

_LIMIT = 1000
_ARGUMENTS_WIDTH = 60


@click.group()
def approvals() -> None:
    """List, show and decide what waits for a person.

    Who you are comes from --as: in embedded mode nothing authenticates it. Whoever can write to
    the store can approve; protect the file, or use a server.
    """


@approvals.command("list")
@click.option("--all", "everything", is_flag=True, help="Closed ones as well.")
@store_option
@json_option
def list_(everything: bool, policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """List what waits for a person, oldest first."""
    states = tuple(ApprovalState) if everything else OPEN
    store = open_store(policy_path, store_path)
    try:
        found = store.read(lambda snapshot: list(snapshot.approvals(states, _LIMIT)))
    finally:
        store.close()
    now = time.time_ns()
    if not everything:
        found = [each for each in found if state_at(each, now) in OPEN]
    if as_json:
        rendering.print_json([_json(each, now) for each in found])
    elif not found:
        rendering.line("Nothing waits for a person.")
    else:
        _show_list(found, now)


def _show_list(found: Sequence[Approval], now: int) -> None:
    rendering.table(
        ["approval", "state", "left", "who", "tool", "arguments"],
        [
            [
                each.id,
                rendering.word(_state(each, now)),
                _left(each, now),
                _who(each.requester),
                each.tool,
                rendering.shortened(each.arguments.decode(), _ARGUMENTS_WIDTH),
            ]
            for each in found
        ],
    )


@approvals.command()
@click.argument("approval_id", metavar="APPROVAL")
@store_option
@json_option
def show(approval_id: str, policy_path: Path, store_path: Path | None, as_json: bool) -> None:
    """Show one approval with everything that it is bound to."""
    store = open_store(policy_path, store_path)
    try:
        found = store.read(lambda snapshot: snapshot.approval(ApprovalId(approval_id)))
    finally:
        store.close()
    if found is None:
        raise ApprovalError(f"{approval_id}: there is no such approval in this store.")
    now = time.time_ns()
    if as_json:
        rendering.print_json(_json(found, now))
    else:
        _show_one(found, now)


def _show_one(approval: Approval, now: int) -> None:
    arguments = json.dumps(json.loads(approval.arguments), indent=2, ensure_ascii=False)
    rendering.facts(
        [
            ("approval", approval.id),
            ("state", rendering.word(_state(approval, now))),
            ("who", _who(approval.requester)),
            ("tool", rendering.text(approval.tool, "bold")),
            ("arguments", arguments),
            ("because", approval.because),
            ("rules", ", ".join(approval.rules)),
            ("needs", "; ".join(map(_needs, approval.terms))),
            ("asked", rendering.when(approval.created_at)),
            ("until", f"{rendering.when(approval.expires_at)} ({_left(approval, now)})"),
            ("policy", approval.revision),
            *(("approved by", _vote(v.by.id, v.at, v.reason)) for v in approval.votes),
            *_closing(approval),
        ]
    )


def _closing(approval: Approval) -> list[tuple[str, str]]:
    if approval.closed_at is None:
        return []
    return [(approval.state.value, _vote(approval.closed_by, approval.closed_at, approval.reason))]


def _vote(who: str | None, at: int, reason: str) -> str:
    shown = rendering.when(at) if who is None else f"{who}, {rendering.when(at)}"
    return f"{shown}: {reason}" if reason else shown


def _needs(terms: ApprovalTerms) -> str:
    people = ", ".join(terms.approvers) or "any person who is not part of the request"
    own = "" if terms.self_approval else ", not the requester"
    return f"{terms.quorum} of {people}{own}"


@approvals.command()
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--reason", default="", help="Why, for the record.")
@person_option
@store_option
@json_option
def approve(
    approval_id: str,
    reason: str,
    person: str,
    policy_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Say yes. The same call, made again, then runs once."""
    _decide(Governor.approve, approval_id, reason, person, policy_path, store_path, as_json=as_json)


@approvals.command()
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--reason", default="", help="Why, for the record.")
@person_option
@store_option
@json_option
def reject(
    approval_id: str,
    reason: str,
    person: str,
    policy_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Say no. One no is enough."""
    _decide(Governor.reject, approval_id, reason, person, policy_path, store_path, as_json=as_json)


@approvals.command()
@click.argument("approval_id", metavar="APPROVAL")
@click.option("--reason", default="", help="Why, for the record.")
@person_option
@store_option
@json_option
def withdraw(
    approval_id: str,
    reason: str,
    person: str,
    policy_path: Path,
    store_path: Path | None,
    as_json: bool,
) -> None:
    """Take back an approval that was not used yet, or a request for one."""
    _decide(
        Governor.withdraw, approval_id, reason, person, policy_path, store_path, as_json=as_json
    )


_Step = Callable[[Governor, Transaction, ApprovalId, Principal, str], Approval]


def _decide(
    step: _Step,
    approval_id: str,
    reason: str,
    person: str,
    policy_path: Path,
    store_path: Path | None,
    *,
    as_json: bool,
) -> None:
    policies = load_policy(policy_path)
    by = known_person(policies, person)
    governor = Governor(policies=lambda: policies, clock=time.time_ns, entropy=os.urandom)
    store = open_store(policy_path, store_path)
    try:
        decided = store.write(lambda t: step(governor, t, ApprovalId(approval_id), by, reason))
    finally:
        store.close()
    now = time.time_ns()
    if as_json:
        rendering.print_json(_json(decided, now))
    else:
        _say(decided, now)


def _say(approval: Approval, now: int) -> None:
    rendering.line(
        rendering.word(_state(approval, now)),
        f"  {approval.id}  {approval.tool} ",
        rendering.shortened(approval.arguments.decode(), _ARGUMENTS_WIDTH),
        f"  for {_who(approval.requester)}",
    )
    if approval.state is ApprovalState.PENDING:
        missing = "; ".join(_needs(terms) for terms in approval.terms)
        rendering.line(rendering.quiet(f"Your yes counts; it still needs {missing}."))
    elif approval.state is ApprovalState.APPROVED:
        left = rendering.duration(approval.expires_at - now)
        rendering.line(rendering.quiet(f"The same call, made again within {left}, runs once."))


def _state(approval: Approval, now: int) -> str:
    return state_at(approval, now).value


def _left(approval: Approval, now: int) -> str:
    if state_at(approval, now) not in OPEN:
        return "-"
    return rendering.duration(approval.expires_at - now)


def _who(requester: Principal) -> str:
    return " for ".join(link.id for link in requester.chain())


def _json(approval: Approval, now: int) -> dict[str, Any]:
    return {
        "id": approval.id,
        "state": _state(approval, now),
        "requester": [link.id for link in approval.requester.chain()],
        "session": approval.session,
        "tool": approval.tool,
        "arguments": json.loads(approval.arguments),
        "because": approval.because,
        "rules": list(approval.rules),
        "terms": [
            {
                "approvers": list(terms.approvers),
                "quorum": terms.quorum,
                "self_approval": terms.self_approval,
            }
            for terms in approval.terms
        ],
        "revision": approval.revision,
        "digest": approval.digest,
        "created_at": rendering.timestamp(approval.created_at),
        "expires_at": rendering.timestamp(approval.expires_at),
        "votes": [
            {"by": vote.by.id, "at": rendering.timestamp(vote.at), "reason": vote.reason}
            for vote in approval.votes
        ],
        "closed_by": approval.closed_by,
        "closed_at": rendering.timestamp(approval.closed_at) if approval.closed_at else None,
        "reason": approval.reason,
    }
