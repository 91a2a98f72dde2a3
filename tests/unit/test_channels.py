"""Who a channel is over time: identity by channel_id, scids with a history, closure."""

from __future__ import annotations

from cl_revenue_ops.domain.channels import by_scid, merge, usable
from messages.channels import ChannelEntry, ChannelFact

A, B, PEER = "aa" * 32, "bb" * 32, "02" + "cc" * 32


def fact(
    channel_id: str = A,
    scid: str | None = "1x1x0",
    state: str = "CHANNELD_NORMAL",
    alias: str | None = None,
) -> ChannelFact:
    return ChannelFact(channel_id, PEER, state, True, True, scid=scid, alias_scid=alias)


def merged(*readings: list[ChannelFact]) -> dict[str, ChannelEntry]:
    known: dict[str, ChannelEntry] = {}
    for number, facts in enumerate(readings):
        known, _ = merge(known, facts, float(number))
    return known


def test_a_splice_keeps_the_channel_and_adds_its_scid() -> None:
    known = merged([fact(scid="1x1x0")], [fact(scid="2x1x0")])
    assert known[A].scids == ("1x1x0", "2x1x0")
    assert by_scid(known.values()) == {"1x1x0": A, "2x1x0": A}


def test_the_alias_names_the_channel_before_and_after_lock_in() -> None:
    known = merged([fact(scid=None, alias="9x9x9")], [fact(scid="1x1x0", alias="9x9x9")])
    assert known[A].scids == ("9x9x9", "1x1x0")


def test_a_late_alias_does_not_become_the_newest_scid() -> None:
    known = merged([fact(scid="1x1x0")], [fact(scid="1x1x0", alias="9x9x9")])
    assert known[A].scids[-1] == "1x1x0"


def test_a_channel_that_is_gone_is_closed_and_kept() -> None:
    known = merged([fact(), fact(B, "2x2x0")], [fact()])
    assert [known[A].closed, known[B].closed] == [False, True]
    assert by_scid(known.values())["2x2x0"] == B


def test_a_reading_with_malformed_entries_closes_nothing() -> None:
    known = merged([fact(), fact(B, "2x2x0")])
    after, changed = merge(known, [fact()], 5.0, complete=False)
    assert not after[B].closed
    assert not changed


def test_a_channel_that_reappears_is_open_again() -> None:
    known = merged([fact()], [], [fact()])
    assert not known[A].closed
    assert known[A].first_seen_s == 0.0


def test_only_news_are_stored_again() -> None:
    known = merged([fact()])
    assert merge(known, [fact()], 1.0)[1] == []
    assert len(merge(known, [fact(state="CHANNELD_AWAITING_SPLICE")], 1.0)[1]) == 1


def test_awaiting_splice_is_a_working_state() -> None:
    assert usable(fact(state="CHANNELD_AWAITING_SPLICE"))
    assert not usable(fact(state="CHANNELD_SHUTTING_DOWN"))
