"""XML and SOAP as JSON values. No document types, no entities, nothing from elsewhere. Pure."""

from __future__ import annotations

from typing import Any
from xml.parsers import expat

from msgspec import Struct

from remit.protocols.http_target import HttpFault

MAX_ELEMENTS = 10_000
MAX_DEPTH = 32
_SOAP = (
    "http://schemas.xmlsoap.org/soap/envelope/",
    "http://www.w3.org/2003/05/soap-envelope",
)


class SoapCall(Struct, frozen=True):
    """What a SOAP message asks for."""

    action: str
    """Name of the one element in its body, without namespace."""
    namespace: str
    arguments: dict[str, Any]


class _Element:
    __slots__ = ("children", "name", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text: list[str] = []
        self.children: list[tuple[str, Any]] = []


class _XmlReading:
    """One walk over a document; keeps the elements that are still open."""

    def __init__(self) -> None:
        self.root = _Element("")
        self.open = [self.root]
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.open) > MAX_DEPTH:
            raise _fault("it has too many elements, or too many within one another")
        element = _Element(name)
        element.children += [(f"@{_plain(key)}", value) for key, value in attributes.items()]
        self.open.append(element)

    def end(self, _: str) -> None:
        element = self.open.pop()
        self.open[-1].children.append((element.name, _value(element)))

    def data(self, text: str) -> None:
        self.open[-1].text.append(text)


def read_xml(raw: bytes) -> dict[str, Any]:
    """An XML document: elements and ``@attributes`` by name, texts as they are.

    Elements of a namespace have names like ``{urn:x}name``. Those that are there several times are
    lists. Text beside elements is under ``#text``.

    Raises:
        HttpFault: it is not XML in UTF-8, has a document type, or is too large.
    """
    reading = _XmlReading()
    parser = expat.ParserCreate("UTF-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.data
    parser.StartDoctypeDeclHandler = _doctype
    parser.ProcessingInstructionHandler = _instruction
    parser.XmlDeclHandler = _declared
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        raise _fault(f"it is not XML ({expat.ErrorString(error.code)})") from None
    return _grouped(reading.root.children)


def soap_call(document: dict[str, Any], action: str | None) -> SoapCall | None:
    """What a document asks for, if it is a SOAP message.

    Args:
        document: as ``read_xml`` gives it.
        action: the ``SOAPAction`` header, or the ``action`` of its media type, if there is one.

    Raises:
        HttpFault: it asks for several things, or the action names another one.
    """
    found = [space for space in _SOAP if f"{{{space}}}Envelope" in document]
    if not found:
        return None
    space = found[0]
    content = document[f"{{{space}}}Envelope"]
    body = content.get(f"{{{space}}}Body") if isinstance(content, dict) else None
    asked = [key for key in body if key[0] not in "@#"] if isinstance(body, dict) else []
    if not isinstance(body, dict) or len(asked) != 1 or isinstance(body[asked[0]], list):
        raise HttpFault("bad-soap", "Send a SOAP message with one element in its body.")
    namespace, name = _split(asked[0])
    head = content.get(f"{{{space}}}Header")
    for meant in (action, *_addressed(head if isinstance(head, dict) else {})):
        _same_action(meant, name)
    value = body[asked[0]]
    arguments = value if isinstance(value, dict) else {}
    return SoapCall(name, namespace, {_split(key)[1]: each for key, each in arguments.items()})


def _addressed(head: dict[str, Any]) -> list[Any]:
    """The actions that a header names (WS-Addressing), by which some servers go."""
    return [value for key, value in head.items() if _split(key)[1].lower() == "action"]


def _same_action(meant: Any, name: str) -> None:
    written = "" if meant is None else str(meant).strip().strip('"')
    if not written:
        return
    if not written.endswith(name) or written[: -len(name)][-1:].isalnum():
        raise HttpFault(
            "soap-action", f"The action is {written[:80]!a}, the body's {name[:80]!a}. Send one."
        )


def _value(element: _Element) -> Any:
    text = "".join(element.text)
    if not element.children:
        return text
    if text.strip():
        element.children.append(("#text", text.strip()))
    return _grouped(element.children)


def _grouped(children: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[Any]] = {}
    for name, value in children:
        found.setdefault(_plain(name), []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _plain(name: str) -> str:
    space, blank, local = name.rpartition(" ")
    return f"{{{space}}}{local}" if blank else name


def _split(name: str) -> tuple[str, str]:
    space, brace, local = name.rpartition("}")
    return (space[1:], local) if brace else ("", name)


def _doctype(*_: object) -> None:
    raise _fault("it has a document type; leave that out")


def _instruction(*_: object) -> None:
    raise _fault("it has a processing instruction; leave that out")


def _declared(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() != "utf-8":
        raise _fault("it is not in UTF-8")


def _fault(what: str) -> HttpFault:
    return HttpFault("bad-xml", f"The document was not passed on: {what}.")
