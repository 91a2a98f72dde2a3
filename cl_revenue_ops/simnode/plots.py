"""Owns the figures of a run: revenue per day, balances, fee and forwards of each channel."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np

from cl_revenue_ops.simnode.prices import DAY_S
from cl_revenue_ops.simnode.run_record import RunRecord

TOP_EARNERS = 5
MAX_PANELS = 24
PANELS_ACROSS = 4


def draw_figures(report: RunRecord) -> list[tuple[str, str]]:
    """Return (title, inline SVG) of each figure; imports matplotlib, without a display."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "simnode", "font.size": 8.0}
    with mpl.rc_context(settings):
        return [
            ("Revenue per day", _svg(pyplot, _revenue(pyplot, report))),
            *_spending(pyplot, report),
            ("Our share of each balance", _svg(pyplot, _balances(pyplot, report))),
            (
                "Fee (line), price of the alternatives (dashed) and forwards a day (bars)",
                _svg(pyplot, _channels(pyplot, report)),
            ),
        ]


def _svg(pyplot: Any, figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    svg = text.getvalue()
    # Only the element itself can stand inside a page.
    return re.sub(r"^.*?(?=<svg)", "", svg, count=1, flags=re.DOTALL)


def _days(report: RunRecord) -> Any:
    return np.array([(sample.at_s - report.start_s) / DAY_S for sample in report.samples])


def _best(report: RunRecord) -> list[int]:
    earned = [line.earned_msat for line in report.lines]
    return sorted(range(len(earned)), key=lambda k: -earned[k])


def _revenue(pyplot: Any, report: RunRecord) -> Any:
    figure, axes = pyplot.subplots(figsize=(10.5, 2.8))
    fees_sat = np.array(report.daily_fees_msat) / 1000.0
    order = _best(report)
    foot = np.zeros(report.days)
    day = np.arange(report.days) + 0.5
    groups = [(report.lines[k].name, fees_sat[k]) for k in order[:TOP_EARNERS]]
    groups.append(("the others", fees_sat[order[TOP_EARNERS:]].sum(axis=0)))
    for name, height in groups:
        axes.bar(day, height, bottom=foot, width=0.85, label=name)
        foot = foot + height
    axes.set(xlabel="day", ylabel="sat", xlim=(0, report.days))
    axes.legend(ncols=6, loc="upper left", frameon=False)
    axes.margins(y=0.15)
    return figure


def _spending(pyplot: Any, report: RunRecord) -> list[tuple[str, str]]:
    """What rebalances cost each day, beside what came in; nothing where nothing was moved."""
    cost_sat = np.array(report.daily_costs_msat) / 1000.0
    if not cost_sat.any():
        return []
    fees_sat = np.array(report.daily_fees_msat).sum(axis=0) / 1000.0
    figure, axes = pyplot.subplots(figsize=(10.5, 2.4))
    day = np.arange(report.days) + 0.5
    axes.bar(day - 0.21, fees_sat, width=0.42, label="revenue", color="#2b7de9")
    axes.bar(day + 0.21, cost_sat, width=0.42, label="spent on rebalances", color="#c0392b")
    axes.plot(day, fees_sat - cost_sat, color="#1c2430", linewidth=1.1, label="net")
    axes.set(xlabel="day", ylabel="sat", xlim=(0, report.days))
    axes.legend(ncols=3, loc="upper left", frameon=False)
    axes.margins(y=0.2)
    return [("Spent on rebalances, beside the revenue", _svg(pyplot, figure))]


def _balances(pyplot: Any, report: RunRecord) -> Any:
    order = _best(report)
    figure, axes = pyplot.subplots(figsize=(10.5, 0.6 + 0.19 * len(order)))
    shares = np.array([sample.local_share for sample in report.samples]).T[order]
    days = _days(report)
    image = axes.imshow(
        shares,
        aspect="auto",
        interpolation="nearest",
        cmap="RdYlBu",
        vmin=0,
        vmax=1,
        extent=(days[0], max(days[-1], days[0] + 1e-6), len(order) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(order)), [report.lines[k].name for k in order])
    axes.set_xlabel("day")
    figure.colorbar(image, ax=axes, pad=0.01, label="ours")
    return figure


def _channels(pyplot: Any, report: RunRecord) -> Any:
    order = _best(report)[:MAX_PANELS]
    down = -(-len(order) // PANELS_ACROSS)
    figure, grid = pyplot.subplots(
        down, PANELS_ACROSS, figsize=(10.5, 1.7 * down), sharex=True, squeeze=False
    )
    for axes in grid.ravel()[len(order) :]:
        axes.set_visible(False)
    for axes, channel in zip(grid.ravel(), order, strict=False):
        _panel(axes, report, channel)
    figure.tight_layout()
    return figure


def _panel(axes: Any, report: RunRecord, channel: int) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    line, days = report.lines[channel], _days(report)
    bars = axes.twinx()
    counts = np.array(report.daily_forwards[channel])
    bars.bar(np.arange(report.days) + 0.5, counts, color="#d5dbe5", width=1)
    bars.set_ylim(0, max(1, counts.max()) * 1.05)
    bars.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    bars.tick_params(labelsize=6, colors="#8a94a3", length=2)
    axes.set_zorder(bars.get_zorder() + 1)
    axes.patch.set_visible(False)
    ppm = np.maximum([sample.ppm[channel] for sample in report.samples], 1)
    axes.step(days, ppm, where="post", color="#1f5fbf", linewidth=1.1)
    axes.plot(days, report.levels_ppm[channel], color="#c0392b", linewidth=0.8, ls="--")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"{line.name}  {line.earned_msat // 1000:,} sat")
    axes.tick_params(labelsize=6, length=2)
