"""Webhooks: a real receiver that fails at first, signatures, restarts, and what Slack is sent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import sys
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace

from remit import deliveries
from remit.config import parse_config
from remit.deliveries import Delivery, DeliveryId
from remit.errors import ConfigError
from remit.model import AccessRequest, Action, ApprovalId, Session
from remit.storage import Store
from remit.storage.memory import MemoryStore
from remit.storage.sqlite import SqliteStore
from remit.webhooks import outbox, sending, slack
from remit.webhooks.messages import message
from remit.webhooks.sending import WebhookSender
from remit.webhooks.settings import Webhook, WebhookSettings, with_secrets
from remit.webhooks.signature import signed_headers, verify
from serving import POLICY, parts_of

SECOND = 1_000_000_000
KEY = secrets.token_bytes(32)
STANDARD = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """A program that is told; it answers with the statuses it was given, then with 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.url = ""
        self.pause = 0.0

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        await asyncio.sleep(self.pause)
        status = self.statuses.pop(0) if self.statuses else 200
        headers = {"Location": "/elsewhere"} if status // 100 == 3 else {}
        return web.Response(status=status, headers=headers)

    def messages(self) -> list[dict]:
        return [json.loads(body) for _, body in self.got]

    async def count(self, wanted: int) -> None:
        for _ in range(500):
            if len(self.got) >= wanted:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{len(self.got)} messages came, not {wanted}")


@asynccontextmanager
async def receiving(*statuses: int):
    receiver = Receiver(*statuses)
    server = web.Server(receiver.answer)
    listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/hook"
    try:
        yield receiver
    finally:
        listening.close()
        await server.shutdown(0.1)


class World:
    """A store in which things happen, with a clock that tests move on."""

    def __init__(self, store: Store | None = None) -> None:
        self.passed = 0
        self.store = store or MemoryStore()
        self.parts = parts_of(store=self.store, clock=self.clock)
        self.faults: dict[str, str | None] = {}
        policies = self.parts.policies.current
        self.session: Session = self.do(
            self.parts.governor.open_session, policies.principal("inventory-bot")
        )
        self.ada = policies.person("ada")

    def clock(self) -> int:
        return time.time_ns() + self.passed

    def do(self, step, *args):
        return self.store.write(lambda t: step(t, *args))

    def hold(self, **arguments) -> ApprovalId:
        request = AccessRequest(
            principal=self.session.principal,
            session=self.session.id,
            action=Action(name="send_email"),
            arguments=arguments,
        )
        return self.do(self.parts.governor.admit, request).approval

    def waiting(self) -> list[Delivery]:
        return list(self.store.read(lambda view: view.deliveries(1 << 62, 100)))

    def sender(self, session, *found: Webhook) -> WebhookSender:
        return WebhookSender(found, self.store, self.clock, session, self.faults.__setitem__)


@asynccontextmanager
async def sending_to(world: World, *found: Webhook, interval: float = 0.01):
    """A sender at work."""

    async def work() -> None:
        while True:
            await sender.look()
            await asyncio.sleep(interval)

    async with aiohttp.ClientSession() as session:
        sender = world.sender(session, *found)
        await sender.look()
        task = asyncio.create_task(work())
        try:
            yield sender
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await sender.close()


async def settled(world: World) -> None:
    await asyncio.sleep(0.1)  # what has just happened has become messages by then
    for _ in range(500):
        if not world.waiting():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"still waiting: {world.waiting()}")


def endpoint(receiver: Receiver, name: str = "audit", **options) -> Webhook:
    settings = WebhookSettings(name=name, url=receiver.url, **options)
    return Webhook(settings=settings, url=receiver.url, key=KEY)


async def test_a_message_is_sent_until_it_is_taken_under_one_id_and_signed_each_time() -> None:
    world = World()
    async with receiving(500, 302, 503) as receiver, sending_to(world, endpoint(receiver)):
        handle = world.hold(to="x@y.example")
        await receiver.count(1)
        for times in (2, 3, 4):
            await asyncio.sleep(0.1)
            assert len(receiver.got) == times - 1  # it waits before it tries again
            world.passed += 10 * SECOND
            await receiver.count(times)
        await settled(world)
    assert len(receiver.got) == 4
    ids, stamps, signatures = (
        {headers[name] for headers, _ in receiver.got}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    )
    assert len(ids) == 1
    assert len(stamps) == len(signatures) == 4
    for headers, body in receiver.got:
        given = [headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")]
        assert verify(KEY, *given, body)
        assert not verify(KEY, *given, body + b" ")
        assert not verify(secrets.token_bytes(32), *given, body)
        assert not verify(KEY, given[0], str(int(given[1]) + 1), given[2], body)
        assert headers["Content-Type"] == "application/json"
    told = receiver.messages()[0]
    assert (told["event"], told["id"]) == ("approval.pending", ids.pop())
    assert told["approval"]["id"] == handle
    assert told["approval"]["details"]["arguments"] == {"to": "x@y.example"}
    assert world.faults["webhook audit"] is None


async def test_everything_that_happens_is_told_once_and_only_what_was_asked_for() -> None:
    world = World()
    async with (
        receiving() as all_of_it,
        receiving() as some,
        sending_to(
            world,
            endpoint(all_of_it),
            endpoint(some, "some", events=("stop.set",), arguments=False),
        ),
    ):
        handle = world.hold(n=1)
        world.hold(n=1)  # the same call again is no news
        world.do(world.parts.governor.approve, handle, world.ada, "fine")
        other = world.hold(n=2)
        effect = world.do(world.parts.governor.stop, "tool", "send_*", world.ada, "a drill")
        world.do(world.parts.governor.resume, effect.stop.id, world.ada, "over")
        await settled(world)
        assert world.waiting() == []
    told = sorted(all_of_it.messages(), key=lambda each: each["position"])
    assert [
        (each["event"], each.get("approval", None) and each["approval"]["id"]) for each in told
    ] == [
        ("approval.pending", handle),
        ("approval.approved", handle),
        ("approval.pending", other),
        ("stop.set", None),
        ("approval.withdrawn", handle),
        ("approval.rejected", other),
        ("stop.lifted", None),
    ]
    assert told[3]["stop"] == {
        "id": effect.stop.id,
        "scope": "tool",
        "value": "send_*",
        "by": "ada",
        "reason": "a drill",
    }
    assert told[6]["stop"]["reason"] == "over"
    assert [each["event"] for each in some.messages()] == ["stop.set"]
    assert len({each["id"] for each in told}) == len(told)


async def test_what_waits_outlives_the_server_and_what_was_before_is_not_told(tmp_path) -> None:
    world = World(SqliteStore(tmp_path / "remit.db"))
    world.hold(n=0)
    async with receiving(*[500] * 20) as receiver:
        async with sending_to(world, endpoint(receiver)):
            handle = world.hold(n=1)
            await receiver.count(1)
        later = world.hold(n=2)  # while no server runs
        receiver.statuses.clear()
        receiver.got.clear()
        async with sending_to(world, endpoint(receiver)):
            world.passed += 120 * SECOND
            await settled(world)
        assert {each["approval"]["id"] for each in receiver.messages()} == {handle, later}
    world.store.close()


async def test_a_sender_that_dies_while_it_sends_loses_nothing() -> None:
    world = World()
    async with receiving() as receiver:
        receiver.pause = 5
        async with sending_to(world, endpoint(receiver)):
            world.hold(n=1)
            await receiver.count(1)
        receiver.pause = 0
        assert len(world.waiting()) == 1
        async with sending_to(world, endpoint(receiver)):
            await asyncio.sleep(0.1)
            assert len(receiver.got) == 1  # it belongs to the dead one for a while
            world.passed += deliveries.CLAIM
            await receiver.count(2)
            await settled(world)
    assert receiver.messages()[0]["id"] == receiver.messages()[1]["id"]


async def test_two_senders_on_one_store_send_once(tmp_path) -> None:
    world = World(SqliteStore(tmp_path / "remit.db"))
    async with (
        receiving() as receiver,
        sending_to(world, endpoint(receiver)),
        sending_to(world, endpoint(receiver)),
    ):
        for n in range(10):
            world.hold(n=n)
        await settled(world)
    assert len(receiver.got) == 10
    world.store.close()


async def test_a_dead_webhook_is_shown_given_up_after_a_day_and_holds_up_no_other(
    monkeypatch,
) -> None:
    monkeypatch.setattr(sending, "TIME", 0.2)
    world = World()
    async with receiving() as dead, receiving() as alive:
        dead.pause = 60
        async with sending_to(world, endpoint(dead, "dead"), endpoint(alive, "alive")):
            for n in range(3):
                world.hold(n=n)
            await alive.count(3)
            for _ in range(3):
                await asyncio.sleep(0.5)
                world.passed += 60 * SECOND
            await asyncio.sleep(0.5)
            assert "does not answer within" in str(world.faults["webhook dead"])
            assert world.faults["webhook alive"] is None
            world.passed += deliveries.PATIENCE
            await settled(world)
        gone = Webhook(
            settings=WebhookSettings(name="dead", url="http://127.0.0.1:1/"),
            url="http://127.0.0.1:1/",
            key=KEY,
        )
        async with sending_to(world, gone):
            world.hold(n=9)
            await asyncio.sleep(0.2)
            world.passed += 2 * deliveries.PATIENCE
            await settled(world)
        assert "cannot be reached" in str(world.faults["webhook dead"])


async def test_messages_of_a_webhook_that_is_no_more_are_dropped() -> None:
    world = World()
    async with receiving(*[500] * 9) as receiver:
        async with sending_to(world, endpoint(receiver)):
            world.hold(n=1)
            await receiver.count(1)
        async with sending_to(world, endpoint(receiver, "another")):
            world.passed += 120 * SECOND
            await settled(world)


async def test_a_long_log_without_news_is_not_read_again_and_again() -> None:
    world = World()
    settings = [WebhookSettings(name="audit", url="https://a.example/")]
    assert world.store.read(lambda view: outbox.behind(view, None))[0]
    world.do(outbox.collect, settings)
    start = world.store.read(lambda view: view.cursor(outbox.CURSOR))

    def fill(t) -> None:
        for _ in range(outbox.STRIDE + 5):
            t.append(b'{"at":1,"kind":"session"}', at=t.latest())

    news, position = world.store.read(lambda view: outbox.behind(view, None))
    assert (news, position) == (False, start)
    world.store.write(fill)
    assert world.store.read(lambda view: outbox.behind(view, position)) == (
        True,
        start + outbox.STRIDE + 5,
    )
    assert world.do(outbox.collect, settings) == 0
    assert world.store.read(lambda view: view.cursor(outbox.CURSOR)) == start + outbox.STRIDE + 5


async def test_what_is_gone_is_not_told() -> None:
    world = World()
    hook = WebhookSettings(name="audit", url="https://a.example/")
    gone = Delivery(
        id=DeliveryId("d"),
        webhook="audit",
        event="approval.pending",
        subject="ap-none",
        position=10**6,
        at=1,
        next_at=1,
    )
    told = [
        world.store.read(lambda view, each=each: message(view, each, hook, 1))
        for each in (gone, replace(gone, event="stop.set"))
    ]
    assert told == [None, None]
    async with receiving() as receiver, sending_to(world, endpoint(receiver)):
        world.store.write(lambda t: t.put_delivery(gone))
        await settled(world)
    assert receiver.got == []


# Settings


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ('url = "http://a.example/"', "https://"),
        ('url = "https://user:pw@a.example/"', "password"),
        ('url = "ftp://a.example/"', "https://"),
        ('url = "https://hooks.slack.com/services/T/B/x"', "REMIT_WEBHOOK_A_URL"),
        ("events = []", "empty"),
        ('events = ["approval.lost"]', "events"),
        ('secret = "x"', "secret"),
        ('format = "xml"', "format"),
    ],
)
def test_settings_that_cannot_be_right(written, says, tmp_path) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(f'[[webhooks]]\nname = "a"\n{written}\n', "remit.toml", tmp_path)


def test_a_name_that_names_no_variable(tmp_path) -> None:
    for name in ("", "A", "a b", "1a", "x" * 33):
        with pytest.raises(ConfigError):
            parse_config(f'[[webhooks]]\nname = "{name}"\n', "remit.toml", tmp_path)


def test_secrets_come_from_the_environment() -> None:
    signed = WebhookSettings(name="audit-log", url="https://a.example/hook")
    chat = WebhookSettings(name="chat", format="slack")
    known = {
        "REMIT_WEBHOOK_AUDIT_LOG_SECRET": STANDARD,
        "REMIT_WEBHOOK_CHAT_URL": "https://hooks.slack.com/services/T/B/x",
    }
    found = with_secrets([signed, chat], known.get)
    assert [each.key for each in found] == [KEY, None]
    assert [each.url for each in found] == [
        "https://a.example/hook",
        "https://hooks.slack.com/services/T/B/x",
    ]
    assert "services" not in repr(found)
    plain = with_secrets([signed], {"REMIT_WEBHOOK_AUDIT_LOG_SECRET": "p" * 24}.get)
    assert plain[0].key == b"p" * 24


@pytest.mark.parametrize(
    ("webhook", "known", "says"),
    [
        ({"url": "https://a.example/"}, {}, "set REMIT_WEBHOOK_A_SECRET"),
        ({"url": "https://a.example/"}, {"SECRET": "short"}, "24 bytes"),
        ({"url": "https://a.example/"}, {"SECRET": "whsec_%%%"}, "Base64"),
        ({}, {"SECRET": STANDARD}, "set REMIT_WEBHOOK_A_URL"),
        ({"format": "slack"}, {"URL": "http://a.example/T/B/x"}, "https://"),
    ],
)
def test_secrets_that_do_not_do(webhook, known, says) -> None:
    settings = [WebhookSettings(name="a", **webhook)]
    given = {f"REMIT_WEBHOOK_A_{name}": value for name, value in known.items()}
    with pytest.raises(ConfigError, match=says) as raised:
        with_secrets(settings, given.get)
    assert "T/B/x" not in str(raised.value)


def test_two_of_one_name() -> None:
    twice = [WebhookSettings(name="a", url="https://a.example/", format="slack")] * 2
    with pytest.raises(ConfigError, match="two"):
        with_secrets(twice, {}.get)


def test_the_signature_of_the_standard() -> None:
    """The example that the Standard Webhooks libraries test with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed_headers(
        key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    several = f"v1,AAAA {headers['webhook-signature']} v2,x"
    assert verify(key, headers["webhook-id"], "1614265330", several, b'{"test": 2432232314}')


# The whole server


async def test_a_server_process_delivers_and_wants_its_secrets_first(tmp_path) -> None:
    (tmp_path / "remit.yaml").write_text(POLICY)
    config = tmp_path / "remit.toml"
    environment = {**os.environ, "REMIT_WEBHOOK_AUDIT_SECRET_FILE": str(tmp_path / "secret")}
    (tmp_path / "secret").write_text(STANDARD + "\n")
    remit = [sys.executable, "-m", "remit"]
    async with receiving(503) as receiver:
        config.write_text(
            '[server]\nlisten = ["127.0.0.1:0"]\nsocket = ""\n'
            f'[[webhooks]]\nname = "audit"\nurl = "{receiver.url}"\n'
        )
        check = [*remit, "serve", "--check", "--config", str(config)]
        assert (await ran(check, os.environ))[0] == 2
        assert (await ran(check, environment))[0] == 0
        server = await asyncio.create_subprocess_exec(
            *remit,
            *("serve", "--config", str(config)),
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            assert server.stderr is not None
            while b'"listening"' not in await asyncio.wait_for(server.stderr.readline(), 20):
                continue
            policy = ("--policy", str(tmp_path / "remit.yaml"))
            stop = [*remit, "stop", "--all", "--wait", "0", "--reason", "a drill", *policy]
            assert (await ran(stop, os.environ))[0] == 0
            await receiver.count(2)
        finally:
            server.terminate()
            assert await asyncio.wait_for(server.wait(), 20) == 0
    first, second = receiver.messages()
    assert first == second
    assert (first["event"], first["stop"]["reason"]) == ("stop.set", "a drill")
    headers, body = receiver.got[1]
    given = [headers[f"webhook-{name}"] for name in ("id", "timestamp", "signature")]
    assert verify(KEY, *given, body)


async def ran(command: list[str], environment) -> tuple[int | None, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, said


# Slack


def posted(world: World, handle: ApprovalId, event="approval.pending") -> dict:
    delivery = Delivery(
        id=DeliveryId("d"),
        webhook="chat",
        event=event,
        subject=handle,
        position=0,
        at=world.clock(),
        next_at=0,
    )
    hook = WebhookSettings(name="chat", format="slack")
    told = world.store.read(lambda view: message(view, delivery, hook, world.clock()))
    assert told is not None
    return slack.payload(told)


def texts(part) -> list[dict]:
    """Every text object of a payload."""
    if isinstance(part, dict):
        own = [part] if part.get("type") in ("plain_text", "mrkdwn") else []
        return own + [found for value in part.values() for found in texts(value)]
    if isinstance(part, list):
        return [found for value in part for found in texts(value)]
    return []


async def test_slack_is_sent_blocks_and_no_signature() -> None:
    world = World()
    async with receiving() as receiver:
        settings = WebhookSettings(name="chat", url=receiver.url, format="slack")
        async with sending_to(world, *with_secrets([settings], {}.get)):
            world.hold(to="x@y.example", amount=7)
            await settled(world)
    ((headers, body),) = receiver.got
    assert "webhook-signature" not in headers
    sent = json.loads(body)
    assert sent["text"] == "Approval needed: send_email"
    assert [block["type"] for block in sent["blocks"]] == [
        "header",
        "section",
        "section",
        "context",
    ]
    shown = sent["blocks"][2]["text"]
    assert shown["type"] == "mrkdwn"
    assert json.loads(shown["text"].strip("`")) == {"to": "x@y.example", "amount": 7}


EVIL = (
    "``` <!channel> <@U123> *bold* _it_ <https://evil.example|ok> & \u202etxt.exe\u200b "
    "\x00\x1b[31m\n\u2028 é 中 😀 \u00a0 :tada:"
)


def test_nothing_that_an_agent_writes_is_markup_in_slack() -> None:
    world = World()
    handle = world.hold(body=EVIL, rows=[EVIL])
    sent = posted(world, handle)
    for each in texts(sent):
        words = each["text"]
        assert "<" not in words
        assert ">" not in words
        for odd in "\u202e\u200b\x00\x1b\u2028\u00a0":
            assert odd not in words
        if each["type"] == "mrkdwn":
            assert words.startswith("```")
            assert words.endswith("```")
            assert "`" not in words[3:-3]
            assert each["verbatim"] is True
            plain = words[3:-3].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
            assert json.loads(plain) == {"body": EVIL, "rows": [EVIL]}
            assert "é 中 😀" in words
        else:
            assert each["emoji"] is False
    assert sent["mrkdwn"] is False


def test_text_of_slack_is_cut_at_its_limits_and_says_so() -> None:
    world = World()
    handle = world.hold(body="&" * 50_000)
    sent = posted(world, handle)
    (shown,) = (each for each in texts(sent) if each["type"] == "mrkdwn")
    assert len(shown["text"]) <= slack.SECTION
    assert "more characters are not shown" in shown["text"]
    assert shown["text"].count("```") == 2
    assert "&am`" not in shown["text"]
    for words in ("&" * 1000, "x" * 1000, "\u202e" * 1000, ""):
        cut = slack.safe(words, 150)
        assert 1 <= len(cut) <= 150
        assert cut.endswith("\u2026") is bool(words)
        assert cut.count("&") == cut.count("&amp;")
    assert slack.safe("a\ud800b", 50) == "a\\ud800b"


def test_every_event_has_words_in_slack() -> None:
    world = World()
    handle = world.hold(n=1)
    world.do(world.parts.governor.reject, handle, world.ada, "no & <never>")
    sent = posted(world, handle, "approval.rejected")
    words = [each["text"] for each in texts(sent)]
    assert "Rejected: send_email" in words
    assert "By: ada" in words
    assert "no &amp; &lt;never&gt;" in words
    effect = world.do(world.parts.governor.stop, "all", "", world.ada, "a drill")
    hook = WebhookSettings(name="chat", format="slack")
    delivery = Delivery(
        id=DeliveryId("d"),
        webhook="chat",
        event="stop.set",
        subject=effect.stop.id,
        position=effect.position,
        at=1,
        next_at=1,
    )
    told = world.store.read(lambda view: message(view, delivery, hook, 1))
    assert told is not None
    words = [each["text"] for each in texts(slack.payload(told))]
    assert words == [
        "Stopped: everything",
        "What: everything",
        "By: ada",
        "a drill",
        f"remit resume {effect.stop.id}",
    ]
    world.store.write(lambda t: t.erase(effect.position))
    told = world.store.read(lambda view: message(view, delivery, hook, 1))
    assert told is not None
    assert len(slack.payload(told)["blocks"]) == 3


def test_arguments_can_be_kept_to_oneself() -> None:
    world = World()
    handle = world.hold(secret="hush")
    delivery = Delivery(
        id=DeliveryId("d"),
        webhook="chat",
        event="approval.pending",
        subject=handle,
        position=0,
        at=1,
        next_at=1,
    )
    hook = WebhookSettings(name="chat", format="slack", arguments=False)
    told = world.store.read(lambda view: message(view, delivery, hook, 1))
    assert told is not None
    assert "hush" not in json.dumps(slack.payload(told))
