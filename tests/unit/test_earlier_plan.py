"""What is taken from the earlier plugin's records, and what is not trusted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cl_revenue_ops.domain.earlier import plan, policies, schema, values
from cl_revenue_ops.domain.earlier.findings import Findings, fee_change
from cl_revenue_ops.domain.earlier.plan import LedgerPlan, Ours
from messages.books import Books, ChannelBooks, Entry
from messages.policies import PolicyEdit

NOW_S = 1_700_000_000.0
TODAY = int(NOW_S) // 86_400
FIRST = TODAY - 10
A = "a1" * 32
PEER = "02" + "ab" * 32
OTHER = "03" + "cd" * 32


def ours(
    *channels: ChannelBooks,
    unattributed_msat: int = 0,
    first_day: int | None = FIRST,
    keys: frozenset[str] = frozenset(),
    imported: dict[str, int] | None = None,
    estimates: tuple[Entry, ...] = (),
    channel_of: dict[str, str] | None = None,
    trouble: str | None = None,
) -> Ours:
    books = Books(channels, unattributed_msat, 0, 0.0, NOW_S, None, "bookkeeper", (), trouble)
    return Ours(books, first_day, TODAY, keys, imported or {}, estimates, channel_of or {})


def found(**tables: list[dict[str, Any]]) -> Findings:
    findings = Findings(NOW_S)
    for table, rows in tables.items():
        for row in rows:
            findings.take(table, row)
    return findings


def forward(day: int, fee: object, scid: object = "1x1x1", second: int = 5) -> dict[str, Any]:
    return {"out_channel": scid, "timestamp": day * 86_400 + second, "fee_msat": fee}


def rollup(day: int, fee: object, scid: object = "1x1x1") -> dict[str, Any]:
    return {"channel_id": scid, "date": day * 86_400, "total_fee_msat": fee}


def sums(made: LedgerPlan) -> dict[tuple[str, int], int]:
    """What each account gets on each day."""
    total: dict[tuple[str, int], int] = {}
    for entry in made.entries:
        assert sum(msat for _, msat in entry.postings) == 0
        assert entry.source == "import"
        for account, msat in entry.postings:
            key = account, entry.at_s // 86_400
            total[key] = total.get(key, 0) + msat
    return total


# -- earnings -------------------------------------------------------------------------------------


def test_earnings_before_our_log_get_their_channel_and_day() -> None:
    rows = [
        forward(FIRST - 2, 100),
        forward(FIRST - 2, 50, second=86_399),
        forward(FIRST - 1, 7, "2x2x2"),
    ]
    made = plan.plan(
        found(forwards=rows), ours(unattributed_msat=1_000, channel_of={"1:1:1": A, "1x1x1": A})
    )
    assert sums(made) == {
        (f"income:imported:{A}", FIRST - 2): -150,
        ("income:unattributed", FIRST - 2): 150,
        ("income:imported:2x2x2", FIRST - 1): -7,
        ("income:unattributed", FIRST - 1): 7,
    }
    assert [entry.key for entry in made.entries] == [
        f"import:forwards:1x1x1:{FIRST - 2}",
        f"import:forwards:2x2x2:{FIRST - 1}",
    ]
    assert made.taken == {"days": 2, "fees_msat": 157, "costs": 0, "costs_msat": 0}
    assert made.not_trusted == ()


@pytest.mark.parametrize(("rows", "daily", "taken"), [(100, 70, 100), (70, 100, 100), (80, 80, 80)])
def test_of_two_records_of_a_day_the_larger_counts_and_never_the_sum(
    rows: int, daily: int, taken: int
) -> None:
    day = FIRST - 1
    findings = found(
        forwards=[forward(day, rows)], daily_forwarding_stats=[rollup(day, daily, "2x2x2")]
    )
    made = plan.plan(findings, ours(unattributed_msat=1_000))
    assert made.taken["fees_msat"] == taken
    assert len(made.entries) == 1, "one record of the day, not the best of each channel"
    assert bool(made.not_trusted) == (rows != daily)


def test_from_the_first_day_of_our_own_log_on_nothing_is_taken() -> None:
    rows = [forward(FIRST - 1, 1), forward(FIRST, 10), forward(FIRST + 1, 100)]
    made = plan.plan(found(forwards=rows), ours(unattributed_msat=1_000))
    assert made.taken["fees_msat"] == 1
    assert made.not_trusted == (
        "earnings: 110 msat of days for which the node's own list is the truth; not taken",
    )
    without = plan.plan(
        found(forwards=[*rows, forward(TODAY, 1_000)]),
        ours(unattributed_msat=10_000, first_day=None),
    )
    assert without.taken["fees_msat"] == 111


def test_what_exceeds_the_unattributed_is_not_trusted_and_the_oldest_is_taken() -> None:
    doubled = [rollup(FIRST - 3, 400), rollup(FIRST - 2, 400), rollup(FIRST - 1, 10)]
    made = plan.plan(found(daily_forwarding_stats=doubled), ours(unattributed_msat=500))
    assert made.taken == {"days": 1, "fees_msat": 400, "costs": 0, "costs_msat": 0}
    assert made.entries[0].at_s == (FIRST - 3) * 86_400
    (line,) = made.not_trusted
    assert "410 msat more than the 500 msat" in line


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3), st.integers(1, 100)), max_size=30),
    st.integers(0, 2_000),
    st.integers(0, 30),
)
def test_taken_in_parts_it_is_what_it_would_be_at_once(
    rows: list[tuple[int, int, int]], room: int, cut: int
) -> None:
    """Killed after any of its entries and begun again, the import books the same."""
    findings = found(forwards=[forward(FIRST - day, fee, f"1x1x{n}") for day, n, fee in rows])
    whole = plan.plan(findings, ours(unattributed_msat=room))
    assert whole.taken["fees_msat"] <= room
    first = whole.entries[:cut]
    booked = sum(msat for e in first for name, msat in e.postings if name == "income:unattributed")
    rest = plan.plan(
        findings,
        ours(unattributed_msat=room - booked, keys=frozenset(entry.key for entry in first)),
    )
    assert (*first, *rest.entries) == whole.entries
    assert rest.already_known["days"] == len(first)


def test_while_our_books_are_behind_nothing_of_the_ledger_is_taken() -> None:
    findings = found(forwards=[forward(FIRST - 1, 1)])
    made = plan.plan(findings, ours(unattributed_msat=1_000, trouble="no answer"))
    assert made.entries == () and "our own books are behind (no answer)" in made.not_trusted[0]
    assert plan.plan(found(), ours(trouble="no answer")).not_trusted == ()


# -- costs ----------------------------------------------------------------------------------------

COSTS: dict[str, list[dict[str, Any]]] = {
    "channel_costs": [{"channel_id": "1x1x1", "open_cost_sats": 321, "opened_at": 1_650_000_000}],
    "channel_closure_costs": [
        {"channel_id": "1x1x1", "total_closure_cost_sats": 432, "closed_at": 1_660_000_000}
    ],
    "splice_costs": [{"id": 3, "channel_id": "1x1x1", "fee_sats": 543, "timestamp": 1_655_000_000}],
    "rebalance_costs": [
        {"id": n, "channel_id": "1x1x1", "cost_sats": n, "timestamp": 1_656_000_000} for n in (1, 2)
    ],
}


def test_costs_of_a_channel_without_records_of_our_own() -> None:
    made = plan.plan(found(**COSTS), ours(channel_of={"1x1x1": A}))
    assert [(e.key, e.kind, e.postings) for e in made.entries] == [
        ("import:opening:1x1x1", "imported opening",
         ((f"expenses:opening:{A}", 321_000), ("equity:imported", -321_000))),
        ("import:closure:1x1x1", "imported closure",
         ((f"expenses:closure:{A}", 432_000), ("equity:imported", -432_000))),
        ("import:splice:1x1x1:1655000000:3", "imported splice",
         ((f"expenses:splice:{A}", 543_000), ("equity:imported", -543_000))),
        ("import:rebalance:1x1x1:1656000000:1", "imported rebalance",
         ((f"expenses:other-rebalance:{A}", 1_000), ("equity:imported", -1_000))),
        ("import:rebalance:1x1x1:1656000000:2", "imported rebalance",
         ((f"expenses:other-rebalance:{A}", 2_000), ("equity:imported", -2_000))),
    ]  # fmt: skip
    assert made.taken["costs"] == 5 and made.taken["costs_msat"] == 1_299_000
    assert made.not_trusted == ()


@pytest.mark.parametrize("what", ["opening", "closure", "splice", "rebalance", "other_rebalance"])
def test_where_the_node_has_records_of_a_kind_they_win(what: str) -> None:
    spent: dict[str, Any] = {f"{what}_msat": 5}
    books = ChannelBooks(A, **spent)
    made = plan.plan(found(**COSTS), ours(books, channel_of={"1x1x1": A}))
    kind = what.removeprefix("other_")
    assert not any(entry.key.startswith(f"import:{kind}:") for entry in made.entries)
    assert len(made.entries) == (3 if kind == "rebalance" else 4)
    (line,) = made.not_trusted
    assert line.startswith(f"{kind}: ") and "the node's own records have it" in line


def test_what_an_import_booked_itself_is_no_record_of_the_node() -> None:
    books = ChannelBooks(A, other_rebalance_msat=1_000)
    known = "import:rebalance:1x1x1:1656000000:1"
    made = plan.plan(
        found(rebalance_costs=COSTS["rebalance_costs"]),
        ours(
            books,
            keys=frozenset([known]),
            imported={f"expenses:other-rebalance:{A}": 1_000},
            channel_of={"1x1x1": A},
        ),
    )
    assert [entry.key for entry in made.entries] == ["import:rebalance:1x1x1:1656000000:2"]
    assert made.already_known["costs"] == 1


@pytest.mark.parametrize(
    ("table", "field", "sats"),
    [
        ("channel_costs", "open_cost_sats", 5_000),
        ("channel_costs", "open_cost_sats", 50_000),
        ("channel_closure_costs", "total_closure_cost_sats", 3_000),
        ("channel_closure_costs", "total_closure_cost_sats", 50_000),
        ("splice_costs", "fee_sats", 2_000),
        ("splice_costs", "fee_sats", 50_000),
    ],
)
def test_estimates_and_the_clamp_are_taken_as_estimates_and_told(
    table: str, field: str, sats: int
) -> None:
    rows = [{**COSTS[table][0], field: sats}]
    made = plan.plan(found(**{table: rows}), ours())
    (entry,) = made.entries
    assert entry.kind.endswith(" estimate") and entry.postings[0][1] == sats * 1_000
    (line,) = made.not_trusted
    assert f"exactly {'the' if sats == 50_000 else 'its estimate of'} {sats} sats" in line
    assert "taken as an estimate" in line and "1x1x1" in line
    near = plan.plan(found(**{table: [{**COSTS[table][0], field: sats + 1}]}), ours())
    assert not near.entries[0].kind.endswith("estimate") and near.not_trusted == ()


def test_a_close_that_was_not_resolved_is_an_estimate() -> None:
    rows = [{**COSTS["channel_closure_costs"][0], "resolution_complete": 0}]
    made = plan.plan(found(channel_closure_costs=rows), ours())
    assert made.entries[0].kind == "imported closure estimate"


def test_a_record_takes_the_place_of_our_own_estimate() -> None:
    account = f"expenses:opening:{A}"
    guess = Entry(f"estimate:{account}", 5, "estimate", "estimate", "{}",
                  ((account, 5_000_000), ("equity:estimated", -5_000_000)))  # fmt: skip
    books = ChannelBooks(A, opening_msat=5_000_000)
    known = ours(books, estimates=(guess,), channel_of={"1x1x1": A})
    made = plan.plan(found(channel_costs=COSTS["channel_costs"]), known)
    undone, booked = made.entries
    assert undone.key == f"undone:estimate:{account}"
    assert undone.postings == ((account, -5_000_000), ("equity:estimated", 5_000_000))
    assert booked.postings[0] == (account, 321_000)
    assert made.taken["costs"] == 1
    rows = [{**COSTS["channel_costs"][0], "open_cost_sats": 5_000}]
    again = plan.plan(found(channel_costs=rows), known)
    assert again.entries == () and "we have an estimate ourselves" in again.not_trusted[0]


def test_a_closed_channel_is_known_by_its_funding() -> None:
    txid = bytes(range(32)).hex()
    channel_id = bytes([*range(31, 1, -1), 1 ^ 1, 0 ^ 2]).hex()
    assert values.derived_channel_id(txid, "1x1x258") == channel_id
    closed = {"channel_id": "1x1x258", "funding_txid": txid}
    cost = {**COSTS["channel_costs"][0], "channel_id": "1x1x258"}
    tables = {"closed_channels": [closed], "channel_costs": [cost]}
    made = plan.plan(found(**tables), ours(ChannelBooks(channel_id, opening_msat=1)))
    assert made.entries == () and "own records have it" in made.not_trusted[0]
    other = plan.plan(found(**tables), ours(ChannelBooks(channel_id, closure_msat=1)))
    assert other.entries[0].postings[0][0] == f"expenses:opening:{channel_id}"


def test_a_cost_that_may_be_known_by_another_name_is_left() -> None:
    made = plan.plan(
        found(channel_costs=COSTS["channel_costs"]), ours(ChannelBooks(A, opening_msat=1))
    )
    assert made.entries == () and "by another name" in made.not_trusted[0]
    known = ours(ChannelBooks(A, opening_msat=1), channel_of={"9x9x9": A})
    assert len(plan.plan(found(channel_costs=COSTS["channel_costs"]), known).entries) == 1


BAD_ROWS: list[tuple[str, dict[str, Any]]] = [
    ("forwards", forward(FIRST - 1, -1)),
    ("forwards", forward(FIRST - 1, 1.5)),
    ("forwards", forward(FIRST - 1, None)),
    ("forwards", forward(FIRST - 1, b"1")),
    ("forwards", forward(FIRST - 1, 10**30)),
    ("forwards", forward(FIRST - 1, 1, "nonsense")),
    ("forwards", forward(FIRST - 1, 1, None)),
    ("forwards", forward(TODAY + 1, 1)),
    ("forwards", forward(0, 1)),
    ("forwards", {**forward(1, 1), "timestamp": "yesterday"}),
    ("daily_forwarding_stats", {**rollup(1, 1), "date": 20_230_101}),
    ("channel_costs", {**COSTS["channel_costs"][0], "opened_at": None}),
    ("channel_costs", {**COSTS["channel_costs"][0], "open_cost_sats": -5}),
    ("rebalance_costs", {**COSTS["rebalance_costs"][0], "cost_sats": "many"}),
    ("closed_channels", {"channel_id": 7}),
]


@pytest.mark.parametrize(("table", "row"), BAD_ROWS)
def test_rows_that_make_no_sense_are_counted_and_left(table: str, row: dict[str, Any]) -> None:
    findings = found(**{table: [row]})
    assert findings.misread == {table: 1}
    assert plan.plan(findings, ours(unattributed_msat=10**12)).entries == ()
    assert findings.closed == {}


def test_nothing_earned_and_nothing_paid_is_no_fault() -> None:
    free = {**COSTS["channel_costs"][0], "open_cost_sats": 0, "opened_at": None}
    rows = {"forwards": [forward(FIRST - 1, 0)], "channel_costs": [free]}
    findings = found(**rows)
    assert not findings.misread and plan.plan(findings, ours()).entries == ()


# -- policies -------------------------------------------------------------------------------------


def policy(**fields: Any) -> dict[str, Any]:
    return {"peer_id": PEER, "strategy": "static", "fee_ppm_target": 100, **fields}


def planned(
    *rows: dict[str, Any], ours: tuple[str, ...] = (), imported: dict[str, bool] | None = None
) -> Any:
    return policies.plan(rows, ours, imported or {}, NOW_S)


def test_a_policy_is_read_with_all_it_has() -> None:
    row = policy(
        rebalance_mode="sink_only", tags='["a", "b"]', fee_multiplier_min=0.5,
        fee_multiplier_max=2.0, expires_at=int(NOW_S) + 7_200, updated_at=5,
    )  # fmt: skip
    made = planned(row)
    (edit,) = made.edits
    assert edit == PolicyEdit(PEER, edit.fields, 2.0)
    assert dict(edit.fields) == {
        "strategy": "static", "rebalance": "sink_only", "fee_ppm": 100, "tags": ("a", "b"),
        "fee_multiplier_min": 0.5, "fee_multiplier_max": 2.0,
    }  # fmt: skip
    assert made.notes == ()


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (policy(expires_at=int(NOW_S)), "1 had expired"),
        (policy(expires_at=int(NOW_S) + 60), "within the hour"),
        (policy(strategy="wild"), "strategy must be one of"),
        (policy(fee_ppm_target=None), "static policy needs its fee"),
        (policy(fee_multiplier_min=9.0), "fee_multiplier_min must be"),
        (policy(peer_id="x"), "is no node id"),
        (policy(tags="[broken"), "tags must be"),
        ({"peer_id": PEER, "strategy": "dynamic", "tags": "[]"}, "nothing but the defaults"),
    ],
)
def test_a_policy_that_is_not_taken_is_told(row: dict[str, Any], why: str) -> None:
    made = planned(row)
    assert made.edits == ()
    (note,) = made.notes
    assert why in note


def test_ours_stay_and_what_was_imported_is_known() -> None:
    assert planned(policy(), ours=(PEER,)).edits == ()
    assert "stays" in planned(policy(), ours=(PEER,)).notes[0]
    for mine, done in ((PEER,), True), ((), True), ((PEER,), False):
        known = planned(policy(), ours=mine, imported={PEER: done})
        assert (known.edits, known.already_known, known.notes) == ((), (PEER,), ())
    begun = planned(policy(), imported={PEER: False})
    assert len(begun.edits) == 1, "it was about to be set, and was not"
    assert len(planned(policy(), policy(peer_id=OTHER), ours=(PEER,)).edits) == 1


def test_a_far_end_is_brought_near_and_told() -> None:
    made = planned(policy(expires_at=int(NOW_S) + 90 * 86_400))
    assert made.edits[0].expires_in_hours == 720.0
    assert "ends in 30 days, not in 90" in made.notes[0]


# -- what the file has ----------------------------------------------------------------------------


def test_tables_and_columns_are_compared_with_what_is_known() -> None:
    shape = schema.compare(
        [
            ("forwards", ("id", "out_channel", "fee_msat", "timestamp", "colour"), 3),
            ("channel_costs", ("channel_id", "open_cost_sats"), 2),
            ("pid_state", schema.COLUMNS["pid_state"], 4),
            ("kalman_state", schema.COLUMNS["kalman_state"], 0),
            ("news", ("id",), 1),
        ]
    )
    assert shape.usable == {"forwards": ("id", "out_channel", "fee_msat", "timestamp")}
    assert shape.unknown_columns == {"forwards": ["colour"]}
    assert shape.missing_columns["channel_costs"] == ["peer_id", "capacity_sats", "opened_at"]
    assert shape.left_out["channel_costs"] == "2 rows: nothing can be read without opened_at"
    assert shape.left_out["news"] == "1 row: an unknown table"
    assert shape.left_out["pid_state"].startswith("4 rows: ")
    assert "kalman_state" not in shape.left_out
    assert shape.left_out["splice_costs"] == "this file has no such table"


def test_every_table_is_either_read_or_left_for_a_reason() -> None:
    read = {*schema.NEEDED, schema.CONFIG}
    assert read | set(schema.WHY_LEFT) == set(schema.COLUMNS)
    assert not read & set(schema.WHY_LEFT)
    assert all(set(needs) <= set(schema.COLUMNS[name]) for name, needs in schema.NEEDED.items())


def test_changes_of_fees_are_read_strictly() -> None:
    row = {"id": 1, "channel_id": "1:1:1", "peer_id": PEER, "old_fee_ppm": 5, "new_fee_ppm": 6,
           "reason": "a\nb", "manual": 1, "timestamp": 1_690_000_000}  # fmt: skip
    assert fee_change(row, NOW_S) == (1, "1x1x1", PEER, 1_690_000_000, 5, 6, True, "a b")
    for name, bad in (("id", "x"), ("channel_id", 5), ("timestamp", None), ("timestamp", 10**12)):
        assert fee_change({**row, name: bad}, NOW_S) is None
