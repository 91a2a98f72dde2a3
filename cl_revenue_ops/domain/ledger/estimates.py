"""What opening, closing and splicing cost where no record tells: fixed sums, marked as such."""

from __future__ import annotations

from collections.abc import Container, Iterable

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.domain.ledger import accounts
from messages.books import Entry
from messages.channels import ChannelEntry

OPEN_SAT, CLOSE_SAT, SPLICE_SAT = 5_000, 3_000, 2_000
SOURCE = "estimate"
UNDONE = "estimate undone"
GUESS = " estimate"
"""How the kind of an imported entry ends that was an estimate where it comes from."""

ON_CHAIN = (accounts.OPENING, accounts.CLOSURE, accounts.SPLICE)


def entries(channels: Iterable[ChannelEntry], booked: Container[str], now_s: float) -> list[Entry]:
    """Estimates for channels that have none yet, and for scids that a splice gave.

    We pay for an opening and a closing where we opened the channel, and for a splice never more
    than we know of: each further scid of a channel is one. `booked` are the accounts with a total.
    """
    found: list[Entry] = []
    for channel in channels:
        if channel.fact.opener != "local":
            continue
        real = [scid for scid in channel.scids if scid != channel.fact.alias_scid]
        if accounts.of(accounts.OPENING, channel.channel_id) not in booked:
            found.append(_entry(accounts.OPENING, channel, "", OPEN_SAT, channel.first_seen_s))
        found += (
            _entry(accounts.SPLICE, channel, f":{scid}", SPLICE_SAT, now_s) for scid in real[1:]
        )
        closed = accounts.of(accounts.CLOSURE, channel.channel_id)
        if channel.closed and closed not in booked:
            found.append(_entry(accounts.CLOSURE, channel, "", CLOSE_SAT, now_s))
    return found


def estimated(entries_made: Iterable[Entry]) -> frozenset[str]:
    """The channels that these estimates are for."""
    named = (accounts.parted(account)[1] for e in entries_made for account, _ in e.postings)
    return frozenset(channel_id for channel_id in named if channel_id is not None)


def guessed(imported: Iterable[Entry]) -> list[Entry]:
    """Those imported entries that were estimates where they come from, and still stand."""
    entries_made = list(imported)
    done = {entry.key for entry in entries_made}
    return [e for e in entries_made if e.kind.endswith(GUESS) and f"undone:{e.key}" not in done]


def overtaken(
    imported: Iterable[Entry], totals: Iterable[tuple[str, int]], now_s: float
) -> list[Entry]:
    """Imported costs of the chain taken back where the node's own records tell by now.

    `imported` are all entries with a posting to equity:imported, those that take one back among
    them; `totals` are lifetime sums. What an account has beside imports is the node's own.
    """
    entries_made = list(imported)
    own = dict(totals)
    for entry in entries_made:
        for account, msat in entry.postings:
            own[account] = own.get(account, 0) - msat
    done = {entry.key for entry in entries_made}
    late = (
        entry
        for entry in entries_made
        if f"undone:{entry.key}" not in done
        and not entry.key.startswith("undone:")
        and any(accounts.parted(a)[0] in ON_CHAIN and own.get(a) for a, _ in entry.postings)
    )
    return undone(late, now_s, "import undone")


def undone(estimated: Iterable[Entry], now_s: float, kind: str = UNDONE) -> list[Entry]:
    """The same entries the other way round, once there are records to tell."""
    return [
        Entry(
            f"undone:{entry.key}",
            int(now_s),
            kind,
            entry.source,
            jsontext.dumps({"entry": entry.key}),
            tuple((account, -msat) for account, msat in entry.postings),
        )
        for entry in estimated
    ]


def _entry(kind: str, channel: ChannelEntry, mark: str, sat: int, at_s: float) -> Entry:
    account = accounts.of(kind, channel.channel_id)
    evidence = jsontext.dumps({"estimate_sat": sat, "state": channel.fact.state})
    postings = ((account, sat * 1000), (accounts.ESTIMATED, -sat * 1000))
    return Entry(f"estimate:{account}{mark}", int(at_s), SOURCE, SOURCE, evidence, postings)
