"""The FlowAnalyzer: how much flows through each channel, which way, and where that is going."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict

from actors.base import HouseActor, handles
from cl_revenue_ops.config import Config
from cl_revenue_ops.domain import flow, flow_window, watch
from cl_revenue_ops.domain.channels import by_scid
from cl_revenue_ops.domain.flow import FlowObservation, FlowParameters, FlowState
from cl_revenue_ops.domain.flow_exposure import carrying
from cl_revenue_ops.domain.flow_report import channel_flow, figures
from cl_revenue_ops.domain.flow_window import Settled
from cl_revenue_ops.domain.watch import Stretch, Watch
from cl_revenue_ops.identity import Identity
from cl_revenue_ops.ports import FlowStore
from cl_revenue_ops.runtime.actor import Context
from messages.base import Answer, Refusal
from messages.channels import ChannelEntry, ChannelSnapshot
from messages.flow import AnalyzeNow, ContinueFlow, FlowReport, FlowTick
from messages.forwards import SETTLED, ForwardLogPage, LoggedForward, ReadForwardLog

ACCOUNTANT = "accountant"
PAGE_ROWS = 1_000
CHANNELS_A_STEP = 100
PATIENCE_S = 60.0
FIRST_S = 30.0
DAY_S = 86_400.0


class FlowAnalyzer(HouseActor):
    """Steps two filters a channel every flow interval, with new forwards only.

    An analysis reads the log from its cursor, steps the channels a hundred at a time, and stores
    states and cursor together at the end: killed anywhere, it begins again with the same rows.
    """

    def __init__(self, context: Context, *, store: FlowStore, identity: Identity) -> None:
        super().__init__(context)
        self._store = store
        self._identity = identity
        self._entries: dict[str, ChannelEntry] = {}
        self._scids: dict[str, str] = {}
        self._states: dict[str, FlowState] = {}
        self._watch = Watch()
        self._analysed_s: float | None = None
        self._cursor = 0
        self._version = 0
        self._analysis: _Analysis | None = None
        self._waiting: list[AnalyzeNow] = []
        self._calls = 0

    # -- start --------------------------------------------------------------------------------

    def recover(self) -> None:
        who = self._identity.learn()
        self._store.open(who.node_id, who.network)
        self._cursor, header, rows = self._store.load()
        self._states = {key: flow.from_row(json.loads(row)) for key, row in rows.items()}
        if header is not None:
            saved = json.loads(header)
            self._watch = watch.from_row(saved["watch"])
            self._analysed_s = saved["analysed_s"]
        self._arm(FIRST_S if self._analysed_s is None else self._rest_s())

    def configured(self, old: Config, new: Config) -> None:
        if old.flow_interval != new.flow_interval and self._analysed_s is not None:
            self._arm(self._rest_s())

    def _rest_s(self) -> float:
        assert self._analysed_s is not None
        return max(0.0, self._analysed_s + self.config.flow_interval - self.now())

    def _arm(self, delay_s: float) -> None:
        self.context.after(delay_s, FlowTick())

    # -- watching the channels ----------------------------------------------------------------

    @handles(ChannelSnapshot)
    def _channels(self, message: ChannelSnapshot) -> None:
        self._read(message)
        self._store.save(self._cursor, self._header(), {})
        if self._analysed_s is not None and self._version == 0:
            self._report()

    def _read(self, snapshot: ChannelSnapshot) -> None:
        self._entries = {entry.channel_id: entry for entry in snapshot.channels}
        self._scids = by_scid(snapshot.channels)
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
        self._begin()

    @handles(AnalyzeNow)
    def _now(self, message: AnalyzeNow) -> None:
        self._waiting.append(message)
        if self._analysis is None:
            self._begin()

    def _begin(self) -> None:
        """Start an analysis; one that got stuck is given up and its rows are read again."""
        now_s = self.now()
        stretches, rest = watch.close(self._watch, now_s)
        self._analysis = _Analysis(now_s, stretches, rest, self._cursor)
        self._arm(float(self.config.flow_interval))
        self._ask()

    def _ask(self) -> None:
        assert self._analysis is not None
        self._calls += 1
        context = self.context
        self._analysis.call_id = f"flow {context.generation}.{self._calls}"
        command = ReadForwardLog(
            self._analysis.call_id,
            context.address,
            context.clock.monotonic() + PATIENCE_S,
            self._analysis.cursor,
            PAGE_ROWS,
            self._analysis.now_s - self.config.flow_window_days * DAY_S,
        )
        context.tell(ACCOUNTANT, command)

    @handles(Answer)
    def _page(self, message: Answer) -> None:
        analysis = self._analysis
        if analysis is None or message.call_id != analysis.call_id:
            self.discard(message, "late")
            return
        page = message.result
        assert isinstance(page, ForwardLogPage)
        analysis.cursor = page.next_seq
        analysis.take(page.rows, self._scids, self._states)
        if not page.last:
            self._ask()
            return
        analysis.call_id = None
        analysis.left = [e.channel_id for e in self._entries.values() if not e.closed]
        self._sweep(ContinueFlow())

    @handles(Refusal)
    def _refused(self, message: Refusal) -> None:
        analysis = self._analysis
        if analysis is None or message.call_id != analysis.call_id:
            return
        self._analysis = None
        for command in self._waiting:
            self.refuse(command, f"no analysis: {message.reason}")
        self._waiting.clear()

    @handles(ContinueFlow)
    def _sweep(self, message: ContinueFlow) -> None:
        analysis = self._analysis
        if analysis is None:
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
            self.context.tell(self.context.address, ContinueFlow())
        else:
            self._finish(analysis)

    def _finish(self, analysis: _Analysis) -> None:
        readings_since = self._watch.read_s
        self._watch = analysis.rest
        self._analysed_s = analysis.now_s
        self._cursor = analysis.cursor
        self._states.update(analysis.stepped)
        rows = {key: json.dumps(flow.to_row(s)) for key, s in analysis.stepped.items()}
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
        saved = {"watch": watch.to_row(self._watch), "analysed_s": self._analysed_s}
        return json.dumps(saved, separators=(",", ":"))

    # -- reporting ----------------------------------------------------------------------------

    def _report(self) -> None:
        assert self._analysed_s is not None
        now_s, parameters = self._analysed_s, self._parameters()
        known = [
            (entry, self._states[entry.channel_id])
            for entry in self._entries.values()
            if not entry.closed and entry.channel_id in self._states
        ]
        self._version += 1
        flows = tuple(channel_flow(e.channel_id, s, now_s, parameters) for e, s in known)
        self.context.publish(FlowReport(self._version, now_s, flows))
        self.post_notice({"analysed_at": now_s, "channels": dict(self._figures(known))})

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
            text = f"{len(self._states)} channels analysed"
            self.answer(
                command, {"status": "success", "channels": len(self._states), "message": text}
            )
            return
        entry, state = self._entries.get(channel_id), self._states.get(channel_id)
        if entry is None or state is None:
            self.refuse(command, "that channel is not open any more")
            return
        row = dict(self._figures([(entry, state)]))[channel_id]
        self.answer(command, {"channel": row["channel_id"], "analysis": row})


class _Analysis:
    """An analysis under way: what it has read, and which channels it has stepped."""

    def __init__(
        self, now_s: float, stretches: tuple[Stretch, ...], rest: Watch, cursor: int
    ) -> None:
        self.now_s = now_s
        self.rest = rest
        self.cursor = cursor
        self.call_id: str | None = None
        self.left: list[str] = []
        self.stepped: dict[str, FlowState] = {}
        self._stretches = stretches
        self._late: dict[str, list[Settled]] = defaultdict(list)
        self._settled: dict[tuple[str, int], list[Settled]] = defaultdict(list)

    def take(
        self,
        rows: Iterable[LoggedForward],
        scids: dict[str, str],
        states: dict[str, FlowState],
    ) -> None:
        """Sort the settled forwards of a page by channel and stretch."""
        for row in rows:
            if row.status != SETTLED:
                continue
            incoming, outgoing = scids.get(row.in_scid), scids.get(row.out_scid or "")
            if incoming is not None:
                self._add(incoming, Settled(row.at_s, False, row.in_msat), states)
            if outgoing is not None and row.out_msat is not None:
                self._add(outgoing, Settled(row.at_s, True, row.out_msat), states)

    def _add(self, channel_id: str, settled: Settled, states: dict[str, FlowState]) -> None:
        state = states.get(channel_id)
        if state is None or settled.at_s <= state.updated_s:
            # From before the first step, or found late: known to the window, not to the rate.
            self._late[channel_id].append(settled)
        else:
            number = watch.stretch_of(self._stretches, settled.at_s)
            self._settled[channel_id, number].append(settled)

    def observations(self, channel_id: str, state: FlowState) -> Iterable[FlowObservation]:
        """What is new of one channel, oldest first."""
        late = self._late.get(channel_id)
        if late:
            yield FlowObservation(state.updated_s, 0.0, 0.0, flow_window.collect(late))
        for number, stretch in enumerate(self._stretches):
            exposure = stretch.exposure.get(channel_id, watch.Exposure())
            settled = self._settled.get((channel_id, number), [])
            yield FlowObservation(
                stretch.end_s, exposure.in_s, exposure.out_s, flow_window.collect(settled)
            )
