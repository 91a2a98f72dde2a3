"""The node's books: channel moves and chain moves, append-only and indexed."""

from __future__ import annotations

from typing import Any, NamedTuple


class ChannelMove(NamedTuple):
    """One movement in a channel, msat; exactly one of credit and debit is above 0."""

    created_index: int
    account_id: str
    credit_msat: int
    debit_msat: int
    timestamp: int
    primary_tag: str
    fees_msat: int
    payment_hash: str | None
    part_id: int | None = None
    group_id: int | None = None

    def entry(self) -> dict[str, Any]:
        """The listchannelmoves entry."""
        shown = self._asdict()
        return {name: value for name, value in shown.items() if value is not None}


class ChainMove(NamedTuple):
    """One movement on chain, msat, of a channel account, `wallet` or `external`."""

    created_index: int
    account_id: str
    credit_msat: int
    debit_msat: int
    timestamp: int
    primary_tag: str
    extra_tags: tuple[str, ...]
    utxo: str
    output_msat: int
    blockheight: int
    peer_id: str | None = None
    originating_account: str | None = None
    spending_txid: str | None = None
    payment_hash: str | None = None
    output_count: int | None = None

    @property
    def txid(self) -> str:
        """The transaction that made the output."""
        return self.utxo.rpartition(":")[0]

    def entry(self) -> dict[str, Any]:
        """The listchainmoves entry."""
        shown = self._asdict() | {"extra_tags": list(self.extra_tags)}
        return {name: value for name, value in shown.items() if value is not None}


class Books:
    """Both lists; index n is at place n - 1."""

    def __init__(self) -> None:
        self.channel_moves: list[ChannelMove] = []
        self.chain_moves: list[ChainMove] = []

    def book_channel(
        self,
        account_id: str,
        at_s: float,
        tag: str,
        *,
        credit_msat: int = 0,
        debit_msat: int = 0,
        fees_msat: int = 0,
        payment_hash: str | None = None,
        part_id: int | None = None,
        group_id: int | None = None,
    ) -> ChannelMove:
        """Append a channel move; `fees_msat` is the fee that belongs to the movement."""
        move = ChannelMove(
            len(self.channel_moves) + 1, account_id, credit_msat, debit_msat, int(at_s), tag,
            fees_msat, payment_hash, part_id, group_id,
        )  # fmt: skip
        self.channel_moves.append(move)
        return move

    def book_chain(
        self,
        account_id: str,
        at_s: float,
        tag: str,
        utxo: str,
        output_msat: int,
        height: int,
        *,
        credit_msat: int = 0,
        debit_msat: int = 0,
        extra_tags: tuple[str, ...] = (),
        peer_id: str | None = None,
        origin: str | None = None,
        spending_txid: str | None = None,
        payment_hash: str | None = None,
        output_count: int | None = None,
    ) -> ChainMove:
        """Append a chain move over the output `utxo` ("txid:n") worth `output_msat`."""
        move = ChainMove(
            len(self.chain_moves) + 1, account_id, credit_msat, debit_msat, int(at_s), tag,
            extra_tags, utxo, output_msat, height, peer_id, origin, spending_txid, payment_hash,
            output_count,
        )  # fmt: skip
        self.chain_moves.append(move)
        return move
