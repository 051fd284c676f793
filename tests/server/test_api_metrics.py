"""The metrics say what happened, with labels that agents cannot choose."""

from __future__ import annotations

import pytest
import requests
from live import config_in, live_server
from prometheus_client.parser import text_string_to_metric_families

from remit.api import metrics
from remit.api.frame import Parts
from remit.api.metrics import Metrics
from remit.audit.record import Record, RecordedRule, encode_record
from remit.credentials import Right
from remit.storage.memory import MemoryStore
from serving import parts_of, serving

CALL = {"kind": "tool", "name": "db.query"}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels in the order of their names."""
    return {
        (each.name, *(each.labels[label] for label in sorted(each.labels))): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def measured() -> Parts:
    store = MemoryStore()
    return parts_of(store=store, measures=Metrics(store))


async def test_decisions_outcomes_holds_and_latencies():
    parts = measured()
    async with serving(parts) as client:
        bot = "inventory-bot"
        session = (await client("POST", "/v1/sessions", token=bot, json={})).json["id"]
        asked = {"session": session, "action": CALL, "arguments": {"query": "secret-query"}}
        admitted = (await client("POST", "/v1/admit", token=bot, json=asked)).json
        outcome = {**asked, "id": admitted["id"], "outcome": {"status": "ok", "result": 1}}
        await client("POST", "/v1/settle", token=bot, json=outcome)
        for name in ("send_email", "rm"):
            other = {**asked, "action": {"kind": "tool", "name": name}}
            await client("POST", "/v1/admit", token=bot, json=other)
        parts.policies.fault = "broken"
        parts.faults.set("signing", "away")
        text = (await client("GET", "/metrics", token="auditor")).body.decode()
        again = (await client("GET", "/metrics", token="admin")).body.decode()
    found = samples(text)
    assert found["remit_decisions_total", "allow", "true", "enforce"] == 1
    assert found["remit_decisions_total", "ask", "false", "enforce"] == 1
    assert found["remit_decisions_total", "deny", "false", "enforce"] == 1
    assert found["remit_rule_decisions_total", "allow", "reading"] == 1
    assert found["remit_rule_decisions_total", "ask", "mail"] == 1
    assert found["remit_outcomes_total", "ok"] == 1
    assert found["remit_governed_seconds_count", "admit"] == 3
    assert found["remit_governed_seconds_count", "settle"] == 1
    assert found["remit_store_commit_seconds_count",] >= 5
    assert found["remit_holds",] == 1
    assert found["remit_log_unsigned_records",] == found["remit_log_records",]
    assert found["remit_uncounted_records",] == 0
    assert found["remit_policy_fault",] == 1
    assert found["remit_fault", "signing"] == 1
    assert found["remit_http_requests_total", "POST", "/v1/admit", "200"] == 3
    assert samples(again)["remit_decisions_total", "allow", "true", "enforce"] == 1
    assert not any(word in text for word in ("secret-query", session, "inventory-bot", "db.query"))


async def test_signing_closes_the_lag_and_a_fault_that_is_over_is_gone():
    parts = measured()
    parts.store.write(parts.checkpointer.sign)
    parts.faults.set("signing", "away")
    await parts.measures.text(parts)  # type: ignore[union-attr]
    parts.faults.clear("signing")
    found = samples((await parts.measures.text(parts)).decode())  # type: ignore[union-attr]
    assert found["remit_log_unsigned_records",] == 0
    assert ("remit_fault", "signing") not in found


async def test_the_number_of_rules_with_a_label_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "MOST_RULES", 3)
    parts = measured()
    for number in range(5):
        rules = (RecordedRule(id=f"rule-{number}", effect="deny"),)
        record = Record(at=1, kind="decision", effect="deny", granted=False, rules=rules)
        made = encode_record(record)
        parts.store.write(lambda t, made=made: t.append(made, at=1))
    found = samples((await parts.measures.text(parts)).decode())  # type: ignore[union-attr]
    total = "remit_rule_decisions_total"
    by_rule = {key[2]: value for key, value in found.items() if key[0] == total}
    assert by_rule == {"rule-0": 1, "rule-1": 1, "rule-2": 1, "other": 2}


async def test_a_scrape_counts_only_so_much_and_the_next_one_goes_on(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(metrics, "_CHUNK", 2)
    monkeypatch.setattr(metrics, "_MOST_RECORDS", 4)
    parts = measured()
    body = encode_record(Record(at=1, kind="decision", effect="allow", granted=True))
    for _ in range(7):
        parts.store.write(lambda t: t.append(body, at=1))
    key = ("remit_decisions_total", "allow", "true", "enforce")
    counted = []
    for _ in range(3):
        found = samples((await parts.measures.text(parts)).decode())  # type: ignore[union-attr]
        counted.append((found[key], found["remit_uncounted_records",]))
    # The first record is that of the policy.
    assert counted == [(3, 4), (7, 0), (7, 0)]


async def test_two_servers_do_not_share_numbers():
    one, other = measured(), measured()
    one.measures.committed(0.01)  # type: ignore[union-attr]
    found = samples((await other.measures.text(other)).decode())  # type: ignore[union-attr]
    assert found["remit_store_commit_seconds_count",] == 0


async def test_a_server_without_metrics_says_so():
    async with serving(parts_of()) as client:
        assert (await client("GET", "/metrics", token="admin")).status == 404


def test_remit_serve_has_them(tmp_path):
    with live_server(config_in(tmp_path)) as live:
        headers = {"Authorization": f"Bearer {live.keys[Right.ADMIN]}"}
        answer = requests.get(f"{live.url}/metrics", headers=headers, timeout=10)
        assert answer.headers["Content-Type"] == metrics.MEDIA
        assert samples(answer.text)["remit_log_records",] >= 6
