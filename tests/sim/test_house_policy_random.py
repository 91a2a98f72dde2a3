"""Random operations with crashes between and within them: memory, database and a model agree.

`REVENUE_OPS_POLICY_OPERATIONS` chooses how many (10,000 take a minute), and
`REVENUE_OPS_POLICY_SEED` which; a failure prints both.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from cl_revenue_ops.config import default_config
from cl_revenue_ops.domain.policy import rows
from messages.policies import PeerPolicy
from tests.sim.house_policies import policy_house, stored, told
from tests.sim.house_support import HouseNode, house_node
from tests.sim.policy_model import PLAIN, Held, Model, Operation, Outcome, draw
from tests.sim.test_house_fees import decision
from tests.unit.policy_support import peer

OPERATIONS = int(os.environ.get("REVENUE_OPS_POLICY_OPERATIONS", "1000"))
SEED = int(os.environ.get("REVENUE_OPS_POLICY_SEED", "1"))
PEERS = [peer(number) for number in range(4)]


def plain(policy: PeerPolicy) -> Held:
    """A policy as the model has it."""
    shown = rows.shown(policy, 0.0)
    for name in ("peer_id", "updated_at", "is_expired"):
        del shown[name]
    return shown


def in_memory(node: HouseNode) -> dict[str, Held]:
    return {policy.peer_id: plain(policy) for policy in told(node).policies}


def in_database(node: HouseNode) -> dict[str, Held]:
    return {peer_id: plain(policy) for peer_id, policy in stored(node).items()}


def verdict(answer: dict[str, object] | None) -> str | None:
    """done, bad or limited; None where the call died with the house."""
    if answer is None:
        return None
    if "error" in answer:
        return "bad"
    result = answer["result"]
    assert isinstance(result, dict)
    return "limited" if result["status"] == "error" else "done"


class Play:
    """A house and the model of it, side by side."""

    def __init__(self, node: HouseNode, rng: Random, peers: Sequence[str]) -> None:
        self.node, self.rng, self.peers, self.model = node, rng, peers, Model()
        self.crashes = self.cut_short = 0
        self.verdicts: dict[str | None, int] = {}

    def step(self) -> None:
        """One operation, perhaps with a crash in it, perhaps with one or some time after it."""
        rng, node = self.rng, self.node
        operation = draw(rng, self.peers)
        crash = rng.random() < 0.05
        if crash:
            node.life.die_after(rng.randint(0, 4))
        outcome = self.model.expect(operation, node.now_s)
        answer = node.life.ask("revenue-policy", {"action": operation.action, **operation.params})
        said = verdict(answer)
        self.verdicts[said] = self.verdicts.get(said, 0) + 1
        if crash:
            self.crashes += 1
            node.restart()
            node.settle()
        self.settle(operation, outcome, said)
        if rng.random() < 0.03:
            node.restart()
        if rng.random() < 0.06:
            node.wait_s(rng.choice([0.25, 5.0, 30.0, 61.0, 1_800.0, 3_600.0]))

    def settle(self, operation: Operation, outcome: Outcome, said: str | None) -> None:
        """What was answered must hold; what died unanswered is there whole or not at all."""
        memory = in_memory(self.node)
        if said is not None:
            assert said == outcome.verdict, operation
            assert memory == outcome.state, operation
            self.model.adopt(outcome, self.node.now_s)
            return
        self.cut_short += 1
        assert memory in (outcome.state, self.model.state), operation
        if memory == outcome.state:
            self.model.adopt(outcome, self.node.now_s)

    def check(self) -> None:
        """The database says the same, to another process too."""
        self.model.end(self.node.now_s)
        assert in_memory(self.node) == in_database(self.node) == self.model.state
        ((newest,),) = self.node.query("SELECT coalesce(max(seq), 0) FROM policy_change")
        assert told(self.node).version == newest


def run(play: Play, operations: int, check: Callable[[], None]) -> None:
    for number in range(operations):
        try:
            play.step()
            if number % 10 == 0:
                check()
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, operation {number}: {error}") from error
    check()
    assert play.cut_short > 0
    assert {"done", "bad", "limited"} <= play.verdicts.keys()


def test_memory_database_and_a_plain_model_agree_after_every_operation() -> None:
    with policy_house() as node:
        play = Play(node, Random(SEED), PEERS)
        run(play, OPERATIONS, play.check)


def test_decisions_agree_with_what_is_stored() -> None:
    """What is decided on and what stands on the node is what the stored policies ask for."""
    with house_node(start=False) as node:
        for name in ("alice", "bob", "carol"):
            node.open(name, 1_000_000, 500_000)
        node.start()
        node.settle()
        node.wait_s(100.0)
        play = Play(node, Random(SEED), sorted(node.world.peers))
        checked: Counter[str] = Counter()

        def check() -> None:
            play.check()
            holds = in_database(node)
            for channel in node.world.channels.values():
                asked = holds.get(channel.peer_id, PLAIN)
                checked[asked["strategy"]] += 1
                assert_followed(node, asked, channel.policy.ppm, str(channel.scid))

        run(play, OPERATIONS, check)
    assert set(checked) == {"dynamic", "static", "passive", "hive"}, checked


def assert_followed(node: HouseNode, asked: Held, fee_ppm: int, scid: str) -> None:
    row = decision(node, scid)
    in_force = row["policy"]
    strategy = "dynamic" if in_force is None else in_force["strategy"]
    assert strategy == asked["strategy"], (asked, row["sentence"])
    low, high = asked["min_fee_ppm"], asked["max_fee_ppm"]
    if strategy == "static":
        assert fee_ppm == asked["fee_ppm_target"], row["sentence"]
    elif strategy == "hive":
        assert fee_ppm == default_config().hive_fee_ppm, row["sentence"]
    elif strategy == "dynamic":
        assert (low or 0) <= fee_ppm <= (fee_ppm if high is None else high), (
            asked,
            row["sentence"],
        )
    else:
        assert row["skip_reason"] == "passive", row["sentence"]
