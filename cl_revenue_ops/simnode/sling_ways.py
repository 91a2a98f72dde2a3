"""How the simulated sling chooses: which channels may give, and over which the way is cheapest."""

from __future__ import annotations

import math
from typing import NamedTuple

from cl_revenue_ops.simnode.model import USABLE, Channel
from cl_revenue_ops.simnode.sling_book import JobBook
from cl_revenue_ops.simnode.sling_jobs import Job, Settings
from cl_revenue_ops.simnode.sling_routes import Quote, Routes, Try
from cl_revenue_ops.simnode.world import World

BAN_S = 600.0
HOUR_S = 3_600.0
Pair = tuple[str, str]
NO_CANDIDATES, NO_ROUTES = "NoCandidates", "NoRoutes"


class Choice(NamedTuple):
    """The candidate and the way that a payment will take."""

    outgoing: Channel
    incoming: Channel
    partner: str
    quote: Quote

    @property
    def pair(self) -> Pair:
        """The peers that it leaves by and comes back by."""
        return self.outgoing.peer_id, self.incoming.peer_id


class Ways:
    """Candidates and ways. What failed in this hour comes after what did not; a channel that is
    banned is left out for ten minutes."""

    def __init__(self, world: World, book: JobBook, routes: Routes, settings: Settings) -> None:
        self.routes = routes
        self.bans: dict[str, float] = {}
        self._world = world
        self._book = book
        self._settings = settings
        self._tries: dict[tuple[str, str, int], int] = {}
        self._failed: dict[tuple[str, str, int], int] = {}

    def choose(
        self, scid: str, job: Job, channel: Channel, at_s: float, taken: set[Pair]
    ) -> Choice | str:
        """The next payment of a job, or the status that says why there is none.

        `taken` are the ways of the job's other tasks: each has one of its own.
        """
        known = self._book.known(at_s).values()
        candidates = [c for c in known if self._is_candidate(c, scid, job, at_s)]
        if not candidates:
            return NO_CANDIDATES
        ways: list[tuple[int, int, str, Choice]] = []
        for candidate in candidates:
            out, into = (candidate, channel) if job.pulls else (channel, candidate)
            if self._closed(out, into, taken):
                continue
            quote = self.routes.quote(out, into, job.amount_msat, at_s)
            if quote is not None and quote.hops <= job.hops(self._settings):
                failed = self._failed.get(_hourly(out, into, at_s), 0)
                name = candidate.scid or ""
                ways.append((failed, quote.cost_msat, name, Choice(out, into, name, quote)))
        if not ways:
            return NO_ROUTES
        cheap = [way for way in ways if ppm_of(way[1], job.amount_msat) <= job.maxppm]
        return min(cheap or ways, key=lambda way: way[:3])[3]

    def _closed(self, outgoing: Channel, incoming: Channel, taken: set[Pair]) -> bool:
        pair = (outgoing.peer_id, incoming.peer_id)
        return pair in taken or not self._book.excepted_peers.isdisjoint(pair)

    def attempt(self, choice: Choice, job: Job, at_s: float) -> Try:
        """Try the payment once."""
        out, into, *_ = choice
        pair = _hourly(out, into, at_s)
        self._tries[pair] = number = self._tries.get(pair, 0) + 1
        tried = self.routes.attempt(out, into, job.amount_msat, job.maxppm, at_s, number)
        if not tried.ok:
            self._failed[pair] = self._failed.get(pair, 0) + 1
        return tried

    def ban(self, channel: Channel, at_s: float) -> None:
        """Leave a channel alone for a while."""
        self.bans[channel.scid or ""] = at_s + BAN_S

    def changes_s(self, at_s: float) -> float:
        """When the next ban ends, or the hour."""
        ends = [end_s for end_s in self.bans.values() if end_s > at_s]
        return min([(at_s // HOUR_S + 1) * HOUR_S, *ends])

    def banned(self, scid: str, at_s: float) -> bool:
        """Whether that while is not over."""
        return self.bans.get(scid, float("-inf")) > at_s

    def _is_candidate(self, channel: Channel, job_scid: str, job: Job, at_s: float) -> bool:
        scid, settings = channel.scid, self._settings
        if scid is None or scid == job_scid or (job.candidates and scid not in job.candidates):
            return False
        closed_to = self._book.pull if job.pulls else self._book.push
        if scid in closed_to:
            return False
        if channel.state not in USABLE or not self._world.peers[channel.peer_id].connected:
            return False
        young = int(scid.split("x")[0]) > self._world.height - settings.candidates_min_age
        if young or channel.remote_policy is None or self.banned(scid, at_s):
            return False
        has_msat = channel.to_us_msat if job.pulls else channel.to_them_msat
        if has_msat <= job.floor_msat(channel.total_msat, settings):
            return False
        ours = channel.policy
        out_ppm = effective_ppm(ours.base_msat, ours.ppm, job.amount_msat)
        theirs = channel.remote_policy
        if job.outppm is not None and (out_ppm > job.outppm if job.pulls else out_ppm < job.outppm):
            return False
        if not job.pulls:
            in_ppm = effective_ppm(theirs.base_msat, theirs.ppm, job.amount_msat)
            if in_ppm > job.maxppm:
                return False
        return htlcs(channel) <= settings.max_htlc_count


def ppm_of(cost_msat: int, amount_msat: int) -> int:
    """A cost as a share of the amount, rounded up as it rounds."""
    return math.ceil(cost_msat * 1_000_000 / amount_msat)


def effective_ppm(base_msat: int, ppm: int, amount_msat: int) -> int:
    """What a policy asks of an amount, base fee included, rounded up."""
    return math.ceil((base_msat + ppm / 1e6 * amount_msat) / amount_msat * 1e6)


def htlcs(channel: Channel) -> int:
    """How many HTLCs a channel holds now."""
    return len(channel.pending_in) + len(channel.pending_out)


def _hourly(outgoing: Channel, incoming: Channel, at_s: float) -> tuple[str, str, int]:
    return outgoing.peer_id, incoming.peer_id, int(at_s // HOUR_S)
