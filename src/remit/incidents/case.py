"""An incident as data: the deployment, the calls of the hijacked agent, the calls of an honest one.

One YAML file each, under ``cases``. The policy is one of the packs that come with Remit, and what
an operator would have written for that deployment: who the agents are and what the tools do.
"""

from __future__ import annotations

from importlib import resources
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct, field

from remit.errors import InvalidRequest

_CASES = "incidents/cases"
_PACKS = "packs"


class Opening(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One session of a trace."""

    agent: str
    user: str | None = None
    intent: str | None = None
    """What the user asked for, in the user's words."""
    parent: str | None = None
    """The session that delegates to this one."""


class IncidentCall(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One call, and what must become of it."""

    call: str
    args: dict[str, Any] = field(default_factory=dict)
    result: Any = None
    """What the tool gave, where it ran."""
    session: str = "main"
    kind: Literal["tool", "mcp", "model", "http", "shell"] = "tool"
    expect: Literal["allow", "ask", "defer", "deny", "withheld"] = "allow"
    rule: str = ""
    """The rule that must have decided; empty: any."""
    approve: str = ""
    """The person who approves it when it is held."""
    repeat: int = 1
    """How many times it is made."""
    at_most: int = 0
    """Of those, how many may run at most; 0: all of them."""
    findings: tuple[str, ...] = ()
    """Kinds of what an edge's detectors must have seen in it."""
    note: str = ""


class CallTrace(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sessions by name, and the calls made in them, in order."""

    sessions: dict[str, Opening]
    steps: tuple[IncidentCall, ...]


class Incident(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened, and the same deployment behind Remit."""

    title: str
    when: str
    happened: str
    source: str
    """Where it is described, for whoever wants to read on."""
    packs: tuple[str, ...]
    deployment: str
    """The operator's own policy document."""
    attack: CallTrace
    twin: CallTrace
    """Honest work with the same tools, that must go through."""
    beyond: str
    """What calls cannot show of this incident, and what is needed besides."""

    def documents(self) -> dict[str, str]:
        """The policy documents in force, by file name."""
        packs = {f"{name}.yaml": pack(name) for name in self.packs}
        return {**packs, "remit.yaml": self.deployment}


def names() -> tuple[str, ...]:
    """Every incident that comes with Remit, sorted."""
    files = resources.files("remit").joinpath(_CASES).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files))


def find(name: str) -> Incident:
    """One incident.

    Raises:
        InvalidRequest: there is none of that name.
    """
    if name not in names():
        raise InvalidRequest(f"there is no incident {name!r}; there are: {', '.join(names())}")
    text = resources.files("remit").joinpath(_CASES, f"{name}.yaml").read_text(encoding="utf-8")
    return msgspec.convert(yaml.safe_load(text), Incident)


def pack(name: str) -> str:
    """The text of a policy pack that comes with Remit.

    Raises:
        InvalidRequest: there is none of that name.
    """
    file = resources.files("remit").joinpath(_PACKS, f"{name}.yaml")
    if not name.replace("-", "").isalnum() or not file.is_file():
        raise InvalidRequest(f"there is no policy pack {name!r}")
    return file.read_text(encoding="utf-8")
