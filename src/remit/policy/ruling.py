"""From the rules that matched to the decision: the lattice, the reasons, the obligations.

The order of the rules decides nothing here; it only orders what is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from remit import canonical
from remit.model import (
    ApprovalTerms,
    Decision,
    Effect,
    Mode,
    Obligation,
    Phase,
    Reason,
    Revision,
)
from remit.policy.comparison import ConditionError, MissingFact
from remit.policy.rules import Rule, default_reason

_KINDS = ("rewrite", "cap", "redact", "label")
_LAST = 1 << 30


class FailedRule(Struct, frozen=True):
    """A rule that could not be evaluated, and why."""

    rule: Rule
    error: Exception


class Setting(Struct, frozen=True, kw_only=True):
    """What all decisions of one policy set and phase have in common."""

    revision: Revision
    mode: Mode
    phase: Phase
    default: Effect

    def refusal(self, reason: Reason) -> Decision:
        """The decision that consists of one built-in reason."""
        return self._decision(reason.effect, (reason,))

    def decision(
        self,
        matched: Sequence[Rule],
        problems: Sequence[FailedRule] = (),
        obligations: Sequence[Obligation] = (),
        *,
        uncovered: bool,
    ) -> Decision:
        """The join of everything that matched.

        Args:
            matched: rules that matched for any agent of the chain, without repeats.
            problems: rules that could not be evaluated.
            obligations: those of the matched rules.
            uncovered: for some agent of the chain nothing matched, so the default counts too.
        """
        ranked = [(rule.reason, rule.order) for rule in matched]
        ranked += [(self._reason_of(problem), problem.rule.order) for problem in problems]
        if uncovered:
            ranked.append((default_reason(self.default), _LAST))
        duties, conflict = _settled(obligations)
        if conflict is not None:
            ranked.append((conflict, _LAST))
        ranked.sort(key=lambda each: (-each[0].effect.strictness, each[1]))
        effect = ranked[0][0].effect
        terms: tuple[ApprovalTerms, ...] = ()
        if effect in (Effect.ASK, Effect.DEFER):
            wanted = (rule.terms for rule in sorted(matched, key=lambda rule: rule.id))
            terms = tuple(dict.fromkeys(each for each in wanted if each is not None))
            terms = terms or (ApprovalTerms(),)
        return self._decision(
            effect,
            tuple(reason for reason, _ in ranked),
            () if effect is Effect.DENY else duties,
            terms,
        )

    def _decision(
        self,
        effect: Effect,
        reasons: tuple[Reason, ...],
        obligations: tuple[Obligation, ...] = (),
        terms: tuple[ApprovalTerms, ...] = (),
    ) -> Decision:
        return Decision(
            effect=effect,
            revision=self.revision,
            reasons=reasons,
            obligations=obligations,
            terms=terms,
            mode=self.mode,
            phase=self.phase,
        )

    def _reason_of(self, problem: FailedRule) -> Reason:
        """Why a rule that could not be evaluated stops the action: deny, or defer for a fact.

        A result cannot wait for a fact, so it is withheld.
        """
        rule, error = problem.rule, problem.error
        if isinstance(error, ConditionError | MissingFact):
            what = error.message.rstrip(".")
        else:
            what = f"{type(error).__name__} while reading a value"
        if isinstance(error, MissingFact):
            return Reason(
                rule="missing-fact",
                effect=Effect.DEFER if self.phase is Phase.CALL else Effect.DENY,
                at=rule.at,
                because=f"The rule {rule.id!r} cannot be decided: {what}.",
                instead="Make the same call once the fact is given, or let a person decide.",
            )
        return Reason(
            rule="rule-error",
            effect=Effect.DENY,
            at=rule.at,
            because=f"The rule {rule.id!r} cannot be evaluated on this: {what}.",
            instead="Call it with arguments of the form that the rule reads.",
        )


def _settled(found: Iterable[Obligation]) -> tuple[tuple[Obligation, ...], Reason | None]:
    """The obligations in the one order in which they are carried out, and a conflict if any.

    Rewriting comes first, then capping, redacting and labels; outer places before inner ones.
    """
    duties: dict[tuple[str, str, bytes], Obligation] = {}
    rewrites: dict[str, Obligation] = {}
    conflict = None
    for duty in sorted(found, key=_place):
        value = canonical.encode(duty.value)
        if duty.kind == "rewrite":
            other = rewrites.setdefault(duty.target, duty)
            if canonical.encode(other.value) != value and conflict is None:
                conflict = Reason(
                    rule="rule-error",
                    effect=Effect.DENY,
                    because=f"The rules {other.rule!r} and {duty.rule!r} rewrite {duty.target} "
                    "to different values.",
                    instead="Ask a person to settle it in the policy.",
                )
        duties.setdefault((duty.kind, duty.target, value), duty)
    return tuple(duties.values()), conflict


def _place(duty: Obligation) -> tuple[int, int, str, str]:
    return _KINDS.index(duty.kind), duty.target.count("."), duty.target, duty.rule
