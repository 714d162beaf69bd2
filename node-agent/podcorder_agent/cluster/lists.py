"""A list of the API server, read object by object: parsed as a whole, the pods of one node can take more memory than
the agent may.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any

from podcorder_agent.cluster.errors import Unavailable

LONGEST_OBJECT = 1 << 24
"""Characters: far more than etcd stores of one object."""

_decoder = json.JSONDecoder()
_AFTER_VALUE = ",:]} \t\r\n"
_space = re.compile(r"[ \t\r\n]*")


class ListReader:
    """The objects first, then the version of the whole. Raises Unavailable for what is no list of the API server."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.resource_version = ""
        """Once all objects are read: a watch from here on misses nothing."""
        self._text = _Text(chunks)

    def __iter__(self) -> Iterator[Any]:
        text = self._text
        for name in text.read_names():
            if name == "items" and text.peek() == "[":
                yield from text.read_elements()
            else:
                value = text.read_value()
                if name == "metadata" and isinstance(value, dict):
                    self.resource_version = str(value.get("resourceVersion", ""))


class _Text:
    """JSON that comes in chunks, of which no more is kept than one value."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._text = ""
        self._at = 0

    def read_names(self) -> Iterator[str]:
        """The names of an object's members; whoever is given one reads the value."""
        self._take("{")
        while self.peek() != "}":
            name = str(self.read_value())
            self._take(":")
            yield name
            if self.peek() != "}":
                self._take(",")
        self._take("}")

    def read_elements(self) -> Iterator[Any]:
        """The values of an array."""
        self._take("[")
        while self.peek() != "]":
            yield self.read_value()
            if self.peek() != "]":
                self._take(",")
        self._take("]")

    def read_value(self) -> Any:
        self.peek()
        while True:
            try:
                value, end = _decoder.raw_decode(self._text, self._at)
            except (ValueError, RecursionError):
                end = len(self._text)
            # Of a number cut in two the first half is a number as well.
            if end < len(self._text) and self._text[end] in _AFTER_VALUE:
                self._at = end
                return value
            self._read_on()

    def peek(self) -> str:
        """The next character that is not white space."""
        while True:
            match = _space.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            self._read_on()

    def _take(self, expected: str) -> None:
        if self.peek() != expected:
            raise Unavailable(0, f"the answer is no list: {self._text[self._at : self._at + 80]!r}")
        self._at += 1

    def _read_on(self) -> None:
        """At least as much again as there is: a long value is not tried with every chunk."""
        self._text = self._text[self._at :]
        self._at = 0
        if len(self._text) > LONGEST_OBJECT:
            raise Unavailable(0, f"an object of a list is longer than {LONGEST_OBJECT} characters, or no JSON")
        wanted = 2 * len(self._text) + 1
        parts = [self._text]
        while (length := sum(map(len, parts))) < wanted:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(self._decode(chunk))
        if length == len(self._text):
            raise Unavailable(0, "the answer ends in the middle of a list, or is no JSON")
        self._text = "".join(parts)
