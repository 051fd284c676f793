"""``Guard``: the one object that a program needs to put its agents under governance."""

from __future__ import annotations

import atexit
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, overload

from remit.client import GovernorClient, Transport, read_endpoint
from remit.errors import ConfigError, InvalidRequest
from remit.guard.binding import ToolSignature
from remit.guard.checkpoints import Checkpointer, check_log
from remit.guard.enforcement import Enforcement
from remit.guard.local import LocalAuthority
from remit.guard.opening import KEY_FILE, PUBLIC_FILE, STORE_FILE, beside, read_documents
from remit.guard.permits import AsyncPermit, Permit
from remit.guard.remote import RemoteAuthority
from remit.guard.scope import SessionScope, current
from remit.guard.seam import Seam
from remit.guard.steps import run
from remit.guard.toolcalls import Tools, run_calls, run_calls_async
from remit.guard.wrapping import GovernedTool, govern
from remit.model import SessionId, TaskRemit
from remit.policy import PolicySet, load
from remit.signing import FileSigner, Signer, write_vkey
from remit.storage import Store
from remit.storage.sqlite import SqliteStore

P = ParamSpec("P")
R = TypeVar("R")

CHECKPOINT_INTERVAL = 5.0
"""Seconds of work after which the log is signed again."""


class Guard:
    """Governs the tools of agents in one process: decides, records, and only then lets them run.

    Open it with ``Guard.open``; it may be shared by any number of threads and event loops.
    """

    def __init__(
        self, enforcement: Enforcement, local: LocalAuthority | None, source: Path | None
    ) -> None:
        """Join the parts; programs call ``Guard.open`` or ``Guard.connect``."""
        self._enforcement = enforcement
        self._here = local
        self._source = source
        self._reloading = threading.Lock()
        self._open = True
        atexit.register(self.close)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        store: str | Path | Store | None = None,
        key: str | Path | Signer | None = None,
        wait: float = 0.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> Guard:
        """Open a guard on a policy.

        Args:
            path: the policy document, or a folder of them.
            store: the SQLite file (by default ``remit.db`` beside the policy), or a store that
                the caller opened and will close.
            key: the file of the key that signs the log (by default ``remit.key`` beside the
                policy; made when it is not there, with ``remit.pub`` for those who verify), or a
                signer.
            wait: seconds that a call waits for a person when it must be approved, before it
                raises ``ApprovalRequired``.
            clock: nanoseconds since the Unix epoch.

        Raises:
            ConfigError: there is no policy, or the key cannot be used.
            PolicyError: the policy is faulty; the error lists every fault.
            StoreError: the store cannot be opened.
            AuditError: the log in the store is not the one that was signed.
        """
        source = Path(path)
        policies = load(read_documents(source))
        signer = _signer(key, beside(source, KEY_FILE))
        opened, owned = _store(store, beside(source, STORE_FILE))
        try:
            opened.read(check_log)
            local = LocalAuthority(
                store=opened,
                owns_store=owned,
                policies=policies,
                clock=clock,
                checkpointer=Checkpointer(opened, signer, CHECKPOINT_INTERVAL),
            )
            local.adopt(policies)
        except BaseException:
            if owned:
                opened.close()
            raise
        return cls(Enforcement(local, wait=wait), local, source)

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        credential: str | Callable[[], str] | None = None,
        wait: float = 0.0,
        timeout: float = 10.0,
        ca: str | Path | None = None,
        certificate: str | Path | None = None,
        insecure_plain_http: bool = False,
    ) -> Guard:
        """Connect to a server (``remit serve``) that governs instead of this process.

        Policy, state, log and key are there. While the server does not answer, nothing runs:
        calls raise ``Unavailable`` with the reason ``governor-unavailable``. The connection is
        made, and made again, when it is needed.

        Args:
            url: ``http://host:port``, ``https://host:port`` or ``unix:///path``.
            credential: API key or token, or a function that gives it each time it is needed. None
                where the connection itself says who calls (Unix socket, client certificate).
            wait: seconds that a call waits for a person when it must be approved, before it
                raises ``ApprovalRequired``.
            timeout: seconds that the server may take for an answer.
            ca: for ``https``, a PEM file of the roots to believe instead of the system's.
            certificate: for ``https``, a PEM file with a client certificate and its key.
            insecure_plain_http: whether the credential may go to another machine without TLS.

        Raises:
            ConfigError: the URL, the credential or a file cannot be used.
        """
        endpoint = read_endpoint(
            url, ca=ca, certificate=certificate, insecure_plain_http=insecure_plain_http
        )
        client = GovernorClient(Transport(endpoint, credential, timeout), secrets.token_hex(8))
        return cls(Enforcement(RemoteAuthority(client), wait=wait), None, None)

    @property
    def policies(self) -> PolicySet:
        """The policy in force. It cannot be changed, only replaced by ``reload``.

        Raises:
            ConfigError: it is with a server.
        """
        return self._local.policies

    @property
    def store(self) -> Store:
        """Where state and the log live.

        Raises:
            ConfigError: they are with a server.
        """
        return self._local.store

    @property
    def enforcement(self) -> Enforcement:
        """What governs, for surfaces that are built on a guard."""
        return self._enforcement

    @property
    def _local(self) -> LocalAuthority:
        if self._here is None:
            raise ConfigError(
                "This guard is connected to a server, which keeps policy, state and log; ask it."
            )
        return self._here

    def reload(self) -> PolicySet:
        """Read the policy again and put it in force, from the next call on.

        Raises:
            ConfigError: it cannot be read, or is with a server. The policy in force stays.
            PolicyError: it is faulty. The policy in force stays.
            StoreError: it could not be recorded. The policy in force stays.
        """
        local = self._local
        assert self._source is not None
        with self._reloading:
            policies = load(read_documents(self._source))
            if policies.revision != local.policies.revision:
                local.adopt(policies)
        return local.policies

    @overload
    def tool(self, fn: Callable[P, R], /) -> Callable[P, R]: ...

    @overload
    def tool(
        self, /, *, name: str | None = None, injected: Sequence[str] = ()
    ) -> Callable[[Callable[P, R]], Callable[P, R]]: ...

    def tool(
        self,
        fn: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        injected: Sequence[str] = (),
    ) -> Callable[..., Any]:
        """Govern a function: ``@guard.tool`` or ``@guard.tool(name="db.query")``.

        The function keeps its kind (plain, async, generator, async generator), its signature and
        its documentation. Put this decorator innermost, so that no other one keeps the original.

        Args:
            fn: the function.
            name: the tool's name as policy sees it; by default the function's, for a method
                ``Class.method``.
            injected: parameters that the host fills in and policy does not see.
        """
        if fn is None:
            return lambda function: self.wrap(function, name=name, injected=injected)
        return self.wrap(fn, name=name, injected=injected)

    def wrap(
        self, fn: Callable[P, R], /, *, name: str | None = None, injected: Sequence[str] = ()
    ) -> Callable[P, R]:
        """Give the governed form of ``fn``, as ``tool`` does, and leave ``fn`` as it is.

        Raises:
            ConfigError: Python cannot read its signature, or ``injected`` names no parameter.
        """
        governed: Callable[P, R] = self._governed(fn, name, injected)
        return governed

    def _governed(self, fn: Any, name: str | None, injected: Sequence[str]) -> Any:
        if isinstance(fn, staticmethod | classmethod):
            return type(fn)(self._governed(fn.__func__, name, injected))
        signature = ToolSignature(fn, name=name, injected=injected)
        return govern(GovernedTool(self._enforcement, signature, fn), fn, signature.shown)

    def permit(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
    ) -> Permit:
        """Ask for one action that is done in a ``with`` block.

        Args:
            tool: the tool's name.
            arguments: all its arguments, by name, as JSON.
            context: facts for ``context.x`` in rules, over those of the session.

        Raises:
            InvalidArgument: the arguments or the context are not JSON.
        """
        return Permit(self._enforcement, tool, arguments, context)

    def permit_async(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        *,
        context: Mapping[str, Any] | None = None,
    ) -> AsyncPermit:
        """Ask for one action that is done in an ``async with`` block; as ``permit``.

        Raises:
            InvalidArgument: the arguments or the context are not JSON.
        """
        return AsyncPermit(self._enforcement, tool, arguments, context)

    def session(
        self,
        *,
        agent: str,
        user: str | None = None,
        intent: str | None = None,
        remit: TaskRemit | None = None,
        context: Mapping[str, Any] | None = None,
        trace: str | None = None,
        keep: bool = False,
    ) -> SessionScope:
        """Open a session for an agent, to be used in ``with`` or ``async with``.

        Inside another session of this guard this is delegation: an agent that is started by a
        tool acts on behalf of the agent that called the tool.

        Args:
            agent: the agent's name. One that the policy does not declare is denied everything.
            user: the person on whose behalf it acts.
            intent: what it was asked to do, in the user's words.
            remit: what the task needs: everything else is refused in this session and in those
                that it delegates to. It takes rights away and gives none.
            context: facts for ``context.x`` in rules.
            trace: W3C ``traceparent`` for the records.
            keep: leave the session open when the block ends, for ``resume``.

        Raises:
            InvalidRequest: another user inside a session, an unusable intent or remit, or
                delegation that goes too deep.
            Unavailable: the store did not answer.
        """
        outer = current(self._enforcement)
        if outer is not None and user not in (None, outer.user):
            raise InvalidRequest(
                f"{agent} would be started in a session of {outer.agent} (user {outer.user}) on "
                f"behalf of {user}. Leave that session first, or delegate without naming a user."
            )
        parent, person = (None, user) if outer is None else (outer.id, None)
        authority = self._enforcement.authority
        stored = run(authority.open_session(agent, person, intent, parent, remit))
        inherited = {} if outer is None else outer.context
        return SessionScope(
            self._enforcement,
            stored,
            context={**inherited, **(context or {})},
            trace=trace or (None if outer is None else outer.trace),
            keep=keep,
        )

    def resume(
        self,
        session: str,
        *,
        context: Mapping[str, Any] | None = None,
        trace: str | None = None,
    ) -> SessionScope:
        """Go on with a session by its id, in this or another process. Its end is up to ``end()``.

        Raises:
            InvalidRequest: there is no such session, or it has ended.
        """
        stored = run(self._enforcement.authority.session(SessionId(session)))
        if stored is None or stored.ended_at is not None:
            what = "there is no such session" if stored is None else "it has ended"
            raise InvalidRequest(f"session {session} cannot be resumed: {what}; open a new one")
        return SessionScope(self._enforcement, stored, context=context, trace=trace, keep=True)

    def seam(self, session: SessionScope | None = None) -> Seam:
        """What adapters of agent frameworks are made of; see ``remit.adapters``.

        Args:
            session: the session of calls that come from a context without one.
        """
        return Seam(self._enforcement, session)

    def run_tool_calls(self, reply: Any, tools: Tools) -> list[dict[str, Any]]:
        """Run the calls that a model asks for in one reply; give the messages that answer them.

        Args:
            reply: what the OpenAI SDK (Chat Completions, Responses) or the Anthropic SDK gave.
            tools: the functions that the model may call, by the names that it knows.

        Raises:
            InvalidRequest: the reply cannot be read, or a tool is async.
        """
        return run_calls(self.seam(), reply, tools)

    async def run_tool_calls_async(self, reply: Any, tools: Tools) -> list[dict[str, Any]]:
        """``run_tool_calls`` for an event loop: tools may be async, calls run at the same time.

        Raises:
            InvalidRequest: the reply cannot be read.
        """
        return await run_calls_async(self.seam(), reply, tools)

    def close(self) -> None:
        """Record what could not be recorded before, sign the log, and release the store.

        A second call does nothing. A guard that is not closed is closed when the program ends.

        Raises:
            Unavailable: an outcome could still not be recorded.
            AuditError: the log is not the one that was signed before.
            ConfigError: the log could not be signed.
            StoreError: the store failed.
        """
        with self._reloading:
            was_open, self._open = self._open, False
        if not was_open:
            return
        atexit.unregister(self.close)
        enforcement = self._enforcement
        problems: list[Exception] = []
        steps: tuple[Callable[[], None], ...] = (
            lambda: run(enforcement.recover_all()),
            enforcement.authority.close,
        )
        for step in steps:
            try:
                step()
            except Exception as problem:  # noqa: BLE001 - raised below, once all is done
                problems.append(problem)
        for other in problems[1:]:
            problems[0].add_note(str(other))
        if problems:
            raise problems[0]

    def __enter__(self) -> Guard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _signer(key: str | Path | Signer | None, default: Path) -> Signer:
    if key is not None and not isinstance(key, str | Path):
        return key
    path = Path(key or default)
    # The name is the log's origin; it tells the logs of two guards apart.
    signer = FileSigner.open_or_create(path, f"remit-{secrets.token_hex(8)}")
    public = path.with_name(PUBLIC_FILE)
    if not public.exists():
        write_vkey(public, signer.vkey)
    return signer


def _store(store: str | Path | Store | None, default: Path) -> tuple[Store, bool]:
    if store is None or isinstance(store, str | Path):
        try:
            return SqliteStore(Path(store or default)), True
        except OSError as error:
            raise ConfigError(f"{store or default}: the store cannot be opened: {error}") from error
    return store, False
