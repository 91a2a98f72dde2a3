"""The node's option table: lightningd's own options and those that plugins register."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cl_revenue_ops.simnode.era import Era
from cl_revenue_ops.simnode.errors import bad_params

_BUILT_IN: tuple[tuple[str, str, Any, bool], ...] = (
    ("alias", "string", "SIMULATED-NODE", False),
    ("cltv-delta", "int", 34, False),
    ("fee-base", "int", 1, False),
    ("fee-per-satoshi", "int", 10, False),
    ("max-concurrent-htlcs", "int", 483, False),
    ("autoclean-cycle", "int", 3600, True),
    ("autoclean-succeededforwards-age", "int", 0, True),
    ("autoclean-failedforwards-age", "int", 0, True),
)


class BadOption(ValueError):
    """An option that keeps the real lightningd from starting."""


@dataclass
class Option:
    """One option: `values` as set (typed), empty if unset; `plugin` is the owner's path."""

    name: str
    kind: str
    default: Any = None
    plugin: str | None = None
    dynamic: bool = False
    multi: bool = False
    values: list[Any] = field(default_factory=list)
    source: str = "default"

    @property
    def effective(self) -> list[Any]:
        """The values that count: those set, else the default if there is one."""
        if self.values or self.default is None:
            return self.values
        return self.default if isinstance(self.default, list) else [self.default]


def typed(kind: str, raw: Any) -> Any:
    """A raw value as its option's type; ValueError if it is none."""
    if kind == "int":
        if isinstance(raw, bool):
            raise ValueError(f"not an integer: {raw!r}")
        return int(raw)
    if kind in ("bool", "flag"):
        word = str(raw).lower()
        if word in ("true", "1", "yes", "on", "t", "y"):
            return True
        if word in ("false", "0", "no", "off", "f", "n"):
            return False
        raise ValueError(f"not a boolean: {raw!r}")
    return str(raw)


class Options:
    """All options by name. `configured` is the config file: it outlives a restart.

    What `setconfig` set as transient outlives the plugin but not the node.
    """

    def __init__(self, era: Era, configured: dict[str, Any] | None = None) -> None:
        self._era = era
        self.configured = dict(configured or {})
        self._transient: dict[str, Any] = {}
        self._table: dict[str, Option] = {}
        self.reboot()

    def reboot(self) -> None:
        """The node starts: its own options alone, as its config file has them."""
        self._transient.clear()
        self._table.clear()
        for name, kind, default, dynamic in _BUILT_IN:
            self._add(Option(name, kind, default, None, dynamic and self._era.at_least(23, 8)), {})

    def _add(self, option: Option, given: Mapping[str, Any]) -> None:
        if option.name in self._table:
            raise BadOption(f"option {option.name} is already registered")
        layers = (
            ("pluginstart", given),
            ("setconfig transient", self._transient),
            ("config", self.configured),
        )
        for source, layer in layers:
            if option.name in layer:
                raw = layer[option.name]
                try:
                    raws = raw if isinstance(raw, list) else [raw]
                    option.values = [typed(option.kind, item) for item in raws]
                except ValueError as wrong:
                    raise BadOption(f"--{option.name}: {wrong}") from None
                option.source = source
                break
        self._table[option.name] = option

    def register(
        self, plugin: str, declared: list[dict[str, Any]], given: Mapping[str, Any]
    ) -> None:
        """Add the options of a plugin's manifest; BadOption if the node could not start so.

        `given` are values from this start alone, which go before those of the config file.
        """
        unknown = sorted(set(given) - {entry["name"] for entry in declared})
        if unknown:
            raise BadOption(f"unknown parameter {unknown[0]}")
        for entry in declared:
            kind = entry.get("type", "string")
            if kind == "flag" and entry.get("default") not in (None, False):
                raise BadOption(f"flag {entry['name']} must default to false")
            self._add(
                Option(
                    entry["name"], kind, entry.get("default"), plugin,
                    bool(entry.get("dynamic", False)), bool(entry.get("multi", False)),
                ),
                given,
            )  # fmt: skip

    def unregister(self, plugin: str) -> None:
        """Drop a plugin's options; what the config file says of them stays."""
        self._table = {n: o for n, o in self._table.items() if o.plugin != plugin}

    def unclaimed(self) -> list[str]:
        """Configured names that nobody registered: with them the real node does not start."""
        return sorted(set(self.configured) - set(self._table))

    def for_init(self, plugin: str) -> dict[str, Any]:
        """The `options` member of a plugin's init; unset ones without default are absent."""
        return {
            option.name: option.effective if option.multi else option.effective[0]
            for option in self._table.values()
            if option.plugin == plugin and option.effective
        }

    def find(self, name: str) -> Option:
        """The option; -32602 if unknown."""
        if name not in self._table:
            raise bad_params(f"Unknown config option '{name}'")
        return self._table[name]

    def value(self, name: str) -> Any:
        """The single value that counts."""
        return self.find(name).effective[0]

    def set(self, name: str, raw: Any, transient: bool) -> None:
        """Set an option whose owner agreed; ValueError if it is not of the option's type.

        As in lightningd the text is kept before its type is looked at.
        """
        option = self.find(name)
        if transient:
            self._transient[name] = raw
        else:
            self._transient.pop(name, None)
            self.configured[name] = raw
        option.source = "setconfig transient" if transient else "config.setconfig:2"
        raws = raw if isinstance(raw, list) else [raw]
        option.values = [typed(option.kind, item) for item in raws]

    def shown(self, option: Option) -> dict[str, Any]:
        """The listconfigs entry of one option."""
        entry: dict[str, Any] = {}
        kind = {"int": "int", "bool": "bool"}.get(option.kind, "str")
        if option.kind == "flag":
            entry["set"] = bool(option.effective and option.effective[0])
        elif option.multi:
            entry[f"values_{kind}"] = option.effective
            entry["sources"] = [option.source] * len(option.effective)
        elif option.effective:
            entry[f"value_{kind}"] = option.effective[0]
        if not option.multi:
            entry["source"] = option.source
        if option.plugin is not None:
            entry["plugin"] = option.plugin
        if option.dynamic:
            entry["dynamic"] = True
        return entry

    def listconfigs(self, name: str | None) -> dict[str, Any]:
        """The result of listconfigs without unset options; before v23.08 a flat object."""
        chosen = list(self._table.values()) if name is None else [self.find(name)]
        if self._era.at_least(23, 8):
            return {
                "configs": {
                    option.name: self.shown(option)
                    for option in chosen
                    if option.effective or option.kind == "flag"
                }
            }
        return {
            option.name: option.effective if option.multi else option.effective[0]
            for option in chosen
            if option.effective
        }
