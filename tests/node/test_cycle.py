"""Fee cycles on a real node: what the controller decides by itself reaches node and gossip.

The first cycle comes 90 seconds after the start, and the second decides; a simulated node goes
through its cycles in virtual time elsewhere.
"""

from __future__ import annotations

from tests.node.line import Line, Row, wait_for

KINDS = ("real",)
CYCLES_PATIENCE_S = 240.0


def fee_of(channel: Row) -> tuple[int, int]:
    return channel["fee_base_msat"], channel["fee_proportional_millionths"]


def explained(line: Line, channel: Row) -> Row:
    """The last decision for a channel."""
    (row,) = line.call("revenue-fee-debug", [channel["short_channel_id"]])["channels"]
    found: Row = row
    return found


def test_cycles_keep_the_bounds_and_leave_another_writers_fee_alone(line: Line) -> None:
    line.call("revenue-config", ["set", "fee_interval", 30])
    line.call("revenue-config", ["set", "min_fee_ppm", 60])
    line.call("revenue-set-fee", [line.incoming["short_channel_id"], 700])
    line.call("revenue-set-fee", [line.incoming["short_channel_id"], "auto"])
    line.call("setchannel", {"id": line.incoming["channel_id"], "feebase": 3, "feeppm": 5})
    line.call("setchannel", {"id": line.outgoing["channel_id"], "feebase": 1, "feeppm": 10})
    wait_for(lambda: fee_of(line.outgoing)[1] >= 60, "the bounds", CYCLES_PATIENCE_S)
    base_msat, ppm = fee_of(line.outgoing)
    assert base_msat == 0 and ppm <= 1.5 * 60, "in small steps from the bound on"
    wait_for(lambda: line.neighbours_view_ppm() == ppm, f"{ppm} ppm in a neighbour's gossip")
    newest = line.status()["recent_fee_changes"][0]
    assert (newest["old_fee_ppm"], newest["new_fee_ppm"], newest["manual"]) == (10, ppm, 0)
    assert fee_of(line.incoming) == (3, 5)
    assert explained(line, line.incoming)["whose"] == "foreign"
    assert "another writer" in explained(line, line.incoming)["sentence"]
    line.pay(4_000_000)
    line.wait_counted()
