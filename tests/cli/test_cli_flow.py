"""A person's whole way, each step in a process of its own: init to verified export."""

import json
import subprocess
import sys
from textwrap import dedent

AGENT = """
from remit import ApprovalRequired, Denied, Guard

guard = Guard.open("remit.yaml")

@guard.tool(name="refunds.pay")
def pay(order: int, amount: int) -> str:
    return f"paid {amount} for {order}"

with guard.session(agent="support-bot", user="ada", intent="Refund 50 for order 7, 900 for 8"):
    print(pay(7, 50))
    try:
        pay(7, -1)
    except Denied as denied:
        print("denied", denied.reasons[0].rule)
    try:
        print(pay(8, 900))
    except ApprovalRequired as held:
        print("held", held.approval)
guard.close()
"""


def test_from_init_to_a_verified_export(tmp_path):
    def run(*command, code=0, where=tmp_path):
        ran = subprocess.run(
            [sys.executable, *command], cwd=where, capture_output=True, text=True, check=False
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        assert "Traceback" not in ran.stderr
        return ran.stdout

    def remit(*arguments, code=0, where=tmp_path):
        return run("-m", "remit", *arguments, code=code, where=where)

    remit("init", "--starter", "support", "--person", "ada")
    remit("check")
    call = json.dumps({"order": 8, "amount": 900})
    remit("explain", "--agent", "support-bot", "--tool", "refunds.pay", "--args", call, code=5)

    (tmp_path / "agent.py").write_text(dedent(AGENT))
    paid, denied, held = run("agent.py").splitlines()
    assert paid == "paid 50 for 7"
    assert denied == "denied sensible-refund"
    approval = held.removeprefix("held ")

    assert approval in remit("approvals", "list")
    remit("approvals", "approve", approval, "--as", "ada", code=4)
    remit("approvals", "approve", approval, "--as", "grace")
    assert run("agent.py").splitlines()[2] == "paid 900 for 8"
    assert run("agent.py").splitlines()[2].startswith("held ")

    remit("audit", "export", "-o", "log.jsonl")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "log.jsonl").write_bytes((tmp_path / "log.jsonl").read_bytes())
    key = remit("audit", "vkey").strip()
    report = remit("audit", "verify", "log.jsonl", "--vkey", key, "--json", where=outside)
    assert json.loads(report)["counts"]["decision"] == 9
