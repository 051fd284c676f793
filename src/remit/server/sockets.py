"""What the server listens on: TCP ports, a Unix socket of its own, and TLS."""

from __future__ import annotations

import fcntl
import os
import socket
import ssl
import stat
from pathlib import Path

from remit.config import Address, TlsConfig, secret
from remit.errors import ConfigError

BACKLOG = 1024
_LONGEST_PATH = 107
TLS_PASSWORD = "REMIT_TLS_KEY_PASSWORD"  # noqa: S105 - the variable's name


def tcp_sockets(address: Address, setting: str = "server.listen") -> list[socket.socket]:
    """Listen on every IP address that ``address`` stands for.

    Args:
        address: where.
        setting: what names it, for messages.

    Raises:
        ConfigError: it stands for none, or one is taken.
    """
    opened: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, place in dict.fromkeys(found):
            listening = socket.socket(family, kind, protocol)
            opened.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listening.setblocking(False)
            listening.bind(place)
            listening.listen(BACKLOG)
    except OSError as error:
        for each in opened:
            each.close()
        problem = error.strerror or str(error)
        raise ConfigError(f"{setting}: {address}: cannot listen there: {problem}") from None
    return opened


class UnixListener:
    """A Unix socket that belongs to one living server at a time.

    The lock on ``<path>.lock`` says whether a server lives, and goes with its process however
    that ends; so a socket file that is found once the lock is held is a dead one's.
    """

    def __init__(self, path: Path, mode: int) -> None:
        """Listen at ``path``, with the permissions ``mode``.

        Raises:
            ConfigError: another server lives there, something else than a socket is in the way,
                or it cannot be made.
        """
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise ConfigError(f"server.socket: {path}: longer than {_LONGEST_PATH} bytes")
        self.path = path
        self._lock = _locked(path)
        try:
            _clear(path)
            self.socket = _bound(path, mode)
        except BaseException:
            os.close(self._lock)
            raise
        self._made = os.stat(path)

    def close(self) -> None:
        """Take the socket away, unless somebody has put something else in its place."""
        self.socket.close()
        try:
            if os.path.samestat(os.lstat(self.path), self._made):
                self.path.unlink()
        except FileNotFoundError:
            pass
        finally:
            os.close(self._lock)


def _locked(path: Path) -> int:
    beside = path.with_name(f"{path.name}.lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ConfigError(f"server.socket: {beside}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise ConfigError(
            f"server.socket: {path}: another server lives there; stop it first, or give this one "
            "a socket of its own"
        ) from None
    return lock


def _clear(path: Path) -> None:
    """Remove the socket that a dead server left."""
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"server.socket: {path}: there is something else; it was not touched")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            path.unlink()
            return
    raise ConfigError(f"server.socket: {path}: another program listens there")


def _bound(path: Path, mode: int) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # From its first moment on nobody else may connect; only then it is opened as configured.
    before = os.umask(0o177)
    try:
        listening.setblocking(False)
        listening.bind(str(path))
        os.chmod(path, mode)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        problem = f"cannot listen there: {error.strerror}"
        raise ConfigError(f"server.socket: {path}: {problem}") from None
    finally:
        os.umask(before)
    return listening


def tls_context(settings: TlsConfig) -> ssl.SSLContext:
    """The TLS side of every connection, made once.

    Raises:
        ConfigError: a file cannot be read or does not fit.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"server.tls.client_ca: {settings.client_ca}: {error}") from None
        # Optional: who shows a certificate must show a good one; others come with a key.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def load_certificate(context: ssl.SSLContext, settings: TlsConfig) -> None:
    """Read certificate and key (again): they count for connections that are made from now on.

    Raises:
        ConfigError: one cannot be read, or they do not belong together.
    """
    password = secret(TLS_PASSWORD) or ""
    try:
        # A function, so that OpenSSL never asks at the terminal.
        context.load_cert_chain(settings.certificate, settings.key, lambda: password)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"server.tls: {settings.certificate} and {settings.key} cannot be used: {error}. "
            f"The password of an encrypted key comes in {TLS_PASSWORD}"
        ) from None
