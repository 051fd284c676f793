"""The legacy case end to end: a Flask application that knows nothing of Remit, behind Remit."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from legacy_world import EXAMPLE, SECRETS, InventoryApp, LegacyWorld, example_config, legacy_world

POLICY = (EXAMPLE / "remit.yaml").read_text()
ORDER = {"product": 1, "quantity": 2}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[InventoryApp]:
    found = InventoryApp(tmp_path)
    yield found
    found.close()


@pytest.fixture
def world(tmp_path: Path, app: InventoryApp) -> Iterator[LegacyWorld]:
    with legacy_world(tmp_path / "remit", example_config(app.url), POLICY) as found:
        yield found


def test_a_reader_reads_and_its_purchase_order_is_blocked_and_logged(
    world: LegacyWorld, app: InventoryApp
):
    bot = world.agent("stock-bot")
    answer = bot("GET", "/products", params={"name": "Pallet"})
    assert (answer.status_code, answer.json()[0]["stock"]) == (200, 120)
    refused = bot.order()
    assert refused.status_code == 403
    assert refused.json()["code"] == "denied"
    assert app.orders() == []
    assert [method for method, _, _ in app.requests()] == ["GET"]
    assert world.decisions("inventory.createPurchaseOrder") == ["deny"]


def test_a_managers_order_is_held_and_approved_once(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    held = bot.order("order-1")
    assert held.status_code == 202
    status = held.json()["status_url"]
    assert held.headers["Location"] == status
    assert bot.order("order-1").json()["approval"] == held.json()["approval"]
    assert bot("GET", status).status_code == 202
    assert app.orders() == []
    world.vote()
    sent = bot("GET", status)
    assert (sent.status_code, sent.json()) == (201, {"id": 1, "total": 29.0})
    assert sent.headers["Location"] == "/legacy/inventory/purchase-orders/1"
    for again in (bot.order("order-1"), bot("GET", status)):
        assert (again.status_code, again.json()) == (201, sent.json())
    assert app.orders() == [(1, 2)]
    assert world.pending() == 0


def test_a_retry_of_an_approved_order_sends_it_once(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    assert bot.order("order-2").status_code == 202
    world.vote()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: bot.order("order-2"), range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert app.orders() == [(1, 2)]
    assert world.pending() == 0


def test_a_double_submit_does_not_buy_twice_across_restarts(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    held = bot.order("order-3")
    world.restart()
    assert bot.order("order-3").json()["approval"] == held.json()["approval"]
    world.vote()
    assert bot.order("order-3").status_code == 201
    world.restart()
    again = bot.order("order-3")
    assert (again.status_code, again.json()["id"]) == (201, 1)
    assert app.orders() == [(1, 2)]
    other = bot.order("order-3", quantity=3)
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    assert app.orders() == [(1, 2)]


def test_an_approved_request_that_is_lost_with_the_server_is_sent_when_it_comes_again(
    world: LegacyWorld, app: InventoryApp
):
    bot = world.agent("purchasing-bot")
    approval = bot.order("order-4").json()["approval"]
    world.vote()
    world.restart()
    status = bot("GET", f"{world.url}/legacy/-/held/{approval}")
    assert (status.status_code, status.json()["code"]) == (409, "send-again")
    assert bot.order("order-4").status_code == 201
    assert app.orders() == [(1, 2)]


def test_without_a_key_an_approval_still_sends_one_order(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    status = bot.order().json()["status_url"]
    world.vote()
    assert [bot("GET", status).status_code for _ in range(3)] == [201, 201, 201]
    assert bot.order().status_code == 202  # another order, for which somebody is asked anew
    assert app.orders() == [(1, 2)]


def test_a_key_counts_though_the_same_order_was_asked_for_without_one(
    world: LegacyWorld, app: InventoryApp
):
    bot = world.agent("purchasing-bot")
    status = bot.order().json()["status_url"]
    assert bot.order("order-6").json()["status_url"] == status
    world.vote()
    assert bot("GET", status).status_code == 201
    assert bot.order("order-6").status_code == 201
    assert app.orders() == [(1, 2)]
    assert world.pending() == 0


def test_a_status_never_asks_a_second_time(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    status = bot.order().json()["status_url"]
    world.vote()
    assert bot.order().status_code == 201  # the request again, and not its status
    used = bot("GET", status)
    assert (used.status_code, used.json()["code"]) == (409, "done-before")
    assert world.pending() == 0
    assert app.orders() == [(1, 2)]


def test_a_rejected_order_is_never_sent(world: LegacyWorld, app: InventoryApp):
    bot = world.agent("purchasing-bot")
    status = bot.order("order-5").json()["status_url"]
    world.vote(yes=False)
    for answer in (bot("GET", status), bot.order("order-5")):
        assert (answer.status_code, answer.json()["code"]) == (403, "denied")
    assert app.orders() == []


def test_nobody_elses_held_order_can_be_seen_or_sent(world: LegacyWorld, app: InventoryApp):
    status = world.agent("purchasing-bot").order().json()["status_url"]
    world.vote()
    other = world.agent("stock-bot")("GET", status)
    assert (other.status_code, other.json()["code"]) == (404, "not-found")
    assert app.orders() == []


def test_the_customer_export_is_redacted(world: LegacyWorld):
    bot = world.agent("stock-bot")
    found = bot("GET", "/customers/export").json()
    assert found["count"] == 2
    assert found["customers"][0] == {
        "id": 1, "name": "Ada Byron", "email": "[redacted]", "phone": "[redacted]",
        "city": "London",
    }  # fmt: skip
    table = bot("GET", "/customers/export?format=csv").text.splitlines()
    assert table[:2] == ["id,name,email,phone,city", "1,Ada Byron,[redacted],[redacted],London"]
    refused = bot("GET", "/customers/export?format=html")
    assert (refused.status_code, refused.json()["code"]) == (422, "bad-arguments")


def test_each_operation_gets_its_own_credential_and_no_agent_sees_one(
    world: LegacyWorld, app: InventoryApp
):
    bot = world.agent("purchasing-bot")
    bot("GET", "/products", headers={"X-Inventory-Key": SECRETS["INVENTORY_CLERK_KEY"]})
    held = bot.order()
    world.vote()
    sent = bot("GET", held.json()["status_url"])
    assert [caller for _, _, caller in app.requests()] == ["reader", "clerk"]
    used = [each["credential"] for each in world.sealed() if "credential" in each]
    assert used == ["inventory-read", "inventory-clerk"]
    kept = (world.folder / "remit.db").read_bytes() + sent.content
    assert not [secret for secret in SECRETS.values() if secret.encode() in kept]


def test_budgets_count_orders(tmp_path: Path, app: InventoryApp):
    policy = POLICY.replace("limit: {calls: 20}", "limit: {calls: 1}").replace(
        "effect: ask\n    approvers: [ada]", "effect: allow"
    )
    with legacy_world(tmp_path / "remit", example_config(app.url), policy) as world:
        bot = world.agent("purchasing-bot")
        assert [bot.order().status_code for _ in range(2)] == [201, 429]
    assert app.orders() == [(1, 2)]


def test_a_tool_that_is_no_operation_is_said(
    tmp_path: Path, app: InventoryApp, caplog: pytest.LogCaptureFixture
):
    policy = POLICY.replace("inventory.showProduct]", "inventory.showProducts]")
    policy = policy.replace('"inventory.show*"', "inventory.showProducts")
    with legacy_world(tmp_path / "remit", example_config(app.url), policy):
        said = [each for each in caplog.records if each.message == "no such operation"]
    assert [each.__dict__["tool"] for each in said] == ["inventory.showproducts"]


class NakedWorld:
    """The application without Remit: programs have the clerk's key, as they always had."""

    url = ""

    def __init__(self, app: InventoryApp) -> None:
        self.app = app

    def agent(self, name: str) -> NakedProgram:
        return NakedProgram(self.app)

    def decisions(self, tool: str) -> list[str]:
        return []

    def vote(self) -> None:
        """Nobody is asked."""

    def restart(self) -> None:
        """There is nothing to restart."""


class NakedProgram:
    def __init__(self, app: InventoryApp) -> None:
        self.app = app

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"X-Inventory-Key": SECRETS["INVENTORY_CLERK_KEY"]}
        headers |= options.pop("headers", {})
        return requests.request(method, self.app.url + path, headers=headers, timeout=10, **options)

    def order(self, key: str = "", **more: Any) -> requests.Response:
        headers = {"Idempotency-Key": key}
        return self("POST", "/purchase-orders", json={**ORDER, **more}, headers=headers)


@pytest.mark.parametrize(
    "claim",
    [
        lambda world, app: test_a_reader_reads_and_its_purchase_order_is_blocked_and_logged(
            world, app
        ),
        lambda world, app: test_a_managers_order_is_held_and_approved_once(world, app),
        lambda world, app: test_a_double_submit_does_not_buy_twice_across_restarts(world, app),
        lambda world, app: test_the_customer_export_is_redacted(world),
    ],
)
def test_without_remit_every_claim_is_false(app: InventoryApp, claim: Any):
    with pytest.raises((AssertionError, KeyError)):
        claim(NakedWorld(app), app)


def test_without_remit_a_double_submit_buys_twice(app: InventoryApp):
    program = NakedWorld(app).agent("anyone")
    assert [program.order("order-1").status_code for _ in range(2)] == [201, 201]
    assert app.orders() == [(1, 2), (1, 2)]
