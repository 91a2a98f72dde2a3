"""What the reference page says of import and export."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.commands.reference_text import CommandText

_MORE = "[import-export.md](../specs/import-export.md)"

EXCHANGE_TEXTS: Mapping[str, CommandText] = {
    "revenue-import": CommandText(
        "`path`, `fingerprint` (SHA-256 of the file), `at`, `dry_run`; `taken` and `already_known`:"
        " `policies`, `days` (sums of one channel and day) with `fees_msat`, `costs` with"
        " `costs_msat`, `fee_changes`, `channels`; `not_trusted`: a line for all that was left"
        " out, or taken as an estimate only, with the reason; `unknown_columns` and"
        " `missing_columns` by table; `left_out`: tables that are not taken, with rows and reason;"
        " `config_overrides`: the earlier settings, shown and never applied; `message`. The file"
        " is never written, and nothing is taken twice, however often it is run or killed: "
        + _MORE,
        "By the Importer, page by page; policies, entries of the ledger and history are stored by"
        " their owners. An import that takes longer than 10 minutes is finished all the same, with"
        " a line in the log.",
        {
            "path": "the earlier database, relative to the node's directory or absolute",
            "dry_run": "true: show what would be taken, write nothing",
        },
        (
            "no such file, no SQLite database, none of the earlier plugin, one of this plugin, a"
            " damaged one: -32602",
            "a file that changes while it is read, another import under way, an owner that does"
            " not answer: a result with `error`; what was taken until then stays, import again",
        ),
        (
            "revenue-import revenue_ops.db true",
            "revenue-import revenue_ops.db",
        ),
    ),
    "revenue-export": CommandText(
        "`path` of the file, `what`, `format`, `since`, `until`, `records`, `bytes`, `message`."
        " CSV has a header line, times as ISO 8601 in UTC and as Unix seconds, amounts in msat and"
        " in sats with three decimals; JSON is one object with `rows`. `ledger`: entries of the"
        " ledger, then each settled forward as the entry that it is; in CSV each posting is a row,"
        " and `beancount` is a journal in msat. Columns: " + _MORE,
        "By the Exporter, page by page, so that nobody else waits. A file that takes longer than 10"
        " minutes is finished all the same, with a line in the log. It has its name only once it"
        " is complete; until then it is called `<name>.part`.",
        {
            "what": "ledger, forwards or decisions",
            "format": "csv, json, or for the ledger beancount",
            "path": "a new file inside the node's directory, relative or absolute; its name ends"
            " with the format",
            "since": "Unix seconds or a UTC date such as 2026-01-31 or 2026-01-31T12:00:00",
            "until": "the same; what lies before it is written; without it everything since",
        },
        (
            "a file that is there already, a path outside of the node's directory, a missing"
            " folder, another ending, a bad time: -32602",
            "a full disk, another export under way, an owner that does not answer: a result with"
            " `error`; no file is left",
        ),
        (
            "revenue-export ledger csv ledger.csv",
            "revenue-export forwards csv january.csv 2026-01-01 2026-02-01",
            "revenue-export ledger beancount books.beancount",
            "revenue-export what=decisions format=json path=decisions.json since=1767225600",
        ),
    ),
}
