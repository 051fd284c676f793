"""The parts of a server, joined: configuration -> policy, store, key, governor, callers."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable

from msgspec import Struct

from remit import __version__
from remit.api.frame import Parts
from remit.api.metrics import Metrics
from remit.api.state import PolicyInForce
from remit.config import Config, secret
from remit.errors import ConfigError
from remit.governor import Governor
from remit.guard.checkpoints import Checkpointer, check_log
from remit.guard.opening import PUBLIC_FILE, read_documents
from remit.identity.authenticator import Authenticator
from remit.identity.keys import first_admin
from remit.policy import load
from remit.server.authentication import Fetch, RequestAuthenticator
from remit.server.entropy import Entropy
from remit.signing import FileSigner, write_vkey
from remit.storage import Store
from remit.storage.fleet import Fleet
from remit.storage.opening import open_database
from remit.storage.sqlite import SqliteStore


class Assembled(Struct, frozen=True, kw_only=True):
    """What a server runs with."""

    parts: Parts
    callers: RequestAuthenticator
    invitation: str | None
    """A secret that makes the first admin, once; None where there is an admin."""


def assemble(config: Config, fetch: Fetch, clock: Callable[[], int] = time.time_ns) -> Assembled:
    """Join the parts that ``config`` names.

    Args:
        config: the settings.
        fetch: gives the document at a URL, for the keys of token issuers.
        clock: nanoseconds since the Unix epoch.

    Raises:
        ConfigError: a file or a key is missing or cannot be used.
        PolicyError: the policy is faulty; the error lists every fault.
        StoreError: the store cannot be opened.
        AuditError: the log in the store is not the one that was signed.
    """
    policies = PolicyInForce(load(read_documents(config.policy.path)))
    signer = _signer(config)
    authenticator = Authenticator.open(config.identity)
    store, entropy = _store(config), Entropy()
    fleet = None
    try:
        store.read(check_log)
        governor = Governor(policies=lambda: policies.current, clock=clock, entropy=entropy)
        store.write(governor.adopt)
        callers = RequestAuthenticator(authenticator, store, clock, fetch)
        fleet = _fleet(config, store, policies, clock)
        parts = Parts(
            config=config,
            store=store,
            governor=governor,
            policies=policies,
            checkpointer=Checkpointer(
                store, signer, config.signing.interval, lambda: fleet is None or fleet.leads
            ),
            authenticator=callers,
            clock=clock,
            entropy=entropy,
            measures=Metrics(store),
            fleet=fleet,
        )
        invitation = first_admin(store, now=clock(), entropy=entropy)
    except BaseException:
        if fleet is not None:
            fleet.close()
        store.close()
        raise
    return Assembled(parts=parts, callers=callers, invitation=invitation)


def _signer(config: Config) -> FileSigner:
    path = config.signing.key
    # The name is the log's origin; it tells the logs of two servers apart.
    signer = FileSigner.open_or_create(path, f"remit-{secrets.token_hex(8)}")
    public = path.with_name(PUBLIC_FILE)
    if not public.exists():
        write_vkey(public, signer.vkey)
    return signer


def _fleet(
    config: Config, store: Store, policies: PolicyInForce, clock: Callable[[], int]
) -> Fleet | None:
    """The fleet that this server joins, where its store is shared."""
    if config.store.url is None:
        return None
    from remit.storage.postgres import PostgresStore

    assert isinstance(store, PostgresStore)
    name = config.store.node or f"{socket.gethostname()}-{os.getpid()}"
    return store.join(name, __version__, lambda: (policies.current.revision, policies.fault), clock)


def _store(config: Config) -> Store:
    settings = config.store
    if settings.url is not None:
        password = secret("REMIT_STORE_PASSWORD")
        return open_database(settings.url, password, timeout=settings.timeout)
    path = settings.path
    try:
        return SqliteStore(path)
    except OSError as error:
        raise ConfigError(f"store.path: {path}: cannot be opened: {error.strerror}") from error
