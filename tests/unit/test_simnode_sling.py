"""The simulated sling by its contract: jobs that move sats, and jobs that never end by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.sling_support import Bench, bench


@pytest.fixture
def at() -> Iterator[Bench]:
    with bench() as made:
        yield made


def test_a_once_job_moves_its_amount_and_no_more(at: Bench) -> None:
    before = at.node.world.channel(at.target).to_us_msat
    assert at.node.call("sling-once", at.order()) == {"result": "started"}
    at.wait(60)
    rows = at.payments()
    assert [row["status"] for row in rows] == ["complete"] * 3
    assert {row["amount_msat"] for row in rows} == {10_000_000}
    assert {row["destination"] for row in rows} == {at.node.world.id}
    # 1 + 10 ppm at the last hop, then 1 + 500 ppm of what leaves it.
    assert {row["amount_sent_msat"] - row["amount_msat"] for row in rows} == {101 + 5_001}
    assert at.node.world.channel(at.target).to_us_msat - before == 30_000_000
    assert at.status() == "Balanced"
    assert len(at.told("sendpay_success")) == 3
    at.wait(3_600)
    assert at.moved_sat() == 30_000


def test_a_push_goes_the_other_way(at: Bench) -> None:
    source = at.sources[0]
    empty = [at.scid(channel_id) for channel_id in at.empty]
    at.node.call("sling-once", at.order(scid=source, direction="push", candidates=empty[:1]))
    at.wait(60)
    assert at.moved_sat() == 30_000
    assert at.node.world.channel(empty[0]).to_us_msat == 30_000_000
    assert at.node.world.channel(empty[1]).to_us_msat == 0
