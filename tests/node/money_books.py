"""What a node says of its money, and the laws that hold between its lists at any time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.node.line import Line, Row, wait_for


def events(line: Line, **params: str) -> list[Row]:
    rows: list[Row] = line.call("bkpr-listaccountevents", params)["events"]
    return rows


def income(line: Line, **params: Any) -> list[Row]:
    rows: list[Row] = line.call("bkpr-listincome", params)["income_events"]
    return rows


def accounts(line: Line) -> dict[str, Row]:
    return {row["account"]: row for row in line.call("bkpr-listbalances")["accounts"]}


def balance_msat(line: Line, account: str) -> int:
    (held,) = accounts(line)[account]["balances"]
    assert held["coin_type"] == "bcrt"
    found: int = held["balance_msat"]
    return found


def sums(rows: list[Row]) -> dict[tuple[str, str], int]:
    """Credit less debit of the fee rows by account and transaction, zeros left out."""
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["tag"] == "onchain_fee":
            key = (row["account"], row["txid"])
            found[key] = found.get(key, 0) + row["credit_msat"] - row["debit_msat"]
    return {key: amount_msat for key, amount_msat in found.items() if amount_msat}


def balances_agree(line: Line) -> bool:
    """The bookkeeper holds what the node's own lists say, channel by channel and in the wallet."""
    held = {
        name: row["balances"][0]["balance_msat"]
        for name, row in accounts(line).items()
        if row["balances"]
    }
    for row in line.call("listpeerchannels")["channels"]:
        usable = row["state"] in ("CHANNELD_NORMAL", "CHANNELD_AWAITING_SPLICE")
        if usable and held.get(row["channel_id"]) != row["to_us_msat"]:
            return False
    outputs = line.call("listfunds")["outputs"]
    confirmed_msat = sum(o["amount_msat"] for o in outputs if o["status"] == "confirmed")
    return bool(held["wallet"] == confirmed_msat)


def books_balance(line: Line) -> bool:
    """Our books agree with all that the node says, account by account, to the msat."""
    report = line.call("revenue-report", {"report_type": "reconcile"})
    return bool(report["balanced"])


def agree(line: Line) -> None:
    """Balances agree, both fee lists tell the same costs with opposite signs, so do our books."""
    wait_for(lambda: balances_agree(line), "balances that agree")
    costs = sums(events(line))
    assert all(amount_msat > 0 for amount_msat in costs.values())
    assert sums(income(line)) == {key: -amount_msat for key, amount_msat in costs.items()}
    assert sums(income(line, consolidate_fees=False)) == sums(income(line))
    try:
        wait_for(lambda: books_balance(line), "books that balance")
    except AssertionError as error:
        report = line.call("revenue-report", {"report_type": "reconcile"})
        raise AssertionError(f"{error}: {report}") from error


def moved(line: Line, method: str, act: Callable[[], object], count: int) -> list[Row]:
    """The rows that `act` adds to listchainmoves or listchannelmoves, `count` of them."""
    name = method.removeprefix("list")
    before = len(line.call(method)[name])
    act()
    page = {"index": "created", "start": before + 1}
    # A list of rows may be empty, so it is wrapped.
    rows: list[Row]
    (rows,) = wait_for(
        lambda: len(found := line.call(method, page)[name]) >= count and [found],
        f"{count} new {name}",
    )
    assert len(rows) == count, rows
    assert [row["created_index"] for row in rows] == [before + 1 + n for n in range(count)]
    return rows


def committed(channel: Row) -> bool:
    """True if its HTLCs can no longer be left out of a commitment transaction."""
    return {htlc["state"] for htlc in channel["htlcs"]} == {"SENT_ADD_ACK_REVOCATION"}
