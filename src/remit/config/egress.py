"""``[egress]`` and ``[envoy]`` of ``remit.toml``: the forward proxy, and deciding for Envoy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from remit.config.units import Address, ByteCount, Duration

_HOST_PATTERN = re.compile(r"\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|[0-9a-f:]+")
_AUTHORITY = re.compile(r"(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:]+\])(?::[0-9]{1,5})?")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^`|~-]+")


class EgressConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[egress]``: the forward proxy that agents reach the Internet through."""

    listen: tuple[Address, ...] = (Address("127.0.0.1:8701"),)
    insecure_plain_http: bool = False
    """Whether to listen where other machines can connect: their keys pass in the clear."""
    inspect: tuple[str, ...] = ()
    """Hosts whose TLS is opened: names, ``*.corp.com`` for all below one, ``*`` for all."""
    private: tuple[str, ...] = ()
    """What is inside and may be reached: networks, addresses and host names."""
    ca: Path = Path("remit-egress.pem")
    """Certificate that agents trust where TLS is opened; made when it is not there."""
    ca_key: Path = Path("remit-egress.key")
    """Its key. Never leaves this machine."""
    upstream_ca: Path | None = None
    """Roots that servers' certificates must go back to, besides those of the system."""
    body: ByteCount = ByteCount(1_048_576)
    """Of a request that is looked into."""
    hold: Duration = Duration(30)
    """How long a request that a person must see waits before it is refused with a handle."""
    connect: Duration = Duration(10)
    """How long it may take to connect to a server, and a client to say what it wants."""
    silence: Duration = Duration(300)
    """How long a server, or both ends of a tunnel, may say nothing."""
    tunnel: Duration = Duration(3600)
    """How long a tunnel may last that nobody looks into."""
    connections: Annotated[int, Meta(ge=1, le=100_000)] = 1_024
    headers: tuple[str, ...] = ()
    """Names of headers that policy sees in ``args.headers``, and may change."""

    def __post_init__(self) -> None:
        """Refuse what is unsafe, or means nothing.

        Raises:
            ValueError: says what.
        """
        open_to_others = [address for address in self.listen if not address.loopback]
        if open_to_others and not self.insecure_plain_http:
            raise ValueError(
                f"listen: {open_to_others[0]} can be reached from other machines, and keys would "
                "be sent to it in the clear; listen at 127.0.0.1, or insecure_plain_http = true "
                "where something in between encrypts"
            )
        if not self.listen:
            raise ValueError("listen: name a place, or leave [egress] out")
        for each in self.inspect:
            if not _HOST_PATTERN.fullmatch(each):
                raise ValueError(f"inspect: {each!r}: write a host, *.corp.com, or * for all")
        for each in self.private:
            _check_private(each)
        _check_headers(self.headers)
        if not 1024 <= self.body <= 64 * 1024**2:
            raise ValueError("body must be between 1KiB and 64MiB")
        if not 0 <= self.hold <= 3600:
            raise ValueError("hold must be between 0s and 1h")
        for name in ("connect", "silence", "tunnel"):
            if not 0.1 <= getattr(self, name) <= 86_400:
                raise ValueError(f"{name} must be between 100ms and 24h")

    def inspects(self, host: str) -> bool:
        """Whether TLS to a host is opened."""
        for each in self.inspect:
            if each == "*" or each == host or (each[:2] == "*." and host.endswith(each[1:])):
                return True
        return False


class EnvoyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[envoy]``: answering Envoy's external authorization (``ext_authz``)."""

    hosts: Annotated[tuple[str, ...], Meta(min_length=1)]
    """What ``Host`` may be, with the port where it is not the usual one. Envoy chooses the server
    by its routes: a request under another name would be decided as what it is not."""
    grpc: tuple[Address, ...] = ()
    """Where to answer over gRPC. Over HTTP it is at ``/envoy/check`` of the server itself."""
    insecure_plain_grpc: bool = False
    """Whether to listen where other machines can connect: agents' keys pass in the clear."""
    credential: str = "x-remit-key"
    """The header in which agents show their key; it is taken out of what goes on."""
    headers: tuple[str, ...] = ()
    """Names of headers that policy sees in ``args.headers``, and may change."""
    tls: bool = True
    """Whether the requests that Envoy asks about came over TLS (their URLs are https)."""

    def __post_init__(self) -> None:
        """Refuse what is unsafe, or means nothing.

        Raises:
            ValueError: says what.
        """
        open_to_others = [address for address in self.grpc if not address.loopback]
        if open_to_others and not self.insecure_plain_grpc:
            raise ValueError(
                f"grpc: {open_to_others[0]} can be reached from other machines, and agents' keys "
                "would be sent to it in the clear; listen at 127.0.0.1 beside Envoy, or "
                "insecure_plain_grpc = true where something in between encrypts"
            )
        _check_headers((self.credential, *self.headers))
        for each in self.hosts:
            if not _AUTHORITY.fullmatch(each):
                raise ValueError(f"hosts: {each!r}: write a host name in lower case, or host:port")


def _check_private(written: str) -> None:
    try:
        ipaddress.ip_network(written)
    except ValueError:
        if not re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", written) or written[-1].isdigit():
            raise ValueError(
                f"private: {written!r}: write a network such as 10.1.0.0/16, an address, or a host "
                "name in lower case"
            ) from None


def _check_headers(names: Sequence[str]) -> None:
    for each in names:
        if not _HEADER.fullmatch(each):
            raise ValueError(f"{each!r}: write the name of a header in lower case")
