"""Policy: documents in, decisions out. Pure; ``docs/policy-documents.md`` says how to write one."""

from remit.policy.catalogue import Tool, ToolSchema
from remit.policy.decide import decide
from remit.policy.loading import load
from remit.policy.policyset import PolicySet

__all__ = ["PolicySet", "Tool", "ToolSchema", "decide", "load"]
