"""The bench command: what it takes, what it answers to wrong input, and what it leaves behind."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cl_revenue_ops.bench import cli
from cl_revenue_ops.bench.asking import seeds_of
from cl_revenue_ops.bench.scenarios import ALL_SCENARIOS
from cl_revenue_ops.simnode.cli import main

SMALL = ["bench", "--days", "2", "--channels", "4", "--jobs", "1", "--no-bound"]


def test_seeds_are_a_range_or_a_list() -> None:
    assert seeds_of("1-4") == [1, 2, 3, 4]
    assert seeds_of("7") == [7]
    assert seeds_of("1,5,3-4,5") == [1, 5, 3, 4]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--policy", "nobody"], "no policy 'nobody'"),
        (["--scenario", "calm,even"], "no scenario 'calm'"),
        (["--seeds", "one"], "seeds are whole numbers"),
        (["--seeds", "3-1"], "no seeds"),
        (["--seeds", ""], "seeds are whole numbers"),
        (["--days", "0"], "at least 1 day"),
        (["--days", "two"], "invalid int value"),
        (["--channels", "1"], "2 channels"),
        (["--jobs", "0"], "1 job"),
        (["--plugin-option", "x"], "expected option=value"),
        (["--policy", "static", "--plugin-option", "x=1"], "--plugin-option is for"),
        (["--policy", "static", "--base", "house"], "the base house is none"),
        (["--out", __file__], "File exists"),
        (["--fast"], "unrecognized arguments"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *words])
    out, error = capsys.readouterr()
    assert ended.value.code == 2
    assert error.startswith("bench: ")
    assert told in error
    assert error.count("\n") == 1
    assert not out


def test_help_names_every_policy_and_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("house", "plugin", "static", *ALL_SCENARIOS):
        assert name in shown


def test_a_small_bench_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--policy", "static,static-100", "--scenario", "even,sparse", "--seeds", "1-2"]
    assert main([*SMALL, *words, "--base", "static-100", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for word in ("even, 2 seeds", "sparse, 2 seeds", "all scenarios", "static-100", "8 of 8 runs"):
        assert word in out
    page = (tmp_path / "bench.html").read_text()
    assert page.count("<svg") == 2
    for word in ("static-100", "sparse", "all scenarios", "differences are taken from static-100"):
        assert word in page
    assert not re.findall(r'(?:src|href)="(?!#)', page), "the page needs nothing else"
    # The same again costs nothing and says the same.
    assert main([*SMALL, *words, "--base", "static-100", "--out", str(tmp_path)]) == 0
    again = capsys.readouterr().out
    assert out[out.index("even, 2") : out.index("8 runs")] in again


def test_runs_that_all_fail_end_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--policy", "house", "--scenario", "even", "--seeds", "1", "--out", str(tmp_path)]
    assert main([*SMALL, *words, "--plugin-option", "revenue-ops-nonsense=1"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "failed: house+revenue-ops-nonsense=1 in even, seed 1: HouseFailed" in shown


def test_stopping_it_leaves_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", stop)
    words = ["--policy", "static", "--scenario", "even", "--seeds", "1", "--out", str(tmp_path)]
    assert main([*SMALL, *words]) == 130
    assert "goes on from here" in capsys.readouterr().out
