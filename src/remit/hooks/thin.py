"""``remit hook NAME``: one question of a host, passed on to a server, and its answer printed.

It ends with valid JSON on standard output whatever happens: in time, before the host's own patience
ends, and with a refusal when anything is wrong. It is started for every tool call, so it imports
next to nothing: not even ``json`` and ``socket``, which take as long as the interpreter itself.
Only where no server runs it loads the rest of Remit (``embedded``).
"""

# What ``signal`` and ``socket`` are made of; those add enumerations and conveniences to it.
import _signal as signal  # type: ignore[import-not-found]
import _socket as sockets
import os
import sys

from remit.hooks import answers

PATIENCE = 10.0
"""Seconds in which a server must have answered, on top of the time that it waits for people."""
ALONE = 20.0
"""The same where no server runs: starting takes its time."""
MOST = 16 * 1024 * 1024
"""Bytes of a question, and of an answer."""
_BLOCK = 2
"""The exit code that hosts take for a refusal."""
_OPTIONS = ("event", "agent", "user", "policy", "socket", "connect", "key-file", "wait", "trigger")
_TOLD = ("event", "agent", "user", "wait", "trigger")
"""Those that a server is told."""
_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_ANEW = "Write the hooks anew: remit hooks install."


class HookFaultError(Exception):
    """Why no answer could be had: what happened, and what to do next."""


def main(arguments: list[str]) -> int:
    """Answer one question of a host.

    Args:
        arguments: what follows ``remit hook``: the host's name and the options.
    """
    host = arguments[0] if arguments[:1] and arguments[0] in answers.EVENTS else ""
    event = _event(host, arguments)
    try:
        options = read_options(arguments)
        _alarm(host, event, float(options.get("wait", "0")) + ALONE)
        written = _answered(host, options)
    except BaseException as fault:  # noqa: BLE001 - whatever it is, the tool must not run
        return _refuse(host, event, _said(fault))
    _write(written)
    return 0


def _event(host: str, arguments: list[str]) -> str:
    """The event that is asked about; where that is not said, the one with the strictest refusal."""
    known = answers.EVENTS.get(host, {"": ""})
    at = arguments.index("--event") + 1 if "--event" in arguments else len(arguments)
    said = arguments[at] if at < len(arguments) else ""
    return said if said in known else next(iter(known))


def read_options(arguments: list[str]) -> dict[str, str]:
    """The options by name.

    Raises:
        HookFaultError: they are not what ``remit hooks install`` writes.
    """
    host, rest = (arguments[0] if arguments else ""), arguments[1:]
    if host not in answers.EVENTS:
        known = ", ".join(answers.EVENTS)
        raise HookFaultError(f"remit hook {host}: there is no such host; one of {known}.")
    options: dict[str, str] = {}
    while rest:
        name = rest[0].removeprefix("--")
        if name not in _OPTIONS or not rest[0].startswith("--") or len(rest) < 2:
            raise HookFaultError(f"remit hook: {rest[0]} is not understood. {_ANEW}")
        options[name], rest = rest[1], rest[2:]
    if options.get("event") not in answers.EVENTS[host]:
        raise HookFaultError(f"remit hook: --event is missing or unknown. {_ANEW}")
    if not options.get("agent"):
        raise HookFaultError(f"remit hook: --agent is missing. {_ANEW}")
    wait = options.get("wait", "0")
    if not (wait.isdigit() and int(wait) <= 60):
        raise HookFaultError(f"remit hook: --wait is between 0 and 60 seconds. {_ANEW}")
    return options


def _answered(host: str, options: dict[str, str]) -> bytes:
    payload = _payload()
    if "connect" in options:
        return _from_server(options["connect"], host, payload, options)
    socket = options.get("socket")
    if socket is not None and _listens(socket):
        return _from_server(f"unix://{socket}", host, payload, options)
    if "policy" not in options:
        raise HookFaultError(f"remit hook: neither a server nor a policy is named. {_ANEW}")
    from remit.hooks.embedded import answer

    return answer(host, payload, options)


def _payload() -> bytes:
    """What the host asks, from standard input. Whoever decides reads it strictly.

    Raises:
        HookFaultError: it is empty or too large, or no JSON at first sight.
    """
    given = sys.stdin.buffer.read(MOST + 1)
    if len(given) > MOST:
        raise HookFaultError(f"The host's question is larger than {MOST:,} bytes.")
    if not given.lstrip().startswith(b"{") or b"\0" in given:
        raise HookFaultError("The host's question is no JSON object, so nothing was decided.")
    return given


def _listens(path: str) -> bool:
    """Whether a server is at the socket. Only where there certainly is none, nobody is asked."""
    asking = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        asking.settimeout(1.0)
        asking.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        asking.close()
    return True


def _from_server(url: str, host: str, payload: bytes, options: dict[str, str]) -> bytes:
    told = "&".join(f"{name}={_quoted(options[name])}" for name in _TOLD if name in options)
    target = f"/hooks/{host}?{told}"
    status, mark, body = _post(url, target, payload, options)
    if status == 409 and mark == b"paths":
        # The policy looks at real paths: they are those of this machine. Neither JSON nor a path
        # has a zero byte in it.
        wanted = body.split(b"\0")
        real = [os.fsencode(os.path.realpath(os.fsdecode(path))) for path in wanted]
        both = b"\0".join(part for pair in zip(wanted, real, strict=True) for part in pair)
        status, mark, body = _post(url, target, payload + b"\0" + both, options)
    if status == 200 and mark == b"answer" and body[:1] == b"{" and body[-1:] == b"}":
        return body
    raise HookFaultError(f"The server at {url} did not decide ({status}): {_detail(body)}")


def _quoted(text: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in text.encode())


def _detail(body: bytes) -> str:
    """What a problem document says of the reason."""
    import json

    try:
        return str(json.loads(body)["detail"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "it did not say why, or it is no server of Remit."


def _post(url: str, target: str, body: bytes, options: dict[str, str]) -> tuple[int, bytes, bytes]:
    """Status, mark and body of the answer to one request."""
    head = [f"POST {target} HTTP/1.1", "Connection: close"]
    if "key-file" in options:
        with open(options["key-file"], encoding="ascii") as file:
            head.append(f"Authorization: Bearer {file.read().strip()}")
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    try:
        return _exchanged(url, head, body, PATIENCE + int(options.get("wait", "0")))
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise HookFaultError(
            f"The server at {url} does not answer ({why}); without it nothing runs. "
            "Start it (remit serve), or have a person do that."
        ) from None


def _exchanged(url: str, head: list[str], body: bytes, patience: float) -> tuple[int, bytes, bytes]:
    """Send a request, and read the answer to its end."""
    place, name = _connected(url, patience)
    try:
        request = "\r\n".join([head[0], f"Host: {name}", *head[1:], "", ""])
        place.sendall(request.encode() + body)
        answer = bytearray()
        while part := place.recv(65_536):
            answer += part
            if len(answer) > MOST:
                raise ValueError("its answer is too long")
    finally:
        place.close()
    return _parsed(bytes(answer))


def _connected(url: str, patience: float) -> tuple[sockets.socket, str]:
    """A connection, and the name to ask for.

    Raises:
        OSError: nobody is there, or not who should.
        ValueError: it is no such address.
    """
    if url.startswith("unix://"):
        place = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        place.settimeout(patience)
        place.connect(url[7:])
        return place, "localhost"
    if not url.startswith("http://"):
        from remit.client import read_endpoint

        endpoint = read_endpoint(url)
        opened = endpoint.connect(patience)
        opened.settimeout(patience)
        return opened, endpoint.authority
    name = url[7:].rstrip("/")
    server, _, port = name.rpartition(":")
    family = sockets.AF_INET6 if server.startswith("[") else sockets.AF_INET
    place = sockets.socket(family, sockets.SOCK_STREAM)
    place.settimeout(patience)
    place.connect((server.strip("[]"), int(port)))
    return place, name


def _parsed(answer: bytes) -> tuple[int, bytes, bytes]:
    """Status, mark and body of an answer that was read until the connection ended."""
    top, blank, body = answer.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    words = first.split(b" ")
    if not blank or words[0] != b"HTTP/1.1" or len(words) < 2:
        raise ValueError("what came is no HTTP answer")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(b":") for x in lines)}
    if int(headers.get(b"content-length", -1)) != len(body):
        raise ValueError("its answer broke off")
    return int(words[1]), headers.get(b"remit-hook", b""), body


def _alarm(host: str, event: str, seconds: float) -> None:
    """Refuse when time is up, whatever this process is doing then."""

    def ring(number: int, frame: object) -> None:
        _refuse(host, event, f"Remit did not decide within {seconds:.0f} seconds.")
        os._exit(0)

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _refuse(host: str, event: str, reason: str) -> int:
    """Print the refusal; the exit code."""
    if not host:
        sys.stderr.write(f"{reason}\n")
        return _BLOCK
    import json

    _write(json.dumps(answers.refused(host, event, reason)).encode())
    return 0


def _said(fault: BaseException) -> str:
    if isinstance(fault, HookFaultError):
        return str(fault)
    return f"Remit failed, so nothing was decided ({type(fault).__name__}: {str(fault)[:500]})."


def _write(text: bytes) -> None:
    while text:
        text = text[os.write(1, text) :]
