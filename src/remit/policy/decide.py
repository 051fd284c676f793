"""``decide``: what policy says of one request. Pure and fast."""

from __future__ import annotations

from remit.model import AccessRequest, Decision, Facts
from remit.policy.policyset import PolicySet


def decide(policies: PolicySet, request: AccessRequest, facts: Facts) -> Decision:
    """What the policy says of a request, or of its result if ``facts`` holds an outcome.

    Pure: the same input always gives an equal decision. Never raises for what a request holds.
    """
    return policies._decider.decide(request, facts)
