"""The whole plugin on the bench: in this process and as a process it does and earns the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cl_revenue_ops.adapters import transport
from cl_revenue_ops.bench import house, registry
from cl_revenue_ops.bench.arena import play
from cl_revenue_ops.bench.house import HouseFailed, play_house
from cl_revenue_ops.bench.house_node import HouseNode
from cl_revenue_ops.bench.process import play_process
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS, Scenario
from cl_revenue_ops.bench.stage import Stage
from cl_revenue_ops.simnode.forward_log import SETTLED
from cl_revenue_ops.simnode.market import Market
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.prices import DAY_S
from tests.unit.bench_support import Scripted, world

BUSY = {"attempts_per_channel_day": 60.0, "dormant_share": 0.0}
SLOW = {"revenue-ops-fee-interval": "7200"}


def small(name: str = "even", seed: int = 2, days: int = 3) -> tuple[Market, Scenario]:
    """A world with something to earn in it."""
    return world(name, seed, 6, days, **BUSY)


def test_house_and_process_decide_and_earn_the_same() -> None:
    market, scenario = small()
    house, process = play_house(market, scenario), play_process(market, scenario)
    assert (house.policy, process.policy) == ("house", "plugin")
    assert replace(process, policy="house") == house
    assert house.fees_msat > 0
    assert sum(house.broadcasts) > 6, "it has decided something"


def test_a_house_sees_the_same_payments_as_a_rule() -> None:
    market, scenario = small("new_channel", days=2)
    house = play_house(market, scenario, options=SLOW)
    rule = play(market, scenario, Scripted(None))
    assert house.attempts == rule.attempts
    assert house.channels == rule.channels == 6
    # A house that keeps its hands off leaves exactly what a rule that does nothing leaves.
    idle = play_house(market, scenario, options={**SLOW, "revenue-ops-dry-run": "true"})
    assert replace(idle, policy=rule.policy) == rule


def test_a_house_is_deterministic_and_hears_its_options() -> None:
    market, scenario = small(days=2)
    one = play_house(market, scenario, options=SLOW)
    assert play_house(market, scenario, options=SLOW) == one
    capped = play_house(market, scenario, options={**SLOW, "revenue-ops-max-fee-ppm": "12"})
    assert capped != one
    assert all(path[-1] <= 12 for path in capped.fee_path_ppm)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"revenue-ops-nonsense": "1"}, "unrecognized option: revenue-ops-nonsense"),
        ({"revenue-ops-max-fee-ppm": "abc"}, "the plugin sets no fees"),
    ],
)
def test_options_that_the_plugin_cannot_run_with(options: dict[str, str], told: str) -> None:
    market, scenario = ALL_SCENARIOS["even"].market(1, 3, 1), ALL_SCENARIOS["even"]
    for runner in (play_house, play_process):
        with pytest.raises(HouseFailed, match=told):
            runner(market, scenario, options=options)


def test_a_node_in_this_process_is_found_by_its_path_alone(tmp_path: Path) -> None:
    node = HouseNode(tmp_path, start_s=1.7e9, seed=1)
    path = str(node.rpc_file)
    rpc = transport.DeadlineRpc(path, 1.0)
    info = rpc.call("getinfo")
    assert isinstance(info, dict)
    assert info["id"] == node.world.id
    with pytest.raises(OSError, match="No such file"):
        transport.DeadlineRpc(str(tmp_path / "another"), 1.0).call("getinfo")
    node.hang_up()
    with pytest.raises(OSError, match="No such file"):
        rpc.call("getinfo")


class Mover:
    """A companion with one method, which moves sats between two channels."""

    path = "/opt/mover"

    def __init__(self, node: HouseNode, stage: Stage) -> None:
        self._node = node
        open_now = [node.world.channels[name] for name in stage.driver.channel_ids if name]
        self._source = max(open_now, key=lambda channel: channel.spendable_msat).channel_id
        others = [channel for channel in open_now if channel.channel_id != self._source]
        self._dest = max(others, key=lambda channel: channel.receivable_msat).channel_id

    @property
    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"mover-move": lambda params: self._move()}

    def _move(self) -> dict[str, Any]:
        return self._node.world.circular_payment(self._source, self._dest, 2_000_000, 321)


def test_a_house_is_played_beside_companions_and_their_moves_are_counted() -> None:
    market, scenario = small(days=1)
    nodes: list[HouseNode] = []

    def beside(node: HouseNode, stage: Stage) -> Iterable[Mover]:
        assert not node.begun, "it is asked before the plugin starts"
        nodes.append(node)
        mover = Mover(node, stage)
        assert mover.methods["mover-move"]({})["status"] == "complete"
        return [mover]

    clboss = {"clboss": "v0.16.3"}
    moved = play_house(market, scenario, options=SLOW, companions=clboss, beside=beside)
    (node,) = nodes
    assert node.clboss is not None
    assert node.call("mover-move")["status"] == "complete"
    assert (moved.moves, moved.moved_msat, moved.rebalance_cost_msat) == (1, 2_000_000, 321)
    alone = play_house(market, scenario, options=SLOW)
    assert (alone.moves, alone.rebalance_cost_msat) == (0, 0)


# -- with rebalancing ------------------------------------------------------------------------------

DAY_MSAT_LEAST, DAY_MSAT_MOST, SHARE = 500_000, 5_000_000, 0.3


class Ended:
    """A run of `house/ev`, with what node and plugin say at its end."""

    def __init__(self, market: Market, scenario: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
        def run_through(node: SimulatedNode, stage: Stage, step_s: float) -> None:
            through(node, stage, step_s)
            self.node, self.market = node, stage.market
            self.status = node.call("revenue-status")
            self.report = node.call("revenue-report", ["rebalances"])

        through = house.run_through
        with monkeypatch.context() as patched:
            patched.setattr(house, "run_through", run_through)
            self.outcome = registry.play_spec(registry.parse("house/ev"), market, scenario)

    @property
    def payments(self) -> list[dict[str, Any]]:
        """The node's own list of what arrived."""
        rows = self.node.world.sendpays.rows
        return [row for row in rows if row["status"] == "complete"]

    def revenue_msat(self, day: int) -> int:
        """What forwards brought on a UTC day."""
        log = self.node.world.forwards
        rows = zip(log.status, log.resolved_s, log.in_msat, log.out_msat, strict=True)
        return sum(
            came - went
            for status, at_s, came, went in rows
            if status == SETTLED and at_s // DAY_S == day
        )

    def allowed_msat(self, at_s: float) -> float:
        """The largest budget under which what is paid now may have been promised."""
        today = int(at_s // DAY_S)
        means = [
            sum(self.revenue_msat(day) for day in range(last - 7, last)) / 7
            for last in (today - 1, today)
        ]
        return min(DAY_MSAT_MOST, max(SHARE * max(means), DAY_MSAT_LEAST))


def test_the_house_rebalances_within_its_budget_and_every_job_is_accounted_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market, scenario = world("even", 2, 8, 5, **BUSY)
    run = Ended(market, scenario, monkeypatch)
    rule = registry.play_spec(registry.parse("rule/ev"), market, scenario)
    alone = registry.play_spec(registry.parse("house"), market, scenario)
    assert (run.outcome.policy, alone.policy, alone.moves) == ("house/ev", "house", 0)
    assert run.outcome.moves > 0 < rule.moves, "both have moved something"
    # Not the same moves: the house looks every quarter of an hour from five minutes after its
    # start, pays by sling's rules, and gives up a job whose payment hangs.
    assert 0.75 < run.outcome.net_msat / rule.net_msat < 1.33

    costs = [(row["completed_at"], row["amount_sent_msat"] - row["amount_msat"])
             for row in run.payments]  # fmt: skip
    assert sum(cost for _, cost in costs) == run.outcome.rebalance_cost_msat > 0
    for at_s, _ in costs:
        spent_msat = sum(cost for paid_s, cost in costs if at_s - DAY_S < paid_s <= at_s)
        assert spent_msat <= run.allowed_msat(at_s)

    jobs = {row["job_id"]: row for row in run.report["rebalances"]}
    live = {job["job_id"] for job in run.status["running_rebalances"]}
    assert {name for name, job in jobs.items() if job["outcome"] is None} <= live
    held = {row["job_id"] for row in run.status["budget"]["reservations"]}
    assert held <= live, "what is reserved is for a job that lives"
    totals = run.report["totals"]
    assert abs(totals["cost_sats"] * 1_000 - run.outcome.rebalance_cost_msat) < 1_000
    assert abs(totals["moved_sats"] * 1_000 - run.outcome.moved_msat) < 1_000


def test_house_and_process_rebalance_the_same() -> None:
    market, scenario = world("even", 2, 8, 2, **BUSY)
    played = [registry.play_spec(registry.parse(f"{name}/ev"), market, scenario)
              for name in ("house", "plugin")]  # fmt: skip
    assert played[0].move_tries > 0
    assert replace(played[1], policy="house/ev") == played[0]
