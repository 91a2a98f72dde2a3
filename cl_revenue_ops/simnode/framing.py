"""Cutting a byte stream into JSON objects, without trusting it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_MARKS = re.compile(rb'["\\{}\[\]]')
_BLANK = b" \t\r\n"


class NotJson(ValueError):
    """The stream holds something that cannot be a JSON object."""


def _no_number(word: str) -> None:
    """Python writes and reads NaN and Infinity; JSON has neither and lightningd refuses them."""
    raise ValueError(f"{word} is not JSON")


class Framer:
    """Feed bytes, get the complete JSON objects; keeps the rest for the next call."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._depth = 0
        self._in_text = False

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        """The objects that `data` completes, in order; NotJson at anything else.

        Consume it before the next call.
        """
        self._buffer += data
        while (end := self._object_end()) is not None:
            message = bytes(self._buffer[:end])
            del self._buffer[:end]
            self._scanned = 0
            try:
                value = json.loads(message, parse_constant=_no_number)
            except ValueError as wrong:
                raise NotJson(str(wrong)) from None
            yield value

    def _object_end(self) -> int | None:
        """Where the first complete object ends, or None if it is not complete."""
        if self._depth == 0:
            self._strip()
            if self._buffer and self._buffer[0] != ord("{"):
                raise NotJson(f"unexpected {bytes(self._buffer[:60])!r}")
        position = self._scanned
        while (match := _MARKS.search(self._buffer, position)) is not None:
            position = match.end()
            mark = match.group()
            if mark == b"\\" and self._in_text:
                if position == len(self._buffer):
                    position -= 1
                    break
                position += 1
            elif mark == b'"':
                self._in_text = not self._in_text
            elif not self._in_text and mark in b"{[":
                self._depth += 1
            elif not self._in_text and mark in b"}]":
                self._depth -= 1
                if self._depth == 0:
                    return position
        self._scanned = position if match is not None else len(self._buffer)
        return None

    def _strip(self) -> None:
        start = 0
        while start < len(self._buffer) and self._buffer[start] in _BLANK:
            start += 1
        del self._buffer[:start]
