"""Changes of credentials, each with its record in the log: who gave which rights to whom.

The admin who can make keys could make one for any right, so what an admin does is recorded like
everything else. A record names credentials by their ids and holds no secret.
"""

from __future__ import annotations

from collections.abc import Sequence

from remit import ledger
from remit.audit.record import Record
from remit.credentials import Credential, CredentialId, Kind, Right
from remit.errors import InvalidRequest
from remit.identity import keys
from remit.identity.keys import IssuedKey
from remit.journal import Journal
from remit.model import Principal


def add_key(
    journal: Journal,
    by: Principal,
    *,
    principal: str,
    kind: Kind,
    rights: frozenset[Right],
    expires_at: int | None = None,
    agents: Sequence[str] = (),
    note: str = "",
    first: bool = False,
) -> IssuedKey:
    """Make a key, as ``by`` wants it.

    Args:
        journal: The transaction.
        by: Who makes it.
        principal: Whom it is for.
        kind: What the principal is.
        rights: What it may do with the key.
        expires_at: When it ends, nanoseconds since the epoch.
        agents: The agents that a service may act as.
        note: What it is for.
        first: Refuse if the principal has an active key already.

    Raises:
        InvalidRequest: the key cannot be made, and why.
    """
    held = [each for each in _active(journal, principal) if each.purpose == "key"]
    if first and held:
        raise InvalidRequest(
            f"{principal} has a key already ({held[0].id}). For another one: remit agents key "
            f"{principal}. To replace it: remit agents rotate {held[0].id}."
        )
    if any(each.kind != kind for each in held):
        raise InvalidRequest(f"{principal} is known as {held[0].kind} already, not as {kind}.")
    issued = keys.issue(
        journal.t,
        principal=principal,
        kind=kind,
        rights=rights,
        now=journal.now,
        entropy=journal.entropy,
        expires_at=expires_at,
        agents=agents,
        note=note,
    )
    _record(journal, "issued", issued.credential, by)
    return issued


def rotate_key(
    journal: Journal, by: Principal, credential_id: CredentialId, grace: int = 0
) -> IssuedKey | None:
    """Replace a key; the old one goes on for ``grace`` nanoseconds. None if there is none.

    Raises:
        InvalidRequest: it is not active.
    """
    issued = keys.rotate(
        journal.t, credential_id, now=journal.now, entropy=journal.entropy, grace=grace
    )
    if issued is not None:
        _record(journal, f"rotated {credential_id}; issued", issued.credential, by)
    return issued


def revoke_key(journal: Journal, by: Principal, credential_id: CredentialId) -> Credential | None:
    """Revoke a credential, as it was or as it is now. None if there is none."""
    before = journal.t.credential(credential_id)
    if before is None or before.revoked_at is not None:
        return before
    _record(journal, "revoked", before, by)
    return keys.revoke(journal.t, credential_id, journal.now)


def revoke_all(journal: Journal, by: Principal, principal: str) -> Sequence[Credential]:
    """Revoke every active key of a principal. Those that were revoked."""
    revoked = [revoke_key(journal, by, each.id) for each in _active(journal, principal)]
    return [each for each in revoked if each is not None]


def exchange_bootstrap(journal: Journal, secret: str, principal: str) -> IssuedKey:
    """Turn the bootstrap secret into the first admin's key.

    Raises:
        AuthenticationError: the secret is not valid.
        InvalidRequest: ``principal`` cannot be an id.
    """
    issued = keys.exchange(
        journal.t, secret, principal=principal, now=journal.now, entropy=journal.entropy
    )
    by = Principal(id=principal, kind="person", known="authenticated")
    _record(journal, "bootstrap secret used; issued", issued.credential, by)
    return issued


def _active(journal: Journal, principal: str) -> list[Credential]:
    known = journal.t.credentials()
    return [each for each in known if each.principal == principal and each.active(journal.now)]


def _record(journal: Journal, what: str, credential: Credential, by: Principal) -> None:
    rights = ", ".join(right.value for right in credential.rights)
    agents = f", as {', '.join(credential.agents[:20])}" if credential.agents else ""
    note = f"{what} {credential.id}: {credential.kind} {credential.principal} ({rights}){agents}"
    if journal.note is not None:
        note += f"; {journal.note}"
    journal.append(
        Record(at=journal.now // 1000, kind="credential", note=note, principal=ledger.chain(by))
    )
