"""Client certificates with a SPIFFE id (X509-SVID).

The TLS layer has verified the chain and that the client holds the key; what is left here is to
read the one SPIFFE id of the leaf and to find whom it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from cryptography import x509

from remit.errors import AuthenticationError
from remit.identity.model import Identity
from remit.identity.names import check_principal_id, check_spiffe
from remit.identity.settings import CertificateRule
from remit.model import Principal


def spiffe_id(certificate: bytes, now: int) -> str:
    """The SPIFFE id of a client certificate (X509-SVID, sections 2 to 5).

    Args:
        certificate: DER, of a chain that the TLS layer has verified.
        now: Nanoseconds since the epoch.

    Raises:
        AuthenticationError: it is not the certificate of a workload, or not valid now. A
            connection outlives a certificate; this is asked for each request.
    """
    try:
        leaf = x509.load_der_x509_certificate(certificate)
        moment = datetime.fromtimestamp(now / 1e9, UTC)
        if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
            raise AuthenticationError("The client certificate is not valid now; get a new one.")
        if _signs_certificates(leaf):
            raise AuthenticationError("The client certificate is one that signs others.")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        if len(uris) != 1:
            raise ValueError("it must have exactly one URI name")
        return check_spiffe(uris[0])
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension) as fault:
        raise AuthenticationError(
            f"The client certificate names no workload by a SPIFFE id: {fault}."
        ) from None


def _signs_certificates(leaf: x509.Certificate) -> bool:
    for extension in leaf.extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            return True
        if isinstance(extension.value, x509.KeyUsage) and extension.value.key_cert_sign:
            return True
    return False


def identify_certificate(name: str, rules: Sequence[CertificateRule]) -> Identity:
    """Whom a SPIFFE id stands for. A rule with the whole id goes before one with ``/*``.

    Raises:
        AuthenticationError: for nobody.
    """
    parent, _, segment = name.rpartition("/")
    for wanted in (name, f"{parent}/*"):
        for rule in rules:
            if rule.spiffe == wanted:
                return _identity(name, rule, rule.principal or segment)
    raise AuthenticationError("The client certificate stands for nobody who is known here.")


def _identity(name: str, rule: CertificateRule, principal: str) -> Identity:
    return Identity(
        principal=Principal(
            id=check_principal_id(principal),
            kind=rule.kind,
            roles=rule.roles,
            team=rule.team,
            known="authenticated",
        ),
        rights=frozenset(rule.rights),
        credential=name,
        agents=rule.agents,
    )
