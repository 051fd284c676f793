"""``remit explain``."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from remit import canonical, conversation, remits
from remit.cli import rendering
from remit.cli.app import Exit, json_option
from remit.cli.tasks import remit_option
from remit.cli.workspace import load_policy, policy_option
from remit.errors import InvalidArgument, InvalidRequest
from remit.fulfilment import denied
from remit.guard.calls import real_paths
from remit.model import (
    AccessRequest,
    Action,
    Effect,
    Facts,
    Location,
    Mode,
    Obligation,
    Outcome,
    Phase,
    Principal,
    Session,
    SessionId,
    TaskRemit,
)
from remit.policy import Explanation, MatchedRule, NearMiss, PolicySet, Seen
from remit.policy import explain as explain_request
from remit.provenance.grounding import Provenance
from remit.provenance.memory import Memory, say

if TYPE_CHECKING:
    from rich.text import Text

_EXITS = {
    Effect.ALLOW: Exit.OK,
    Effect.ASK: Exit.HELD,
    Effect.DEFER: Exit.HELD,
    Effect.DENY: Exit.DENIED,
}
_SESSION = SessionId("explain")


class ExplainedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request as ``remit explain`` reads it from JSON."""

    tool: str
    agent: str
    user: str | None = None
    args: dict[str, Any] = {}
    context: dict[str, Any] = {}
    labels: tuple[str, ...] = ()
    result: Any = msgspec.UNSET
    remit: TaskRemit | None = None
    """What the session is narrowed to."""
    intent: str | None = None
    """What the user said."""


@click.command()
@click.argument("request_file", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.option("--tool", metavar="NAME", help="The tool.")
@click.option("--args", "arguments", metavar="JSON", help="Its arguments, an object.")
@click.option("--agent", metavar="NAME", help="The agent that calls it.")
@click.option("--user", metavar="NAME", help="The person on whose behalf.")
@click.option("--context", metavar="JSON", help="Facts for context.x in rules, an object.")
@click.option(
    "--label", "labels", metavar="LABEL", multiple=True, help="A label that the session carries."
)
@click.option("--intent", metavar="TEXT", help="What the user said that the session is for.")
@remit_option
@click.option("--result", metavar="JSON", help="Explain the decision on this result instead.")
@policy_option
@json_option
def explain(request_file: Path | None, policy_path: Path, as_json: bool, **options: Any) -> int:
    """Show what policy says of one request, and why.

    The request comes as JSON from FILE (- is standard input), or from options. Nothing is run and
    nothing recorded; what depends on earlier calls (limits, approvals) is not part of it. Exit code
    0 allow, 4 deny, 5 ask or defer.
    """
    if request_file is not None:
        if any(options.values()):
            raise click.UsageError("give a FILE or options, not both")
        call = _from_file(request_file)
    else:
        call = _from_options(options)
    policies = load_policy(policy_path)
    request, facts = _put_together(policies, call)
    explanation = _within_task(explain_request(policies, request, facts), policies, request, facts)
    if as_json:
        rendering.print_json(_json(explanation))
    else:
        _show(explanation, request)
    return _EXITS[explanation.decision.effect]


def _from_file(path: Path) -> ExplainedCall:
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    try:
        return msgspec.convert(canonical.parse(data), ExplainedCall)
    except (InvalidArgument, msgspec.ValidationError) as problem:
        raise InvalidRequest(f"{path}: not a request: {problem}") from None


def _from_options(options: Mapping[str, Any]) -> ExplainedCall:
    for name in ("tool", "agent"):
        if not options[name]:
            raise click.UsageError(f"missing --{name} (or a FILE with the request)")
    return ExplainedCall(
        tool=options["tool"],
        agent=options["agent"],
        user=options["user"],
        args=_object("--args", options["arguments"]),
        context=_object("--context", options["context"]),
        labels=tuple(options["labels"]),
        remit=options["remit"],
        intent=options["intent"],
        result=msgspec.UNSET
        if options["result"] is None
        else _value("--result", options["result"]),
    )


def _object(option: str, text: str | None) -> dict[str, Any]:
    value = {} if text is None else _value(option, text)
    if not isinstance(value, dict):
        raise InvalidRequest(f'{option}: must be a JSON object such as {{"name": "value"}}.')
    return value


def _value(option: str, text: str) -> Any:
    try:
        return canonical.parse(text.encode("utf-8", "surrogateescape"))
    except InvalidArgument as problem:
        raise InvalidRequest(f"{option}: not JSON: {problem}") from None


def _put_together(policies: PolicySet, call: ExplainedCall) -> tuple[AccessRequest, Facts]:
    """The request as a guard would make it, in a session that carries the labels."""
    principal: Principal = policies.principal(call.agent, user=call.user)
    needs_paths = policies.needs_paths(call.tool)
    request = AccessRequest(
        principal=principal,
        session=_SESSION,
        action=Action(name=call.tool),
        arguments=call.args,
        context=call.context,
        resolved=real_paths(call.args) if needs_paths else {},
    )
    now = time.time_ns()
    given = () if call.remit is None else (remits.given(call.remit, conversation.GIVEN),)
    session = Session(
        id=_SESSION,
        principal=principal,
        started_at=now,
        intent=call.intent,
        labels=tuple(sorted(set(call.labels))),
        remits=(*remits.derived(policies, principal, call.intent), *given),
    )
    outcome = None
    if call.result is not msgspec.UNSET:
        outcome = Outcome(status="ok", result=call.result)
    said = None if call.intent is None else Provenance(say(Memory(), call.intent))
    return request, Facts(now=now, session=session, outcome=outcome, provenance=said)


def _within_task(
    explanation: Explanation, policies: PolicySet, request: AccessRequest, facts: Facts
) -> Explanation:
    """The explanation with what the session is narrowed to, which is no rule of policy."""
    decision, narrowed = explanation.decision, facts.session.remits
    if decision.phase is Phase.RESULT:
        return explanation
    beyond = remits.outside(narrowed, policies, request, facts.provenance)
    if beyond is None:
        return explanation
    refused = msgspec.structs.replace(decision, mode=Mode.ENFORCE)
    return msgspec.structs.replace(
        explanation,
        decision=denied(refused, beyond),
        to_allow=(*explanation.to_allow, beyond.instead),
    )


def _show(explanation: Explanation, request: AccessRequest) -> None:
    decision = explanation.decision
    who = " for ".join(link.id for link in request.principal.chain())
    rendering.line(
        rendering.word(decision.effect.value),
        "  ",
        rendering.text(explanation.tool, "bold"),
        f"  by {who}",
        rendering.quiet("  on its result" if decision.phase is Phase.RESULT else ""),
    )
    if decision.mode is Mode.SHADOW:
        rendering.line("      The policy is in shadow mode: this is recorded and not enforced.")
    matched = sorted(explanation.matched, key=lambda match: -match.effect.strictness)
    places = {match.at for match in matched}
    for reason in decision.reasons:
        if reason.at not in places:
            rendering.line("      ", _place(reason.rule, reason.at), f"  {reason.because}")
            _indented(reason.instead, "green")
    if matched:
        _heading("matched")
    for match in matched:
        _show_match(match, explanation)
    if decision.obligations:
        _heading("obligations")
    for duty in decision.obligations:
        rendering.line(f"  {duty.kind} {duty.target} ", _value_of(duty), f" by {duty.rule}")
    if explanation.near_misses:
        _heading("did not match")
    for miss in explanation.near_misses:
        _show_miss(miss)
    if explanation.to_allow:
        _heading("to be allowed")
    for each in explanation.to_allow:
        rendering.line("  ", each)


def _heading(words: str) -> None:
    rendering.line()
    rendering.line(rendering.text(words, "bold"))


def _show_match(match: MatchedRule, explanation: Explanation) -> None:
    _show_rule(match.effect, match.rule, match.at, match.agent)
    reason = next((each for each in explanation.decision.reasons if each.at == match.at), None)
    if reason is not None:
        _indented(reason.because)
        _indented(reason.instead, "green")
    if match.condition is not None:
        _indented(f"when: {match.condition}", "dim")
    _show_values(match.values)
    if match.error is not None:
        _indented(f"error: {match.error}", "magenta")


def _show_miss(miss: NearMiss) -> None:
    _show_rule(miss.effect, miss.rule, miss.at, miss.agent)
    words = {
        "condition": "does not hold: ",
        "after": "session has not seen: ",
        "principal": "is for: ",
    }
    _indented(f"{words[miss.missing]}{miss.wanted.removeprefix('after: ')}", "dim")
    _show_values(miss.values)


def _show_rule(effect: Effect, rule: str, at: Location, agent: str) -> None:
    effect_word = rendering.styled(effect.value.ljust(6), effect.value)
    rendering.line("  ", effect_word, _place(rule, at), rendering.quiet(f"  {agent}"))


def _show_values(values: Iterable[Seen]) -> None:
    for seen in values:
        _indented(f"{seen.text} = {seen.value}", "cyan")


def _place(rule: str, at: Location | None) -> Text:
    name = rendering.text(rule, "bold")
    return name if at is None else name.append_text(rendering.quiet(f"  {at}"))


def _indented(words: str | None, style: str = "") -> None:
    if words:
        rendering.line("        ", rendering.text(words, style))


def _value_of(duty: Obligation) -> str:
    return "" if duty.value is None else rendering.as_json(duty.value, indent=None)


def _json(explanation: Explanation) -> dict[str, Any]:
    decision = explanation.decision
    return {
        "tool": explanation.tool,
        "effect": decision.effect.value,
        "mode": decision.mode.value,
        "phase": decision.phase.value,
        "revision": decision.revision,
        "reasons": [
            {
                "rule": reason.rule,
                "effect": reason.effect.value,
                "at": None if reason.at is None else str(reason.at),
                "because": reason.because,
                "instead": reason.instead,
            }
            for reason in decision.reasons
        ],
        "obligations": [msgspec.to_builtins(duty) for duty in decision.obligations],
        "terms": [msgspec.to_builtins(terms) for terms in decision.terms],
        "matched": [_rule_json(each) for each in explanation.matched],
        "near_misses": [_rule_json(each) for each in explanation.near_misses],
        "to_allow": list(explanation.to_allow),
        "refusal": None if decision.effect is Effect.ALLOW else explanation.refusal(),
    }


def _rule_json(rule: MatchedRule | NearMiss) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(rule)
    return {**fields, "at": str(rule.at)}
