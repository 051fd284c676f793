"""Delegation tokens: an agent's credential, narrowed offline by whoever holds it (biscuit).

The server mints a token for an API key; its first block says for which key and until when. A
holder appends blocks that restrict it further, without asking anybody, and hands it on: to a
sub-agent, a script, a job. The signatures chain the blocks, so none can be taken off again.

A block here is a list of checks of three forms, and nothing else is believed:

    check if tool("db.query") or tool($t), $t.starts_with("web.")
    check if session("s-1") or session("s-2")
    check if time($t), $t < 2030-01-01T00:00:00Z

A token whose blocks hold anything more (facts, rules, checks of another form, blocks that a third
party signed) is refused as a whole. So each block can be read as a ``Narrowing``, the token means
what all of them let through, and no block can widen it. No Datalog is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import reduce
from operator import and_
from pathlib import Path

from biscuit_auth import (
    Biscuit,
    BiscuitBuilder,
    BiscuitBuildError,
    BiscuitSerializationError,
    BiscuitValidationError,
    BlockBuilder,
    KeyPair,
    PrivateKey,
    PublicKey,
)

from remit import text
from remit.credentials import Credential, CredentialId, Right
from remit.errors import AuthenticationError, ConfigError, InvalidRequest
from remit.identity.keyfile import open_or_create
from remit.identity.model import Identity, Narrowing
from remit.model import Principal

PREFIX = "biscuit_"
MAX_TOKEN = 8_192
"""Characters."""
MAX_BLOCKS = 16
_NANOSECONDS = 1_000_000_000
_VERSION = "remit(1)"
_WORD = r'"([^"\\;\s]+)"'
_CREDENTIAL = re.compile(r'credential\("([a-z2-7]{16})"\)')
_TIME = re.compile(r"time\(\$(\w+)\), \$\1 < ([0-9]{4}(?:-[0-9]{2}){2}T(?:[0-9]{2}:){2}[0-9]{2}Z)")
_TOOL = re.compile(rf"tool\({_WORD}\)")
_TOOLS = re.compile(rf"tool\(\$(\w+)\), \$\1\.starts_with\({_WORD}\)")
_SESSION = re.compile(rf"session\({_WORD}\)")
_PLAIN = re.compile(r'[^"\\;\s]+')
_BROKEN = (BiscuitValidationError, BiscuitSerializationError, BiscuitBuildError, ValueError)

Lookup = Callable[[CredentialId], Credential | None]


class DelegationRoot:
    """The root key: mints tokens and checks them. Who has it can act as any agent."""

    def __init__(self, private: PrivateKey) -> None:
        self._private = private
        self._public = KeyPair.from_private_key(private).public_key

    @classmethod
    def open_or_create(cls, path: str | Path) -> DelegationRoot:
        """The root key in the file at ``path`` (mode 0600), made if there is none.

        Raises:
            ConfigError: it cannot be read or written, others may read it, or it is no key.
        """
        line = open_or_create(Path(path), lambda: str(KeyPair().private_key))
        try:
            return cls(PrivateKey(line))
        except ValueError:
            # The cause may quote the key: it must not reach a log.
            raise ConfigError(f"{path}: not a root key as Remit writes it") from None

    @property
    def public_key(self) -> str:
        """The public half, for whoever narrows tokens: ``ed25519/<hex>``."""
        return str(self._public)

    def mint(self, credential: Credential, narrowing: Narrowing) -> str:
        """A token that stands for an agent's API key, within ``narrowing``.

        Raises:
            InvalidRequest: the key is not an agent's, or the narrowing has no end or cannot be
                written down.
        """
        if not _is_agent(credential):
            raise InvalidRequest("Only the key of an agent can be delegated.")
        if narrowing.until is None:
            raise InvalidRequest("A delegation has an end; say until when it is good.")
        facts = f'{_VERSION};\ncredential("{credential.id}");\n'
        token = BiscuitBuilder(facts + _checks(narrowing)).build(self._private)
        return PREFIX + token.to_base64()

    def identify(self, token: str, lookup: Lookup, now: int) -> Identity:
        """Whose token it is, and what it is restricted to.

        It is good for as long as the API key that it was minted for is.

        Raises:
            AuthenticationError: it is not valid, has expired, or its key is not active.
        """
        credential_id, narrowing = self.read(token)
        if narrowing.until is None or now >= narrowing.until:
            raise AuthenticationError("The delegation token has expired; get a new one.")
        credential = lookup(credential_id)
        if credential is None or not credential.active(now) or not _is_agent(credential):
            raise AuthenticationError("The API key that was delegated is not active any more.")
        return Identity(
            principal=Principal(id=credential.principal, known="authenticated"),
            rights=frozenset({Right.AGENT}),
            credential=f"delegation:{credential.id}",
            narrowed=narrowing,
        )

    def read(self, token: str) -> tuple[CredentialId, Narrowing]:
        """The API key that a token was minted for, and all its restrictions together.

        Raises:
            AuthenticationError: a signature does not verify, or a block holds something else.
        """
        if not token.startswith(PREFIX) or len(token) > MAX_TOKEN:
            raise AuthenticationError("This is not a delegation token.")
        try:
            biscuit = Biscuit.from_base64(token.removeprefix(PREFIX), self._public)
        except _BROKEN:
            raise AuthenticationError("The delegation token's signatures do not verify.") from None
        count = biscuit.block_count()
        if count > MAX_BLOCKS:
            raise AuthenticationError(f"The delegation token has more than {MAX_BLOCKS} blocks.")
        if any(biscuit.block_external_key(index) is not None for index in range(count)):
            raise AuthenticationError("Blocks that a third party signed are not believed here.")
        first, *appended = (biscuit.block_source(index) for index in range(count))
        credential_id, checks = _authority(first)
        blocks = [_restrictions(checks), *(_restrictions(_statements(each)) for each in appended)]
        return credential_id, reduce(and_, blocks)

    def __repr__(self) -> str:
        return f"DelegationRoot({self.public_key})"


def attenuate(token: str, public_key: str, narrowing: Narrowing) -> str:
    """A narrower token made of ``token``: offline, without any secret. There is no way back.

    Args:
        token: A delegation token.
        public_key: Of the root key that minted it, as the server tells it: ``ed25519/<hex>``.
        narrowing: What the new token is restricted to, besides what ``token`` is.

    Raises:
        InvalidRequest: it is no token that can be narrowed, or the narrowing narrows nothing or
            cannot be written down.
    """
    checks = _checks(narrowing)
    if not checks:
        raise InvalidRequest("Name tools, sessions or an end to narrow the token to.")
    try:
        biscuit = Biscuit.from_base64(token.removeprefix(PREFIX), PublicKey(public_key))
        return PREFIX + biscuit.append(BlockBuilder(checks)).to_base64()
    except _BROKEN:
        raise InvalidRequest("This is not a delegation token that can be narrowed.") from None


def narrowing_of(
    *, tools: Sequence[str] = (), sessions: Sequence[str] = (), until: int | None = None
) -> Narrowing:
    """A narrowing as people write one. Empty means: not restricted in that.

    Args:
        tools: Tool names, or beginnings of names with a final ``*``; any one of them will do.
        sessions: Ids of sessions; any one of them will do.
        until: Nanoseconds since the epoch; kept to the second, rounded down.

    Raises:
        InvalidRequest: a pattern or an id cannot be written in a token.
    """
    patterns = tuple(dict.fromkeys(text.name(each) for each in tools))
    for pattern in patterns:
        if _PLAIN.fullmatch(pattern) is None or "*" in pattern[:-1]:
            raise InvalidRequest(
                f"{pattern!r}: a tool pattern has no blanks or quotes, and * only at its end."
            )
    for session in sessions:
        if _PLAIN.fullmatch(session) is None:
            raise InvalidRequest(f"{session!r} is not the id of a session.")
    return Narrowing(
        tools=(patterns,) if patterns else (),
        sessions=frozenset(sessions) if sessions else None,
        until=None if until is None else until - until % _NANOSECONDS,
    )


def _is_agent(credential: Credential) -> bool:
    return credential.kind == "agent" and Right.AGENT in credential.rights


def _checks(narrowing: Narrowing) -> str:
    """A narrowing in the three forms of check. The inverse of ``_restrictions``."""
    lines = [" or ".join(map(_tool_check, group)) for group in narrowing.tools]
    if narrowing.sessions is not None:
        lines.append(" or ".join(f'session("{each}")' for each in sorted(narrowing.sessions)))
    if narrowing.until is not None:
        moment = datetime.fromtimestamp(narrowing.until // _NANOSECONDS, UTC)
        lines.append(f"time($t), $t < {moment:%Y-%m-%dT%H:%M:%SZ}")
    if not all(lines):
        raise InvalidRequest("A narrowing that lets nothing through cannot be written down.")
    return "".join(f"check if {line};\n" for line in lines)


def _tool_check(pattern: str) -> str:
    if pattern.endswith("*"):
        return f'tool($t), $t.starts_with("{pattern[:-1]}")'
    return f'tool("{pattern}")'


def _statements(source: str) -> list[str]:
    return [line for line in source.split(";\n") if line]


def _authority(source: str) -> tuple[CredentialId, list[str]]:
    """What the first block says: only the root key's holder can have written it."""
    version, named, *checks = [*_statements(source), "", ""]
    credential = _CREDENTIAL.fullmatch(named)
    if version != _VERSION or credential is None:
        raise AuthenticationError("The delegation token is not of a kind that is known here.")
    return CredentialId(credential[1]), [check for check in checks if check]


def _restrictions(statements: Iterable[str]) -> Narrowing:
    """What the checks of a block let through together."""
    return reduce(and_, map(_restriction, statements), Narrowing())


def _restriction(statement: str) -> Narrowing:
    body = statement.removeprefix("check if ")
    if body != statement:
        time = _TIME.fullmatch(body)
        if time is not None:
            return Narrowing(until=_nanoseconds(time[2]))
        alternatives = body.split(" or ")
        sessions = [match[1] for each in alternatives if (match := _SESSION.fullmatch(each))]
        if len(sessions) == len(alternatives):
            return Narrowing(sessions=frozenset(sessions))
        tools = [pattern for each in alternatives if (pattern := _pattern(each)) is not None]
        if len(tools) == len(alternatives):
            return Narrowing(tools=(tuple(tools),))
    raise AuthenticationError(
        "The delegation token has a block with something other than the restrictions that are "
        f"known here: {statement[:100]!r}. Narrow it by tools, sessions or time only."
    )


def _pattern(alternative: str) -> str | None:
    exact = _TOOL.fullmatch(alternative)
    if exact is not None:
        # A name with a final * would read as a beginning: no tool is called that.
        return None if exact[1].endswith("*") else text.name(exact[1])
    beginning = _TOOLS.fullmatch(alternative)
    return None if beginning is None else f"{text.name(beginning[2])}*"


def _nanoseconds(moment: str) -> int:
    try:
        parsed = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise AuthenticationError(f"The delegation token has no such time: {moment}.") from None
    return int(parsed.timestamp()) * _NANOSECONDS
