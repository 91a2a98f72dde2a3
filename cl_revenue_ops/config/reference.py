"""Writes the reference page of the options, docs/reference/options.md, from the table."""

from __future__ import annotations

from itertools import groupby

from cl_revenue_ops.config.rules import RULES
from cl_revenue_ops.config.setting import OPTION_PREFIX, Setting
from cl_revenue_ops.config.table import SETTINGS

_INTRODUCTION = f"""\
# Options

This page is generated from the table of settings in `cl_revenue_ops/config/table.py`.

Every option stands in lightningd's config file as `{OPTION_PREFIX}name=value`. Those that can
change at run time can also be set with `revenue-config set <key> <value>` and with lightningd's
`setconfig`; `revenue-config reset <key>` goes back to the configured value. A value set with
`revenue-config` is kept over restarts until the configured value of the same option changes: then
the configuration wins. An option whose value is not allowed gives way to its default, and the
plugin starts paused and says so in `revenue-status`.
"""

_HEADER = """\
| Option | Key | Type | Allowed | Default | Unit | At run time | Used by | Description |
|--------|-----|------|---------|---------|------|-------------|---------|-------------|
"""


def reference_markdown() -> str:
    """The whole content of the page; ends with one newline."""
    sections = [
        f"## {title}\n\n{_HEADER}{''.join(_row(setting) for setting in rows)}"
        for title, rows in groupby(SETTINGS, key=lambda setting: setting.group)
    ]
    rules = "".join(f"- {rule.text}\n" for rule in RULES)
    return "\n".join([_INTRODUCTION, *sections, f"## Rules between options\n\n{rules}"])


def _row(setting: Setting) -> str:
    owner = setting.owner.name
    cells = (
        f"`{setting.option}`",
        f"`{setting.key}`",
        setting.kind.value,
        setting.bounds,
        f"`{setting.default_text}`",
        setting.unit or "-",
        "yes" if setting.dynamic else "no",
        owner if setting.built else f"{owner} (not part of this version yet)",
        setting.summary,
    )
    return f"| {' | '.join(cells)} |\n"
