"""The demo command and its report, with a small stand-in for the plugin."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cl_revenue_ops.simnode import demo
from cl_revenue_ops.simnode.clock import VirtualClock
from cl_revenue_ops.simnode.forward_log import SETTLED
from cl_revenue_ops.simnode.identity import scid_text
from cl_revenue_ops.simnode.market import draw_market
from cl_revenue_ops.simnode.market_driver import MarketDriver
from cl_revenue_ops.simnode.market_parameters import MarketRanges
from cl_revenue_ops.simnode.prices import HOUR_S
from cl_revenue_ops.simnode.report import balance_bar
from cl_revenue_ops.simnode.run_record import Totals, flow_classes, measure, take_sample
from cl_revenue_ops.simnode.world import World

STAND_IN = """
import json, os, sys

MODE = os.environ["STAND_IN"]
METHODS = ["dev-revenue-advance", "revenue-status", "revenue-analyze"]
sums = {"settled": 0, "volume_msat": 0, "fees_msat": 0}

def answer(method, params):
    if method == "getmanifest" and MODE == "stillborn":
        sys.exit("not today")
    if method == "getmanifest":
        name = "revenue-ops-db-path"
        option = {"name": name, "type": "string", "default": "", "description": ""}
        methods = [{"name": n, "usage": "", "description": ""} for n in METHODS]
        topics = ["forward_event", "shutdown"]
        return {"options": [option], "rpcmethods": methods, "subscriptions": topics,
                "hooks": [], "dynamic": True}
    if method == "forward_event" and params["forward_event"]["status"] == "settled":
        event = params["forward_event"]
        sums["settled"] += 1
        sums["volume_msat"] += event["out_msat"] + (MODE == "miscounts")
        sums["fees_msat"] += event["fee_msat"]
        if MODE == "dies" and sums["settled"] > 5:
            sys.exit("enough of this")
    if method == "dev-revenue-advance":
        return {"now": params["until"], "timers": 0, "messages": 0, "next": None}
    if method == "revenue-status":
        if MODE == "silent":
            return {"status": "running", "safe_mode": True, "safe_mode_reason": "tired"}
        return {"forwards": sums}
    if method == "revenue-analyze" and MODE == "silent":
        return {"status": "error", "error": "not in the mood", "success": False}
    if method == "shutdown":
        sys.exit(0)
    return {}

text = ""
for line in sys.stdin:
    text += line
    if line == "\\n" and text.strip():
        message, text = json.loads(text), ""
        result = answer(message["method"], message.get("params"))
        if "id" in message:
            reply = {"jsonrpc": "2.0", "id": message["id"], "result": result}
            sys.stdout.write(json.dumps(reply) + "\\n\\n")
            sys.stdout.flush()
"""


def run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
) -> tuple[int, str]:
    plugin = tmp_path / "stand-in.py"
    plugin.write_text(STAND_IN)
    monkeypatch.setenv("STAND_IN", mode)
    words = ["--plugin", str(plugin), "--out", str(tmp_path / "out"), "--days", "1"]
    code = demo.main([*words, "--channels", "6", "--seed", "4", "--step-s", "1800"])
    return code, capsys.readouterr().out


def test_a_run_ends_well_when_plugin_and_node_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(tmp_path, monkeypatch, capsys, "counts")
    assert code == 0
    agreed = re.search(r"check: plugin and node agree - ([\d,]+) forwards", text)
    assert agreed and int(agreed[1].replace(",", "")) > 5
    assert "revenue-fee-debug: this plugin does not offer it" in text
    assert "revenue-analyze:" not in text
    assert re.search(r"^rebalances +none", text, re.MULTILINE)
    lines = text.splitlines()
    assert max(len(line) for line in lines if not line.startswith("page:")) <= 100
    assert sum(line.startswith("day ") for line in lines) == 10
    page = (tmp_path / "out" / "demo-seed-4.html").read_text()
    assert page.count("<svg") == 3
    assert not re.search(r'(?:src|href)="(?!#|data:)', page), "the page needs other files"


def test_the_same_seed_tells_the_same_story(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> tuple[list[str], str]:
        _, text = run(tmp_path, monkeypatch, capsys, "counts")
        page = (tmp_path / "out" / "demo-seed-4.html").read_text()
        return [line for line in text.splitlines() if " took " not in line], page

    assert told() == told()


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("miscounts", ["DISAGREE - volume_msat: plugin "]),
        (
            "silent",
            [
                "revenue-status tells no forwards totals",
                "revenue-status: SAFE MODE, tired",
                "revenue-analyze: not in the mood",
            ],
        ),
        ("stillborn", ["the plugin failed: "]),
        ("dies", ["the plugin failed: plugin stand-in.py ended with code 1\nenough of this"]),
    ],
)
def test_a_run_fails_with_a_reason(
    mode: str,
    told: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, text = run(tmp_path, monkeypatch, capsys, mode)
    assert code == 1
    assert all(words in text for words in told)


def test_without_a_plugin_the_demo_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.main(["--plugin", str(tmp_path / "none.py")]) == 1
    assert "no plugin at" in capsys.readouterr().out


def test_every_total_counts_in_the_check() -> None:
    totals = Totals(
        settled=3, failed=1, refused=2, volume_msat=900, fees_msat=9, rebalances=0,
        rebalance_cost_msat=0, fee_changes=0, depleted_share=0.0,
    )  # fmt: skip
    right = {"settled": 3, "volume_msat": 900, "fees_msat": 9}
    assert demo.agreement({"forwards": {**right, "failed": 7}}, totals)[0]
    for name in right:
        equal, line = demo.agreement({"forwards": {**right, name: 1}}, totals)
        assert not equal and f"{name}: plugin 1, node {right[name]}" in line
    assert not demo.agreement(None, totals)[0]


def test_the_record_adds_up_to_what_the_node_filed() -> None:
    ranges = MarketRanges().fixed(attempts_per_channel_day=80.0)
    market = draw_market(21, channels=8, days=2, ranges=ranges)
    clock = VirtualClock(market.start_s)
    driver = MarketDriver(market, World(clock, seed=market.seed))
    samples = [take_sample(driver, market.start_s)]
    for hour in range(1, 49):
        driver.step(market.start_s + hour * HOUR_S)
        clock.set(market.start_s + hour * HOUR_S)
    driver.settle()
    samples.append(take_sample(driver, market.end_s))
    record = measure(driver, samples, {driver.channel_ids[0]: "sink"})
    totals, log = record.totals, driver.world.forwards
    assert totals.settled == driver.settled == sum(line.forwards_out for line in record.lines) > 50
    assert totals.settled == sum(line.forwards_in for line in record.lines)
    assert totals.fees_msat == log.fees_collected_msat
    assert totals.fees_msat == sum(line.earned_msat for line in record.lines)
    assert totals.fees_msat == sum(map(sum, record.daily_fees_msat))
    assert totals.settled == sum(map(sum, record.daily_forwards))
    assert totals.volume_msat == sum(line.out_msat for line in record.lines)
    assert totals.fees_msat == sum(line.in_msat - line.out_msat for line in record.lines)
    assert not driver.world.pending
    assert record.lines[0].flow_class == "sink" and record.lines[1].flow_class == "-"
    for number, line in enumerate(record.lines):
        channel = driver.world.channels[driver.channel_ids[number]]
        start_msat = market.channels[number].local_sat * 1000
        assert channel.to_us_msat == start_msat + line.in_msat - line.out_msat, line.name


def test_blocks_fee_rates_and_rival_quotes_reach_the_node() -> None:
    market = draw_market(22, channels=6, days=3)
    world = World(VirtualClock(market.start_s), seed=market.seed)
    driver = MarketDriver(market, world)
    first_height = world.height
    for step_s in (600.0, 20 * HOUR_S, 50 * HOUR_S):
        at_s = market.start_s + step_s
        driver.step(at_s)
        assert world.height - first_height == market.chain.blocks_until(at_s)
        assert world.feerates_perkw[2] == int(market.chain.feerate_at(at_s) * 250)
        for peer in market.peers:
            known = world.gossip.edges(destination=peer.node_id)
            asked = {
                (quote.short_channel_id, quote.base_msat, quote.ppm, quote.last_update_s)
                for quote in market.rivals.quotes(peer.index, at_s)
            }
            assert {
                (edge.short_channel_id, edge.policy.base_msat, edge.policy.ppm, edge.last_update)
                for edge in known
            } == asked
            assert all(
                edge.direction == quote.direction
                for edge, quote in zip(
                    known,
                    sorted(
                        market.rivals.quotes(peer.index, at_s),
                        key=lambda quote: (quote.short_channel_id, quote.source_id),
                    ),
                    strict=True,
                )
            )


def test_the_size_of_a_step_does_not_change_what_happens() -> None:
    """Held payments are resolved at their own time, also in the midst of a long step."""

    def filed(step_s: float) -> list[tuple[float, ...]]:
        ranges = MarketRanges().fixed(attempts_per_channel_day=120.0)
        market = draw_market(24, channels=16, days=1, ranges=ranges)
        world = World(VirtualClock(market.start_s), seed=market.seed)
        driver = MarketDriver(market, world)
        at_s = market.start_s
        while at_s < market.end_s:
            at_s += step_s
            driver.step(at_s)
        log = world.forwards
        return list(zip(log.out_msat, log.status, log.resolved_s, log.updated, strict=True))

    whole = filed(86_400.0)
    assert sum(resolved > 0 for _, _, resolved, _ in whole) > 100
    assert filed(300.0) == filed(7_200.0) == whole


def test_long_held_payments_stay_in_flight_until_their_time() -> None:
    ranges = MarketRanges().fixed(attempts_per_channel_day=300.0, downstream_failure=0.0)
    market = draw_market(25, channels=6, days=2, ranges=ranges)
    world = World(VirtualClock(market.start_s), seed=market.seed)
    driver = MarketDriver(market, world)
    seen = 0
    for minute in range(0, 2 * 1440, 7):
        driver.step(market.start_s + 60.0 * minute)
        seen += len(world.pending)
    assert seen > 0, "nothing was ever in flight at the end of a step"
    driver.settle()
    held = np.array(world.forwards.resolved_s) - np.array(world.forwards.received_s)
    assert held[np.array(world.forwards.status) == SETTLED].max() > 60.0


def test_a_peer_sends_over_its_channel_with_most_room() -> None:
    ranges = MarketRanges().fixed(attempts_per_channel_day=100.0)
    checked = 0
    for seed in range(30, 38):
        market = draw_market(seed, channels=10, days=1, ranges=ranges)
        world = World(VirtualClock(market.start_s), seed=market.seed)
        driver = MarketDriver(market, world)
        room = {c.scid: (c.peer_id, c.receivable_msat) for c in world.channels.values()}
        driver.step(market.start_s + 6 * HOUR_S)
        first = {room[scid_text(number)][0]: number for number in reversed(world.forwards.in_scid)}
        for peer_id, number in first.items():
            rooms = sorted(msat for owner, msat in room.values() if owner == peer_id)
            if len(rooms) > 1 and rooms[-1] > 3 * rooms[-2]:
                checked += 1
                assert room[scid_text(number)][1] == rooms[-1], seed
    assert checked >= 3


def test_a_closed_channel_gets_no_more_payments() -> None:
    ranges = MarketRanges().fixed(attempts_per_channel_day=200.0)
    market = draw_market(23, channels=5, days=2, ranges=ranges)
    world = World(VirtualClock(market.start_s), seed=market.seed)
    driver = MarketDriver(market, world)
    driver.step(market.start_s + 20 * HOUR_S)
    gone = max(driver.channel_ids, key=lambda name: world.channels[name].traffic_out.fulfilled)
    before = world.channels[gone].traffic_out.offered
    assert before > 0
    world.force_close(gone, at_s=market.start_s + 20 * HOUR_S)
    filed = world.forwards.created_max
    driver.step(market.end_s)
    later = {scid_text(number) for number in world.forwards.out_scid[filed:]}
    assert later and world.channels[gone].scid not in later
    assert driver.now_s == market.end_s


def test_classes_are_found_wherever_the_plugin_puts_them() -> None:
    answers = [
        {"channel_states": [{"channel_id": "1x2x3", "state": "SOURCE"}]},
        {"channels": {"a": {"scid": "4x5x6", "class": "sink"}}, "status": "balanced"},
        None,
    ]
    assert flow_classes(answers) == {"1x2x3": "source", "4x5x6": "sink"}


@pytest.mark.parametrize(("share", "full"), [(-0.1, 0), (0.0, 0), (0.31, 3), (1.0, 10), (1.2, 10)])
def test_a_balance_bar_has_ten_cells(share: float, full: int) -> None:
    bar = balance_bar(share)
    assert bar.count("█") == full and bar.count("░") == 10 - full
