"""Finds a setting by any of the names that people and programs use for it."""

from __future__ import annotations

import difflib

from cl_revenue_ops.config.parse import echo
from cl_revenue_ops.config.setting import OPTION_PREFIX, Setting, SettingRefused
from cl_revenue_ops.config.table import SETTINGS

_LONGEST_NAME_COMPARED = 60  # the comparison is quadratic in the length of outside text


def _bare(name: str) -> str:
    prefix = OPTION_PREFIX.replace("-", "_")
    return name.replace("-", "_").removeprefix(prefix)


_BY_NAME: dict[str, Setting] = {
    name: setting for setting in SETTINGS for name in (setting.key, _bare(setting.option))
}


def find(name: object) -> Setting | SettingRefused:
    """The setting called `name`: its key or its option, with or without `revenue-ops-`.

    `-` and `_` are the same here. An unknown name is refused with the nearest known key.
    """
    if not isinstance(name, str):
        return SettingRefused(f"the key must be the name of a setting (got {echo(name)})")
    bare = _bare(name)
    if bare in _BY_NAME:
        return _BY_NAME[bare]
    nearest = difflib.get_close_matches(bare[:_LONGEST_NAME_COMPARED], _BY_NAME, n=1, cutoff=0.0)
    return SettingRefused(
        f"unknown key {echo(name)}; the nearest known key is {_BY_NAME[nearest[0]].key}"
        " (revenue-config list-mutable names all)"
    )
