"""``email(x)``: the mailbox and the domain of one e-mail address.

Only the plain form of RFC 5321 section 4.1.2 is read. Display names, lists, comments and quoted
local parts are refused, because mail programs disagree on which address they name.
"""

from __future__ import annotations

import re

from ada_url import idna_to_ascii
from msgspec import Struct

from remit.policy.readers import UnreadableValue, text_of
from remit.text import invisibles, normal

_LOCAL = re.compile(r"[\w#$&'*+/=?^`{|}~-]+(?:\.[\w#$&'*+/=?^`{|}~-]+)*")
_DOMAIN = re.compile(r"(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*"
                     r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # fmt: skip


class EmailReading(Struct, frozen=True, kw_only=True):
    """One address: ``local`` as written; ``domain`` in lower case and ASCII (punycode)."""

    local: str
    domain: str


def read(value: object) -> EmailReading:
    """Return the parts of the e-mail address ``value``.

    A domain in another script is given in its ASCII form (``xn--...``), so that it never equals
    the domain that it looks like.

    Raises:
        UnreadableValue: not a string, or not exactly one plain address.
    """
    text = text_of(value, "email")
    if len(text) > 320 or invisibles(text) or normal(text) != text:
        raise UnreadableValue("email(): not a plain address")
    local, at, domain = text.rpartition("@")
    if not at or len(local.encode("utf-8", "replace")) > 64 or not _LOCAL.fullmatch(local):
        raise UnreadableValue("email(): not one plain address of the form name@domain")
    try:
        ascii_domain = domain if domain.isascii() else idna_to_ascii(domain).decode()
    except (ValueError, UnicodeError):
        ascii_domain = ""
    ascii_domain = ascii_domain.lower()
    if not _DOMAIN.fullmatch(ascii_domain):
        raise UnreadableValue("email(): not a domain name after the @")
    return EmailReading(local=local, domain=ascii_domain)
