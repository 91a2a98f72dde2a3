"""Owns how a run is shown: tables for a terminal and one self-contained HTML page."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from cl_revenue_ops.simnode.run_record import ChannelLine, RunRecord, Totals

BAR_CELLS = 10


def sat(amount_msat: int) -> str:
    """Whole satoshi with thousands separated."""
    return f"{amount_msat // 1000:,}"


def balance_bar(share: float) -> str:
    """Our share of a balance as a bar of ten cells and a percentage."""
    full = round(min(max(share, 0.0), 1.0) * BAR_CELLS)
    return "█" * full + "░" * (BAR_CELLS - full) + f" {share:4.0%}"


def headline(report: RunRecord) -> list[tuple[str, str]]:
    """The figures that sum the run up, as (name, value)."""
    totals, senders = report.totals, report.senders
    channel_days = max(1, len(report.lines) * report.days)
    mean_ppm = 1e6 * totals.fees_msat / totals.volume_msat if totals.volume_msat else 0.0
    return [
        ("forwards settled", f"{totals.settled:,}"),
        ("volume", f"{sat(totals.volume_msat)} sat"),
        ("revenue", f"{sat(totals.fees_msat)} sat ({mean_ppm:.0f} ppm of the volume)"),
        ("rebalances", _rebalances(totals)),
        ("revenue less rebalances", f"{sat(totals.fees_msat - totals.rebalance_cost_msat)} sat"),
        (
            "fee updates",
            f"{totals.fee_changes:,} ({totals.fee_changes / channel_days:.2f} a channel-day)",
        ),
        ("channel-time under 5 % ours", f"{totals.depleted_share:.0%}"),
        (
            "payments tried",
            f"{senders['attempts']:,} and {senders['retries']:,} again; too dear for them "
            f"{senders['too_dear']:,}, stayed away {senders['remembered']:,}",
        ),
        (
            "brought to us",
            f"{senders['offers']:,}; taken {senders['taken']:,} (failed downstream "
            f"{totals.failed:,}), stuck before us {senders['not_reached']:,}",
        ),
        (
            "refused by us",
            f"{totals.refused:,}; no liquidity {senders['no_liquidity']:,}, stale fee "
            f"{senders['stale_fee']:,}",
        ),
    ]


def _rebalances(totals: Totals) -> str:
    if not totals.rebalances:
        return "none"
    cost_msat = totals.rebalance_cost_msat
    ppm, share = 1e6 * cost_msat / totals.moved_msat, cost_msat / max(1, totals.fees_msat)
    return (
        f"{sat(totals.moved_msat)} sat in {totals.rebalances:,} payments for {sat(cost_msat)} sat "
        f"({ppm:.0f} ppm, {share:.0%} of revenue)"
    )


_COLUMNS = (
    ("peer", "left"),
    ("M sat", "right"),
    ("our share", "left"),
    ("flow", "left"),
    ("in", "right"),
    ("out", "right"),
    ("M out", "right"),
    ("sat earned", "right"),
    ("ppm", "right"),
    ("moves", "right"),
)


def _cells(line: ChannelLine) -> tuple[str, ...]:
    return (
        line.name,
        f"{line.capacity_sat / 1e6:.2f}",
        balance_bar(line.last_share),
        line.flow_class,
        f"{line.forwards_in:,}",
        f"{line.forwards_out:,}",
        f"{line.out_msat / 1e9:.2f}",
        sat(line.earned_msat),
        f"{line.first_ppm}→{line.last_ppm}",
        f"{line.fee_changes}",
    )


def print_tables(console: Console, report: RunRecord, told: Sequence[tuple[str, str]]) -> None:
    """Print channels, best earner first, the sums and what the plugin told besides; fits in 100
    columns."""
    title = f"{report.days} virtual days, seed {report.seed}"
    table = Table(box=box.SIMPLE_HEAD, title=title, padding=(0, 1, 0, 0), pad_edge=False)
    for name, side in _COLUMNS:
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    for line in sorted(report.lines, key=lambda line: -line.earned_msat):
        table.add_row(*_cells(line))
    console.print(table)
    sums = Table(box=None, show_header=False, pad_edge=False)
    for name, value in (*headline(report), *told):
        sums.add_row(f"[dim]{name}[/dim]", value)
    console.print(sums)


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:1100px;margin:2rem auto;padding:0 1rem;
color:#1c2430;background:#fff}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:.88rem}
th,td{padding:.25rem .5rem;border-bottom:1px solid #e3e7ee;text-align:right;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.meter{display:inline-block;width:90px;height:.7em;background:#e3e7ee;border-radius:3px}
.meter i{display:block;height:100%;background:#2b7de9;border-radius:3px}
.figures td:last-child{text-align:left}figure{margin:0;overflow-x:auto}
svg{max-width:100%;height:auto}
.note{color:#5a6575}
"""


def _meter(share: float) -> str:
    width = f"{min(max(share, 0.0), 1.0):.0%}"
    return f'<span class="meter"><i style="width:{width}"></i></span> {width}'


def _html_rows(report: RunRecord) -> str:
    rows = []
    for line in sorted(report.lines, key=lambda line: -line.earned_msat):
        cells = [html.escape(cell) for cell in _cells(line)]
        cells[2] = _meter(line.last_share)
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join(rows)


def write_page(
    path: Path,
    report: RunRecord,
    figures: Sequence[tuple[str, str]],
    notes: Sequence[str],
    lines: Sequence[tuple[str, str]],
) -> None:
    """Write one page that needs nothing else; `figures` are (title, svg), `notes` plain lines,
    `lines` (name, value) what the plugin told besides."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name, _ in _COLUMNS)
    sums = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in (*headline(report), *lines)
    )
    drawn = "".join(
        f"<h2>{html.escape(title)}</h2><figure>{svg}</figure>" for title, svg in figures
    )
    told = "".join(f'<p class="note">{html.escape(note)}</p>' for note in notes)
    title = f"cl-revenue-ops: {report.days} virtual days, {len(report.lines)} channels"
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f'<p class="note">Simulated market, seed {report.seed}.</p>{told}'
        f'<table class="figures">{sums}</table>{drawn}'
        f"<h2>Channels</h2><table><tr>{heads}</tr>{_html_rows(report)}</table>"
        "</body></html>\n",
        encoding="utf-8",
    )
