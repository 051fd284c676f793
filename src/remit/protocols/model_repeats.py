"""Events of a stream that are all alike but for one text, told without reading them.

Models say a word an event, and everything around the word is the same bytes each time. Once such
an event was read and found to hold nothing but text, another one with the same bytes around another
text holds nothing else either: the text is one JSON string, which cannot end early because there is
neither a quote nor a backslash in it.
"""

from __future__ import annotations

_MOST_IN_VAIN = 8


class RepeatedText:
    """What is around the text of an event that was read."""

    __slots__ = ("_head", "_key", "_tail", "_vain")

    def __init__(self, key: str) -> None:
        """Know nothing yet.

        Args:
            key: name of the member that is the text.
        """
        self._key = f'"{key}"'.encode()
        self._head = self._tail = b""
        self._vain = 0

    def learn(self, data: bytes, text: str) -> None:
        """Take note of an event with this text, if it is the only member of its name.

        Some providers say something else around each word: after a few of those nothing is learnt.
        """
        if self._vain == _MOST_IN_VAIN:
            return
        self._vain += 1
        self._head = self._tail = b""
        plain = text.encode()
        if data.count(self._key) != 1 or not _is_plain(text):
            return
        place = data.index(self._key) + len(self._key)
        begin = data.find(b'"', place) + 1
        between, end = data[place : begin - 1], begin + len(plain)
        if between.strip() == b":" and data[begin:end] == plain and data[end : end + 1] == b'"':
            self._head, self._tail = data[:begin], data[end:]

    def size(self, data: bytes) -> int:
        """UTF-8 bytes of the text of such an event; 0: there is none, or it may be another one."""
        head, tail = self._head, self._tail
        if not (head and data.startswith(head) and data.endswith(tail)):
            return 0
        if len(data) < len(head) + len(tail):
            return 0
        plain = data[len(head) : len(data) - len(tail)]
        try:
            text = plain.decode()
        except UnicodeDecodeError:
            return 0
        if not _is_plain(text):
            return 0
        self._vain = 0
        return len(plain)


def _is_plain(text: str) -> bool:
    """Whether a JSON string with this text is written as the text itself."""
    return '"' not in text and "\\" not in text and text.isprintable()
