"""The fifth schema: forwards in compact rows, with totals beside them, made of those of before."""

from __future__ import annotations

from messages.forwards import FAILED, LOCAL_FAILED, SETTLED

STATUS_NUMBERS = {SETTLED: 0, FAILED: 1, LOCAL_FAILED: 2}
"""Zero and one take no room in a row."""

UNKNOWN_NEXT_PEER = 16_394
"""BOLT 4's failure where a sender named a channel that is none of ours, as anybody may."""

BLOCK_DAYS = 16
"""A long window is read as blocks of so many days with single days at its ends."""

LIFETIME = 0
"""The span of a total over everything; the others are in days."""

_TABLES = (
    """CREATE TABLE forward_scid (
        id INTEGER PRIMARY KEY,
        scid TEXT NOT NULL UNIQUE,
        failed_gone INTEGER NOT NULL DEFAULT -1,
        settled_gone INTEGER NOT NULL DEFAULT -1)""",
    "INSERT INTO forward_scid (id, scid) VALUES (0, '')",
    # Times stay floats: a whole number of microseconds takes eight bytes as well, and not every
    # time that a node may name is one. `out_ref` is a number of forward_scid, or the scid itself
    # where a sender named a channel that is none of ours; `other_out_msat` is NULL where it is
    # in_msat - fee_msat, and '' where there is none in spite of a fee.
    """CREATE TABLE forward_row (
        seq INTEGER PRIMARY KEY,
        in_id INTEGER NOT NULL,
        in_htlc_id INTEGER NOT NULL,
        out_ref,
        in_msat INTEGER NOT NULL,
        other_out_msat,
        fee_msat INTEGER,
        status INTEGER NOT NULL,
        received_at_s REAL NOT NULL,
        resolved_at_s REAL,
        failcode INTEGER,
        created_index INTEGER)""",
    # Sums beyond 2^63 - 1 would silently become floats.
    """CREATE TABLE forward_total (
        span INTEGER NOT NULL,
        start INTEGER NOT NULL,
        scid_id INTEGER NOT NULL,
        settled_in INTEGER NOT NULL,
        in_msat INTEGER NOT NULL CHECK (typeof(in_msat) = 'integer'),
        in_fees_msat INTEGER NOT NULL CHECK (typeof(in_fees_msat) = 'integer'),
        settled_out INTEGER NOT NULL,
        out_msat INTEGER NOT NULL CHECK (typeof(out_msat) = 'integer'),
        out_fees_msat INTEGER NOT NULL CHECK (typeof(out_fees_msat) = 'integer'),
        failed_in INTEGER NOT NULL,
        local_failed_in INTEGER NOT NULL,
        failed_out INTEGER NOT NULL,
        local_failed_out INTEGER NOT NULL,
        PRIMARY KEY (span, start, scid_id)) WITHOUT ROWID""",
    """CREATE TABLE forward_failure (
        hour INTEGER NOT NULL,
        scid_id INTEGER NOT NULL,
        failcode INTEGER NOT NULL,
        failed_in INTEGER NOT NULL,
        local_failed_in INTEGER NOT NULL,
        failed_out INTEGER NOT NULL,
        local_failed_out INTEGER NOT NULL,
        PRIMARY KEY (hour, scid_id, failcode)) WITHOUT ROWID""",
)

_FOREIGN = f"(status <> '{SETTLED}' AND failcode IS {UNKNOWN_NEXT_PEER})"

_CARRIED_OVER = (
    f"""INSERT OR IGNORE INTO forward_scid (scid)
        SELECT in_scid FROM forward_log
        UNION SELECT out_scid FROM forward_log WHERE out_scid IS NOT NULL AND NOT {_FOREIGN}""",
    f"""INSERT INTO forward_row
        SELECT seq, i.id, in_htlc_id,
            CASE WHEN {_FOREIGN} THEN out_scid ELSE o.id END,
            in_msat,
            CASE WHEN fee_msat IS NULL THEN out_msat
                WHEN out_msat IS NULL THEN ''
                WHEN out_msat <> in_msat - fee_msat THEN out_msat END,
            fee_msat,
            CASE status WHEN '{SETTLED}' THEN 0 WHEN '{FAILED}' THEN 1
                WHEN '{LOCAL_FAILED}' THEN 2 END,
            received_at_s, resolved_at_s, failcode, created_index
        FROM forward_log
        JOIN forward_scid i ON i.scid = in_scid
        LEFT JOIN forward_scid o ON o.scid = out_scid
        ORDER BY seq""",
    "CREATE UNIQUE INDEX forward_row_key ON forward_row (in_id, in_htlc_id)",
    # When the first forward that was logged was received, and since when no settled one was let go.
    "ALTER TABLE forward_state ADD COLUMN begins_at_s REAL",
    "ALTER TABLE forward_state ADD COLUMN settled_since_s REAL NOT NULL DEFAULT 0",
    """UPDATE forward_state SET
        begins_at_s = (SELECT received_at_s FROM forward_log ORDER BY seq LIMIT 1),
        log_seq = max(log_seq, (SELECT coalesce(max(seq), 0) FROM forward_log))""",
    "DROP TABLE forward_log",
)

_AT_S = "CAST(coalesce(resolved_at_s, received_at_s) AS INTEGER)"
_OUT_ID = "CASE typeof(out_ref) WHEN 'integer' THEN out_ref ELSE 0 END"
_OUT_MSAT = (
    "coalesce(CASE WHEN other_out_msat IS NULL THEN in_msat - fee_msat"
    " WHEN other_out_msat <> '' THEN other_out_msat END, 0)"
)
_ROLLED = (
    "sum(settled_in), sum(in_msat), sum(in_fees_msat), sum(settled_out), sum(out_msat),"
    " sum(out_fees_msat), sum(failed_in), sum(local_failed_in), sum(failed_out),"
    " sum(local_failed_out)"
)
_NO_FAILURES, _NO_SETTLED = "0, 0, 0, 0", "0, 0, 0, 0, 0, 0"

COUNTED_ANEW = (
    "DELETE FROM forward_total",
    "DELETE FROM forward_failure",
    f"""INSERT INTO forward_total
        SELECT 1, day, id, sum(a), sum(b), sum(c), sum(d), sum(e), sum(f), sum(g), sum(h), sum(i),
            sum(j)
        FROM (
            SELECT {_AT_S} / 86400 AS day, in_id AS id, status = 0 AS a,
                CASE status WHEN 0 THEN in_msat ELSE 0 END AS b,
                CASE status WHEN 0 THEN coalesce(fee_msat, 0) ELSE 0 END AS c,
                0 AS d, 0 AS e, 0 AS f, status = 1 AS g, status = 2 AS h, 0 AS i, 0 AS j
            FROM forward_row
            UNION ALL
            SELECT {_AT_S} / 86400, {_OUT_ID}, 0, 0, 0, status = 0,
                CASE status WHEN 0 THEN {_OUT_MSAT} ELSE 0 END,
                CASE status WHEN 0 THEN coalesce(fee_msat, 0) ELSE 0 END,
                0, 0, status = 1, status = 2
            FROM forward_row)
        GROUP BY day, id""",
    f"""INSERT INTO forward_total
        SELECT {BLOCK_DAYS}, start / {BLOCK_DAYS}, scid_id, {_ROLLED}
        FROM forward_total WHERE span = 1 GROUP BY 2, 3""",
    f"""INSERT INTO forward_total SELECT {LIFETIME}, 0, scid_id, {_ROLLED}
        FROM forward_total WHERE span = 1 GROUP BY 3""",
    f"""INSERT INTO forward_failure
        SELECT hour, id, code, sum(a), sum(b), sum(c), sum(d)
        FROM (
            SELECT {_AT_S} / 3600 AS hour, in_id AS id, coalesce(failcode, -1) AS code,
                status = 1 AS a, status = 2 AS b, 0 AS c, 0 AS d
            FROM forward_row WHERE status <> 0
            UNION ALL
            SELECT {_AT_S} / 3600, {_OUT_ID}, coalesce(failcode, -1), 0, 0, status = 1, status = 2
            FROM forward_row WHERE status <> 0)
        GROUP BY hour, id, code""",
)
"""All totals made of the rows; right as long as no row was let go."""

_VIEW = f"""CREATE VIEW forward_log AS
    SELECT seq, i.scid AS in_scid, in_htlc_id,
        CASE typeof(out_ref) WHEN 'text' THEN out_ref ELSE o.scid END AS out_scid,
        in_msat,
        CASE WHEN other_out_msat IS NULL THEN in_msat - fee_msat
            WHEN other_out_msat <> '' THEN other_out_msat END AS out_msat,
        fee_msat,
        CASE status WHEN 0 THEN '{SETTLED}' WHEN 1 THEN '{FAILED}' ELSE '{LOCAL_FAILED}' END
            AS status,
        received_at_s, resolved_at_s, failcode, created_index
    FROM forward_row
    JOIN forward_scid i ON i.id = in_id
    LEFT JOIN forward_scid o ON typeof(out_ref) = 'integer' AND o.id = out_ref"""

COMPACT_FORWARDS = (*_TABLES, *_CARRIED_OVER, *COUNTED_ANEW, _VIEW)
"""One transaction: a kill on the way leaves the file as it was. Sorting is done on the disk."""
