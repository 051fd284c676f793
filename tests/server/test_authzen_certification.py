"""The certification scenario of AuthZEN 1.0, case by case, under the numbers of its document.

Levels: Basic (2), Batch (3), Search (4), Discovery (6); Core and Properties; transport (5).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from authzen_fixture import SETTINGS, Pdp, scenario

from serving import Answer

ALICE = {"type": "user", "id": "alice"}
BOB = {"type": "user", "id": "bob"}
ADMIN_BOB = {**BOB, "properties": {"role": "admin"}}
READ, WRITE = {"name": "read"}, {"name": "write"}
ONE, TWO = {"type": "record", "id": "record-1"}, {"type": "record", "id": "record-2"}
ACTIVE = {**ONE, "properties": {"status": "active"}}
ARCHIVED = {**TWO, "properties": {"status": "archived"}}
RECORDS, USERS = {"type": "record"}, {"type": "user"}
CONTEXT = {"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"}
ALICE_READS = {"subject": ALICE, "action": READ, "resource": ONE}
ENDPOINTS = ("evaluation", "evaluations", "search/subject", "search/resource", "search/action")


def delete(soft: bool) -> dict[str, Any]:
    return {"name": "delete", "properties": {"soft": soft}}


@pytest.fixture
async def pdp() -> AsyncIterator[Pdp]:
    async with scenario() as found:
        yield found


def decided(answer: Answer) -> bool:
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(answer.json.get("context", {}), dict)
    decision = answer.json["decision"]
    assert isinstance(decision, bool)
    return decision


def all_decided(answer: Answer) -> list[bool]:
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    decisions = [each["decision"] for each in answer.json["evaluations"]]
    assert all(isinstance(each, bool) for each in decisions)
    return decisions


def found(answer: Answer) -> list[str]:
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    page = answer.json["page"]
    assert isinstance(page["next_token"], str)
    return [each.get("id") or each["name"] for each in answer.json["results"]]


def without(body: dict[str, Any], entity: str, member: str | None = None) -> dict[str, Any]:
    if member is None:
        return {name: value for name, value in body.items() if name != entity}
    kept = {name: value for name, value in body[entity].items() if name != member}
    return {**body, entity: kept}


@pytest.mark.parametrize(
    ("subject", "action", "resource", "expected"),
    [
        pytest.param(ALICE, READ, ONE, True, id="core-rule-1-c-2-2-1"),
        pytest.param(ALICE, WRITE, ONE, True, id="core-rule-2"),
        pytest.param(BOB, READ, ONE, True, id="core-rule-3"),
        pytest.param(BOB, WRITE, ONE, False, id="core-rule-4-c-2-2-2"),
        pytest.param(ALICE, WRITE, ARCHIVED, False, id="properties-rule-5-c-2-2-4"),
        pytest.param(ADMIN_BOB, WRITE, ARCHIVED, True, id="properties-rule-6-c-2-2-5"),
        pytest.param(ALICE, delete(True), ONE, True, id="properties-rule-7-c-2-2-6"),
        pytest.param(ALICE, delete(False), ONE, False, id="properties-rule-8-c-2-2-7"),
    ],
)
async def test_basic_fixture_decisions(
    pdp: Pdp, subject: object, action: object, resource: object, expected: bool
) -> None:
    asked = {"subject": subject, "action": action, "resource": resource}
    assert decided(await pdp.post("evaluation", asked)) is expected
    assert decided(await pdp.post("evaluation", {**asked, "context": CONTEXT})) is expected


async def test_basic_core_optional_context_c_2_2_3(pdp: Pdp) -> None:
    assert decided(await pdp.post("evaluation", {**ALICE_READS, "context": CONTEXT}))


async def test_basic_core_additional_properties_c_2_2_8(pdp: Pdp) -> None:
    asked = {
        "subject": {**ALICE, "properties": {"department": "Sales", "role": "manager"}},
        "action": {**READ, "properties": {"method": "GET"}},
        "resource": {**ONE, "properties": {"status": "active", "owner": "bob"}},
    }
    assert decided(await pdp.post("evaluation", asked))


async def test_basic_core_unknown_fields_c_2_2_9(pdp: Pdp) -> None:
    asked = {**ALICE_READS, "foo": "bar", "futureField": {"nested": True}}
    assert decided(await pdp.post("evaluation", asked))


@pytest.mark.parametrize(
    "asked",
    [
        without(ALICE_READS, "subject"),
        without(ALICE_READS, "action"),
        without(ALICE_READS, "resource"),
        without(ALICE_READS, "subject", "type"),
        without(ALICE_READS, "subject", "id"),
        without(ALICE_READS, "action", "name"),
        without(ALICE_READS, "resource", "type"),
        without(ALICE_READS, "resource", "id"),
        {**ALICE_READS, "subject": "alice"},
        {**ALICE_READS, "action": {"name": 123}},
        {**ALICE_READS, "context": "now"},
        {**ALICE_READS, "subject": {**ALICE, "properties": []}},
        [ALICE_READS],
    ],
)
async def test_basic_core_errors_c_2_4_1_2_6(pdp: Pdp, asked: object) -> None:
    assert (await pdp.post("evaluation", asked)).status == 400


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_basic_core_bodies_that_are_not_json_c_2_4_3_4_5(pdp: Pdp, path: str) -> None:
    where = f"/access/v1/{path}"
    for data, media in (
        (b'{"subject": {}}', "text/plain"),
        (b'{"subject": ', "application/json"),
        (b"", "application/json"),
    ):
        headers = {"Content-Type": media}
        answer = await pdp.client("POST", where, token=pdp.token, data=data, headers=headers)
        assert answer.status == 400, (path, media)


@pytest.mark.parametrize("path", ENDPOINTS)
async def test_basic_core_request_ids_c_2_5(pdp: Pdp, path: str) -> None:
    given = "bfe9eb29-ab87-4ca3-be83-a1d5d8305716"
    asked = without(ALICE_READS, "action") if path.endswith("action") else ALICE_READS
    answer = await pdp.post(path, asked, headers={"X-Request-ID": given})
    assert (answer.status, answer.headers["X-Request-ID"]) == (200, given)
    refused = await pdp.post(path, {}, headers={"X-Request-ID": given})
    assert (refused.status, refused.headers["X-Request-ID"]) == (400, given)
    assert (await pdp.post(path, asked)).status == 200


async def test_basic_core_idempotency_c_2_6(pdp: Pdp) -> None:
    answers = [decided(await pdp.post("evaluation", ALICE_READS)) for _ in range(5)]
    assert answers == [True] * 5


async def test_batch_core_structure_c_3_2_1(pdp: Pdp) -> None:
    asked = {
        "subject": ALICE,
        "action": READ,
        "evaluations": [{"resource": ONE}, {"resource": TWO}],
    }
    answer = await pdp.post("evaluations", asked)
    assert len(all_decided(answer)) == 2
    assert "decision" not in answer.json


async def test_batch_core_decisions_in_order_c_3_2_2(pdp: Pdp) -> None:
    asked = {
        "subject": BOB,
        "resource": ONE,
        "evaluations": [{"action": READ}, {"action": WRITE}],
    }
    assert all_decided(await pdp.post("evaluations", asked)) == [True, False]


async def test_batch_properties_of_resources_c_3_2_3(pdp: Pdp) -> None:
    asked = {
        "subject": ALICE,
        "action": WRITE,
        "evaluations": [{"resource": ACTIVE}, {"resource": ARCHIVED}],
    }
    assert all_decided(await pdp.post("evaluations", asked)) == [True, False]


async def test_batch_properties_of_subjects_c_3_2_4(pdp: Pdp) -> None:
    asked = {
        "action": WRITE,
        "resource": ARCHIVED,
        "evaluations": [{"subject": ALICE}, {"subject": ADMIN_BOB}],
    }
    assert all_decided(await pdp.post("evaluations", asked)) == [False, True]


async def test_batch_core_without_defaults_c_3_2_5(pdp: Pdp) -> None:
    asked = {"evaluations": [ALICE_READS, {"subject": BOB, "action": WRITE, "resource": ONE}]}
    assert all_decided(await pdp.post("evaluations", asked)) == [True, False]


async def test_batch_core_context_inheritance_c_3_2_6(pdp: Pdp) -> None:
    override = {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}
    asked = {
        "subject": ALICE,
        "action": READ,
        "context": {"time": "2025-06-27T18:03-07:00"},
        "evaluations": [{"resource": ONE}, {"resource": TWO, "context": override}],
    }
    assert len(all_decided(await pdp.post("evaluations", asked))) == 2


async def test_batch_properties_default_inheritance_c_3_2_7(pdp: Pdp) -> None:
    asked = {
        "subject": ALICE,
        "action": WRITE,
        "resource": ACTIVE,
        "evaluations": [{}, {"resource": ARCHIVED}],
    }
    assert all_decided(await pdp.post("evaluations", asked)) == [True, False]


async def test_batch_core_a_faulty_item_c_3_3_c_3_4_1(pdp: Pdp) -> None:
    asked = {
        "subject": ALICE,
        "action": READ,
        "options": {"evaluations_semantic": "execute_all"},
        "evaluations": [{"resource": ONE}, {}],
    }
    answer = await pdp.post("evaluations", asked)
    assert all_decided(answer) == [True, False]
    assert answer.json["evaluations"][1]["context"]["error"]["status"] == 400


@pytest.mark.parametrize("more", [{}, {"evaluations": []}])
async def test_batch_core_like_a_single_one_c_3_4_2_3(pdp: Pdp, more: dict[str, object]) -> None:
    answer = await pdp.post("evaluations", {**ALICE_READS, **more})
    assert decided(answer)
    assert "evaluations" not in answer.json
    assert (await pdp.post("evaluations", {"subject": ALICE, **more})).status == 400


@pytest.mark.parametrize("more", [{}, {"context": CONTEXT}, {"subject": ALICE}])
async def test_search_core_subjects_c_4_2_1_2_3(pdp: Pdp, more: dict[str, object]) -> None:
    asked = {"subject": USERS, "action": READ, "resource": ONE, **more}
    answer = await pdp.post("search/subject", asked)
    assert found(answer) == ["alice", "bob"]
    assert {each["type"] for each in answer.json["results"]} == {"user"}


async def test_search_properties_subjects_c_4_2_4(pdp: Pdp) -> None:
    asked = {"subject": USERS, "action": WRITE, "resource": ARCHIVED}
    assert found(await pdp.post("search/subject", asked)) == ["bob"]


@pytest.mark.parametrize("more", [{}, {"context": CONTEXT}, {"resource": ONE}])
async def test_search_core_resources_c_4_3_1_2_3(pdp: Pdp, more: dict[str, object]) -> None:
    asked = {"subject": ALICE, "action": READ, "resource": RECORDS, **more}
    answer = await pdp.post("search/resource", asked)
    assert found(answer) == ["record-1", "record-2"]
    assert {each["type"] for each in answer.json["results"]} == {"record"}


async def test_search_properties_resources_c_4_3_4(pdp: Pdp) -> None:
    asked = {"subject": ADMIN_BOB, "action": WRITE, "resource": RECORDS}
    assert found(await pdp.post("search/resource", asked)) == ["record-2"]


@pytest.mark.parametrize("more", [{}, {"context": CONTEXT}])
async def test_search_core_actions_c_4_4_1_2(pdp: Pdp, more: dict[str, object]) -> None:
    asked = {"subject": ALICE, "resource": ONE, **more}
    assert found(await pdp.post("search/action", asked)) == ["read", "write"]


async def test_search_properties_actions_c_4_4_3(pdp: Pdp) -> None:
    asked = {"subject": ADMIN_BOB, "resource": ARCHIVED}
    assert found(await pdp.post("search/action", asked)) == ["read", "write"]


async def test_search_core_pages_c_4_5(pdp: Pdp) -> None:
    asked = {"subject": USERS, "action": READ, "resource": ONE}
    first = await pdp.post("search/subject", {**asked, "page": {"limit": 1}})
    assert found(first) == ["alice"]
    token = first.json["page"]["next_token"]
    assert token
    second = await pdp.post("search/subject", {**asked, "page": {"token": token}})
    assert found(second) == ["bob"]
    assert second.json["page"]["next_token"] == ""


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("subject", {"subject": USERS, "action": READ, "resource": {**ONE, "id": "record-9"}}),
        ("subject", {"subject": {"type": "spaceship"}, "action": READ, "resource": ONE}),
        ("subject", {"subject": USERS, "action": READ, "resource": {"type": "ship", "id": "1"}}),
        ("resource", {"subject": {**ALICE, "id": "none"}, "action": READ, "resource": RECORDS}),
        ("resource", {"subject": ALICE, "action": READ, "resource": {"type": "spaceship"}}),
        ("resource", {"subject": ALICE, "action": {"name": "fly"}, "resource": RECORDS}),
        ("action", {"subject": {**ALICE, "id": "nonexistent-user"}, "resource": ONE}),
        ("action", {"subject": ALICE, "resource": {**ONE, "id": "record-9"}}),
        ("action", {"subject": ALICE, "resource": {"type": "spaceship", "id": "1"}}),
        ("resource", {"subject": {**ALICE, "type": "alien"}, "action": READ, "resource": RECORDS}),
        ("action", {"subject": {**ALICE, "type": "alien"}, "resource": ONE}),
    ],
)
async def test_search_core_nothing_found_c_4_6(pdp: Pdp, path: str, asked: object) -> None:
    assert found(await pdp.post(f"search/{path}", asked)) == []


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("subject", {"subject": USERS, "resource": ONE}),
        ("resource", {"action": READ, "resource": RECORDS}),
        ("action", {"subject": ALICE}),
        ("subject", {"subject": USERS, "action": READ, "resource": RECORDS}),
        ("resource", {"subject": USERS, "action": READ, "resource": RECORDS}),
        ("action", {"subject": USERS, "resource": ONE}),
    ],
)
async def test_search_core_errors_c_4_7(pdp: Pdp, path: str, asked: object) -> None:
    assert (await pdp.post(f"search/{path}", asked)).status == 400


async def test_discovery_c_6(pdp: Pdp) -> None:
    answer = await pdp.client("GET", "/.well-known/authzen-configuration")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    told = answer.json
    assert told["policy_decision_point"] == "https://pdp.example.com"
    for name in (
        "access_evaluation_endpoint",
        "access_evaluations_endpoint",
        "search_subject_endpoint",
        "search_resource_endpoint",
        "search_action_endpoint",
    ):
        path = told[name].removeprefix("https://pdp.example.com")
        assert path.startswith("/access/v1/")
        assert (await pdp.client("POST", path, token=pdp.token, json={})).status == 400
    assert all(isinstance(each, str) for each in told["capabilities"])


async def test_the_fixture_needs_no_subject_properties_where_policy_knows_the_roles() -> None:
    text = SETTINGS.replace('roles_property = "role"\nallowed_roles = ["admin"]\n', "")
    async with scenario(text) as pdp:
        asked = {"subject": BOB, "action": WRITE, "resource": ARCHIVED}
        assert decided(await pdp.post("evaluation", asked))
