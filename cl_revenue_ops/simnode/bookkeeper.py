"""The bookkeeper as a companion plugin: its commands over the node's moves, computed when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from cl_revenue_ops.simnode import bkpr_apy, bkpr_chain, bkpr_income, rpc
from cl_revenue_ops.simnode.bkpr_chain import Coin
from cl_revenue_ops.simnode.bkpr_ledger import EXTERNAL, Account, FeeRow, Ledger, is_channel
from cl_revenue_ops.simnode.errors import PLUGIN_ERROR, SimRpcError, bad_params
from cl_revenue_ops.simnode.moves import ChainMove, ChannelMove
from cl_revenue_ops.simnode.rpc import Args, Param
from cl_revenue_ops.simnode.world import World

NAME = "bookkeeper"
Row = dict[str, Any]
_WINDOW = (Param("start_time", rpc.u64), Param("end_time", rpc.u64))
_PARAMS = {
    "bkpr-listaccountevents": (
        Param("account", rpc.text),
        Param("payment_id", rpc.hash256, since=(24, 8)),
    ),
    "bkpr-listincome": (Param("consolidate_fees", rpc.boolean), *_WINDOW),
    "bkpr-listbalances": (),
    "bkpr-channelsapy": _WINDOW,
    "bkpr-inspect": (Param("account", rpc.text, required=True),),
}


class Bookkeeper:
    """lightningd's own bookkeeper; implements Companion.

    It cannot be stopped by `plugin stop`. Releases before v25.09 keep books of their own and
    could disagree with the node's; here both read the same moves, and nothing is ever lost.
    """

    path = f"/usr/local/libexec/c-lightning/plugins/{NAME}"

    def __init__(self, world: World) -> None:
        self._world = world
        self.ledger = Ledger(world.books)
        coins = {"bitcoin": "bc", "regtest": "bcrt"}
        self._currency = coins.get(world.network, "tb")

    @property
    def methods(self) -> Mapping[str, Callable[[Any], Any]]:
        """See Companion."""
        handlers = {
            "bkpr-listaccountevents": self._events,
            "bkpr-listincome": self._income,
            "bkpr-listbalances": self._balances,
            "bkpr-channelsapy": self._apy,
            "bkpr-inspect": self._inspect,
        }
        return {name: self._bound(name, handler) for name, handler in handlers.items()}

    def _bound(self, name: str, handler: Callable[[Args], Row]) -> Callable[[Any], Any]:
        method = rpc.Method(lambda _, args: handler(args), _PARAMS[name])

        def answer(params: Any) -> Row:
            with self._world.lock:
                args = method.bind(self._world.era, params)
                self.ledger.refresh()
                return handler(args)

        return answer

    # -- commands ------------------------------------------------------------------------------

    def _events(self, args: Args) -> Row:
        """bkpr-listaccountevents: of an account, of a payment or transaction, or all."""
        ledger = self.ledger
        chain, channel, fees = ledger.chain, ledger.channel, ledger.all_fees()
        if "account" in args and "payment_id" in args:
            raise bad_params("Can only specify one of {account} or {payment_id}")
        if "account" in args:
            name = args["account"]
            if name not in ledger.accounts:
                raise bad_params(f"Account '{name}' not found")
            chain = [move for move in chain if move.account_id == name]
            channel = [move for move in channel if move.account_id == name]
            fees = [row for row in fees if row.account == name]
        elif "payment_id" in args:
            # The same 64 digits may name a payment or a transaction.
            wanted = args["payment_id"]
            chain = ledger.touching(wanted)
            channel = [move for move in channel if move.payment_hash == wanted]
            fees = [row for row in fees if row.txid == wanted]
        else:
            chain = sorted(chain, key=lambda move: move.timestamp)
        ordered: list[tuple[int, int, Row]] = [
            *((move.timestamp, 0, self._chain_event(move)) for move in chain),
            *((move.timestamp, 1, self._channel_event(move)) for move in channel),
            *((row.timestamp, 2, self._fee_event(row)) for row in fees),
        ]
        ordered.sort(key=lambda entry: entry[:2])
        return {"events": [row for _, _, row in ordered]}

    def _chain_event(self, move: ChainMove) -> Row:
        row: Row = {"account": move.account_id}
        if move.originating_account is not None:
            row["origin"] = move.originating_account
        row |= {
            "type": "chain",
            "tag": move.primary_tag,
            "credit_msat": move.credit_msat,
            "debit_msat": move.debit_msat,
            "currency": self._currency,
            "outpoint": move.utxo,
        }
        if move.spending_txid is not None:
            row["txid"] = move.spending_txid
        if move.payment_hash is not None:
            row["payment_id"] = move.payment_hash
        return row | {"timestamp": move.timestamp, "blockheight": self.ledger.height(move)}

    def _channel_event(self, move: ChannelMove) -> Row:
        row: Row = {
            "account": move.account_id,
            "type": "channel",
            "tag": move.primary_tag,
            "credit_msat": move.credit_msat,
            "debit_msat": move.debit_msat,
        }
        if move.fees_msat:
            row["fees_msat"] = move.fees_msat
        row["currency"] = self._currency
        if move.payment_hash is not None:
            row |= {"payment_id": move.payment_hash, "part_id": move.part_id or 0}
        return row | {
            "timestamp": move.timestamp,
            "is_rebalance": self.ledger.is_rebalance(move),
        }

    def _fee_event(self, fee: FeeRow) -> Row:
        return {
            "account": fee.account,
            "type": "onchain_fee",
            "tag": "onchain_fee",
            "credit_msat": fee.credit_msat,
            "debit_msat": fee.debit_msat,
            "currency": self._currency,
            "timestamp": fee.timestamp,
            "txid": fee.txid,
        }

    def _income(self, args: Args) -> Row:
        """bkpr-listincome."""
        after_s, until_s = _window(args)
        rows = bkpr_income.statement(
            self.ledger, after_s, until_s,
            consolidate=args.get("consolidate_fees", True),
            window_fees=self._world.era.at_least(25, 12),
        )  # fmt: skip
        return {"income_events": [row | {"currency": self._currency} for row in rows]}

    def _balances(self, args: Args) -> Row:
        """bkpr-listbalances: every account but `external`, closed ones included."""
        del args
        sums: dict[str, int] = {}
        moves: list[ChainMove | ChannelMove] = [*self.ledger.chain, *self.ledger.channel]
        for move in moves:
            change = move.credit_msat - move.debit_msat
            sums[move.account_id] = sums.get(move.account_id, 0) + change
        return {
            "accounts": [
                self._balance(account, sums)
                for account in self.ledger.accounts.values()
                if account.name != EXTERNAL
            ]
        }

    def _balance(self, account: Account, sums: Mapping[str, int]) -> Row:
        row: Row = {"account": account.name}
        if account.peer_id is not None:
            resolved = account.resolved_height
            row |= {
                "peer_id": account.peer_id,
                "we_opened": account.we_opened,
                "account_closed": account.closed is not None,
                "account_resolved": resolved > 0,
                **({"resolved_at_block": resolved} if resolved else {}),
            }
        held = {"balance_msat": sums.get(account.name, 0), "coin_type": self._currency}
        return row | {"balances": [held] if account.name in sums else []}

    def _apy(self, args: Args) -> Row:
        """bkpr-channelsapy."""
        return {"channels_apy": bkpr_apy.entries(self.ledger, *_window(args), self._world.height)}

    def _inspect(self, args: Args) -> Row:
        """bkpr-inspect: the transactions of a channel from its funding on; -3 for anything else."""
        name = args["account"]
        if not is_channel(name):
            raise SimRpcError(PLUGIN_ERROR, "`inspect` not supported for non-channel accounts")
        account = self.ledger.accounts.get(name)
        if account is None:
            raise SimRpcError(PLUGIN_ERROR, f"Account {name} not found")
        paid = {row.txid: row.credit_msat for row in self.ledger.fee_sums(self.ledger.fees[name])}
        shown = []
        for transaction in bkpr_chain.follow(self.ledger, account)[0]:
            made = [coin.made for coin in transaction.coins if coin.made is not None]
            heights = [height for height in map(self.ledger.height, made) if height]
            entry: Row = {"txid": transaction.txid}
            if heights:
                entry["blockheight"] = heights[0]
            entry["fees_paid_msat"] = paid.get(transaction.txid, 0)
            entry["outputs"] = [
                self._output(coin) for coin in transaction.coins if _concerns(coin, name)
            ]
            shown.append(entry)
        return {"txs": shown}

    def _output(self, coin: Coin) -> Row:
        first = coin.made or coin.spent
        if first is None:
            raise ValueError("an output without any move")
        row: Row = {
            "account": first.account_id,
            "outnum": int(first.utxo.rpartition(":")[2]),
            "output_value_msat": first.output_msat,
            "currency": self._currency,
        }
        if coin.made is not None:
            row |= {"output_tag": coin.made.primary_tag, "credit_msat": coin.made.credit_msat}
            if coin.made.originating_account is not None:
                row["originating_account"] = coin.made.originating_account
        if coin.spent is not None:
            row |= {"spend_tag": coin.spent.primary_tag, "debit_msat": coin.spent.debit_msat}
            row["spending_txid"] = coin.spent.spending_txid
            if coin.spent.payment_hash is not None:
                row["payment_id"] = coin.spent.payment_hash
        return row


def _window(args: Args) -> tuple[int, int]:
    return args.get("start_time", 0), args.get("end_time", 2**63 - 1)


def _concerns(coin: Coin, name: str) -> bool:
    """True for outputs of the account, those that came from it, and the wallet's."""
    if coin.made is not None:
        if coin.made.originating_account is not None:
            return coin.made.originating_account == name
        return coin.made.account_id in (name, "wallet")
    return coin.spent is not None and coin.spent.account_id == name
