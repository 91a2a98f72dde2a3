"""What the reference page says of one command beyond its row in the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class CommandText:
    """What the page says of one command beyond its table row; `parameters` by their names."""

    answer: str
    served: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    refusals: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
