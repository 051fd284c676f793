"""Which addresses the forward proxy connects to: public ones, and those that somebody named.

A name is looked up for each connection, and the connection goes to the very addresses that were
looked at: an answer that changes afterwards changes nothing. If any address of an answer may not be
reached, none is: who controls the name would control which of them is taken.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from remit.policy.readers.url import is_public

Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"
Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""The IP addresses of a host name, as text.

Raises:
    OSError: there are none.
"""


class PrivateAddress(OSError):  # noqa: N818 - what is wrong
    """The host is inside, and nobody named it as one that may be reached."""


class Destinations:
    """Looks hosts up, and says where connections may go."""

    def __init__(self, private: Sequence[str], lookup: Lookup | None = None) -> None:
        """Take the exceptions.

        Args:
            private: networks (``10.1.0.0/16``), addresses and host names inside that may be
                reached all the same.
            lookup: of names; by default the system's.
        """
        self._networks: list[Network] = []
        self._names: set[str] = set()
        for each in private:
            try:
                self._networks.append(ipaddress.ip_network(each))
            except ValueError:
                self._names.add(each)
        self._lookup = lookup or _system_lookup

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """Where to connect for a host, all of them checked.

        Args:
            host: a name in lower case or an address, each in its one spelling.
            port: only passed on to the lookup.

        Raises:
            PrivateAddress: one of them may not be reached.
            OSError: the name has none.
        """
        try:
            literal: Address | None = ipaddress.ip_address(host)
        except ValueError:
            literal = None
        if literal is not None:
            found = [literal]
        else:
            found = [_plain(each) for each in await self._lookup(host, port)]
        if not found:
            raise OSError(f"{host} has no address")
        if host not in self._names and not all(self._may_reach(each) for each in found):
            raise PrivateAddress(
                f"{host} is inside (private, loopback, link-local or special addresses), and "
                "nobody named it; an operator can add it to private in [egress] of remit.toml"
            )
        return found

    def _may_reach(self, address: Address) -> bool:
        return is_public(address) or any(address in network for network in self._networks)


class CheckedResolver(AbstractResolver):
    """Looks names up for an HTTP client, which then connects to what was checked and no other."""

    def __init__(self, destinations: Destinations) -> None:
        self._destinations = destinations

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The checked addresses of a name.

        Raises:
            PrivateAddress: one of them may not be reached.
            OSError: the name has none.
        """
        return [
            ResolveResult(
                hostname=host,
                host=str(each),
                port=port,
                family=socket.AF_INET if each.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each in await self._destinations.addresses(host, port)
        ]

    async def close(self) -> None:
        """Nothing is open."""


def _plain(found: str) -> Address:
    address = ipaddress.ip_address(found)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


async def _system_lookup(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(place[0]) for *_, place in found))
