"""JSON as this program keeps it: compact, every float read back as it was written."""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: object) -> str:
    """Return compact JSON of plain values; raise TypeError for anything else.

    Plain are None, bool, int within 64 bits, float, str, list, tuple, and dict with str keys.
    Dataclasses and named tuples become objects of their fields, NumPy's arrays lists. What JSON
    has no word for (NaN, infinity) becomes null.
    """
    return orjson.dumps(value, _named, orjson.OPT_SERIALIZE_NUMPY).decode()


def _named(value: Any) -> dict[str, object]:
    if not isinstance(value, tuple):
        raise TypeError(f"no plain value: {type(value).__name__}")
    return dict(zip(type(value)._fields, value, strict=True))  # type: ignore[attr-defined]


def loads(text: str | bytes | bytearray) -> Any:
    """Return the value; raise ValueError where the text is no JSON, nests too deeply or names NaN.

    A whole number beyond 64 bits comes back as a float.
    """
    return orjson.loads(text)
