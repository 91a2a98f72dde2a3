"""The figures of a bench, and the page that holds them with its tables."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cl_revenue_ops.bench import pairs
from cl_revenue_ops.bench.table import TOTAL, Line, Score, cells, grouped, heads, lines

PANELS_ACROSS = 3

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1150px;margin:2rem auto;padding:0 1rem;
color:#1c2430;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.25rem .5rem;border-bottom:1px solid #e3e7ee;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
figure{margin:0;overflow-x:auto}svg{max-width:100%;height:auto}.note{color:#5a6575}
"""


def draw_figures(score: Score, base: str) -> list[tuple[str, str]]:
    """Return (title, inline SVG) of each figure; imports matplotlib, without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    bound = f"Share of the fluid bound{' with rebalancing' * score.rebalancing}"
    of = bound if score.bounded else "Net satoshi a day"
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 8.0}
    with mpl.rc_context(settings):
        drawn = [
            (f"{of}, with 95 % intervals over seeds", _svg(pyplot, _shares(pyplot, score, base))),
            ("Fees earned so far, mean over seeds", _svg(pyplot, _days(pyplot, score))),
        ]
        if pairs.pairs_of(score):
            title = "With rebalancing less without, with 95 % intervals over seeds"
            drawn.append((title, _svg(pyplot, _gains(pyplot, score))))
        return drawn


def _svg(pyplot: Any, figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    # Only the element itself can stand inside a page.
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), count=1, flags=re.DOTALL)


def _panels(pyplot: Any, titles: Sequence[str], height: float) -> tuple[Any, list[Any]]:
    across = min(PANELS_ACROSS, len(titles))
    down = -(-len(titles) // across)
    figure, axes = pyplot.subplots(
        down, across, figsize=(3.7 * across, height * down), squeeze=False, layout="constrained"
    )
    flat = list(axes.ravel())
    for panel in flat[len(titles) :]:
        panel.set_visible(False)
    for panel, title in zip(flat, titles, strict=False):
        panel.set_title(title)
    return figure, flat


def _shares(pyplot: Any, score: Score, base: str) -> Any:
    groups = grouped(lines(score, base))
    policies = list(score.outcomes)
    figure, panels = _panels(pyplot, list(groups), 0.9 + 0.19 * len(policies))
    colours = _colours(pyplot, policies)
    for panel, group in zip(panels, groups.values(), strict=False):
        for place, line in enumerate(reversed(group)):
            half = line.share.half if math.isfinite(line.share.half) else 0.0
            panel.errorbar(
                line.share.mean, place, xerr=half, fmt="o", ms=3.5, color=colours[line.policy]
            )
        panel.set_yticks(range(len(group)), [line.policy for line in reversed(group)])
        panel.set_ylim(-0.6, len(group) - 0.4)
        panel.set_xlim(left=min(0.0, panel.get_xlim()[0]))
        panel.grid(axis="x", alpha=0.3)
    return figure


def _days(pyplot: Any, score: Score) -> Any:
    policies = list(score.outcomes)
    figure, panels = _panels(pyplot, score.scenarios, 2.3)
    colours = _colours(pyplot, policies)
    for panel, scenario in zip(panels, score.scenarios, strict=False):
        for policy in policies:
            own = list(score.outcomes[policy].get(scenario, {}).values())
            if own:
                daily_sat = np.mean([outcome.daily_fees_msat for outcome in own], axis=0) / 1000.0
                sums, days = np.cumsum(daily_sat), np.arange(1, len(daily_sat) + 1)
                panel.plot(days, sums, lw=1.0, color=colours[policy], label=policy)
        panel.set_xlabel("day")
        panel.set_ylabel("fees so far, sat")
        panel.grid(alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _gains(pyplot: Any, score: Score) -> Any:
    found, names = pairs.pair_lines(score), pairs.pairs_of(score)
    figure, panels = _panels(pyplot, names, 0.9 + 0.15 * (1 + len(score.scenarios)))
    for panel, name in zip(panels, names, strict=False):
        own = [line for line in reversed(found) if line.pair == name]
        for place, line in enumerate(own):
            half = line.gain.half if math.isfinite(line.gain.half) else 0.0
            colour = "tab:red" if line.harms else "tab:blue"
            panel.errorbar(line.gain.mean, place, xerr=half, fmt="o", ms=3.5, color=colour)
        panel.axvline(0.0, lw=0.8, color="black")
        if score.bounded:
            panel.axvline(pairs.HARM_POINT, lw=0.8, ls="--", color="tab:red")
        panel.set_yticks(range(len(own)), [line.scenario for line in own])
        panel.grid(axis="x", alpha=0.3)
    return figure


def _colours(pyplot: Any, policies: Sequence[str]) -> dict[str, Any]:
    palette = pyplot.get_cmap("tab20")
    return {policy: palette(place % 20) for place, policy in enumerate(policies)}


def write_page(path: Path, score: Score, base: str, notes: Sequence[str]) -> None:
    """Write one page that needs nothing else; `notes` are plain lines under its title."""
    drawn = "".join(
        f"<h2>{html.escape(title)}</h2><figure>{svg}</figure>"
        for title, svg in draw_figures(score, base)
    )
    groups = grouped(lines(score, base))
    order = [TOTAL] * (TOTAL in groups) + [name for name in groups if name != TOTAL]
    tables = "".join(_table(name, groups[name], score.bounded, base) for name in order)
    tables += _pair_tables(score)
    told = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    path.write_text(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fee policies</title>'
        f"<style>{_STYLE}</style></head><body><h1>Fee policies on simulated markets</h1>"
        f"{told}{drawn}{tables}</body></html>\n",
        encoding="utf-8",
    )


def _pair_tables(score: Score) -> str:
    """What rebalancing adds: a table over all scenarios, and one for each."""
    found, text = pairs.pair_lines(score), ""
    top = "".join(f"<th>{html.escape(head)}</th>" for head in pairs.heads(score.bounded))
    for scenario in [TOTAL, *score.scenarios] if found else []:
        rows = ""
        for line in found:
            if line.scenario == scenario:
                least = pairs.worst(found, line.pair) if scenario == TOTAL else None
                words = (html.escape(word) for word in pairs.cells(line, score.bounded, least))
                rows += "<tr>" + "".join(f"<td>{word}</td>" for word in words) + "</tr>"
        title = html.escape(f"With rebalancing against without: {scenario}")
        text += f"<h2>{title}</h2><table><tr>{top}</tr>{rows}</table>"
    return text


def _table(scenario: str, group: Sequence[Line], bounded: bool, base: str) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads(bounded))
    rows = ""
    for line in group:
        words = (html.escape(word) for word in cells(line, bounded, line.policy == base))
        rows += "<tr>" + "".join(f"<td>{word}</td>" for word in words) + "</tr>"
    return f"<h2>{html.escape(scenario)}</h2><table><tr>{top}</tr>{rows}</table>"
