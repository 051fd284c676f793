"""Durations, sizes and addresses as ``remit.toml`` writes them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "KiB": 1024, "MiB": 1024**2}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)")


class Duration(float):
    """A duration. Written ``500ms``, ``30s``, ``5m``, ``12h`` or ``1d``."""

    __slots__ = ()

    @classmethod
    def read(cls, written: object) -> Duration:
        """The duration that is written.

        Raises:
            ValueError: it is none.
        """
        return cls(_amount(written, _SECONDS, "a duration such as 30s, 5m or 12h"))


class ByteCount(int):
    """A size. Written ``512KiB``, ``1MiB``, ``10MB`` or ``4096B``."""

    __slots__ = ()

    @classmethod
    def read(cls, written: object) -> ByteCount:
        """The size that is written.

        Raises:
            ValueError: it is none.
        """
        return cls(_amount(written, _BYTES, "a size such as 512KiB or 1MiB"))


class Address(str):
    """Where to listen: ``host:port``, ``[::1]:port`` for IPv6."""

    __slots__ = ()

    @classmethod
    def read(cls, written: object) -> Address:
        """The address that is written.

        Raises:
            ValueError: it is none.
        """
        address = cls(written)
        host, colon, port = address.rpartition(":")
        wanted = "write host:port, such as 127.0.0.1:8700 or [::1]:8700"
        if not isinstance(written, str) or not colon or not port.isascii() or not port.isdigit():
            raise ValueError(wanted)
        if not 0 <= int(port) <= 65535:
            raise ValueError(f"port {port}: ports go up to 65535")
        if host in ("", "*"):
            raise ValueError("name the interface: 0.0.0.0 (or [::]) stands for all of them")
        if ":" in host and not (host[0] == "[" and host[-1] == "]"):
            raise ValueError(wanted)
        return address

    @property
    def host(self) -> str:
        """The name or IP address, without brackets."""
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port; 0 for any that is free."""
        return int(self.rpartition(":")[2])

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def _amount(written: object, units: Mapping[str, float], wanted: str) -> float:
    match = _AMOUNT.fullmatch(written) if isinstance(written, str) else None
    if match is None or match[2] not in units:
        raise ValueError(f"write {wanted}, in quotes")
    return float(match[1]) * units[match[2]]
