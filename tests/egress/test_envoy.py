"""Envoy with Remit as its external authorization, for real: both forms, with what is shipped."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
from envoy_world import HOST, Form, envoy_world
from test_forward_behaviour import issue

from remit.credentials import Right

FORMS = pytest.mark.parametrize("form", ["grpc", "http"])


@FORMS
async def test_requests_are_decided_before_they_pass(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        status, body, _ = await here.ask("GET", "/stock?item=4711")
        assert (status, body) == (200, '{"you": "GET", "bytes": 0}')
        status, body, headers = await here.ask("GET", "/admin/users")
        assert status == 403
        assert "Not for agents." in body
        assert headers["X-Remit-Problem"] == "denied"
        status, _, _ = await here.ask("POST", "/orders", json={"quantity": 3})
        assert status == 200
        status, body, _ = await here.ask("POST", "/orders", json={"quantity": 300})
        assert (status, "approval-required" in body) == (403, True)
        assert here.outside.seen == [f"GET {HOST}/stock?item=4711", f"POST {HOST}/orders"]
        assert here.outside.bodies == [b"", b'{"quantity": 3}']
        decisions = [(each.tool, each.granted) for each in here.records("decision")]
        assert decisions == [
            (f"http.get {HOST}/stock", True),
            (f"http.get {HOST}/admin/users", False),
            (f"http.post {HOST}/orders", True),
            (f"http.post {HOST}/orders", False),
        ]
        assert [each.status for each in here.records("outcome")] == ["unknown", "unknown"]


@FORMS
async def test_who_calls_is_told_by_remit_alone(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        status, _, _ = await here.ask(
            "GET",
            "/feedback",
            headers={"X-Remit-Action": "x", "x-remit-labels": "none", "X-Remit-Other": "x"},
        )
        assert status == 200
        told = here.outside.headers[0]
        assert told["x-remit-agent"] == "inventory-bot"
        assert told["x-remit-labels"] == "untrusted"
        assert told["x-remit-action"] == here.records("decision")[0].action
        assert "x-remit-key" not in told
        assert "x-remit-other" not in told
        status, body, _ = await here.ask("POST", "/orders", json={"quantity": 3})
        assert (status, "strangers" in body) == (403, True)


@FORMS
async def test_obligations_change_headers_or_stop_the_request(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        sent = {"X-Cost-Centre": "board"}
        status, body, _ = await here.ask("POST", "/costs", json={}, headers=sent)
        if form == "grpc":
            assert here.outside.headers.pop()["x-cost-centre"] == "warehouse"
        else:
            assert (status, "no headers but Remit's own" in body) == (403, True)
        status, body, _ = await here.ask("POST", "/capped", json={"quantity": 50})
        assert (status, "Envoy can change" in body) == (403, True)
        status, body, _ = await here.ask("GET", "/customers")
        assert (status, "rules on what it returns" in body) == (403, True)
        assert here.outside.headers == []


@FORMS
async def test_a_key_is_needed_and_a_revoked_one_is_none(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        for key in ("", "remit_nonsense", "Bearer"):
            status, _, _ = await here.ask("GET", "/stock", key=key)
            assert status == 401
        status, _, _ = await here.ask("GET", "/stock", key=f"Bearer {here.key}")
        assert status == 200
        assert len(here.outside.seen) == 1


@FORMS
async def test_an_approved_request_passes_once(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        large = {"quantity": 300}
        _, body, _ = await here.ask("POST", "/orders", json=large)
        here.approve(json.loads(body)["approval"])
        found = [(await here.ask("POST", "/orders", json=large))[0] for _ in range(2)]
        assert found == [200, 403]
        assert here.outside.bodies == [b'{"quantity": 300}']


@FORMS
async def test_without_remit_nothing_passes(form: Form, tmp_path: Path) -> None:
    """Killed, or slower than Envoy waits: ``failure_mode_allow: false`` is what holds."""
    async with envoy_world(tmp_path, form) as here:
        assert (await here.ask("GET", "/stock"))[0] == 200
        stuck = threading.Event()
        store = here.server.parts.store
        blocked = threading.Thread(target=lambda: store.write(lambda _: stuck.wait(20)))
        blocked.start()
        await asyncio.sleep(0.1)
        begun = monotonic()
        status, _, _ = await here.ask("GET", "/stock")
        assert (status, monotonic() - begun < 10) == (503, True)
        stuck.set()
        await asyncio.to_thread(blocked.join)
        await here.line.cut()
        assert (await here.ask("GET", "/stock"))[0] == 503
        assert len(here.outside.seen) == 1


async def test_a_configuration_that_fails_open_is_noticed_by_the_test_above(
    tmp_path: Path,
) -> None:
    opened = {"failure_mode_allow: false": "failure_mode_allow: true"}
    async with envoy_world(tmp_path, "grpc", changes=opened) as here:
        await here.line.cut()
        assert (await here.ask("GET", "/stock"))[0] == 200
        assert here.outside.seen == [f"GET {HOST}/stock"]


@FORMS
async def test_bodies_are_seen_whole_or_refused(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:

        async def pieces() -> AsyncIterator[bytes]:
            for piece in (b'{"quan', b'tity": 30', b"0}"):
                yield piece

        json_media = {"Content-Type": "application/json"}
        status, body, _ = await here.ask("POST", "/orders", data=pieces(), headers=json_media)
        assert (status, "approval-required" in body) == (403, True)
        large = b'{"quantity": 1, "note": "' + b"x" * 1_100_000 + b'"}'
        status, _, _ = await here.ask("POST", "/orders", data=io.BytesIO(large), headers=json_media)
        assert status == 413
        assert here.outside.seen == []


@FORMS
async def test_only_agents_pass(form: Form, tmp_path: Path) -> None:
    async with envoy_world(tmp_path, form) as here:
        for right in (Right.REVIEWER, Right.EDITOR, Right.AUDITOR, Right.ADMIN):
            key = issue(here, f"ada-{right.value}", "person", right)
            assert (await here.ask("GET", "/stock", key=key))[0] == 403
        assert (await here.ask("GET", "/stock", headers={"X-Remit-Agent": "ada"}))[0] == 403
        unknown = {"X-Remit-Session": "s-0123456789abcdef0123"}
        assert (await here.ask("GET", "/stock", headers=unknown))[0] == 404
        assert here.outside.seen == []
