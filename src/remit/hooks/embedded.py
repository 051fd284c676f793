"""A hook's question decided in the hook's own process, where no server runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from remit.guard import Guard
from remit.guard.calls import Caller
from remit.guard.local import LocalAuthority
from remit.guard.steps import run
from remit.hooks.deciding import HookCaller, HookDesk
from remit.hooks.payloads import read_question
from remit.model import Session
from remit.storage import Transaction


def answer(host: str, payload: bytes, options: dict[str, str]) -> bytes:
    """Answer one question of a host, as JSON.

    Args:
        host: its name.
        payload: the question, as the host sent it.
        options: of ``remit hook``, by name.

    Raises:
        RemitError: it could not be decided.
        msgspec.MsgspecError: the question cannot be read.
    """
    asked = msgspec.json.decode(payload, type=dict[str, Any])
    question = read_question(host, options["event"], asked)
    with Guard.open(Path(options["policy"]), wait=float(options.get("wait", "0"))) as guard:
        agent, user = options["agent"], options.get("user")
        authority = guard.enforcement.authority
        assert isinstance(authority, LocalAuthority)

        def opened(t: Transaction, intent: str | None) -> Session:
            return authority.begin(t, agent, user, intent)

        def caller(session: Session) -> Caller:
            return Caller(session=session.id, principal=session.principal)

        who = HookCaller(
            owner=f"{agent}\n{user or ''}",
            open=opened,
            caller=caller,
            trigger=options.get("trigger", "user"),
        )
        desk = HookDesk(guard.enforcement, guard.store)
        return msgspec.json.encode(run(desk.answer(question, who)))
