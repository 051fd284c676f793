"""A server from its first connection to its last: listens, keeps things up, and drains."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import Coroutine, Sequence
from functools import partial
from time import monotonic
from typing import Any

import aiohttp

from remit import api
from remit.api.frame import Parts
from remit.api.http import HttpApi
from remit.api.mounts import Listener, Mount
from remit.api.news import LOOK_INTERVAL, Watcher
from remit.config import Config, secret
from remit.config.legacy import with_legacy_secrets
from remit.config.mcp import with_mcp_secrets
from remit.config.models import with_keys
from remit.console.mount import ConsoleMount
from remit.errors import ConfigError, RemitError
from remit.gateway.envoy import EnvoyDecisions
from remit.gateway.envoy_http import EnvoyMount
from remit.gateway.forward import ForwardProxy
from remit.gateway.hosted import HostedSessions
from remit.gateway.legacy import LegacyMount
from remit.gateway.llm import model_mounts
from remit.gateway.llm_sessions import CredentialSessions
from remit.gateway.llm_upstream import ModelUpstreams
from remit.gateway.mcp_http import McpMount
from remit.hooks.mount import HookMount
from remit.server.assembly import Assembled, assemble
from remit.server.fetching import fetch_document, provider_of
from remit.server.following import FleetWatch
from remit.server.sockets import UnixListener, load_certificate, tcp_sockets, tls_context
from remit.server.tracing import INTERVAL as TRACE_INTERVAL
from remit.server.tracing import tracer_of
from remit.server.upkeep import SWEEP_INTERVAL, TALLY_INTERVAL, leading, repeat, sign, sweep, tally
from remit.server.watching import PolicyWatch
from remit.webhooks.sending import INTERVAL, WebhookSender
from remit.webhooks.settings import Webhook, with_secrets

HANDSHAKE_TIME = 10.0
"""Seconds that a client has to agree on TLS."""
TEND_INTERVAL = 60.0
"""Seconds between two looks whether the keys of issuers are old."""
_FORCE_TIME = 1.0
"""Seconds in which a request ends that was cut off when the server drained."""

_log = logging.getLogger("remit.server")


class RunningServer:
    """A server in this event loop, from ``start`` to ``stop``."""

    def __init__(
        self,
        assembled: Assembled,
        sender: WebhookSender | None = None,
        mounts: Sequence[Mount] = (),
        listeners: Sequence[Listener] = (),
    ) -> None:
        """Take the parts over; ``stop`` closes the store. ``sender`` delivers to webhooks."""
        self.parts = assembled.parts
        self.invitation = assembled.invitation
        self.urls: list[str] = []
        """Where it listens, once it does."""
        self.gateway_urls: dict[str, Sequence[str]] = {}
        """Where gateways with ports of their own listen, by their name."""
        self._listeners = listeners
        self._callers = assembled.callers
        self._mounts = mounts
        self._api = HttpApi(self.parts, api.routes(), mounts)
        self._http = self._api.server()
        self._watch = PolicyWatch(
            self.parts.config.policy.path, self.parts.policies, self.parts.store, self.parts.clock
        )
        self._listening: list[asyncio.Server] = []
        self._unix: UnixListener | None = None
        self._tls: ssl.SSLContext | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._wrong: set[str] = set()
        self._tracer = tracer_of(self.parts.store)
        self._news = Watcher()
        self._sender = sender

    async def start(self) -> None:
        """Listen, and begin to keep things up.

        Raises:
            ConfigError: it cannot listen where it should.
        """
        settings = self.parts.config.server
        if settings.tls is not None:
            self._tls = tls_context(settings.tls)
        # All places first: a server that cannot have one of them must not answer at the others.
        if settings.socket is not None:
            self._unix = UnixListener(settings.socket, settings.socket_mode)
        opened = [each for address in settings.listen for each in tcp_sockets(address)]
        theirs = [
            [
                each
                for address in listener.places
                for each in tcp_sockets(address, f"{listener.name}.listen")
            ]
            for listener in self._listeners
        ]
        await self._tend(self.parts)
        await self._news.look(self.parts)  # what comes from now on is news
        await leading(self._send)(self.parts)
        if self.parts.fleet is not None:
            following = FleetWatch(self.parts, self.parts.fleet, self._news.look)
            await following.look()
            self._begin(following.run())
        # These first: once the API answers, all of the server does.
        for listener, sockets in zip(self._listeners, theirs, strict=True):
            self.gateway_urls[listener.name] = await listener.start(sockets)
        for each in opened:
            await self._listen_tcp(each)
        if self._unix is not None:
            loop = asyncio.get_running_loop()
            listening = await loop.create_unix_server(self._http, sock=self._unix.socket)
            self._listening.append(listening)
            self.urls.append(f"unix://{self._unix.path}")
        self._keep_up()

    async def stop(self) -> bool:
        """End in good order: whether all of it went well.

        No new connections; who waits for a person gets the handle; what is under way is finished
        or, when ``drain`` is over, cut off; then the log is signed and the store closed.
        """
        for listening in self._listening:
            listening.close()
        for listener in self._listeners:
            listener.stop()
        self.parts.changes.drain()
        self._http.close_idle()
        deadline = monotonic() + self.parts.config.server.drain
        while self._active and monotonic() < deadline:
            await asyncio.sleep(0.01)
        if self._active:
            _log.warning("requests cut off", extra={"count": self._active})
        await self._http.shutdown(_FORCE_TIME)
        gateways: Sequence[Listener | Mount] = (*self._listeners, *self._mounts)
        for gateway in gateways:
            try:
                await gateway.close()
            except RemitError as error:
                _log.error("gateway not ended well", extra={"failure": error})
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._sender is not None:
            await self._sender.close()
        return await self._close()

    @property
    def _active(self) -> int:
        """Requests that are being answered at this moment, wherever they came in."""
        return self._api.active + sum(listener.active for listener in self._listeners)

    async def reload(self) -> None:
        """Read the policy and the TLS certificate again, now. What is bad is not taken."""
        await self._watch.reload()
        settings = self.parts.config.server.tls
        if self._tls is None or settings is None:
            return
        try:
            load_certificate(self._tls, settings)
            self.parts.faults.clear("tls")
        except ConfigError as error:
            self.parts.faults.set("tls", "the new certificate cannot be used; see the log")
            _log.error("certificate not taken", extra={"failure": error})

    async def _tend(self, parts: Parts) -> None:
        """Fetch the keys of issuers that are missing or old; store when API keys were used.

        Raises:
            StoreError: they could not be stored.
        """
        wrong = await self._callers.tend()
        for part in self._wrong - wrong.keys():
            parts.faults.clear(part)
        for part, text in wrong.items():
            if part not in self._wrong:
                _log.error("keys of an issuer not fetched", extra={"fault": text})
            parts.faults.set(part, text)
        self._wrong = set(wrong)

    async def _listen_tcp(self, opened: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        handshake = None if self._tls is None else HANDSHAKE_TIME
        self._listening.append(
            await loop.create_server(
                self._http, sock=opened, ssl=self._tls, ssl_handshake_timeout=handshake
            )
        )
        host, port = opened.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        self.urls.append(f"{'http' if self._tls is None else 'https'}://{shown}:{port}")

    def _keep_up(self) -> None:
        parts = self.parts
        config = parts.config
        self._begin(self._watch.run(config.policy.poll))
        self._begin(repeat(parts, "sweep", leading(sweep), SWEEP_INTERVAL))
        self._begin(repeat(parts, "tallies", leading(tally), TALLY_INTERVAL))
        if parts.fleet is None:  # a fleet is told of news by the database
            self._begin(repeat(parts, "news", self._news.look, LOOK_INTERVAL))
        if self._sender is not None:
            self._begin(repeat(parts, "webhooks", leading(self._send), INTERVAL))
        if self._tracer is not None:
            self._begin(repeat(parts, "tracing", self._tracer.look, TRACE_INTERVAL))
        self._begin(repeat(parts, "signing", leading(sign), config.signing.interval))
        self._begin(repeat(parts, "identity", self._tend, TEND_INTERVAL))

    async def _send(self, _: Parts) -> None:
        if self._sender is not None:
            await self._sender.look()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def _close(self) -> bool:
        """The last things, each of them whatever became of the others."""
        well = True
        for step in (self._tend, sign):
            try:
                await step(self.parts)
            except RemitError as error:
                well = False
                _log.error("not ended well", extra={"failure": error})
        if self._tracer is not None:
            await self._tracer.close()
        if self.parts.fleet is not None:
            await asyncio.to_thread(self.parts.fleet.close)
        await asyncio.to_thread(self.parts.store.close)
        if self._unix is not None:
            self._unix.close()
        return well


async def serve(config: Config) -> bool:
    """Run a server until SIGTERM or SIGINT; whether it ended well. SIGHUP makes it reload.

    Raises:
        ConfigError: it could not start; see ``assemble`` and ``RunningServer.start``.
        PolicyError: the policy is faulty.
        StoreError: the store cannot be opened.
        AuditError: the log is not the one that was signed.
    """
    told = with_secrets(config.webhooks, secret)
    apis = with_keys(config.models, secret)
    servers = with_mcp_secrets(config.mcp, secret)
    legacy = with_legacy_secrets(config.legacy, secret)
    async with aiohttp.ClientSession(trust_env=True) as session, ModelUpstreams(apis) as upstreams:
        assembled = assemble(config, partial(fetch_document, session))
        parts = assembled.parts
        sessions = CredentialSessions(HostedSessions(parts), config.model_gateway.session_idle)
        mounts: list[Mount] = [*model_mounts(parts, upstreams, sessions), HookMount(parts)]
        if servers:
            mounts.append(McpMount(parts, servers, sessions=sessions))
        if config.console.enabled:
            mounts.append(ConsoleMount(parts, provider_of(config, session, parts.entropy)))
        if legacy:
            mounts.append(LegacyMount(parts, legacy, sessions))
        mounted, listeners = ports_of_their_own(parts, sessions)
        mounts += mounted
        sender = _sender(parts, told, session)
        return await _serve(RunningServer(assembled, sender, mounts, listeners))


def ports_of_their_own(
    parts: Parts, sessions: CredentialSessions
) -> tuple[Sequence[Mount], Sequence[Listener]]:
    """The forward proxy and what answers Envoy, as far as they are configured. In the event loop.

    Args:
        parts: of the server.
        sessions: those that other gateways of the server work in, too.

    Raises:
        ConfigError: one cannot be made.
    """
    mounts: list[Mount] = []
    listeners: list[Listener] = []
    egress, envoy = parts.config.egress, parts.config.envoy
    if egress is not None:
        listeners.append(ForwardProxy(parts, egress, sessions))
    if envoy is not None:
        decisions = EnvoyDecisions(parts, envoy, sessions)
        mounts.append(EnvoyMount(decisions))
        if envoy.grpc:
            listeners.append(_over_grpc(decisions))
    return mounts, listeners


def _over_grpc(decisions: EnvoyDecisions) -> Listener:
    try:
        from remit.gateway.envoy_grpc import EnvoyListener
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("remit"):
            raise
        raise ConfigError(
            f"envoy.grpc needs {missing.name}, which is not installed: pip install 'remit[envoy]'"
        ) from None
    return EnvoyListener(decisions)


def _sender(
    parts: Parts, told: Sequence[Webhook], session: aiohttp.ClientSession
) -> WebhookSender | None:
    """What delivers to the webhooks; None where there are none."""
    if not told:
        return None

    def fault(part: str, problem: str | None) -> None:
        if problem is None:
            parts.faults.clear(part)
        else:
            parts.faults.set(part, problem)

    return WebhookSender(told, parts.store, parts.clock, session, fault)


async def _serve(server: RunningServer) -> bool:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()

    def end(number: int) -> None:
        if ending.is_set():  # what was acknowledged is on disk: nothing is lost by leaving now
            os._exit(128 + number)
        ending.set()

    def reload() -> None:
        task = loop.create_task(server.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        await server.start()
    except BaseException:
        await server.stop()
        raise
    _collect_less()
    _greet(server)
    await ending.wait()
    _log.info("draining")
    well = await server.stop()
    _log.info("ended")
    return well


def _collect_less() -> None:
    """Leave what was made at the start out of every search for garbage, and search less often.

    It lives as long as the process; going through it stops all requests for 50 ms once a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _greet(server: RunningServer) -> None:
    """Say to whoever started the server how to become its admin, and that it listens."""
    parts = server.parts
    if server.invitation is not None:
        # Not logged: a log is kept and read by others. It goes to whoever watches this start.
        url = server.urls[0]
        place = f"--unix-socket {url.removeprefix('unix://')} http://localhost"
        where = place if url.startswith("unix://") else url
        if parts.config.console.enabled and not url.startswith("unix://"):
            base = parts.config.server.public_url or url
            sys.stderr.write(_LINK % (base, server.invitation))
        sys.stderr.write(_INVITATION % (where, server.invitation))
        sys.stderr.flush()
    _log.info(
        "listening",
        extra={
            "urls": server.urls,
            **server.gateway_urls,
            "revision": parts.policies.current.revision,
            "mode": parts.policies.current.mode.value,
            "policy": str(parts.config.policy.path),
            "store": _place(parts.config),
            "pid": os.getpid(),
        },
    )


def _place(config: Config) -> str:
    """Where the store is, as it may be shown."""
    return config.store.url or str(config.store.path)


_LINK = """
Nobody is admin of this server yet. Become its admin in a browser, once and within an hour:

  %s/console/start#%s
"""

_INVITATION = """
Nobody is admin of this server yet. From a command line, once and within an hour; keep the key:

  curl %s/v1/bootstrap --json '{"secret": "%s", "principal": "YOUR-NAME"}'

"""
