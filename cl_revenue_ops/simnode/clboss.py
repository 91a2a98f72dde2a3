"""CLBoss as a companion plugin: what it leaves alone by order, and the fees it sets elsewhere."""

from __future__ import annotations

import random
import re
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from cl_revenue_ops.simnode.errors import bad_params
from cl_revenue_ops.simnode.model import SETTABLE
from cl_revenue_ops.simnode.world import World

NEWEST = "v0.16.3"
NAME = "clboss"
_COMMENT = "Peers named here are not fully managed; clboss-unmanage changes that."
_NODE_ID = re.compile(r"0[23][0-9a-f]{64}\Z")
_VERSION = re.compile(r"v?(\d+)\.(\d+)")
_PASS_S = (3_600.0, 10_800.0)
_FACTOR = (0.8, 1.25)


class Clboss:
    """One CLBoss of release `version`; implements Companion.

    Its sets of tags outlive restarts of the node, as its database does. `told` holds every set
    that was written, in order, `passes` counts how often it has set fees.
    """

    path = f"/usr/local/bin/{NAME}"

    def __init__(self, world: World, version: str = NEWEST, seed: int = 0) -> None:
        self.version = version
        self.unmanaged: dict[str, frozenset[str]] = {}
        self.told: list[tuple[str, str]] = []
        self.passes = 0
        self._world = world
        self._random = random.Random(f"clboss/{seed}")
        self._next_s: float | None = None

    @property
    def tags(self) -> frozenset[str]:
        """The tags that this release knows."""
        found = _VERSION.match(self.version)
        release = (int(found[1]), int(found[2])) if found else (0, 0)
        known = {"lnfee", "open", "close"}
        return frozenset(known | {"balance"} if release >= (0, 13) else known)

    @property
    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        """See Companion."""
        return {"clboss-status": self.status, "clboss-unmanage": self.unmanage}

    def status(self, params: Any) -> dict[str, Any]:
        """The sections that are played; peers without tags are not listed."""
        del params  # the real one looks at none
        listed = {peer: ", ".join(sorted(tags)) for peer, tags in self.unmanaged.items() if tags}
        return {
            "channel_candidates": [],
            "info": {"version": self.version},
            "internet": {"connection": "online"},
            "unmanaged": {"comment": _COMMENT, **listed},
        }

    def unmanage(self, params: Any) -> dict[str, Any]:
        """Replace the set of a node's tags; -32602 for an unknown tag or a malformed id.

        Nothing is trimmed, so a tag after a space is an unknown one. Empty parts count for none.
        """
        nodeid, tagspec = _arguments(params)
        if not isinstance(nodeid, str) or not _NODE_ID.match(nodeid):
            raise bad_params("Parameter error: not a node id")
        if not isinstance(tagspec, str):
            raise bad_params("Parameter error: tags must be a text")
        tags = frozenset(tag for tag in tagspec.split(",") if tag)
        for tag in sorted(tags - self.tags):
            raise bad_params(f"Parameter error: Unknown tag: {tag}")
        self.told.append((nodeid, tagspec))
        self.unmanaged[nodeid] = tags
        return {}

    def tick(self, now_s: float) -> None:
        """Set fees if its next pass is due: one every one to three hours."""
        if self._next_s is None:
            self._next_s = now_s + self._random.uniform(*_PASS_S)
        if now_s >= self._next_s:
            self._next_s = now_s + self._random.uniform(*_PASS_S)
            self.set_fees()

    def set_fees(self) -> None:
        """Price each peer around what others ask into it, and set that on all its channels.

        A peer with the tag lnfee keeps the fee that it has.
        """
        self.passes += 1
        with self._world.lock:
            for peer_id in sorted(self._world.peers):
                factor = self._random.uniform(*_FACTOR)
                if "lnfee" not in self.unmanaged.get(peer_id, frozenset()):
                    self._set_fee(peer_id, factor)

    def _set_fee(self, peer_id: str, factor: float) -> None:
        world = self._world
        asked = [
            edge.policy.ppm
            for edge in world.gossip.edges(destination=peer_id)
            if edge.source != world.id
        ]
        median_ppm = statistics.median(asked) if asked else world.default_policy.ppm
        for channel in list(world.channels.values()):
            if channel.peer_id == peer_id and channel.state in SETTABLE:
                base_msat = world.default_policy.base_msat
                ppm = max(1, round(median_ppm * factor))
                world.set_channel(channel.channel_id, base_msat=base_msat, ppm=ppm)


def _arguments(params: Any) -> tuple[Any, Any]:
    if isinstance(params, list) and len(params) >= 2:
        return params[0], params[1]
    if isinstance(params, dict):
        return params.get("nodeid"), params.get("tags")
    return None, None
