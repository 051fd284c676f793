"""Proposals as a policy document, with the reasons as comments."""

from __future__ import annotations

import json
from collections.abc import Sequence

from remit.classify.classes import Proposal
from remit.classify.words import PLATFORM_FIELDS

_HEAD = """\
# Proposed by `remit classify` from {count} tools, for a person to review: first what is marked
# REVIEW, then whether each `does` is right. A tool that is not declared counts as the worst class.
remit: 1
default: deny
agents:
  {agent}: {{}}
# Fields of results that the platforms fill in themselves. Values count only where they look like
# it: an identifier, a number, an address, a date; never prose.
platform-fields: {fields}
tools:
"""


def written(proposals: Sequence[Proposal], rules: str, agent: str = "agent") -> str:
    """The document: agents, tools, and the rules as given."""
    fields = json.dumps(list(PLATFORM_FIELDS))
    head = _HEAD.format(count=len(proposals), agent=agent, fields=fields)
    return head + "".join(map(_entry, proposals)) + rules


def _entry(found: Proposal) -> str:
    mark = "REVIEW: " if found.unsure else ""
    reasons = "; ".join(found.reasons).replace("\n", " ")
    lines = [f"  # {mark}{reasons}"[:400], f"  - match: {json.dumps(found.name)}"]
    lines.append(f"    does: {_list(found.does)}")
    if found.returns:
        lines.append(f"    returns: {_list(found.returns)}")
    if found.claims:
        lines.append(f"    claims: {_list(found.claims)}")
    if found.controls:
        inner = ", ".join(f"{kind}: {_list(paths)}" for kind, paths in found.controls.items())
        lines.append(f"    controls: {{{inner}}}")
    if found.what:
        lines.append(f"    sends: {{what: {_list(found.what)}}}")
    if found.resource:
        lines.append(f"    resource: {_list(found.resource)}")
    return "\n".join(lines) + "\n"


def _list(items: Sequence[str]) -> str:
    return "[" + ", ".join(json.dumps(item) if "*" in item else item for item in items) + "]"
