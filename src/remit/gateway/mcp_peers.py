"""The clients of one MCP server behind the gateway: their sessions, and what is open in each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from remit.gateway.mcp_calls import OpenCall
from remit.gateway.mcp_gate import McpGate
from remit.gateway.mcp_sessions import Claim, HostedSubject, Owner
from remit.protocols.mcp import MessageId

_MOST_PEERS = 4096
_MOST_ANSWERED = 64
_MOST_KEPT = 1_048_576
_SWEEP = 10.0
_UNUSED = "nobody used the session"


class McpPeer:
    """What is known of one client: of one session, or of all requests of one caller."""

    __slots__ = ("answered", "asked", "gate", "id", "open", "owner", "subject", "upstream", "used")

    def __init__(
        self, peer_id: str, owner: Owner, subject: HostedSubject, gate: McpGate, upstream: str
    ) -> None:
        self.id = peer_id
        """Empty where there is no session."""
        self.owner = owner
        self.subject = subject
        self.gate = gate
        self.upstream = upstream
        """The server's id of the session."""
        self.open: dict[MessageId, OpenCall] = {}
        self.asked: dict[MessageId, OpenCall] = {}
        self.answered: OrderedDict[MessageId, bytes] = OrderedDict()
        """What the client was shown, for streams that it goes on with."""
        self.used = monotonic()

    def keep(self, call: OpenCall, shown: bytes) -> None:
        """Remember what was shown: a stream that is gone on with repeats the server's words."""
        if call.message.id is None or len(shown) > _MOST_KEPT // _MOST_ANSWERED:
            return
        self.answered[call.message.id] = shown
        if len(self.answered) > _MOST_ANSWERED:
            self.answered.popitem(last=False)

    def close(self, why: str) -> None:
        """Settle what is open."""
        for call in (*self.open.values(), *self.asked.values()):
            self.gate.abandon(call, why)
        self.open.clear()
        self.asked.clear()
        self.gate.close(why)


class PeerTable:
    """The clients of one server. A session id is worth nothing to anybody but its owner."""

    def __init__(
        self,
        made: Callable[[Claim], McpPeer],
        new_id: Callable[[], str],
        *,
        idle: float,
        most: int,
    ) -> None:
        """Prepare.

        Args:
            made: a client that nothing is known of yet.
            new_id: an id that nobody guesses.
            idle: seconds after which a session ends that nobody uses.
            most: sessions that may be open at once.
        """
        self._made = made
        self._new_id = new_id
        self._idle = idle
        self._most = most
        self._sessions: dict[str, McpPeer] = {}
        self._callers: OrderedDict[Owner, McpPeer] = OrderedDict()
        self._swept = monotonic()

    def session(self, peer_id: str, claimed: Claim) -> McpPeer | None:
        """The client whose session that is, if it is the caller's own."""
        found = self._sessions.get(peer_id)
        if found is None or found.owner != claimed.owner:
            return None
        if self._is_unused(found, monotonic()):
            self.forget(found, _UNUSED)
            return None
        return self._used(found, claimed)

    def beginner(self, claimed: Claim) -> McpPeer:
        """A client that asks for a session."""
        return self._made(claimed)

    def caller(self, claimed: Claim) -> McpPeer:
        """The client for what comes without a session."""
        owner = claimed.owner
        found = self._callers.get(owner)
        if found is None:
            found = self._callers[owner] = self._made(claimed)
            if len(self._callers) > _MOST_PEERS:
                self._callers.popitem(last=False)[1].close("too many clients")
        return self._used(found, claimed)

    def begin(self, peer: McpPeer, upstream: str) -> str:
        """Give a session that the server began to the client that asked for it; its id."""
        self._sweep()
        peer.id, peer.upstream = self._new_id(), upstream
        self._sessions[peer.id] = peer
        return peer.id

    def forget(self, peer: McpPeer, why: str) -> None:
        """End a session, and settle what is open in it."""
        self._sessions.pop(peer.id, None)
        peer.close(why)

    def close(self) -> None:
        """Settle what is open in all of them."""
        for peer in (*self._sessions.values(), *self._callers.values()):
            peer.close("the gateway ended")

    def _used(self, peer: McpPeer, claimed: Claim) -> McpPeer:
        peer.used = monotonic()
        peer.subject.claimed = claimed
        return peer

    def _is_unused(self, peer: McpPeer, now: float) -> bool:
        return now - peer.used > self._idle and not peer.open

    def _sweep(self) -> None:
        """End the sessions that nobody uses."""
        now = monotonic()
        if now - self._swept < _SWEEP and len(self._sessions) < self._most:
            return
        self._swept = now
        for peer in tuple(self._sessions.values()):
            if self._is_unused(peer, now):
                self.forget(peer, _UNUSED)
        while len(self._sessions) >= self._most:
            oldest = min(self._sessions.values(), key=lambda each: each.used)
            self.forget(oldest, "too many sessions")
