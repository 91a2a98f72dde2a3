"""What one setting is: its names, type, bounds, unit, owner and the sentences that describe it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

OPTION_PREFIX = "revenue-ops-"

# None stands for "not set" and is possible only where the default itself is None (db_path).
SettingValue = bool | int | float | str | None


@dataclass(frozen=True)
class SettingRefused:
    """A refused name or value; `text` is one ASCII line that says what to do."""

    text: str


class Kind(Enum):
    """The types of settings; the value is the word that the documentation uses."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    CHOICE = "choice"
    PATH = "path"


@dataclass(frozen=True)
class Owner:
    """The part of the house that uses a setting; `built` tells whether this version has it."""

    name: str
    built: bool


HOUSE = Owner("the house", True)
ACCOUNTANT = Owner("Accountant", True)
FLOW_ANALYZER = Owner("FlowAnalyzer", True)
FEE_CONTROLLER = Owner("FeeController", True)
PRICE_LEARNING = Owner("price learning", True)
VEGAS_REFLEX = Owner("Vegas reflex", True)
REPUTATION = Owner("peer reputation", True)
KELLY = Owner("Kelly sizing", True)
REBALANCER = Owner("Rebalancer", True)
HIVE_LIAISON = Owner("HiveLiaison", False)
CLBOSS = Owner("CLBoss integration", True)


@dataclass(frozen=True)
class Setting:
    """One row of the table of settings.

    `key` is the name inside the program and in `revenue-config`, `option` the full name of the
    lightningd option. `low` and `high` are inclusive: the range of an int or float (in `unit`),
    the length in characters of a path; a choice is bounded by `choices`, a bool by its type.
    `default_text` is what the documentation shows for a default that is computed later.
    """

    key: str
    option: str
    group: str
    kind: Kind
    default: SettingValue
    owner: Owner
    summary: str
    unit: str = ""
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    dynamic: bool = True
    computed_default: str = ""

    @property
    def built(self) -> bool:
        """Whether the part that uses this setting is in this version."""
        return self.owner.built

    @property
    def bounds(self) -> str:
        """The allowed values in words: `0 to 100000`, `auto, true or false`."""
        if self.kind is Kind.BOOL:
            return "true or false"
        if self.kind is Kind.CHOICE:
            return listed(self.choices)
        length = " characters" if self.kind is Kind.PATH else ""
        return f"{_plain(self.low)} to {_plain(self.high)}{length}"

    @property
    def expectation(self) -> str:
        """What a value must be, as it stands after `must be`."""
        if self.kind is Kind.INT:
            return f"a whole number from {self.bounds}"
        if self.kind is Kind.FLOAT:
            return f"a number from {self.bounds}"
        if self.kind is Kind.BOOL:
            return f"{self.bounds} (or yes/no, on/off, 1/0)"
        if self.kind is Kind.CHOICE:
            return self.bounds
        return f"a path of {self.bounds} without control characters or surrounding spaces"

    @property
    def default_text(self) -> str:
        """The default as the documentation shows it."""
        return self.computed_default or to_text(self.default)

    @property
    def help(self) -> str:
        """What the setting does, and whether this version has the part that uses it."""
        # "share" is said by the summary itself.
        unit = f" ({self.unit})" if self.unit and self.kind is not Kind.FLOAT else ""
        absent = f"; the part that uses it ({self.owner.name}) is not part of this version yet"
        return f"{self.summary}{unit}{'' if self.built else absent}"


def to_text(value: SettingValue) -> str:
    """The text that stands for a value in the store and in lightningd; parsing gives it back."""
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def listed(words: tuple[str, ...]) -> str:
    """`a`, `a or b`, `a, b or c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)
