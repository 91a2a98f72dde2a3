"""A house beside a simulated CLBoss, and what tests do to the two."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode import clboss
from cl_revenue_ops.simnode.clboss import Clboss
from messages.policies import PeerPolicy
from tests.sim.house_support import HouseNode, house_node
from tests.sim.test_house_fees import rivals_ask

BOTH = frozenset(("lnfee", "balance"))
ALL = frozenset(("lnfee", "balance", "open", "close"))
HOUR_S, RETRY_S = 3_600.0, 300.0
STRANGER = "02" + "5a" * 32


class Beside(HouseNode):
    """Names for what is asked of a house that has CLBoss beside it."""

    @property
    def boss(self) -> Clboss:
        assert self.clboss is not None
        return self.clboss

    @property
    def peers(self) -> list[str]:
        return sorted({channel.peer_id for channel in self.world.channels.values()})

    def stands(self, peer_id: str) -> frozenset[str]:
        """The tags of a peer at CLBoss."""
        return self.boss.unmanaged.get(peer_id, frozenset())

    def directly(self, peer_id: str, *tags: str) -> None:
        """An operator tells CLBoss itself."""
        self.call("clboss-unmanage", {"nodeid": peer_id, "tags": ",".join(tags)})

    def present(self, present: bool) -> None:
        self.plugins.set_present(clboss.NAME, present)

    def policies(self, *policies: PeerPolicy) -> None:
        """These policies hold, and no others."""
        named = {policy.peer_id for policy in policies}
        for row in self.call("revenue-policy", ["list"])["policies"]:
            if row["peer_id"] not in named:
                self.call("revenue-policy", ["delete", row["peer_id"]])
        for policy in policies:
            asked = {"strategy": policy.strategy, "rebalance": policy.rebalance}
            end = {} if policy.fee_ppm is None else {"fee_ppm": policy.fee_ppm}
            self.call(
                "revenue-policy", {"action": "set", "peer_id": policy.peer_id, **asked, **end}
            )
        self.settle()

    def boss_status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.call("revenue-clboss-status")
        return answer

    def row(self, peer_id: str) -> dict[str, Any]:
        """The peer's row in revenue-clboss-status."""
        rows = self.boss_status()["unmanaged_peers"]
        found: dict[str, Any] = next(row for row in rows if row["peer_id"] == peer_id)
        return found

    def claims(self) -> set[tuple[str, str]]:
        """What is remembered as ours."""
        return set(self.query("SELECT peer_id, tag FROM boss_claim"))

    def stop_cleanly(self) -> None:
        self.plugins.hosts.clear()
        self.options.unregister(self.life.path)
        self.life.end()
        self.life._read_stdout()

    def begin_again(self) -> None:
        """A new life after a stop or a kill, with the policies told to it."""
        self.start()
        self.policies()

    def kill_with(self, kept: Path) -> None:
        """Kill the house as if it had ended when `keep` was called."""
        self.kill()
        for path in self.network_dir.glob("revenue_ops.db*"):
            path.unlink()
        for path in kept.iterdir():
            shutil.copy(path, self.network_dir)

    def keep(self, folder: Path) -> Path:
        """Copy what lies on the disk now."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path in self.network_dir.glob("revenue_ops.db*"):
            if path.suffix in (".db", ".db-wal"):
                shutil.copy(path, folder)
        return folder


@contextmanager
def beside(
    version: str = clboss.NEWEST, *, start: bool = True, present: bool = True, peers: int = 2
) -> Iterator[Beside]:
    """A house with channels to some peers, beside a CLBoss; started unless told otherwise."""
    with house_node(start=False, kind=Beside, clboss=version) as node:
        assert isinstance(node, Beside)
        for number in range(peers):
            node.open(f"peer{number}", 1_000_000, 500_000)
        for peer_id in node.peers:
            rivals_ask(node, peer_id, 300, 310, 320)
        node.present(present)
        if start:
            node.begin_again()
            node.wait_s(30)
        yield node
