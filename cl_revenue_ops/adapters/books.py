"""The books port over lightningd's RPC: its lists of movements, bookkeeper's commands, outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from cl_revenue_ops.adapters.asking import Asker, rows_of
from cl_revenue_ops.adapters.capabilities import Capabilities, Feature
from cl_revenue_ops.adapters.moves import CHAIN_MOVES, CHANNEL_MOVES, MoveLists
from cl_revenue_ops.adapters.parse_books import (
    ROUTED,
    FeeRow,
    RoutedTally,
    fee_sums,
    parse_account_balance,
    parse_chain_event,
    parse_chain_move,
    parse_channel_event,
    parse_channel_move,
    parse_fee_event,
    parse_income,
    parse_output,
)
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import COUNT_LIMIT
from cl_revenue_ops.ports import MalformedReply, NodeRefused, WalletReading
from messages.books import (
    EXTERNAL,
    AccountBalance,
    AccountEvents,
    ChainMove,
    ChainMovePage,
    ChannelMove,
    ChannelMovePage,
    IncomeSum,
    MoveIndexes,
    RoutedSum,
)

EVENTS, BALANCES, INCOME = "bkpr-listaccountevents", "bkpr-listbalances", "bkpr-listincome"
OUTPUTS = "listfunds"
BOOKKEEPER_S = 120.0
"""How long bookkeeper may take: its first command after a start reads all of the node's moves."""

_UNKNOWN_COMMAND, _BAD_PARAMETERS = -32601, -32602
_U32_LIMIT = 1 << 32

# What is left away (names, currencies, descriptions) is the larger half of these answers.
_EVENTS_FILTER = {
    "events": [
        {
            "type": True,
            "tag": True,
            "credit_msat": True,
            "debit_msat": True,
            "fees_msat": True,
            "timestamp": True,
            "outpoint": True,
            "txid": True,
            "origin": True,
            "blockheight": True,
            "payment_id": True,
            "part_id": True,
        }
    ]
}
_INCOME_FILTER = {
    "income_events": [
        {
            "account": True,
            "tag": True,
            "credit_msat": True,
            "debit_msat": True,
            "timestamp": True,
        }
    ]
}
_OUTPUTS_FILTER = {"outputs": [{"amount_msat": True, "status": True, "reserved": True}]}


class LightningBooks:
    """The node's books as one incarnation may read them; `ports.Books` states errors.

    `capabilities` and the tally of rows left out (by method) are shared by the whole process. A
    bookkeeper that is not there is asked for again once that refusal is old enough.
    """

    def __init__(self, rpc: NodeRpc, capabilities: Capabilities, left_out: Tally) -> None:
        self._asker = Asker(rpc, capabilities, left_out)
        self._moves = MoveLists(self._asker, capabilities)
        self._capabilities = capabilities

    def move_indexes(self) -> MoveIndexes:
        """See ports.Books."""
        return MoveIndexes(self._moves.newest(CHAIN_MOVES), self._moves.newest(CHANNEL_MOVES))

    def channel_moves(self, start: int, limit: int, early_s: float) -> ChannelMovePage | None:
        """See ports.Books. No filter: all fields but that of the fee are needed of some row."""
        _check_page(start, limit)
        rows = self._moves.rows(CHANNEL_MOVES, start, limit)
        if rows is None:
            return None
        tally, moves, newest, malformed = RoutedTally(early_s), [], start - 1, 0
        for row in rows:
            index = row.get("created_index") if type(row) is dict else None
            if type(index) is not int or not newest < index < COUNT_LIMIT:
                # Neither is a row counted twice, nor does anything but its index move the cursor.
                malformed += 1
                continue
            newest = index
            get = row.get  # type: ignore[attr-defined]  # a dict, by its index
            if get("primary_tag") == ROUTED:
                if not tally.take(
                    get("account_id"), get("credit_msat"), get("debit_msat"), get("timestamp")
                ):
                    malformed += 1
                continue
            move = parse_channel_move(row)
            if move is None:
                malformed += 1
            elif move.credit_msat or move.debit_msat:
                moves.append(move)
        self._asker.leave_out(CHANNEL_MOVES.method, malformed)
        next_start, last = _next_page(CHANNEL_MOVES.method, rows, start, limit, newest)
        sums = _sums(CHANNEL_MOVES.method, tally)
        return ChannelMovePage(tuple(moves), sums, next_start, last, malformed)

    def chain_moves(self, start: int, limit: int) -> ChainMovePage | None:
        """See ports.Books."""
        _check_page(start, limit)
        rows = self._moves.rows(CHAIN_MOVES, start, limit)
        if rows is None:
            return None
        moves: list[ChainMove] = []
        newest = start - 1
        for move in map(parse_chain_move, rows):
            index = None if move is None else move.created_index
            if move is not None and index is not None and index > newest:
                moves.append(move)
                newest = index
        malformed = len(rows) - len(moves)
        self._asker.leave_out(CHAIN_MOVES.method, malformed)
        next_start, last = _next_page(CHAIN_MOVES.method, rows, start, limit, newest)
        return ChainMovePage(tuple(moves), next_start, last, malformed)

    def account_events(self, account: str, early_s: float) -> AccountEvents | None:
        """See ports.Books."""
        try:
            reply = self._ask(EVENTS, {"account": account}, _EVENTS_FILTER)
        except NodeRefused as refusal:
            if refusal.code != _BAD_PARAMETERS:
                raise
            return None
        if reply is None:
            return None
        events = _Events(account, early_s)
        for row in rows_of(EVENTS, reply, "events"):
            events.take(row)
        self._asker.leave_out(EVENTS, events.malformed)
        return events.found()

    def account_balances(self) -> tuple[AccountBalance, ...] | None:
        """See ports.Books."""
        reply = self._ask(BALANCES, {})
        if reply is None:
            return None
        rows = rows_of(BALANCES, reply, "accounts")
        found = self._asker.parsed(BALANCES, rows, parse_account_balance)
        return tuple(held for held in found if held.account != EXTERNAL)

    def wallet(self) -> WalletReading:
        """See ports.Books."""
        reply = self._asker.ask_filtered(OUTPUTS, {}, _OUTPUTS_FILTER)
        onchain_msat = reserved_msat = unconfirmed_msat = 0
        for output in self._asker.parsed(OUTPUTS, rows_of(OUTPUTS, reply, "outputs"), parse_output):
            if output.status == "spent":
                continue
            if output.status != "confirmed":
                unconfirmed_msat += output.amount_msat
            elif output.reserved:
                reserved_msat += output.amount_msat
            else:
                onchain_msat += output.amount_msat
        return WalletReading(onchain_msat, reserved_msat, unconfirmed_msat)

    def income(self, from_s: int, until_s: int) -> tuple[IncomeSum, ...] | None:
        """See ports.Books. Before v25.12 bookkeeper does not apply the window to on-chain fees."""
        if not 0 <= from_s < _U32_LIMIT or not 0 <= until_s < _U32_LIMIT:
            raise ValueError(f"no such window: {from_s} {until_s}")
        window = {"start_time": from_s, "end_time": until_s}
        reply = self._ask(INCOME, {"consolidate_fees": False, **window}, _INCOME_FILTER)
        if reply is None:
            return None
        rows = self._asker.parsed(INCOME, rows_of(INCOME, reply, "income_events"), parse_income)
        sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for account, tag, credit_msat, debit_msat, at_s in rows:
            if from_s < at_s <= until_s:
                both = sums[account, tag]
                both[0] += credit_msat
                both[1] += debit_msat
        return tuple(IncomeSum(*key, *both) for key, both in sorted(sums.items()))

    def _ask(
        self,
        method: str,
        params: Mapping[str, object],
        reply_filter: Mapping[str, object] | None = None,
    ) -> dict[str, Any] | None:
        """Ask bookkeeper; None where it is not there."""
        if not self._capabilities.worth_trying(Feature.BOOKKEEPER):
            return None
        try:
            if reply_filter is None:
                reply = self._asker.ask(method, params, at_least_s=BOOKKEEPER_S)
            else:
                reply = self._asker.ask_filtered(
                    method, params, reply_filter, at_least_s=BOOKKEEPER_S
                )
        except NodeRefused as refusal:
            if refusal.code != _UNKNOWN_COMMAND:
                raise
            self._capabilities.missing(Feature.BOOKKEEPER)
            return None
        self._capabilities.found(Feature.BOOKKEEPER)
        return reply


class _Events:
    """The events of one account as they are read, row by row."""

    def __init__(self, account: str, early_s: float) -> None:
        self._account = account
        self._fees: list[FeeRow] = []
        self._chain: list[ChainMove] = []
        self._channel: list[ChannelMove] = []
        self._tally = RoutedTally(early_s)
        self.malformed = 0

    def take(self, row: object) -> None:
        kind = row.get("type") if isinstance(row, dict) else None
        if not (isinstance(row, dict) and self._sorted(kind, row)):
            self.malformed += 1

    def found(self) -> AccountEvents:
        """What they come to."""
        routed = _sums(EVENTS, self._tally)
        return AccountEvents(
            self._account,
            fee_sums(self._account, self._fees),
            tuple(self._chain),
            tuple(self._channel),
            routed[0] if routed else None,
            self.malformed,
        )

    def _sorted(self, kind: object, row: dict[str, Any]) -> bool:
        """File the row where its type belongs; False where it cannot be understood."""
        if kind == "channel" and row.get("tag") == ROUTED:
            amounts = row.get("credit_msat"), row.get("debit_msat")
            return self._tally.take(self._account, *amounts, row.get("timestamp"))
        if kind == "channel":
            move = parse_channel_event(self._account, row)
            if move is not None and (move.credit_msat or move.debit_msat):
                self._channel.append(move)
            return move is not None
        if kind == "chain":
            event = parse_chain_event(self._account, row)
            self._chain += [] if event is None else [event]
            return event is not None
        fee = parse_fee_event(row) if kind == "onchain_fee" else None
        self._fees += [] if fee is None else [fee]
        return fee is not None


def _check_page(start: int, limit: int) -> None:
    if start < 0 or not 0 < limit < _U32_LIMIT:
        raise ValueError(f"no such page of movements: {start} {limit}")


def _next_page(
    method: str, rows: Sequence[object], start: int, limit: int, newest: int
) -> tuple[int, bool]:
    """Where the next page begins, and whether this one is the last."""
    last = len(rows) < limit
    if newest < start and not last:
        raise MalformedReply(f"{method}: the index does not grow beyond {start}")
    return max(start, newest + 1), last


def _sums(method: str, tally: RoutedTally) -> tuple[RoutedSum, ...]:
    sums = tally.sums()
    if sums is None:
        raise MalformedReply(f"{method}: more money than there is")
    return sums
