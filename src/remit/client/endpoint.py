"""Where a server is: ``http://host:port``, ``https://host:port`` or ``unix:///path``."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from remit.errors import ConfigError

DEFAULT_PORT = 8700
_LONGEST_PATH = 107


class Endpoint(Struct, frozen=True):
    """A place to connect to, and how."""

    shown: str
    """As it was given."""
    host: str
    """What goes into the header ``Host``, without the port."""
    port: int = 0
    path: str | None = None
    """Path of a Unix socket; None for TCP."""
    tls: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        """The value of the header ``Host``."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    def connect(self, timeout: float) -> socket.socket:
        """Open a connection, in ``timeout`` seconds for each step of it.

        Raises:
            OSError: nobody answers there, or not who should.
        """
        if self.path is not None:
            opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                opened.settimeout(timeout)
                opened.connect(self.path)
            except BaseException:
                opened.close()
                raise
            return opened
        opened = socket.create_connection((self.host, self.port), timeout)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                return self.tls.wrap_socket(opened, server_hostname=self.host)
        except BaseException:
            opened.close()
            raise
        return opened


def read_endpoint(
    url: str,
    *,
    ca: str | Path | None = None,
    certificate: str | Path | None = None,
    insecure_plain_http: bool = False,
) -> Endpoint:
    """Read where a server is.

    Args:
        url: ``http://host:port``, ``https://host:port`` or ``unix:///path/of/the.sock``.
        ca: for ``https``, a PEM file of the roots to believe; by default those of the system.
        certificate: for ``https``, a PEM file with a client certificate and its key.
        insecure_plain_http: whether credentials may go to another machine without TLS.

    Raises:
        ConfigError: it is no such URL, or a file cannot be used.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{url!r} is no address: {error}") from None
    if parts.scheme == "unix":
        return _unix(url, parts.netloc, unquote(parts.path), ca, certificate)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no address of a server; write http://host:port, https://host:port or "
            "unix:///path"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ConfigError(f"{url!r}: write nothing but scheme, host and port")
    if parts.scheme == "https":
        return Endpoint(url, parts.hostname, port or 443, None, _tls(ca, certificate))
    if ca is not None or certificate is not None:
        raise ConfigError(f"{url!r}: certificates are for https")
    if not insecure_plain_http and not _loopback(parts.hostname):
        raise ConfigError(
            f"{url!r} is on another machine, and credentials would be sent to it in the clear. "
            "Use https, or insecure_plain_http=True where something else encrypts."
        )
    return Endpoint(url, parts.hostname, port or DEFAULT_PORT)


def _unix(
    url: str, netloc: str, path: str, ca: str | Path | None, certificate: str | Path | None
) -> Endpoint:
    if netloc or not path or len(path.encode()) > _LONGEST_PATH or "\0" in path:
        raise ConfigError(
            f"{url!r}: write unix:// and the absolute path of the socket, at most {_LONGEST_PATH} "
            "bytes long"
        )
    if ca is not None or certificate is not None:
        raise ConfigError(f"{url!r}: certificates are for https")
    return Endpoint(url, "localhost", 0, path)


def _tls(ca: str | Path | None, certificate: str | Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=None if ca is None else str(ca))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if certificate is not None:
            # A function, so that OpenSSL never asks at the terminal.
            context.load_cert_chain(str(certificate), password=lambda: "")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{ca or ''} {certificate or ''} cannot be used: {error}") from None
    return context


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
