"""Callers on the Unix socket, known by the operating system user of their process."""

from __future__ import annotations

import pwd
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from remit.errors import AuthenticationError, ConfigError
from remit.identity.model import Identity, Peer
from remit.identity.settings import PeerRule
from remit.model import Principal

_UCRED = struct.Struct("=iII")


class _Known(NamedTuple):
    uid: int
    identity: Identity


def peer_of(connection: socket.socket) -> Peer | None:
    """The process at the other end of a connected Unix socket (Linux ``SO_PEERCRED``).

    None for any other socket. The kernel recorded it when the connection was made: what the
    process became since does not show, and no process can pretend.
    """
    if connection.family != socket.AF_UNIX:
        return None
    option = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(option)
    return Peer(pid, uid, gid)


class PeerDirectory:
    """Whom the users of this machine stand for."""

    def __init__(self, rules: Sequence[PeerRule]) -> None:
        """Look up the users that rules name.

        Raises:
            ConfigError: there is no such user, or two rules are about the same one.
        """
        known = [_known(rule) for rule in rules]
        self._identities = {each.uid: each.identity for each in known}
        if len(self._identities) < len(known):
            raise ConfigError("[identity]: two rules under peers are about the same user")

    def identify(self, peer: Peer) -> Identity:
        """Whom the process stands for.

        Raises:
            AuthenticationError: for nobody.
        """
        try:
            return self._identities[peer.uid]
        except KeyError:
            raise AuthenticationError(
                f"The user {peer.uid} of this machine stands for nobody; send a credential."
            ) from None


def _known(rule: PeerRule) -> _Known:
    uid = rule.uid
    if uid is None:
        try:
            uid = pwd.getpwnam(rule.user or "").pw_uid
        except KeyError:
            raise ConfigError(f"[identity]: there is no user {rule.user!r} here") from None
    principal = Principal(
        id=rule.principal, kind=rule.kind, roles=rule.roles, team=rule.team, known="authenticated"
    )
    identity = Identity(
        principal=principal,
        rights=frozenset(rule.rights),
        credential=f"uid:{uid}",
        agents=rule.agents,
    )
    return _Known(uid, identity)
