"""When rebalancing suspends itself, for how long, and what it says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.rebalance import health
from cl_revenue_ops.domain.rebalance.health import (
    COOLDOWN_S,
    JUDGED_AFTER_S,
    LONGEST_COOLDOWN_S,
    NEWEST,
    RUN,
    Health,
)
from cl_revenue_ops.domain.rebalance.score import DAY_S, HORIZON_S, Opening, Refill, Scored

NOW_S = 1_700_000_000.0


def job(
    number: int,
    net_msat: int = -100_000,
    *,
    age_s: float = 5 * DAY_S,
    cost_msat: int = 150_000,
    unsold_msat: int = 0,
    now_s: float = NOW_S,
) -> Scored:
    """A job that has realised this much."""
    opening = Opening(
        f"r{number}", "02" + "aa" * 32, now_s - age_s + number / 1_000, 0, 10**9, cost_msat,
        0.0, 0.0, 0,
    )  # fmt: skip
    return Scored(Refill(opening, earned_msat=net_msat + cost_msat), unsold_msat)


def jobs(*nets: int) -> list[Scored]:
    return [job(number, net) for number, net in enumerate(nets)]


def test_a_run_of_ten_losses_suspends_for_a_day_and_nine_do_not() -> None:
    losses = jobs(*[-100_000] * RUN)
    assert health.look(Health(), losses[1:], NOW_S) == Health()
    found = health.look(Health(), losses, NOW_S)
    assert (found.until_s, found.strikes) == (NOW_S + COOLDOWN_S, 1)
    assert found.words == (
        "the last 10 rebalances that can be judged cost 1,500 sats and brought 500 sats:"
        " 1,000 sats short, more than chance explains"
    )


def test_it_says_so_while_it_lasts_and_then_no_more() -> None:
    found = health.look(Health(), jobs(*[-100_000] * RUN), NOW_S)
    said = found.suspended(NOW_S + 90 * 60)
    assert said is not None and said.startswith("rebalancing has suspended itself for another 23 h")
    assert "1,000 sats short" in said
    assert found.suspended(NOW_S + COOLDOWN_S) is None
    assert Health().suspended(NOW_S) is None


def test_a_loss_that_may_be_chance_suspends_nothing() -> None:
    nets = [-300_000, -300_000, 300_000]
    assert health.look(Health(), jobs(*nets * 4), NOW_S) == Health()
    # So many more of the same are no chance any more.
    assert health.look(Health(), jobs(*nets * 16), NOW_S).strikes == 1


def test_jobs_are_judged_by_their_age_alone() -> None:
    young = [job(n, -100_000, age_s=JUDGED_AFTER_S - 60.0) for n in range(99)]
    assert health.look(Health(), young, NOW_S) == Health()
    assert health.look(Health(), young, NOW_S + 120.0).strikes == 1
    sold_out = [job(n, 900_000, age_s=DAY_S) for n in range(9)]
    assert health.look(Health(), [*jobs(*[-100_000] * RUN), *sold_out], NOW_S).strikes == 1


def test_what_is_unsold_counts_less_day_by_day_and_at_last_nothing() -> None:
    scored = job(0, -100_000, age_s=HORIZON_S / 4, unsold_msat=200_000)
    assert health.worth_msat(scored, NOW_S) == 50_000
    assert health.worth_msat(scored, NOW_S + HORIZON_S / 4) == pytest.approx(0, abs=1)
    assert health.worth_msat(scored, NOW_S + HORIZON_S) == -100_000


def test_only_the_newest_count() -> None:
    old = [job(n, 10_000_000, age_s=9 * DAY_S) for n in range(20)]
    assert health.look(Health(), [*jobs(*[-100_000] * NEWEST), *old], NOW_S).strikes == 1
    assert health.look(Health(), [*jobs(*[-100_000] * (NEWEST - 1)), *old], NOW_S).strikes == 0


def test_after_a_cool_down_only_new_jobs_count_and_the_next_one_is_longer() -> None:
    found = health.look(Health(), jobs(*[-100_000] * RUN), NOW_S)
    assert health.look(found, jobs(*[-100_000] * 40), NOW_S + 60.0) == found
    later_s = found.until_s + 10 * DAY_S
    assert health.look(found, jobs(*[-100_000] * 40), later_s) == found
    new = [job(n, age_s=5 * DAY_S, now_s=later_s) for n in range(RUN)]
    again = health.look(found, new, later_s)
    assert (again.until_s, again.strikes) == (later_s + 2 * COOLDOWN_S, 2)


def test_the_cool_down_grows_up_to_a_bound_and_a_run_that_paid_forgives_all() -> None:
    found, now_s, lengths = Health(), NOW_S, []
    for _ in range(7):
        now_s = max(now_s, found.until_s) + 6 * DAY_S
        found = health.look(found, [job(n, now_s=now_s) for n in range(RUN)], now_s)
        lengths.append((found.until_s - now_s) / COOLDOWN_S)
    assert lengths == [1, 2, 4, 8, 16, 16, 16]
    assert lengths[-1] * COOLDOWN_S == LONGEST_COOLDOWN_S
    now_s = found.until_s + 6 * DAY_S
    paid = health.look(found, [job(n, 0, now_s=now_s) for n in range(RUN)], now_s)
    assert paid.strikes == 0 and paid.suspended(now_s) is None


@given(st.lists(st.integers(-(10**9), 10**9), max_size=40))
def test_law_no_run_that_paid_is_ever_suspended(nets: list[int]) -> None:
    found = health.look(Health(), jobs(*nets), NOW_S)
    if sum(nets) >= 0 or len(nets) < RUN:
        assert found == Health()


@given(st.floats(0, 4e9), st.integers(0, 99), st.none() | st.text())
def test_law_it_comes_back_exactly(until_s: float, strikes: int, words: str | None) -> None:
    kept = Health(until_s, strikes, words)
    assert health.read(health.pack(kept)) == kept


@pytest.mark.parametrize("text", ["", "{}", "[1]", "[1,1.5,null]", "[null,1,null]", "[1,1,5]"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        health.read(text)
