"""The FlowAnalyzer: how much flows through each channel, which way, and how much of it settles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from actors.base import HouseActor, handles
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain import flow, jsontext, reputation, watch
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.flow import FlowParameters, FlowState
from cl_revenue_ops.domain.flow_analysis import Analysis, strangers
from cl_revenue_ops.domain.flow_exposure import carrying
from cl_revenue_ops.domain.flow_report import channel_flow, figures
from cl_revenue_ops.domain.reputation import Fading, Reputation
from cl_revenue_ops.domain.watch import Watch
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import FlowStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelEntry, ChannelSnapshot, ChannelsTouched
from messages.flow import (
    AnalyzeNow,
    ContinueFlow,
    FlowReport,
    FlowSilence,
    FlowTick,
    PeerReputation,
)
from messages.forwards import ForwardLogPage, ReadForwardLog

ACCOUNTANT = "accountant"
REGISTRY = "channel-registry"
PAGE_ROWS = 1_000
CHANNELS_A_STEP = 100
# Shorter than a caller of revenue-analyze waits: it shall hear why nothing came.
PATIENCE_S = 45.0
RETRY_S = 60.0
FIRST_S = 30.0
DAY_S = 86_400.0
UNREADABLE = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


class FlowAnalyzer(HouseActor):
    """Steps two filters a channel every flow interval, with new forwards only.

    An analysis reads the log from its cursor, steps the channels a hundred at a time, and stores
    states and cursor together at the end: killed anywhere, or given up because an answer stayed
    out, it begins again with the same rows. None begins before the channels are known, and one that
    meets a forward over a channel that the newest reading could not know waits for another reading:
    behind the cursor a forward is never looked at again.
    """

    def __init__(self, context: Context, *, store: FlowStore, identity: Identity) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._entries: dict[str, ChannelEntry] = {}
        self._scids: dict[str, str] = {}
        self._states: dict[str, FlowState] = {}
        self._watch = Watch()
        self._reputation = Reputation()
        self._read_at_s: float | None = None
        self._analysed_s: float | None = None
        self._cursor = 0
        self._version = 0
        self._analysis: Analysis | None = None
        self._waiting: list[AnalyzeNow] = []
        self._calls = 0

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._cursor, header, rows = self._store.load()
        now_s = self.now()
        self._states = {}
        for channel_id, row in rows.items():
            try:
                # A time ahead of the clock (it was set back) would stop the filters till then.
                self._states[channel_id] = flow.not_after(flow.from_row(jsontext.loads(row)), now_s)
            except UNREADABLE as error:
                what = f"the stored flow of channel {channel_id}"
                self.context.log.warn(f"{what} is unreadable and begins anew: {error!r}")
        if header is not None:
            self._open_header(header, now_s)
        self._arm(FIRST_S if self._analysed_s is None else self._rest_s())

    def _open_header(self, header: str, now_s: float) -> None:
        try:
            saved = jsontext.loads(header)
            self._open_reputation(saved.get("reputation"), now_s)
            watched, analysed_s = watch.from_row(saved["watch"]), saved["analysed_s"]
            if analysed_s is not None:
                analysed_s = min(flow.finite(analysed_s), now_s)
        except UNREADABLE as error:
            self.context.log.warn(f"the stored flow header is unreadable and left out: {error!r}")
            return
        self._watch, self._analysed_s = watch.not_after(watched, now_s), analysed_s

    def _open_reputation(self, row: object, now_s: float) -> None:
        if row is None:
            return
        try:
            self._reputation = reputation.not_after(reputation.from_row(row), now_s)
        except UNREADABLE as error:
            what = "the stored reputation of the peers"
            self.context.log.warn(f"{what} is unreadable and begins anew: {error!r}")

    def configured(self, old: Config, new: Config) -> None:
        if old.enable_reputation != new.enable_reputation and self._version > 0:
            self._report()
        if old.flow_interval != new.flow_interval and self._analysed_s is not None:
            self._arm(self._rest_s())

    def _rest_s(self) -> float:
        assert self._analysed_s is not None
        interval_s = float(self.config.flow_interval)
        return min(max(0.0, self._analysed_s + interval_s - self.now()), interval_s)

    def _arm(self, delay_s: float) -> None:
        self.context.after(delay_s, FlowTick())

    # -- watching the channels ----------------------------------------------------------------

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._read(message)
        if message.fresh:
            self._store.save(self._cursor, self._header(), {})
        if self._analysed_s is not None and self._version == 0:
            self._report()
        analysis = self._analysis
        if message.fresh and analysis is not None and analysis.held is not None:
            page, analysis.held = analysis.held, None
            self._take(analysis, page)

    def _read(self, snapshot: ChannelSnapshot) -> None:
        self._entries = {entry.channel_id: entry for entry in snapshot.channels}
        self._scids = by_scid(snapshot.channels)
        self._read_at_s = snapshot.read_at_s
        if not snapshot.fresh:
            # Nobody looked at the channels: it says nothing about what they could carry.
            return
        parameters = self._parameters()
        nobody = flow.initial(snapshot.read_at_s, parameters)
        readings = {
            entry.channel_id: carrying(
                entry.fact, self._states.get(entry.channel_id, nobody), parameters
            )
            for entry in snapshot.channels
            if not entry.closed
        }
        self._watch = watch.read(self._watch, readings, snapshot.read_at_s)

    def _parameters(self) -> FlowParameters:
        return FlowParameters(window_days=self.config.flow_window_days)

    # -- an analysis --------------------------------------------------------------------------

    @handles(FlowTick)
    def _tick(self, message: FlowTick) -> None:
        if self._read_at_s is None:
            self._arm(RETRY_S)
        elif self._analysis is not None:
            # It is alive: were it not, the silence would have been noticed.
            self._arm(float(self.config.flow_interval))
        else:
            self._begin()

    @handles(AnalyzeNow)
    def _now(self, message: AnalyzeNow) -> None:
        if self._read_at_s is None:
            self.refuse(message, "no analysis: the channels have not been read yet; try again soon")
            return
        self._waiting.append(message)
        if self._analysis is None:
            self._begin()

    def _begin(self) -> None:
        now_s = self.now()
        stretches, rest = watch.close(self._watch, now_s)
        fading = Fading(self.config.reputation_decay, float(self.config.flow_interval))
        self._analysis = Analysis(now_s, stretches, rest, self._cursor, self._reputation, fading)
        self._arm(float(self.config.flow_interval))
        self._ask(self._analysis)

    def _next_step(self, analysis: Analysis) -> str:
        """Name what the analysis waits for from here on, and wait for it so long and no longer."""
        self._calls += 1
        analysis.step = f"flow {self.context.generation}.{self._calls}"
        self.context.after(PATIENCE_S, FlowSilence(analysis.step))
        return analysis.step

    def _ask(self, analysis: Analysis) -> None:
        context = self.context
        command = ReadForwardLog(
            self._next_step(analysis),
            context.address,
            context.clock.monotonic() + PATIENCE_S,
            analysis.cursor,
            PAGE_ROWS,
            analysis.now_s - self.config.flow_window_days * DAY_S,
            self._cursor,
        )
        context.tell(ACCOUNTANT, command)

    @handles(Answer)
    def _page(self, message: Answer) -> None:
        analysis = self._analysis
        if analysis is None or message.call_id != analysis.step:
            self.discard(message, "late")
            return
        page = message.result
        assert isinstance(page, ForwardLogPage)
        assert self._read_at_s is not None
        if not analysis.looked_again and strangers(page.rows, self._scids, self._read_at_s):
            analysis.looked_again = True
            analysis.held = page
            self._next_step(analysis)
            self.context.tell(REGISTRY, ChannelsTouched("a forward over an unknown channel"))
            return
        self._take(analysis, page)

    def _take(self, analysis: Analysis, page: ForwardLogPage) -> None:
        analysis.cursor = page.next_seq
        analysis.take(page.rows, self._scids, self._entries, self._states)
        if not page.last:
            self._ask(analysis)
            return
        analysis.left = [e.channel_id for e in self._entries.values() if not e.closed]
        self._sweep(ContinueFlow(self._next_step(analysis)))

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        if self._analysis is not None and message.call_id == self._analysis.step:
            self._give_up(message.reason)

    @handles(FlowSilence)
    def _silent(self, message: FlowSilence) -> None:
        analysis = self._analysis
        if analysis is None or message.step != analysis.step:
            return
        if analysis.held is None:
            self._give_up("the forward log does not answer")
        else:
            self._give_up("a forward went over a new channel, and the channels cannot be read")

    def _give_up(self, reason: str) -> None:
        """End the analysis without result: its rows are read again by the next one, soon."""
        self._analysis = None
        self.context.cancel(FlowSilence.__name__)
        self._arm(min(RETRY_S, float(self.config.flow_interval)))
        for command in self._waiting:
            self.refuse(command, f"no analysis: {reason}")
        self._waiting.clear()

    @handles(ContinueFlow)
    def _sweep(self, message: ContinueFlow) -> None:
        analysis = self._analysis
        if analysis is None or message.step != analysis.step:
            return
        parameters = self._parameters()
        batch, analysis.left = analysis.left[:CHANNELS_A_STEP], analysis.left[CHANNELS_A_STEP:]
        for channel_id in batch:
            state = self._states.get(channel_id)
            if state is None:
                state = flow.initial(analysis.now_s, parameters)
            for observation in analysis.observations(channel_id, state):
                state, _ = flow.step(state, observation, analysis.now_s, parameters)
            analysis.stepped[channel_id] = state
        if analysis.left:
            self.context.tell(self.context.address, ContinueFlow(self._next_step(analysis)))
        else:
            self._finish(analysis)

    def _finish(self, analysis: Analysis) -> None:
        self.context.cancel(FlowSilence.__name__)
        readings_since = self._watch.read_s
        self._watch = analysis.rest
        self._analysed_s = analysis.now_s
        self._cursor = analysis.cursor
        self._states.update(analysis.stepped)
        peers = {entry.peer_id for entry in self._entries.values() if not entry.closed}
        self._reputation = reputation.without_strangers(analysis.reputation, peers)
        rows = {key: jsontext.dumps(flow.to_row(s)) for key, s in analysis.stepped.items()}
        self._store.save(self._cursor, self._header(), rows)
        self._analysis = None
        if readings_since is not None and readings_since > analysis.now_s:
            # A reading that came while the sweep ran belongs to the next analysis.
            for snapshot in self.context.post.retained([ChannelSnapshot]):
                assert isinstance(snapshot, ChannelSnapshot)
                self._read(snapshot)
        self._report()
        for command in self._waiting:
            self._answer_now(command)
        self._waiting.clear()

    def _header(self) -> str:
        saved = {
            "watch": watch.to_row(self._watch),
            "analysed_s": self._analysed_s,
            "reputation": reputation.to_row(self._reputation),
        }
        return jsontext.dumps(saved)

    # -- reporting ----------------------------------------------------------------------------

    def _report(self) -> None:
        assert self._analysed_s is not None
        now_s, parameters = self._analysed_s, self._parameters()
        known = self._known()
        self._version += 1
        flows = tuple(channel_flow(e.channel_id, s, now_s, parameters) for e, s in known)
        self.context.publish(FlowReport(self._version, now_s, flows, self._told()))
        self.post_notice({"analysed_at": now_s, "channels": dict(self._figures(known))})

    def _told(self) -> tuple[PeerReputation, ...] | None:
        return reputation.told(self._reputation) if self.config.enable_reputation else None

    def _known(self) -> list[tuple[ChannelEntry, FlowState]]:
        """The open channels that were analysed."""
        return [
            (entry, self._states[entry.channel_id])
            for entry in self._entries.values()
            if not entry.closed and entry.channel_id in self._states
        ]

    def _figures(
        self, known: Iterable[tuple[ChannelEntry, FlowState]]
    ) -> Iterable[tuple[str, dict[str, object]]]:
        assert self._analysed_s is not None
        threshold = self.config.htlc_congestion_threshold
        parameters = self._parameters()
        for entry, state in known:
            row = figures(state, entry.fact, self._analysed_s, parameters, threshold)
            yield entry.channel_id, asdict(row)

    def _answer_now(self, command: AnalyzeNow) -> None:
        channel_id = command.channel_id
        if channel_id is None:
            count = len(self._known())
            text = f"{count} channels analysed"
            self.answer(command, {"status": "success", "channels": count, "message": text})
            return
        entry, state = self._entries.get(channel_id), self._states.get(channel_id)
        if entry is None or state is None:
            self.refuse(command, "that channel is not open any more")
            return
        row = dict(self._figures([(entry, state)]))[channel_id]
        record = self._reputation.of(entry.peer_id)
        row["peer_reputation"] = round(record.score, 4) if self.config.enable_reputation else 1.0
        row["peer_reputation_weight"] = round(record.weight, 4)
        self.answer(command, {"channel": row["channel_id"], "analysis": row})
