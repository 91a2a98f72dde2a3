"""What reports read of the node: the chain, forgotten channels, aliases, and what is no answer."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cl_revenue_ops.adapters.report_node import LightningReports, parse_closed_channel
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.ports import MalformedReply
from messages.reports import ChainView, ClosedChannel

ID, PEER = "ab" * 32, "02" + "cd" * 32
INFO = {
    "id": PEER, "network": "regtest", "version": "v26.06", "blockheight": 812_345,
    "fees_collected_msat": 0,
}  # fmt: skip
FEERATES = {
    "perkb": {"opening": 7_250},
    "onchain_fee_estimates": {"mutual_close_satoshis": 700, "unilateral_close_satoshis": 1_200},
}


class Answers:
    """Gives each method its answer and keeps what was asked."""

    def __init__(self, **answers: Any) -> None:
        self.answers = {"getinfo": INFO, "feerates": FEERATES, **answers}
        self.asked: list[tuple[str, Any]] = []

    def call(self, method: str, params: Any = None) -> Any:
        self.asked.append((method, params))
        return self.answers[method]


def reports(tally: Tally | None = None, **answers: Any) -> LightningReports:
    return LightningReports(cast(NodeRpc, Answers(**answers)), Tally() if tally is None else tally)


def test_the_chain_has_its_height_and_what_it_charges() -> None:
    assert reports().chain_view(5.0) == ChainView(5.0, 812_345, 7.25, 700, 1_200)


@pytest.mark.parametrize(
    "feerates", [{}, {"perkb": {}}, {"perkb": {"opening": 0}, "onchain_fee_estimates": None},
                 {"perkb": {"opening": "much"}, "onchain_fee_estimates": {}}],
)  # fmt: skip
def test_without_estimates_the_height_is_told_alone(feerates: Any) -> None:
    assert reports(feerates=feerates).chain_view(5.0) == ChainView(5.0, 812_345, None, None, None)


def test_a_node_that_does_not_say_its_height_gave_no_answer() -> None:
    with pytest.raises(MalformedReply):
        reports(getinfo={**INFO, "blockheight": "high"}).chain_view(5.0)


def test_forgotten_channels_are_read_and_nonsense_is_counted() -> None:
    tally = Tally()
    row = {"channel_id": ID, "opener": "local", "closer": "remote", "close_cause": "onchain",
           "total_msat": 1_000}  # fmt: skip
    bare = {"channel_id": ID, "opener": "us", "closer": None, "close_cause": "mutual"}
    found = reports(tally, listclosedchannels={"closedchannels": [row, bare, {}, 7]})
    assert found.closed_channels() == (
        ClosedChannel(ID, "local", "remote", "onchain", 1_000),
        ClosedChannel(ID, None, None, None, 0),
    )
    assert tally.counts() == {"listclosedchannels": 2}
    assert parse_closed_channel(None) is None
    with pytest.raises(MalformedReply):
        reports(listclosedchannels={}).closed_channels()


@pytest.mark.parametrize(
    ("nodes", "alias"),
    [
        ([{"nodeid": PEER, "alias": "ACINQ"}], "ACINQ"),
        ([{"nodeid": PEER, "alias": "two\nlines \u26a1"}], "two?lines ?"),
        ([{"nodeid": PEER}], None),
        ([{"nodeid": PEER, "alias": "\u26a1\u26a1"}], None),
        ([], None),
    ],
)
def test_an_alias_is_plain_or_none(nodes: Any, alias: str | None) -> None:
    assert reports(listnodes={"nodes": nodes}).alias(PEER) == alias


def test_only_a_node_id_is_asked_about() -> None:
    with pytest.raises(ValueError, match="not a node id"):
        reports(listnodes={"nodes": []}).alias("everyone")
