"""``remit hook NAME``: one question of a host, passed on to a server, and its answer printed.

It ends with valid JSON on standard output whatever happens: in time, before the host's own patience
ends, and with a refusal when anything is wrong. It imports next to nothing, because it is started
for every tool call; only where no server runs it loads the rest of Remit (``embedded``).
"""

import json
import os
import signal
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
        written = _answered(host, event, options)
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


def _answered(host: str, event: str, options: dict[str, str]) -> bytes:
    payload = _payload()
    if "connect" in options:
        return _from_server(options["connect"], host, event, payload, options)
    socket = options.get("socket")
    if socket is not None and _listens(socket):
        return _from_server(f"unix://{socket}", host, event, payload, options)
    if "policy" not in options:
        raise HookFaultError(f"remit hook: neither a server nor a policy is named. {_ANEW}")
    from remit.hooks.embedded import answer

    return answer(host, payload, options)


def _payload() -> bytes:
    """What the host asks, from standard input.

    Raises:
        HookFaultError: it is no JSON object.
    """
    given = sys.stdin.buffer.read(MOST + 1)
    if len(given) > MOST:
        raise HookFaultError(f"The host's question is larger than {MOST:,} bytes.")
    try:
        if isinstance(json.loads(given), dict):
            return given
    except (ValueError, RecursionError):
        pass
    raise HookFaultError("The host's question is no JSON object, so nothing was decided.")


def _listens(path: str) -> bool:
    """Whether a server is at the socket. Only where there certainly is none, nobody is asked."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(1.0)
        try:
            asking.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _from_server(url: str, host: str, event: str, payload: bytes, options: dict[str, str]) -> bytes:
    told: dict[str, object] = {
        "event": event,
        **{name: options[name] for name in ("agent", "user", "trigger") if name in options},
        "wait": int(options.get("wait", "0")),
    }
    head = json.dumps(told).encode()[:-1] + b', "payload": ' + payload
    status, body = _post(url, host, head + b"}", options)
    if status == 409:
        # The policy looks at real paths: they are those of this machine.
        wanted = json.loads(body)["resolve"]
        resolved = {each: os.path.realpath(each) for each in wanted}
        ending = b', "resolved": ' + json.dumps(resolved).encode() + b"}"
        status, body = _post(url, host, head + ending, options)
    answered = json.loads(body)
    if status != 200 or not isinstance(answered, dict):
        detail = answered.get("detail") if isinstance(answered, dict) else None
        raise HookFaultError(
            f"The server at {url} did not decide ({status}): {detail or 'no reason'}"
        )
    return body


def _post(url: str, host: str, body: bytes, options: dict[str, str]) -> tuple[int, bytes]:
    patience = PATIENCE + int(options.get("wait", "0"))
    head = [f"POST /hooks/{host} HTTP/1.1", "Connection: close"]
    if "key-file" in options:
        with open(options["key-file"], encoding="ascii") as file:
            head.append(f"Authorization: Bearer {file.read().strip()}")
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    try:
        return _exchanged(url, head, body, patience)
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise HookFaultError(
            f"The server at {url} does not answer ({why}); without it nothing runs. "
            "Start it (remit serve), or have a person do that."
        ) from None


def _exchanged(url: str, head: list[str], body: bytes, patience: float) -> tuple[int, bytes]:
    """Send a request, and read the answer to its end."""
    if url.startswith("https:"):
        from remit.client import Transport, read_endpoint

        endpoint = read_endpoint(url)
        key = next((line[22:] for line in head if line.startswith("Authorization")), None)
        asked = Transport(endpoint, key, patience)
        answer = asked.ask("POST", head[0].split()[1], body, key=os.urandom(16).hex())
        return answer.status, answer.body
    import socket

    if url.startswith("unix://"):
        place, name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM), "localhost"
        place.settimeout(patience)
        place.connect(url[7:])
    else:
        name = url.removeprefix("http://").rstrip("/")
        server, _, port = name.rpartition(":")
        place = socket.create_connection((server.strip("[]"), int(port)), patience)
    with place:
        place.settimeout(patience)
        place.sendall("\r\n".join([head[0], f"Host: {name}", *head[1:], "", ""]).encode() + body)
        answer_bytes = bytearray()
        while part := place.recv(65_536):
            answer_bytes += part
            if len(answer_bytes) > MOST:
                raise ValueError("its answer is too long")
    return _parsed(bytes(answer_bytes))


def _parsed(answer: bytes) -> tuple[int, bytes]:
    """Status and body of an answer that was read until the connection ended."""
    top, blank, body = answer.partition(b"\r\n\r\n")
    first, *lines = top.split(b"\r\n")
    words = first.split(b" ")
    if not blank or words[0] != b"HTTP/1.1" or len(words) < 2:
        raise ValueError("what came is no HTTP answer")
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and int(value) == len(body):
            return int(words[1]), body
    raise ValueError("its answer broke off")


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
    _write(json.dumps(answers.refused(host, event, reason)).encode())
    return 0


def _said(fault: BaseException) -> str:
    if isinstance(fault, HookFaultError):
        return str(fault)
    return f"Remit failed, so nothing was decided ({type(fault).__name__}: {str(fault)[:500]})."


def _write(text: bytes) -> None:
    while text:
        text = text[os.write(1, text) :]
