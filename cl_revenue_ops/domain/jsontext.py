"""JSON as this program keeps it: compact, every float read back as it was written."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: object) -> str:
    """Return compact JSON of plain values; raise TypeError for anything else.

    Plain are None, bool, int within 64 bits, float, str, list, tuple, and dict with str keys. What
    JSON has no word for (NaN, infinity) becomes null.
    """
    return orjson.dumps(value).decode()


def loads(text: str | bytes | bytearray) -> Any:
    """Return the value; raise ValueError where the text is no JSON, nests too deeply or names NaN.

    A whole number beyond 64 bits comes back as a float.
    """
    return orjson.loads(text)
