"""Approvals over HTTP: who sees what, who decides, and how whoever waits gets to know."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from remit.api import approvals, news
from remit.api.news import Watcher
from remit.api.state import Changes
from remit.credentials import Right
from remit.model import ApprovalId
from remit.storage.sqlite import SqliteStore
from serving import IDENTITIES, POLICY, Client, parts_of, person, serving

BOT = "inventory-bot"
SECOND = 1_000_000_000
MAIL = {"name": "send_email"}
PEOPLE = POLICY.replace(
    "  ada: {roles: [security-team]}",
    "  ada: {roles: [security-team]}\n  grace: {}\n  edsger: {}",
)
QUORUM = PEOPLE.replace("approvers: [ada]", "approvers: [ada, grace], quorum: 2")
KNOWN = {
    **IDENTITIES,
    "grace": person("grace", Right.REVIEWER),
    "edsger": person("edsger", Right.REVIEWER),
}


class World:
    """A server with held calls in it."""

    def __init__(self, client: Client, parts) -> None:
        self.client = client
        self.parts = parts
        self.session = ""
        self.made = 0

    async def open(self, agent: str = BOT) -> str:
        answer = await self.client("POST", "/v1/sessions", token=agent, json={})
        return answer.json["id"]

    async def hold(self, **more) -> str:
        """A new held call; its approval."""
        self.made += 1
        body = {"session": self.session, "action": MAIL, "arguments": {"n": self.made}, **more}
        answer = await self.client("POST", "/v1/admit", token=BOT, json=body)
        assert not answer.json["granted"]
        return answer.json["approval"]

    async def get(self, path: str, token: str = "ada"):
        answer = await self.client("GET", path, token=token)
        assert answer.status == 200, answer.body
        return answer.json

    async def step(self, approval: str, word: str, token: str = "ada", **options):
        path = f"/v1/approvals/{approval}/{word}"
        return await self.client("POST", path, token=token, **options)


@asynccontextmanager
async def world(policy: str = PEOPLE, **options):
    parts = parts_of(policy, identities=KNOWN, **options)
    async with serving(parts) as client:
        made = World(client, parts)
        made.session = await made.open()
        yield made


async def test_a_person_sees_all_of_it() -> None:
    async with world() as it:
        handle = await it.hold(arguments={"to": "x@y.example", "big": 10**30})
        (listed,) = (await it.get("/v1/approvals"))["items"]
        assert listed == await it.get(f"/v1/approvals/{handle}")
        assert listed == await it.get(f"/v1/approvals/{handle}", "auditor")
        assert (listed["id"], listed["state"], listed["tool"]) == (handle, "pending", "send_email")
        details = listed["details"]
        assert details["arguments"] == {"to": "x@y.example", "big": 10**30}
        assert details["requester"] == [
            {"id": BOT, "kind": "agent", "roles": ["inventory-reader"], "team": "warehouse"}
        ]
        assert details["terms"] == [{"approvers": ["ada"], "quorum": 1, "self_approval": False}]
        assert not details["erased"]


async def test_an_agent_sees_where_its_own_calls_stand_and_no_others() -> None:
    async with world() as it:
        handle = await it.hold()
        shown = await it.get(f"/v1/approvals/{handle}", BOT)
        assert (shown["state"], shown["details"]) == ("pending", None)
        other = await it.client("GET", f"/v1/approvals/{handle}", token="other-bot")
        none = await it.client("GET", "/v1/approvals/ap-none", token="other-bot")
        assert other.status == none.status == 404
        assert other.json["detail"] == none.json["detail"]
        for path in ("/v1/approvals", "/v1/approvals/stream"):
            assert (await it.client("GET", path, token=BOT)).status == 403


@pytest.mark.parametrize("word", ["approve", "reject", "withdraw"])
@pytest.mark.parametrize("token", [BOT, "editor", "auditor", "admin"])
async def test_only_a_reviewer_decides(token: str, word: str) -> None:
    async with world() as it:
        handle = await it.hold()
        assert (await it.step(handle, word, token)).status == 403
        assert (await it.get(f"/v1/approvals/{handle}"))["state"] == "pending"


async def test_the_person_is_the_one_of_the_credential() -> None:
    async with world() as it:
        handle = await it.hold()
        for body in ({"by": "ada"}, {"person": "ada"}, {"reason": 7}):
            assert (await it.step(handle, "approve", "grace", json=body)).status == 400
        assert (await it.step(handle, "approve", "grace")).status == 409
        said = await it.step(handle, "approve", json={"reason": "fine \u263a"})
        assert (said.status, said.json["state"]) == (200, "approved")
        (vote,) = said.json["details"]["votes"]
        assert (vote["by"], vote["reason"]) == ("ada", "fine \u263a")


async def test_reading_changes_nothing_and_approving_takes_a_post() -> None:
    async with world() as it:
        handle = await it.hold()
        size = it.parts.store.read(lambda view: view.log_size())
        for path in ("/v1/approvals", f"/v1/approvals/{handle}"):
            await it.get(path)
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            answer = await it.client(method, f"/v1/approvals/{handle}/approve", token="ada")
            assert answer.status == 405
        assert it.parts.store.read(lambda view: view.log_size()) == size


async def test_steps_and_their_refusals() -> None:
    async with world() as it:
        first, second = await it.hold(), await it.hold()
        assert (await it.step("ap-none", "approve")).status == 404
        assert (await it.step(first, "reject", json={"reason": "no"})).json["state"] == "rejected"
        late = await it.step(first, "approve")
        assert (late.status, late.json["code"]) == (409, "not-to-be-decided")
        assert (await it.step(second, "withdraw")).status == 409
        assert (await it.step(second, "approve")).json["state"] == "approved"
        assert (await it.step(second, "withdraw")).json["state"] == "withdrawn"


async def test_the_same_answer_for_the_same_request() -> None:
    async with world() as it:
        handle = await it.hold()
        headers = {"Idempotency-Key": "k"}
        answers = [await it.step(handle, "approve", headers=headers) for _ in range(2)]
        assert [answer.status for answer in answers] == [200, 200]
        assert answers[0].body == answers[1].body
        assert (await it.step(handle, "approve")).status == 409


async def test_pages() -> None:
    async with world() as it:
        handles = [await it.hold() for _ in range(7)]
        await it.step(handles[0], "reject")
        await it.step(handles[3], "approve")
        seen, cursor = [], ""
        while True:
            page = await it.get(f"/v1/approvals?limit=2&state=pending{cursor}")
            seen.append([each["id"] for each in page["items"]])
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        h = handles
        assert seen == [[h[1], h[2]], [h[4], h[5]], [h[6]]]
        for word, expected in (
            ("open", handles[1:]),
            ("all", handles),
            ("rejected", handles[:1]),
            ("approved", handles[3:4]),
            ("used", []),
            ("expired", []),
        ):
            page = await it.get(f"/v1/approvals?state={word}")
            assert [each["id"] for each in page["items"]] == expected
            assert page["next"] is None
        for query in ("limit=0", "limit=201", "state=odd", "cursor=ap-none", "curser=x"):
            answer = await it.client("GET", f"/v1/approvals?{query}", token="ada")
            assert answer.status == 400


async def test_what_nobody_swept_counts_as_expired_all_the_same() -> None:
    now = [time.time_ns()]
    async with world(clock=lambda: now[0]) as it:
        handle = await it.hold()
        now[0] += 3601 * SECOND
        assert (await it.get("/v1/approvals"))["items"] == []
        (expired,) = (await it.get("/v1/approvals?state=expired"))["items"]
        assert (expired["id"], expired["state"]) == (handle, "expired")


async def test_a_page_that_would_look_too_long_ends_early(monkeypatch) -> None:
    monkeypatch.setattr(approvals, "_SCANNED", 4)
    now = [time.time_ns()]
    async with world(clock=lambda: now[0]) as it:
        for _ in range(6):
            await it.hold()
        now[0] += 3601 * SECOND
        late = await it.hold()
        page = await it.get("/v1/approvals?limit=1")
        assert page["items"] == []
        items = []
        while page["next"] is not None:
            page = await it.get(f"/v1/approvals?limit=1&cursor={page['next']}")
            items += [each["id"] for each in page["items"]]
        assert items == [late]


async def test_a_long_poll_ends_when_a_person_has_decided() -> None:
    async with world(QUORUM) as it:
        handle = await it.hold()
        waiting = [
            asyncio.create_task(it.get(f"/v1/approvals/{handle}?wait=30", token))
            for token in (BOT, "ada")
        ]
        await asyncio.sleep(0.2)
        await it.step(handle, "approve")  # one of two: it stays pending
        await asyncio.sleep(0.1)
        assert not any(task.done() for task in waiting)
        began = time.monotonic()
        await it.step(handle, "approve", "grace")
        shown = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert time.monotonic() - began < 1
        assert [each["state"] for each in shown] == ["approved", "approved"]
        assert [each["details"] is None for each in shown] == [True, False]
        assert (await it.get(f"/v1/approvals/{handle}?wait=30", BOT))["state"] == "approved"


async def test_a_long_poll_ends_with_its_time_or_with_the_approval() -> None:
    async with world(PEOPLE.replace("approvers: [ada]", "approvers: [ada], expires: 1s")) as it:
        handle = await it.hold()
        began = time.monotonic()
        assert (await it.get(f"/v1/approvals/{handle}?wait=0.2"))["state"] == "pending"
        assert 0.2 <= time.monotonic() - began < 1
        assert (await it.get(f"/v1/approvals/{handle}?wait=30"))["state"] == "expired"
        assert time.monotonic() - began < 5
        for wait in ("56", "-1", "long", "nan"):
            answer = await it.client("GET", f"/v1/approvals/{handle}?wait={wait}", token="ada")
            assert answer.status == 400


async def test_a_held_call_goes_on_when_it_is_approved() -> None:
    async with world() as it:
        body = {"session": it.session, "action": MAIL, "arguments": {}, "wait": 30}
        held = asyncio.create_task(it.client("POST", "/v1/admit", token=BOT, json=body))
        while not (items := (await it.get("/v1/approvals"))["items"]):
            await asyncio.sleep(0.01)
        began = time.monotonic()
        await it.step(items[0]["id"], "approve")
        assert (await held).json["granted"]
        assert time.monotonic() - began < 0.5


class Stream:
    """Reads server-sent events."""

    def __init__(self, response) -> None:
        self.response = response

    async def next(self) -> tuple[str, int, dict]:
        fields: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self.response.content.readline(), 5)).decode()
            assert line, "the stream has ended"
            if line == "\n" and fields:
                return fields["event"], int(fields["id"]), json.loads(fields["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value


@asynccontextmanager
async def streaming(it: World, last: int | str | None = None, token: str = "ada"):
    headers = {"Authorization": f"Bearer {token}"}
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    url = f"{it.client.url}/v1/approvals/stream"
    async with it.client.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        yield Stream(response)


async def test_the_stream_tells_what_happens_and_goes_on_where_it_was() -> None:
    async with world() as it:
        watching = asyncio.create_task(watch(it.parts))
        async with streaming(it) as stream:
            event, begun, _ = await stream.next()
            assert event == "ready"
            handle = await it.hold()
            event, asked, data = await stream.next()
            assert (event, data["event"]) == ("approval.pending", "approval.pending")
            assert data["approval"]["id"] == handle
            assert data["approval"]["details"]["arguments"] == {"n": 1}
            await it.client(  # the same call again tells nothing new
                "POST",
                "/v1/admit",
                token=BOT,
                json={"session": it.session, "action": MAIL, "arguments": {"n": 1}},
            )
            await it.step(handle, "approve", json={"reason": "two\nlines"})
            event, approved, data = await stream.next()
            assert event == "approval.approved"
            assert data["approval"]["details"]["votes"][0]["reason"] == "two\nlines"
        body = {"session": it.session, "action": MAIL, "arguments": {"n": 1}}
        assert (await it.client("POST", "/v1/admit", token=BOT, json=body)).json["granted"]
        watching.cancel()
        async with streaming(it, asked) as stream:
            await stream.next()
            found = [await stream.next() for _ in range(2)]
            assert [event for event, _, _ in found] == ["approval.approved", "approval.used"]
            assert found[0][1] == approved
        async with streaming(it, begun) as stream:
            await stream.next()
            assert (await stream.next())[:2] == ("approval.pending", asked)
        for odd in ("x", "-1", "1" * 17):
            headers = {"Last-Event-ID": odd}
            answer = await it.client("GET", "/v1/approvals/stream", token="ada", headers=headers)
            assert answer.status == 400


async def watch(parts) -> None:
    watcher = Watcher()
    while True:
        await watcher.look(parts)
        await asyncio.sleep(0.02)


async def test_a_stream_that_has_nothing_to_say_says_so_and_ends(monkeypatch) -> None:
    monkeypatch.setattr(approvals, "HEARTBEAT", 0.05)
    monkeypatch.setattr(approvals, "STREAM_LIFE", 0.3)
    async with world() as it:
        answer = await it.client("GET", "/v1/approvals/stream", token="ada")
        assert answer.status == 200
        assert answer.body.startswith(b"event: ready\n")
        assert answer.body.count(b":\n\n") >= 2


async def test_streams_and_long_polls_end_with_the_server() -> None:
    async with world() as it:
        handle = await it.hold()
        stream = asyncio.create_task(it.client("GET", "/v1/approvals/stream", token="ada"))
        poll = asyncio.create_task(it.get(f"/v1/approvals/{handle}?wait=30"))
        await asyncio.sleep(0.2)
        it.parts.changes.drain()
        assert (await asyncio.wait_for(poll, 5))["state"] == "pending"
        assert (await asyncio.wait_for(stream, 5)).status == 200


async def test_another_process_decides_and_whoever_waits_here_is_woken(tmp_path) -> None:
    async with world(store=SqliteStore(tmp_path / "remit.db")) as it:
        handle = await it.hold()
        watching = asyncio.create_task(watch(it.parts))
        waiting = asyncio.create_task(it.get(f"/v1/approvals/{handle}?wait=30", BOT))
        await asyncio.sleep(0.2)
        governor, ada = it.parts.governor, it.parts.policies.current.person("ada")
        began = time.monotonic()
        with SqliteStore(tmp_path / "remit.db") as other:
            await asyncio.to_thread(
                other.write, lambda t: governor.approve(t, ApprovalId(handle), ada)
            )
        assert (await asyncio.wait_for(waiting, 5))["state"] == "approved"
        assert time.monotonic() - began < 1
        watching.cancel()


async def test_what_is_announced_while_somebody_looks_is_not_missed() -> None:
    changes, looks = Changes(), []

    async def look() -> str | None:
        looks.append(len(looks))
        if len(looks) == 1:
            changes.announce("topic")  # between the look and the wait
            return None
        return "there"

    began = time.monotonic()
    assert await news.until(changes, "topic", look, 30) == "there"
    assert time.monotonic() - began < 1
    assert len(looks) == 2


async def test_nobody_waits_when_nothing_is_to_be_waited_for() -> None:
    async def look() -> None:
        return None

    assert await news.until(Changes(), "topic", look, 0) is None
    changes = Changes()
    changes.drain()
    assert await news.until(changes, "topic", look, 30) is None


async def test_erased_arguments_are_shown_as_erased() -> None:
    async with world() as it:
        handle = await it.hold()
        log = it.parts.store.read(lambda view: view.log_size())
        by = it.parts.policies.current.person("ada")
        it.parts.store.write(lambda t: it.parts.governor.erase(t, [log - 1], by))
        details = (await it.get(f"/v1/approvals/{handle}"))["details"]
        assert (details["arguments"], details["erased"]) == (None, True)
