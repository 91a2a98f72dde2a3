"""The books held against other sources: each row compares two figures that were made apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cl_revenue_ops.domain.ledger import accounts
from messages.books import Assertion, ChannelBooks
from messages.node_books import EXTERNAL, WALLET, IncomeSum, NodeBalances

BOOKKEEPER, CHANNELS, FUNDS, INFO = (
    "bkpr-listbalances",
    "listpeerchannels",
    "listfunds",
    "getinfo",
)
INCOME = "bkpr-listincome"
LIST = "listforwards"
ALL = "total"
UNDER_WAY = "transactions are not confirmed yet"


@dataclass(frozen=True)
class OurBooks:
    """Our side at one moment: lifetime sums by account, and every channel's books.

    `channels` are over the whole life or, for income, over the window that is compared.
    """

    totals: Mapping[str, int]
    channels: tuple[ChannelBooks, ...]

    def balance_msat(self, account: str) -> int:
        """What the books say is in the wallet or in a channel."""
        if account == WALLET:
            return self.totals.get(accounts.WALLET, 0)
        moved = sum(c.in_msat - c.out_msat for c in self.channels if c.channel_id == account)
        return moved + self.totals.get(accounts.of(accounts.CHANNEL, account), 0)

    @property
    def earned_msat(self) -> int:
        """All fees of forwards that the node ever earned, by the books."""
        kept = sum(c.out_fees_msat + c.imported_fees_msat for c in self.channels)
        return kept - self.totals.get(accounts.UNATTRIBUTED, 0)


def of_balances(node: NodeBalances, ours: OurBooks) -> list[Assertion]:
    """Every account by bookkeeper, every open channel by itself, the wallet by its outputs."""
    rows: list[Assertion] = []
    if node.accounts is not None:
        theirs = {a.account: a.balance_msat for a in node.accounts if a.account != EXTERNAL}
        own = [
            channel_id
            for kind, channel_id in map(accounts.parted, ours.totals)
            if kind == accounts.CHANNEL and channel_id is not None
        ]
        # An account that bookkeeper does not know is one without any movement.
        rows += (
            Assertion("balance", name, ours.balance_msat(name), theirs.get(name, 0), BOOKKEEPER)
            for name in sorted({WALLET, *theirs, *own})
        )
    for channel_id, balance_msat in sorted(node.channels):
        row = Assertion(
            "channel balance", channel_id, ours.balance_msat(channel_id), balance_msat, CHANNELS
        )
        rows.append(row)
    rows.append(
        Assertion(
            "confirmed outputs",
            WALLET,
            ours.balance_msat(WALLET),
            node.onchain_msat + node.reserved_msat,
            FUNDS,
            note=UNDER_WAY if node.unconfirmed_msat else None,
        )
    )
    return rows


def of_fees(node: NodeBalances, ours: OurBooks) -> Assertion:
    """All that forwards ever earned against the node's own counter."""
    return Assertion("routing fees", ALL, ours.earned_msat, node.fees_collected_msat, INFO)


def of_list(ours_msat: int, theirs_msat: int, rows: int) -> Assertion:
    """The newest settled forwards of the node's list, row by row, against the log."""
    note = f"the newest {rows:,} settled forwards of the list"
    return Assertion("listed fees", ALL, ours_msat, theirs_msat, LIST, note=note)


def of_transit(open_transactions: Iterable[str], totals: Mapping[str, int]) -> Assertion:
    """What left one account on the chain has arrived in another."""
    waiting = sorted(open_transactions)
    note = f"in {len(waiting)} transactions, the first {waiting[0]}" if waiting else None
    return Assertion(
        "in transit", ALL, totals.get(accounts.TRANSIT, 0), 0, "double entry", note=note
    )


def of_income(income: Iterable[IncomeSum], ours: OurBooks, *, whole_life: bool) -> list[Assertion]:
    """Bookkeeper's income against the books of the same window, by tag and account.

    Routing is listed at the channel that a forward left by. What rebalances cost is listed there
    too, but booked here at the channel that was filled, so that their sums are compared. Fees of
    the chain are taken over from bookkeeper: that row can only show that none was forgotten, and
    only over a whole life, because bookkeeper moves the time of a fee that it corrects.
    """
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in income:
        found[row.tag][row.account] += row.credit_msat - row.debit_msat
    rows: list[Assertion] = []
    own = {c.channel_id: c for c in ours.channels}
    # Of a forward that left on the chain bookkeeper lists no fee.
    unlisted = {c: ours.totals.get(accounts.of(accounts.CHAIN_ROUTING, c), 0) for c in own}
    if whole_life and ours.totals.get(accounts.UNATTRIBUTED):
        counted_msat = ours.totals.get(accounts.COUNTED, 0)
        earned_msat = ours.earned_msat - counted_msat + sum(unlisted.values())
        theirs_msat = sum(found["routed"].values())
        rows.append(Assertion("routing income", ALL, earned_msat, theirs_msat, INCOME))
    else:
        earned = {c: b.out_fees_msat + unlisted[c] for c, b in own.items()}
        rows += _by_channel("routing income", earned, found["routed"])
    paid = {account: -msat for account, msat in found["invoice_fee"].items()}
    rows += _by_channel("fees of payments", {c: b.payment_fees_msat for c, b in own.items()}, paid)
    rebalances_msat = sum(c.rebalances_msat for c in ours.channels)
    theirs_msat = -sum(found["rebalance_fee"].values())
    rows.append(Assertion("rebalance costs", ALL, rebalances_msat, theirs_msat, INCOME))
    if whole_life:
        rows += _of_chain(found["onchain_fee"], own, ours.totals)
    return rows


def _by_channel(what: str, ours: Mapping[str, int], theirs: Mapping[str, int]) -> list[Assertion]:
    pairs = [(name, ours.get(name, 0), theirs.get(name, 0)) for name in sorted({*ours, *theirs})]
    return [Assertion(what, name, a, b, INCOME) for name, a, b in pairs if a or b]


def _of_chain(
    fees: Mapping[str, int], own: Mapping[str, ChannelBooks], totals: Mapping[str, int]
) -> list[Assertion]:
    rows: list[Assertion] = []
    costs = {
        c: b.opening_msat
        + b.closure_msat
        + b.splice_msat
        - totals.get(accounts.of(accounts.DUST, c), 0)
        for c, b in own.items()
    }
    costs[WALLET] = totals.get(accounts.WALLET_FEES, 0)
    for account in sorted({*fees, *costs}):
        ours_msat, theirs_msat = costs.get(account, 0), -fees.get(account, 0)
        if ours_msat or theirs_msat:
            rows.append(
                Assertion("on-chain fees", account, ours_msat, theirs_msat, INCOME, taken_over=True)
            )
    return rows


def in_words(rows: Iterable[Assertion]) -> str:
    """One sentence on what does not agree."""
    wrong = [row for row in rows if row.remainder_msat]
    if not wrong:
        return "every row agrees to the millisatoshi"
    first = max(wrong, key=lambda row: abs(row.remainder_msat or 0))
    return (
        f"{len(wrong)} row{'' if len(wrong) == 1 else 's'} do not agree; the largest remainder is"
        f" {first.remainder_msat:,} msat ({first.what} of {first.account} by {first.source})"
    )
