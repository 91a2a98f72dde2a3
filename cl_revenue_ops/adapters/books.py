"""The books port over lightningd's RPC: its lists of movements, bookkeeper's commands, outputs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cl_revenue_ops.adapters.asking import Asker, rows_of
from cl_revenue_ops.adapters.capabilities import Capabilities, Feature
from cl_revenue_ops.adapters.moves import CHAIN_MOVES, CHANNEL_MOVES, MoveLists
from cl_revenue_ops.adapters.parse_books import (
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
from cl_revenue_ops.adapters.routed import RoutedTally
from cl_revenue_ops.adapters.rpc import NodeRpc
from cl_revenue_ops.adapters.tally import Tally
from cl_revenue_ops.adapters.validate import COUNT_LIMIT
from cl_revenue_ops.ports import MalformedReply, NodeRefused, WalletReading
from messages.node_books import (
    EXTERNAL,
    AccountBalance,
    AccountEvents,
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
        sound, newest = _numbered(rows, start)
        tally = RoutedTally(early_s)
        others = tally.take(sound, "primary_tag")
        moves = [move for move in map(parse_channel_move, others) if move is not None]
        malformed = tally.malformed + len(others) - len(moves) + len(rows) - len(sound)
        self._asker.leave_out(CHANNEL_MOVES.method, malformed)
        next_start, last = _next_page(CHANNEL_MOVES.method, rows, start, limit, newest)
        sums = _sums(CHANNEL_MOVES.method, tally)
        return ChannelMovePage(_moving(moves), sums, next_start, last, malformed)

    def chain_moves(self, start: int, limit: int) -> ChainMovePage | None:
        """See ports.Books."""
        _check_page(start, limit)
        rows = self._moves.rows(CHAIN_MOVES, start, limit)
        if rows is None:
            return None
        sound, newest = _numbered(rows, start)
        moves = [move for move in map(parse_chain_move, sound) if move is not None]
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
        rows = rows_of(EVENTS, reply, "events")
        found = _events(account, rows, early_s)
        self._asker.leave_out(EVENTS, found.malformed)
        return found

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


def _events(account: str, rows: Sequence[object], early_s: float) -> AccountEvents:
    """What the events of one account come to."""
    kinds: dict[str, list[dict[str, Any]]] = {"channel": [], "chain": [], "onchain_fee": []}
    for row in rows:
        if type(row) is dict and type(kind := row.get("type")) is str and kind in kinds:
            kinds[kind].append(row)
    tally = RoutedTally(early_s)
    others = tally.take(kinds["channel"], "tag", account)
    channel = [m for row in others if (m := parse_channel_event(account, row)) is not None]
    chain = [c for row in kinds["chain"] if (c := parse_chain_event(account, row)) is not None]
    fees = [fee for fee in map(parse_fee_event, kinds["onchain_fee"]) if fee is not None]
    routed = _sums(EVENTS, tally)
    known = sum(one.rows for one in routed) + len(channel) + len(chain) + len(fees)
    return AccountEvents(
        account,
        fee_sums(account, fees),
        tuple(chain),
        _moving(channel),
        routed[0] if routed else None,
        len(rows) - known,
    )


def _moving(moves: Iterable[ChannelMove]) -> tuple[ChannelMove, ...]:
    """Those that moved money."""
    return tuple(move for move in moves if move.credit_msat or move.debit_msat)


def _check_page(start: int, limit: int) -> None:
    if start < 0 or not 0 < limit < _U32_LIMIT:
        raise ValueError(f"no such page of movements: {start} {limit}")


def _numbered(rows: Sequence[object], start: int) -> tuple[list[dict[str, Any]], int]:
    """The rows whose index grows from `start` on, and the last index.

    So no row is counted twice, and one that is malformed otherwise does not hold the cursor.
    """
    sound: list[dict[str, Any]] = []
    newest = start - 1
    for row in rows:
        if type(row) is dict:
            index = row.get("created_index")
            if type(index) is int and newest < index < COUNT_LIMIT:
                newest = index
                sound.append(row)
    return sound, newest


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
