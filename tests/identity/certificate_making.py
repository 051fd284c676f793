"""A small certificate authority for tests."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
NOW_NS = int(NOW.timestamp()) * 1_000_000_000
HOUR = dt.timedelta(hours=1)
_LEAF_USE = {"digital_signature": True}
_SIGNER_USE = {"key_cert_sign": True, "crl_sign": True}


def _usage(**used):
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})


class Authority:
    def __init__(self, name="corp.example"):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._make(
            self.name, self.key.public_key(), (), ca=True, use=_SIGNER_USE
        )

    def leaf(self, *uris, dns=(), ca=False, use=_LEAF_USE, names=True, start=-HOUR, end=HOUR):
        """A certificate (DER) and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = [x509.UniformResourceIdentifier(uri) for uri in uris]
        alternatives += [x509.DNSName(each) for each in dns]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
        made = self._make(
            subject,
            key.public_key(),
            alternatives if names else (),
            ca=ca,
            use=use,
            start=start,
            end=end,
        )
        return made.public_bytes(serialization.Encoding.DER), made, key

    def _make(self, subject, public, alternatives, *, ca, use, start=-HOUR, end=HOUR):
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW + start)
            .not_valid_after(NOW + end)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if use is not None:
            builder = builder.add_extension(_usage(**use), critical=True)
        if alternatives:
            builder = builder.add_extension(
                x509.SubjectAlternativeName(alternatives), critical=False
            )
        return builder.sign(self.key, hashes.SHA256())


def pem(thing):
    """A certificate or a key as PEM."""
    if isinstance(thing, x509.Certificate):
        return thing.public_bytes(serialization.Encoding.PEM)
    return thing.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
