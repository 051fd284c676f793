"""Servers outside, for tests: plain and TLS ones that write down whatever reaches them."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("api.shop.example", "other.shop.example", "files.shop.example", "127.0.0.1")


class Outside:
    """What was asked of the servers outside, and where they are."""

    def __init__(self, roots: Path) -> None:
        self.roots = roots
        """Certificate of the authority that signed theirs."""
        self.seen: list[str] = []
        """``METHOD host/path`` of every request that came through."""
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.connections = 0
        self.plain = 0
        self.secure = 0
        self.raw: list[bytes] = []

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.seen.append(f"{request.method} {request.headers.get('Host')}{request.raw_path}")
        self.bodies.append(body)
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": request.query["to"]})
        if request.path == "/customers":
            return web.json_response([{"name": "ada", "email": "ada@shop.example"}])
        if request.path == "/big":
            return web.Response(body=b"x" * 3_000_000)
        if request.path == "/empty":
            return web.Response(status=204)
        if request.path == "/stream":
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
            for count in range(3):
                await response.write(b"data: %d\n\n" % count)
                await asyncio.sleep(0.01)
            return response
        return web.json_response({"you": request.method, "bytes": len(body)})


def certificates(folder: Path) -> tuple[Path, Path]:
    """A root, and a server's certificate with its key, for all hosts of the tests."""
    now = datetime.now(UTC)
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "outside")])

    def builder(subject: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(root_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False
            )
        )

    root = builder(root_name, root_key.public_key())
    root = root.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    root = root.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), critical=False
    )
    usage = {
        name: name in ("key_cert_sign", "crl_sign")
        for name in (
            "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
            "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
        )
    }  # fmt: skip
    root = root.add_extension(x509.KeyUsage(**usage), critical=True)
    names = [
        x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        for host in HOSTS
    ]
    leaf = builder(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), key.public_key()
    ).add_extension(x509.SubjectAlternativeName(names), critical=False)
    pem = serialization.Encoding.PEM
    roots, server = folder / "outside.pem", folder / "server.pem"
    roots.write_bytes(root.sign(root_key, hashes.SHA256()).public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    server.write_bytes(leaf.sign(root_key, hashes.SHA256()).public_bytes(pem) + private)
    return roots, server


@asynccontextmanager
async def outside(folder: Path) -> AsyncIterator[Outside]:
    """A plain and a TLS server on this machine."""
    roots, server = certificates(folder)
    found = Outside(roots)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    http = web.Server(found.answer)
    loop = asyncio.get_running_loop()

    def counted() -> asyncio.Protocol:
        found.connections += 1
        return http()

    plain = await loop.create_server(counted, "127.0.0.1", 0)
    secure = await loop.create_server(counted, "127.0.0.1", 0, ssl=context)
    found.plain = plain.sockets[0].getsockname()[1]
    found.secure = secure.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        for each in (plain, secure):
            each.close()
        await http.shutdown(0.1)
