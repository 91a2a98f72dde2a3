"""The protocol of what the node says of its money: movements, bookkeeper's events, balances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from messages.base import Command

WALLET = "wallet"
EXTERNAL = "external"


class ChannelMove(NamedTuple):
    """One movement inside a channel that is no forward, as the node lists it.

    Either `credit_msat` or `debit_msat` is above zero. `debit_msat` contains `fees_msat`, the
    routing fee that was paid. `created_index` is None before v25.09. Times are Unix seconds.
    """

    created_index: int | None
    channel_id: str
    tag: str
    credit_msat: int
    debit_msat: int
    fees_msat: int
    at_s: int
    payment_hash: str | None = None
    part_id: int | None = None
    group_id: int | None = None


class ChainMove(NamedTuple):
    """One output that was made or spent, as the node lists it.

    `account` is WALLET, EXTERNAL or a channel_id. `outpoint` is "txid:n"; `spending_txid` is None
    where the output was made. `origin` is the account whose money an external output was.
    `blockheight` is 0 while it is not known. `spliced` marks the closing half of a splice where
    the node says so; `opener` that we opened the channel. `output_count` is how many outputs the
    transaction that closed a channel has, 0 where it is not known.
    """

    created_index: int | None
    account: str
    tag: str
    credit_msat: int
    debit_msat: int
    at_s: int
    outpoint: str
    spending_txid: str | None = None
    origin: str | None = None
    payment_hash: str | None = None
    blockheight: int = 0
    output_msat: int | None = None
    spliced: bool = False
    opener: bool = False
    output_count: int = 0

    @property
    def txid(self) -> str:
        """The transaction that this belongs to: the spending one, or the one that made it."""
        return self.spending_txid or self.outpoint.partition(":")[0]


class RoutedSum(NamedTuple):
    """What forwards moved in a channel by the node's movements: sums over a page.

    The `early_` ones are those up to the time that the reader was told, the others all.
    """

    channel_id: str
    rows: int
    credit_msat: int
    debit_msat: int
    early_rows: int
    early_credit_msat: int
    early_debit_msat: int


class MoveIndexes(NamedTuple):
    """The newest indexes of the node's two lists; None where the node has no such list."""

    chain: int | None
    channel: int | None


class ChannelMovePage(NamedTuple):
    """Movements by index; forwards are told as sums. `next_start` is where the next page begins."""

    rows: tuple[ChannelMove, ...]
    routed: tuple[RoutedSum, ...]
    next_start: int
    last: bool
    malformed: int = 0


class ChainMovePage(NamedTuple):
    """Movements of outputs by index."""

    rows: tuple[ChainMove, ...]
    next_start: int
    last: bool
    malformed: int = 0


class OnchainFee(NamedTuple):
    """What bookkeeper says that `account` paid the miners for `txid`: the sum of its corrections.

    Positive is a cost. `at_s` is the time of the latest correction.
    """

    account: str
    txid: str
    paid_msat: int
    at_s: int


class AccountEvents(NamedTuple):
    """All that bookkeeper has of one account, forwards as one sum."""

    account: str
    fees: tuple[OnchainFee, ...]
    chain: tuple[ChainMove, ...]
    channel: tuple[ChannelMove, ...]
    routed: RoutedSum | None
    malformed: int = 0


class AccountBalance(NamedTuple):
    """One account by bookkeeper. What it does not say of wallets is None."""

    account: str
    balance_msat: int
    peer_id: str | None = None
    we_opened: bool | None = None
    closed: bool | None = None
    resolved: bool | None = None


class NodeBalances(NamedTuple):
    """What the node says of its money at one moment; `accounts` None without bookkeeper.

    `channels` are (channel_id, our balance in msat as the channel itself has it) of channels whose
    funding is locked in and that are not closing. `onchain_msat` are confirmed, unreserved
    outputs, `reserved_msat` confirmed reserved ones, `unconfirmed_msat` those not yet confirmed.
    """

    at_s: float
    accounts: tuple[AccountBalance, ...] | None
    channels: tuple[tuple[str, int], ...]
    fees_collected_msat: int
    onchain_msat: int
    reserved_msat: int
    unconfirmed_msat: int


class IncomeSum(NamedTuple):
    """What bookkeeper's income list has of one account and tag in a window."""

    account: str
    tag: str
    credit_msat: int
    debit_msat: int


@dataclass(frozen=True)
class ReadMoveIndexes(Command):
    """To the books reader: the newest indexes of the node's movements (MoveIndexes)."""


@dataclass(frozen=True)
class ReadChannelMoves(Command):
    """To the books reader: one page of listchannelmoves from index `start` on (ChannelMovePage).

    Forwards up to `early_s` are summed apart too.
    """

    start: int
    limit: int
    early_s: float


@dataclass(frozen=True)
class ReadChainMoves(Command):
    """To the books reader: one page of listchainmoves from index `start` on (ChainMovePage)."""

    start: int
    limit: int


@dataclass(frozen=True)
class ReadAccountEvents(Command):
    """To the books reader: bookkeeper's events of an account (AccountEvents).

    Answered with None where there is no bookkeeper, or where it does not know the account.
    """

    account: str
    early_s: float


@dataclass(frozen=True)
class ReadNodeBalances(Command):
    """To the books reader: what the node says of its money now (NodeBalances).

    Without bookkeeper's accounts where these are not wanted.
    """

    with_accounts: bool = True


@dataclass(frozen=True)
class ReadIncome(Command):
    """To the books reader: bookkeeper's income after `from_s` and up to `until_s`, whole seconds.

    Answered with a tuple of IncomeSum, None where there is no bookkeeper.
    """

    from_s: int
    until_s: int
