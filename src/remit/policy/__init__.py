"""Policy: documents in, decisions out. Pure; ``docs/policy-documents.md`` says how to write one."""

from remit.policy.catalogue import Tool, ToolSchema
from remit.policy.decide import decide
from remit.policy.explain import Explanation, MatchedRule, NearMiss, Seen, explain, refusal
from remit.policy.loading import load
from remit.policy.policyset import PolicySet

__all__ = [
    "Explanation",
    "MatchedRule",
    "NearMiss",
    "PolicySet",
    "Seen",
    "Tool",
    "ToolSchema",
    "decide",
    "explain",
    "load",
    "refusal",
]
