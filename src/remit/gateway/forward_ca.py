"""The authority that the forward proxy signs certificates with, to look into TLS of agents.

Its key is made where the server is installed, stays in a file that only the server's user may read,
and is never sent anywhere. Agents trust its certificate (``remit-egress.pem``); each host that is
looked into gets a certificate of its own, made when it is first asked for and kept for a while.
"""

from __future__ import annotations

import ipaddress
import os
import secrets
import ssl
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from remit.errors import ConfigError
from remit.identity.keyfile import open_or_create

_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=30)
_FRESH = timedelta(days=1)
"""How long a kept certificate is used; then another is made."""
_BACKDATED = timedelta(days=1)
"""Clocks of agents may be behind."""
_MAX_KEPT = 512

Key = ec.EllipticCurvePrivateKey


class InspectionAuthority:
    """Makes a TLS context for each host. Used by one thread."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: Key,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take the key over, and make the one that all certificates of hosts are for."""
        self.certificate = certificate
        self._key = key
        self._now = now
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._kept: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()

    @classmethod
    def open_or_create(cls, certificate: Path, key: Path) -> InspectionAuthority:
        """The authority in these two files, made where there is none yet.

        Raises:
            ConfigError: they cannot be read or written, others may read the key, or the
                certificate is not that of the key.
        """
        private = _read_key(key, open_or_create(key, _new_key))
        try:
            if not certificate.exists():
                made = _authority(private, datetime.now(UTC))
                pem = made.public_bytes(serialization.Encoding.PEM)
                beside = certificate.with_name(f".{certificate.name}.{secrets.token_hex(8)}")
                beside.write_bytes(pem)
                os.replace(beside, certificate)
            found = x509.load_pem_x509_certificate(certificate.read_bytes())
        except OSError as fault:
            told = f"cannot be read or written: {fault.strerror}"
            raise ConfigError(f"{certificate}: {told}") from None
        except ValueError:
            raise ConfigError(f"{certificate}: this is no certificate in PEM form") from None
        if found.public_key() != private.public_key():
            raise ConfigError(
                f"{certificate} is not the certificate of {key}; put the right one back, or remove "
                "both and run remit egress ca: agents must then trust the new one"
            )
        return cls(found, private)

    def context(self, host: str) -> ssl.SSLContext:
        """What to speak TLS with as ``host``: a DNS name or an IP address, in its usual form.

        A client that names another host is cut off (SNI), and so is one that names none, unless
        ``host`` is an address, which has no name.
        """
        now, kept = self._now(), self._kept.get(host)
        if kept is not None and now - kept[0] < _FRESH:
            self._kept.move_to_end(host)
            return kept[1]
        context = self._made(host, now)
        self._kept[host] = (now, context)
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return context

    def _made(self, host: str, now: datetime) -> ssl.SSLContext:
        certificate = self._leaf(host, now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        context.sni_callback = _name_check(host)
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        pem += self._leaf_key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _load(context, pem)
        return context

    def _leaf(self, host: str, now: datetime) -> x509.Certificate:
        try:
            name: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            name = x509.DNSName(host)
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self.certificate.subject)
            .public_key(self._leaf_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BACKDATED)
            .not_valid_after(min(now + _LEAF_LIFE, self.certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(_usage(signs_content=True), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of a certificate, in hex, for people to compare."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def _name_check(
    host: str,
) -> Callable[[ssl.SSLObject | ssl.SSLSocket, str | None, ssl.SSLContext], int | None]:
    def check(
        connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> int | None:
        if name is None:
            return None if _is_address(host) else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        if name.lower().removesuffix(".") != host:
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        return None

    return check


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _new_key() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return b64encode(der).decode()


def _read_key(path: Path, line: str) -> Key:
    try:
        key = serialization.load_der_private_key(b64decode(line, validate=True), password=None)
    except ValueError:  # the cause may quote the key: it must not reach a log
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path}: not a key as remit egress ca writes it")
    return key


def _authority(key: Key, now: datetime) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Remit"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Remit egress {secrets.token_hex(4)}"),
        ]
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_content=False), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(*, signs_content: bool) -> x509.KeyUsage:
    """A host's certificate signs handshakes; the authority's signs certificates, nothing else."""
    return x509.KeyUsage(
        digital_signature=signs_content,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not signs_content,
        crl_sign=not signs_content,
        encipher_only=False,
        decipher_only=False,
    )


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context its certificate and key. OpenSSL reads files only; this one is in memory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("remit-egress", os.MFD_CLOEXEC)
        with open(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        return
    import tempfile  # only where the system has no files in memory

    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)
