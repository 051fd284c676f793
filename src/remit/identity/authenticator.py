"""Who calls: from what a request shows of its caller to an ``Identity``, or a refusal.

One request shows one credential. A request with an ``Authorization`` header stands or falls with
it; only without one does the client certificate count, and only without either the user at the
other end of the Unix socket. A credential that is bad never falls back to a weaker one.

No I/O but what ``open`` reads at start: credentials are looked up through a function, and token
keys are brought by whoever can fetch (``rings``).
"""

from __future__ import annotations

from collections.abc import Mapping

from remit.credentials import CredentialId
from remit.errors import AuthenticationError
from remit.identity import keys
from remit.identity.certificates import identify_certificate, spiffe_id
from remit.identity.delegation import PREFIX as DELEGATION_PREFIX
from remit.identity.delegation import DelegationRoot
from remit.identity.jwks import KeyRing
from remit.identity.keys import Lookup
from remit.identity.model import Identity, RequestFacts
from remit.identity.peers import PeerDirectory
from remit.identity.settings import IdentitySettings
from remit.identity.tokens import TokenVerifier
from remit.model import Principal

CHALLENGE = 'Bearer realm="remit"'
"""``WWW-Authenticate`` of every 401 (RFC 6750, section 3)."""
_MAX_USES = 4096


class Authenticator:
    """Finds out who calls."""

    def __init__(
        self,
        settings: IdentitySettings,
        *,
        root: DelegationRoot,
        rings: Mapping[str, KeyRing],
        peers: PeerDirectory,
    ) -> None:
        self.settings = settings
        self.root = root
        self.rings = rings
        self._peers = peers
        self._tokens = TokenVerifier(settings.issuers, rings)
        self._uses: dict[CredentialId, int] = {}

    @classmethod
    def open(cls, settings: IdentitySettings) -> Authenticator:
        """Get everything ready that settings name.

        The keys of issuers are empty until somebody loads them.

        Raises:
            ConfigError: a user does not exist, or the root key of delegation cannot be used.
        """
        return cls(
            settings,
            root=DelegationRoot.open_or_create(settings.delegation_key),
            rings={
                issuer.name: KeyRing(issuer.jwks_url or str(issuer.jwks_file))
                for issuer in settings.issuers
            },
            peers=PeerDirectory(settings.peers),
        )

    def authenticate(self, facts: RequestFacts, lookup: Lookup, now: int) -> Identity:
        """Whose request it is.

        Args:
            facts: What the request shows.
            lookup: A stored credential by its id, or None.
            now: Nanoseconds since the epoch.

        Raises:
            AuthenticationError: nobody's who is known; ``refresh`` names a token issuer whose
                keys, loaded anew into ``rings``, might change that.
        """
        if len(facts.authorization) > 1:
            raise AuthenticationError("Send one Authorization header, not several.")
        if facts.authorization:
            return self._bearer(_bearer_token(facts.authorization[0]), lookup, now)
        if facts.transport == "tls" and facts.certificate is not None:
            name = spiffe_id(facts.certificate, now)
            return identify_certificate(name, self.settings.certificates)
        if facts.transport == "unix" and facts.peer is not None:
            return self._peers.identify(facts.peer)
        raise AuthenticationError(
            "Say who you are: send the header 'Authorization: Bearer', with an API key or a token."
        )

    def take_uses(self) -> Mapping[CredentialId, int]:
        """API keys used since the last call, and when (ns), for ``keys.record_uses``."""
        uses, self._uses = self._uses, {}
        return uses

    def _bearer(self, token: str, lookup: Lookup, now: int) -> Identity:
        if token.startswith(keys.PREFIX):
            return self._key(token, lookup, now)
        if token.startswith(DELEGATION_PREFIX):
            identity = self.root.identify(token, lookup, now)
            self._used(CredentialId(identity.credential.removeprefix("delegation:")), now)
            return identity
        return self._tokens.identify(token, now)

    def _key(self, token: str, lookup: Lookup, now: int) -> Identity:
        credential = keys.check_key(token, lookup, now)
        self._used(credential.id, now)
        return Identity(
            principal=Principal(
                id=credential.principal, kind=credential.kind, known="authenticated"
            ),
            rights=frozenset(credential.rights),
            credential=f"key:{credential.id}",
            agents=credential.agents,
        )

    def _used(self, credential_id: CredentialId, now: int) -> None:
        if credential_id in self._uses or len(self._uses) < _MAX_USES:
            self._uses[credential_id] = now


def _bearer_token(header: str) -> str:
    """The token of ``Authorization: Bearer <token>`` (RFC 6750, section 2.1)."""
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationError("The Authorization header must read: Bearer, and the credential.")
    return token.strip(" ")
