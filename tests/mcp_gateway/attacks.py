"""Messages that mean one thing to a check and another to a server. None may reach the server.

``danger`` is forbidden, ``safe`` and every other tool is allowed. Each attack is a body, and what
it changes of the headers; ``seen_through`` says that even a naive gateway stops it.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, field

SAFE = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {"name": "safe", "arguments": {"text": "a"}},
}
DANGER = {
    "jsonrpc": "2.0",
    "id": 8,
    "method": "tools/call",
    "params": {"name": "danger", "arguments": {}},
}
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "attack", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Attack:
    """One attempt."""

    name: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    seen_through: bool = False
    stdio: bool = True
    """Whether it can be made over stdio, where there are no headers and a line is a message."""


def text(message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()


def call(params: str, method: str = '"method":"tools/call"') -> bytes:
    """A request with these bytes for params."""
    return f'{{"jsonrpc":"2.0","id":9,{method},"params":{params}}}'.encode()


def named(name: str) -> bytes:
    return text({**DANGER, "params": {"name": name, "arguments": {}}})


def modern(name: str, *, header: str | None, method: str | None = "tools/call") -> Attack:
    """A request of the stateless era whose headers say something else than its body."""
    body = text({**DANGER, "params": {"name": name, "arguments": {}, "_meta": META}})
    headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Session-Id": ""}
    headers |= {"Mcp-Name": header} if header is not None else {}
    headers |= {"Mcp-Method": method} if method is not None else {}
    label = f"modern: body {name}, headers {method} {header}"
    return Attack(label, body, headers, stdio=False, seen_through=name == "danger")


BATCHES = [
    Attack("batch: safe, then danger", text([SAFE, DANGER])),
    Attack("batch of one", text([DANGER])),
    Attack("batch in a batch", text([[DANGER]])),
    Attack(
        "batch with a notification", text([{"jsonrpc": "2.0", "method": "notifications/x"}, DANGER])
    ),
    Attack("two messages in one body", text(SAFE) + text(DANGER)),
    Attack("two messages, a form feed between", text(SAFE) + b"\x0c" + text(DANGER)),
    Attack("two lines", text(SAFE) + b"\n" + text(DANGER), stdio=False),
    Attack("two lines, carriage return", text(SAFE) + b"\r" + text(DANGER)),
    Attack(
        "a message inside a string, line separators",
        call(
            '{"name":"safe","arguments":{"text":"\u2028'
            + text(DANGER).decode().replace('"', '\\"')
            + '\u2028"}}'
        ),
        seen_through=True,
    ),
]
DUPLICATES = [
    Attack("name twice, safe first", call('{"name":"safe","name":"danger"}'), seen_through=True),
    Attack("name twice, danger first", call('{"name":"danger","name":"safe"}')),
    Attack("name twice, once escaped", call('{"n\\u0061me":"danger","name":"safe"}')),
    Attack("name in another case", call('{"name":"safe","Name":"danger"}')),
    Attack("name in another width", call('{"name":"safe","ｎame":"danger"}')),
    Attack("params twice", call('{"name":"danger"},"params":{"name":"safe"}')),
    Attack(
        "method twice, call first",
        call('{"name":"danger"}', '"method":"tools/call","method":"ping"'),
    ),
    Attack(
        "method twice, call last",
        call('{"name":"danger"}', '"method":"ping","method":"tools/call"'),
        seen_through=True,
    ),
    Attack("method in another case", call('{"name":"danger"}', '"Method":"tools/call"')),
    Attack("method in capitals", call('{"name":"danger"}', '"method":"Tools/Call"')),
    Attack("method with a blank", call('{"name":"danger"}', '"method":"tools/call "')),
]
DISGUISES = [
    Attack(
        "a notification", text({k: v for k, v in DANGER.items() if k != "id"}), seen_through=True
    ),
    Attack("a request that is a response too", text({**DANGER, "result": {}}), seen_through=True),
    Attack(
        "a request that is an error too", text({**DANGER, "error": {"code": 1}}), seen_through=True
    ),
    Attack(
        "no version", text({k: v for k, v in DANGER.items() if k != "jsonrpc"}), seen_through=True
    ),
    Attack("an id that is a list", text({**DANGER, "id": [1]}), seen_through=True),
]
LOOKALIKES = [
    Attack("full-width letter", named("ｄanger")),
    Attack("mathematical letters", named("𝐝𝐚𝐧𝐠𝐞𝐫")),
    Attack("zero-width space", named("dan\u200bger")),
    Attack("soft hyphen", named("dan\u00adger")),
    Attack("byte order mark", named("\ufeffdanger")),
    Attack("direction mark", named("danger\u200e")),
    Attack("capitals", named("DANGER")),
    Attack("blank at the end", named("danger ")),
    Attack("NUL at the end", text({**DANGER, "params": {"name": "danger\x00"}})),
    Attack("escaped letter", call('{"name":"\\u0064anger"}'), seen_through=True),
]
ENCODINGS = [
    Attack("UTF-16", text(DANGER).decode().encode("utf-16"), stdio=False, seen_through=True),
    Attack(
        "UTF-16 without mark",
        text(DANGER).decode().encode("utf-16-be"),
        stdio=False,
        seen_through=True,
    ),
    Attack("UTF-32", text(DANGER).decode().encode("utf-32"), stdio=False, seen_through=True),
    Attack("byte order mark before", b"\xef\xbb\xbf" + text(DANGER), seen_through=True),
    Attack(
        "gzip",
        gzip.compress(text(DANGER)),
        {"Content-Encoding": "gzip"},
        stdio=False,
        seen_through=True,
    ),
    Attack("gzip, unannounced", gzip.compress(text(DANGER)), stdio=False),
    Attack(
        "gzip, said in another way",
        gzip.compress(text(DANGER)),
        {"Content-Encoding": "x-gzip"},
        stdio=False,
    ),
    Attack(
        "invalid UTF-8 before",
        b'{"jsonrpc":"2.0","x":"\xff","id":9,"method":"tools/call","params":{"name":"danger"}}',
        seen_through=True,
    ),
    Attack("comment", b"/* */" + text(DANGER)),
    Attack(
        "a number that is none", call('{"name":"danger","arguments":{"x":NaN}}'), seen_through=True
    ),
    Attack("garbage before", b"\x00" + text(DANGER)),
    Attack("garbage after", text(DANGER) + b"}"),
]
HEADERS = [
    modern("danger", header="safe"),
    modern("danger", header="safe", method="ping"),
    modern("danger", header=None),
    modern("safe", header="danger"),
    modern("safe", header="danger", method=None),
    modern("safe", header="=?base64?ZGFuZ2Vy?="),
    Attack(
        "old era, header of the new",
        text(SAFE),
        {"Mcp-Name": "danger", "Mcp-Method": "tools/call"},
        stdio=False,
    ),
]
LINES = [
    Attack(
        "a message on a line of its own",
        call(
            '{"uri":"test://x","x":\n' + text(DANGER).decode() + "\n}", '"method":"resources/read"'
        ),
        stdio=False,
        seen_through=True,
    ),
]
"""For an HTTP gateway before a stdio server, to which a line is a message."""
DEPTHS = [
    Attack(
        "deep before the name",
        call('{"x":' + "[" * 5000 + "]" * 5000 + ',"name":"danger"}'),
        seen_through=False,
    ),
    Attack(
        "a key a thousand times",
        call("{" + '"name":"safe",' * 1000 + '"name":"danger"}'),
        seen_through=True,
    ),
]
ATTACKS = [*BATCHES, *DUPLICATES, *DISGUISES, *LOOKALIKES, *ENCODINGS, *HEADERS, *LINES, *DEPTHS]
