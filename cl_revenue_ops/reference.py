"""Writes the generated pages of docs/reference/: `python -m cl_revenue_ops.reference`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from cl_revenue_ops.commands import reference as commands
from cl_revenue_ops.config import reference as options

ROOT = Path(__file__).resolve().parents[1]
PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/commands.md": commands.reference_markdown,
    "docs/reference/options.md": options.reference_markdown,
}
"""Each generated page with what makes it from its table."""


def main() -> None:
    """Bring every page into agreement with its table."""
    for name, text in PAGES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
