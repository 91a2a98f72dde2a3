"""What lightningd is told of the options."""

from __future__ import annotations

from dataclasses import dataclass

from cl_revenue_ops.config.setting import Setting, to_text
from cl_revenue_ops.config.table import SETTINGS


@dataclass(frozen=True)
class OptionDeclaration:
    """One option for the plugin's manifest; `default` None declares none."""

    name: str
    type: str
    default: str | None
    description: str
    dynamic: bool


def option_declarations() -> tuple[OptionDeclaration, ...]:
    """Every option, in the order of the table.

    All are of type string: lightningd does not check what setconfig gives to a plugin's option,
    and would refuse to start after an int option took a text that is no number.
    """
    return tuple(
        OptionDeclaration(
            name=setting.option,
            type="string",
            default=None if setting.default is None else to_text(setting.default),
            description=_description(setting),
            dynamic=setting.dynamic,
        )
        for setting in SETTINGS
    )


def _description(setting: Setting) -> str:
    return (
        f"{setting.help} [{setting.kind.value}: {setting.bounds}; default: {setting.default_text}]"
    )
