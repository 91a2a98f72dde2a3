"""The rebalancing desk: which moves to make, what was learned of routes, and what is left alone."""

from __future__ import annotations

import heapq
from collections.abc import Container, Mapping
from typing import Any, Final

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.demand.stock_curve import value_at
from cl_revenue_ops.domain.rebalance import ends, expected
from cl_revenue_ops.domain.rebalance.breaker import Breakers
from cl_revenue_ops.domain.rebalance.ends import End, Moves
from cl_revenue_ops.domain.rebalance.facts import Pair, Result, Situation, Survey
from cl_revenue_ops.domain.rebalance.routes import RouteBook
from messages.channels import ChannelFact

# Looked at more closely: the dearest stock to fill, the cheapest to take from.
DESTINATIONS: Final = 24
SOURCES: Final = 40
MOST_JOBS: Final = 3
DEAR_WORDS: Final = ("NoCheapRoute",)
ROUTES, BREAKERS, MOVES = "routes", "breakers", "moves"


class RebalanceDesk:
    """Owns the learned routes and the breakers; a pure object: it asks nobody and has no clock.

    What `pack` gives comes back by `read` exactly: the next search is the same.
    """

    def __init__(self) -> None:
        self.routes = RouteBook()
        self.breakers = Breakers()
        self.moves = Moves()

    # -- searching ----------------------------------------------------------------------------

    def survey(self, situation: Situation, channel_id: str | None = None) -> Survey:
        """Look at every pair (or all into one channel) and choose the moves to make now.

        One after the other, the best first: each leaves the stocks and the budget as it will, so
        that nothing is promised twice. A channel takes part in one of them at most.
        """
        into, no_into = self._ends(situation, ends.destination)
        out, no_out = self._ends(situation, ends.source)
        if channel_id is not None:
            into = [end for end in into if end.fact.channel_id == channel_id]
            no_into = {name: why for name, why in no_into.items() if name == channel_id}
        local = dict(ends.stocks(situation))
        into = _dearest(into, local)
        out = _cheapest(out, local)
        pairs = self._pairs(situation, out, into, local, situation.free_msat)
        first, chosen = pairs, list[Pair]()
        if situation.closed is None:
            chosen = self._choose(situation, out, into, local, pairs)
        taken = {(p.source_channel_id, p.channel_id) for p in chosen}
        left = [
            _outdone(p) if p.refusal is None and (p[0], p[1]) not in taken else p for p in first
        ]
        if situation.closed is not None:
            left = [p if p.refusal else p._replace(refusal=situation.closed) for p in first]
        return Survey(tuple(chosen), tuple(left), no_into, no_out)

    def _choose(
        self, situation: Situation, out: list[End], into: list[End], local: dict[str, int],
        pairs: list[Pair],
    ) -> list[Pair]:  # fmt: skip
        chosen: list[Pair] = []
        free_msat = situation.free_msat
        facts = {fact.channel_id: fact for fact in situation.facts}
        while len(chosen) < MOST_JOBS:
            worthwhile = (pair for pair in pairs if pair.refusal is None)
            best = max(worthwhile, key=lambda pair: pair.expected_msat, default=None)
            if best is None:
                break
            chosen.append(best)
            free_msat -= best.reserve_msat
            busy = {best.source_channel_id, best.channel_id}
            changed = {facts[name].peer_id for name in busy}
            local[facts[best.source_channel_id].peer_id] -= best.amount_msat
            local[facts[best.channel_id].peer_id] += best.amount_msat
            out = [end for end in out if end.fact.channel_id not in busy]
            into = [end for end in into if end.fact.channel_id not in busy]
            pairs = [
                pair
                for pair in pairs
                if busy.isdisjoint(pair[:2])
                and changed.isdisjoint((facts[pair[0]].peer_id, facts[pair[1]].peer_id))
                and (pair.refusal is not None or pair.reserve_msat <= free_msat)
            ]
            looked = {(pair.source_channel_id, pair.channel_id) for pair in pairs}
            pairs += self._pairs(situation, out, into, local, free_msat, looked)
        return chosen

    def _ends(self, situation: Situation, judge: Any) -> tuple[list[End], dict[str, str]]:
        lasting = ends.lasting_refusals(situation, situation.facts)
        found: list[End] = []
        refused = dict(lasting)
        for fact in situation.facts:
            if fact.channel_id in lasting:
                continue
            end = judge(situation, fact, self.moves)
            if isinstance(end, End):
                found.append(end)
            else:
                refused[fact.channel_id] = end
        return found, refused

    def _pairs(
        self,
        situation: Situation,
        out: list[End],
        into: list[End],
        local: Mapping[str, int],
        free_msat: int,
        apart_from: Container[tuple[str, str]] = (),
    ) -> list[Pair]:
        ways = (
            expected.between(self.routes, source, destination, local, situation.now_s)
            for destination in into
            for source in out
            if source.fact.peer_id != destination.fact.peer_id
            and (source.fact.channel_id, destination.fact.channel_id) not in apart_from
        )
        return [self._pair(situation, way, free_msat) for way in ways]

    def _pair(self, situation: Situation, way: expected.Between, free_msat: int) -> Pair:
        pair = expected.consider(situation, self.routes, way, free_msat)
        rest = self.breakers.refusal(*pair[:2], situation.now_s, pair.max_ppm)
        return pair if rest is None or pair.refusal else pair._replace(refusal=rest)

    # -- one move -----------------------------------------------------------------------------

    def by_hand(
        self,
        situation: Situation,
        source_channel_id: str,
        channel_id: str,
        amount_msat: int,
        max_fee_msat: int | None,
        force: bool,
    ) -> Pair:
        """Return the move that an operator asks for, refused where it must not be made.

        `force` overrules expected value, breakers and policies, and nothing that keeps it from
        working at all. Its price is `max_fee_msat`, else what the move is worth, else (forced)
        what a route there usually costs.
        """
        facts = {fact.channel_id: fact for fact in situation.facts}
        here, there = facts.get(source_channel_id), facts.get(channel_id)
        if here is None or there is None:
            return _impossible(source_channel_id, channel_id, "the channel is not open")
        why = _cannot(situation, here, there, amount_msat)
        if why is not None:
            return _impossible(source_channel_id, channel_id, why)
        assert situation.curves is not None
        curves = situation.curves.curves
        source = End(here, curves[here.peer_id], here.spendable_msat)
        destination = End(there, curves[there.peer_id], there.receivable_msat)
        local = ends.stocks(situation)
        way = expected.between(self.routes, source, destination, local, situation.now_s)
        pair = expected.of_amount(situation, self.routes, way, amount_msat, max_fee_msat, force)
        if force:
            return pair
        for judge, fact in ((ends.source, here), (ends.destination, there)):
            end = judge(situation, fact, self.moves)
            if isinstance(end, str):
                return pair._replace(refusal=end)
        rest = self.breakers.refusal(source_channel_id, channel_id, situation.now_s, pair.max_ppm)
        return pair if rest is None else pair._replace(refusal=pair.refusal or rest)

    def recheck(self, situation: Situation, pair: Pair, *, force: bool = False) -> str | None:
        """Why a move that was chosen before must not be made any more, None where it still may.

        By the facts, curves and policies of now, at the price that was reserved for.
        """
        if situation.closed is not None:
            return situation.closed
        now = self.by_hand(
            situation,
            pair.source_channel_id,
            pair.channel_id,
            pair.amount_msat,
            pair.reserve_msat,
            force,
        )
        return now.refusal

    # -- learning -----------------------------------------------------------------------------

    def learn(self, pair: Pair, peers: tuple[str, str], result: Result, now_s: float) -> None:
        """Take in what became of a job of this pair; `peers` are those of source and destination.

        Nothing moved counts as a failure of the route; where the executor found none cheap enough,
        of its price.
        """
        out, into = peers
        others_ppm = float(pair.record.get("others_ppm", 0) or 1.0)
        if result.moved_msat > 0:
            cost_ppm = result.cost_msat / result.moved_msat * 1e6
            self.routes.paid(out, into, others_ppm, cost_ppm, now_s)
            weight = float(max(1, result.payments))
            self.routes.came(out, into, pair.payment_msat, True, weight, now_s)
            self.breakers.moved(pair.source_channel_id, pair.channel_id)
            self.moves.note(pair.source_channel_id, pair.channel_id, now_s)
        if result.moved_msat >= pair.amount_msat:
            return
        if not any(word in result.words for word in DEAR_WORDS):
            self.routes.came(out, into, pair.payment_msat, False, 1.0, now_s)
            if not result.moved_msat:
                self.breakers.failed(pair.source_channel_id, pair.channel_id, now_s)
        elif not result.moved_msat and self.breakers.too_dear(*pair[:2], pair.max_ppm, now_s):
            # What was too dear this time is learned of, and may be cheaper in an hour.
            self.routes.too_dear(out, into, others_ppm, float(pair.max_ppm), now_s)

    def know(self, facts: tuple[ChannelFact, ...]) -> None:
        """Let go of what was learned of channels and peers that are no more."""
        channel_ids = frozenset(fact.channel_id for fact in facts)
        self.routes.forget(frozenset(fact.peer_id for fact in facts))
        self.breakers.forget(channel_ids)
        self.moves.forget(channel_ids)

    def resting(self, now_s: float) -> list[dict[str, object]]:
        """Return what is left alone for its failures: by channel or pair, in words."""
        shown: list[dict[str, object]] = []
        for key, run in self.breakers.runs.items():
            source, _, channel_id = key.rpartition(">")
            why = self.breakers.refusal(source, channel_id, now_s)
            if why is not None:
                until_s = None if source else self.breakers.open_until_s(channel_id)
                shown.append(
                    {
                        "source_channel_id": source or None,
                        "channel_id": channel_id,
                        "failures": run.failures,
                        "open_until": None if until_s is None else int(until_s),
                        "why": why,
                    }
                )
        return shown

    # -- memory -------------------------------------------------------------------------------

    def pack(self) -> Mapping[str, str]:
        """What is to be kept, as texts by name."""
        moves = {"filled": self.moves.filled_s, "drained": self.moves.drained_s}
        return {
            ROUTES: jsontext.dumps(self.routes.to_row()),
            BREAKERS: jsontext.dumps(self.breakers.to_row()),
            MOVES: jsontext.dumps(moves),
        }

    def read(self, name: str, text: str) -> None:
        """Take in what `pack` gave; anything else raises ValueError, TypeError, KeyError or
        AttributeError and changes nothing."""
        row = jsontext.loads(text)
        if name == ROUTES:
            self.routes = RouteBook.from_row(row)
        elif name == BREAKERS:
            self.breakers = Breakers.from_row(row)
        elif name == MOVES:
            filled, drained = (
                {str(k): float(v) for k, v in row[part].items()} for part in ("filled", "drained")
            )
            self.moves = Moves(filled, drained)
        else:
            raise KeyError(name)


def _dearest(found: list[End], local: Mapping[str, int]) -> list[End]:
    """Return the destinations whose stock is worth most, as it stands."""
    worth = [(value_at(e.curve.knots, local[e.fact.peer_id]), k) for k, e in enumerate(found)]
    return [found[k] for _, k in heapq.nlargest(DESTINATIONS, worth)]


def _cheapest(found: list[End], local: Mapping[str, int]) -> list[End]:
    worth = [(value_at(e.curve.knots, local[e.fact.peer_id]), k) for k, e in enumerate(found)]
    return [found[k] for _, k in heapq.nsmallest(SOURCES, worth)]


def _outdone(pair: Pair) -> Pair:
    return pair._replace(refusal="another move into it or out of it earns more")


def _impossible(source: str, channel_id: str, why: str) -> Pair:
    return Pair(source, channel_id, 0, 0, 0, 0, 0, 0, 0, 0.0, 0, why, {"impossible": True})


def _cannot(
    situation: Situation, here: ChannelFact, there: ChannelFact, amount_msat: int
) -> str | None:
    """Why a move between two channels cannot work, whoever asks for it."""
    lasting = ends.lasting_refusals(situation, (here, there))
    for name, fact in (("source", here), ("destination", there)):
        if fact.channel_id in lasting:
            return f"{name}: {lasting[fact.channel_id]}"
    if here.peer_id == there.peer_id:
        return "both channels are with the same peer"
    if amount_msat > here.spendable_msat:
        return f"the source can send {here.spendable_msat // 1_000} sat at most"
    if amount_msat > there.receivable_msat:
        return f"the destination can receive {there.receivable_msat // 1_000} sat at most"
    return None
