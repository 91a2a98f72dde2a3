"""The generated reference page of the options."""

from __future__ import annotations

from cl_revenue_ops.config import RULES, SETTINGS
from cl_revenue_ops.config.reference import reference_markdown

PAGE = reference_markdown()
ROWS = {
    cells[1]: cells
    for line in PAGE.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.split("|")]]
}


def test_each_setting_has_one_row_of_nine_cells() -> None:
    assert list(ROWS) == [f"`{setting.option}`" for setting in SETTINGS]
    assert {len(cells) for cells in ROWS.values()} == {11}


def test_a_row_tells_the_whole_setting() -> None:
    assert ROWS["`revenue-ops-min-fee-ppm`"][2:10] == [
        "`min_fee_ppm`",
        "int",
        "0 to 100000",
        "`10`",
        "ppm",
        "yes",
        "FeeController",
        "Lowest fee rate that is set on a channel",
    ]


def test_what_is_not_built_says_so() -> None:
    for setting in SETTINGS:
        used_by = ROWS[f"`{setting.option}`"][8]
        assert ("not part of this version yet" in used_by) is not setting.built


def test_the_database_row_tells_where_the_file_lies_and_that_it_stays() -> None:
    cells = ROWS["`revenue-ops-db-path`"]
    assert (cells[5], cells[7]) == ("`<lightning-dir>/revenue_ops.db`", "no")


def test_the_page_has_the_groups_of_the_specification_and_all_rules() -> None:
    titles = [line[3:] for line in PAGE.splitlines() if line.startswith("## ")]
    assert titles == [
        "Core Settings",
        "Interval Settings",
        "Fee Settings",
        "Rebalancing Settings",
        "Advanced Fee Settings",
        "Reputation Settings",
        "Hive Integration Settings",
        "CLBoss Integration",
        "Accounting Settings",
        "RPC Settings",
        "Rules between options",
    ]
    for rule in RULES:
        assert f"- {rule.text}\n" in PAGE


def test_the_page_is_plain_text_that_ends_with_one_newline() -> None:
    assert PAGE.isascii()
    assert PAGE.endswith("\n")
    assert not PAGE.endswith("\n\n")
