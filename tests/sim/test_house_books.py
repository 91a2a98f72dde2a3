"""The books of the whole house: whatever happens to the money, all comparisons give zero."""

from __future__ import annotations

import pytest

from tests.sim.house_books import Story, books, reconciled, wrong
from tests.sim.house_support import house_node


@pytest.mark.parametrize("seed", range(4))
def test_after_any_story_every_account_agrees_to_the_msat(seed: int) -> None:
    with house_node(seed=seed) as node:
        story = Story(node, seed)
        done = []
        for _ in range(12):
            for _ in range(10):
                done.append(story.step())
                node.wait_s(60.0)
        story.end()
        node.wait_s(2_000.0)
        found = reconciled(node)
        assert found.trouble is None
        assert not wrong(found), (seed, wrong(found), done)
        whole = books(node)
        assert whole.costs_source == "bookkeeper"
        assert whole.unattributed_msat == 0
