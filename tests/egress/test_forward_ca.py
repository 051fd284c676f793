"""The authority that opens TLS: its files, and the certificates that it makes."""

from __future__ import annotations

import os
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from remit.errors import ConfigError
from remit.gateway.forward_ca import InspectionAuthority


def authority(folder: Path) -> InspectionAuthority:
    return InspectionAuthority.open_or_create(folder / "ca.pem", folder / "ca.key")


def handshake(server: ssl.SSLContext, roots: Path, name: str) -> dict[str, object]:
    """What a client that trusts ``roots`` sees of the server's certificate."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(roots)).wrap_bio(
        to_client, to_server, server_hostname=name
    )
    answering = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [client, answering]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                continue
    found = client.getpeercert()
    assert found is not None
    return dict(found)


def test_it_is_made_once_and_its_key_is_its_owners(tmp_path: Path) -> None:
    made = authority(tmp_path)
    assert stat.S_IMODE(os.stat(tmp_path / "ca.key").st_mode) == 0o600
    assert authority(tmp_path).certificate == made.certificate
    limits = made.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (limits.ca, limits.path_length) == (True, 0)
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


@pytest.mark.parametrize("host", ["api.shop.example", "192.0.2.1", "2001:db8::1"])
def test_a_client_that_trusts_it_believes_the_host(tmp_path: Path, host: str) -> None:
    made = authority(tmp_path)
    shown = handshake(made.context(host), tmp_path / "ca.pem", host)
    assert len(shown["subjectAltName"]) == 1  # type: ignore[arg-type]
    assert made.context(host) is made.context(host)


def test_a_client_that_asks_for_another_is_cut_off(tmp_path: Path) -> None:
    made = authority(tmp_path)
    with pytest.raises(ssl.SSLError):
        handshake(made.context("api.shop.example"), tmp_path / "ca.pem", "evil.example")


def test_certificates_are_made_anew_and_few_are_kept(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    made = authority(tmp_path)
    later = InspectionAuthority(made.certificate, made._key, lambda: now)
    first = later.context("a.example")
    now += timedelta(days=2)
    second = later.context("a.example")
    assert second is not first
    for number in range(600):
        later._kept[f"{number}.example"] = (now, first)
    later.context("b.example")
    assert len(later._kept) <= 601


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    authority(tmp_path)
    os.chmod(tmp_path / "ca.key", 0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        authority(tmp_path)
    os.unlink(tmp_path / "ca.key")
    with pytest.raises(ConfigError, match="is not the certificate of"):
        authority(tmp_path)
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match="no certificate in PEM form"):
        authority(tmp_path)
    (tmp_path / "ca.key").write_text("bm90aGluZw==\n")
    with pytest.raises(ConfigError, match="not a key as remit egress ca writes it"):
        authority(tmp_path)
    (tmp_path / "ca.key").unlink()
    (tmp_path / "ca.pem").unlink()
    (tmp_path / "ca.pem").mkdir()
    with pytest.raises(ConfigError, match="cannot be read or written"):
        authority(tmp_path)
