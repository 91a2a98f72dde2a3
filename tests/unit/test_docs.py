"""The documents say what is there: pages, links, and names of files, tests, commands, options."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from cl_revenue_ops.commands.table import COMMANDS
from cl_revenue_ops.config import SETTINGS
from cl_revenue_ops.reference import PAGES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
ROADMAP = ROOT / "docs/planning/ROADMAP.md"
DOCS = sorted([README, ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(
    r"(?:actors|messages|cl_revenue_ops|tests|docs)/[\w./*-]*\w|(?<![\w./-])\w[\w*/-]*\.py\b"
)
FOLDERS = ("", "cl_revenue_ops/", "cl_revenue_ops/**/", "actors/", "tests/**/")
METHOD = re.compile(r"(?<![\w/-])(?:dev-)?revenue-(?!ops\b)[a-z]+(?:-[a-z]+)*(?![\w/*-])")
OPTION = re.compile(r"\brevenue-ops-[a-z]+(?:-[a-z]+)*(?![\w*-])")
TEST = re.compile(r"(tests/[\w/]+\.py)::(\w+)")
MACHINE = re.compile(r"(?<![\w.~-])/(?:home|root|tmp|work|Users|var|opt|private|mnt)/")
VIRTUAL_ONLY = {"dev-revenue-advance"}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def words(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """(document, word) for every match in every document."""
    for path in DOCS:
        for match in pattern.finditer(read(path)):
            yield name_of(path), match.group(0)


@cache
def statuses() -> dict[str, str]:
    """The commands of the roadmap with their statuses."""
    rows = re.findall(r"^\| `(revenue-[a-z-]+)` \| (.+?) \|$", read(ROADMAP), re.MULTILINE)
    assert rows
    return dict(rows)


@cache
def run_module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run", ROOT / "run.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- generated pages ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_its_table_gives(name: str) -> None:
    remedy = "write it anew with: python -m cl_revenue_ops.reference"
    assert read(ROOT / name) == PAGES[name](), remedy


def test_the_commands_page_has_every_command_with_its_parameters() -> None:
    page = read(ROOT / "docs/reference/commands.md")
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(sections) == {command.name for command in COMMANDS} | VIRTUAL_ONLY
    for command in COMMANDS:
        assert command.help in sections[command.name]
        for param in command.params:
            assert f"| `{param.name}` |" in sections[command.name]


def test_every_option_of_the_table_is_described() -> None:
    page = read(ROOT / "docs/reference/options.md")
    assert [s.option for s in SETTINGS if f"| `{s.option}` |" not in page] == []


# -- what documents point at -------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    targets = [target for target in LINK.findall(read(path)) if "://" not in target]
    broken = []
    for target in targets:
        file, _, anchor = target.partition("#")
        goal = (path.parent / file).resolve() if file else path
        if not goal.exists() or (anchor and anchor not in anchors(goal)):
            broken.append(target)
    assert broken == []


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", read(path).lower(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().replace(" ", "-") for heading in headings}


def test_every_file_that_is_named_is_there() -> None:
    named = {
        (name_of(path), name)
        for path in DOCS
        for code in CODE.findall(read(path))
        if "<" not in code
        for name in FILE.findall(code)
    }
    assert len(named) > 100
    assert sorted((doc, name) for doc, name in named if not is_there(name)) == []


def is_there(name: str) -> bool:
    return any(any(ROOT.glob(folder + name)) for folder in FOLDERS)


def test_every_test_that_is_named_is_there() -> None:
    named = [(doc, *TEST.fullmatch(word).groups()) for doc, word in words(TEST)]  # type: ignore[union-attr]
    assert len(named) > 50
    assert [row for row in named if row[2] not in functions_of(row[1])] == []


@cache
def functions_of(name: str) -> frozenset[str]:
    tree = ast.parse(read(ROOT / name)) if (ROOT / name).exists() else ast.Module([], [])
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_every_module_that_is_run_is_there() -> None:
    named = {word.split()[-1] for _, word in words(re.compile(r"python3? -m (?!pip)[\w.]+"))}
    assert {"cl_revenue_ops.simnode", "cl_revenue_ops.reference"} <= named
    assert [name for name in sorted(named) if importlib.util.find_spec(name) is None] == []


# -- commands and options ----------------------------------------------------------------------


def test_every_method_that_is_named_is_registered_or_planned() -> None:
    registered = {command.name for command in COMMANDS} | VIRTUAL_ONLY
    planned = {name for name, status in statuses().items() if status == "planned"}
    unknown = [(doc, name) for doc, name in words(METHOD) if name not in registered | planned]
    assert unknown == []


def test_the_roadmap_tells_the_truth_about_commands() -> None:
    registered = {command.name for command in COMMANDS}
    assert registered == {name for name, status in statuses().items() if status != "planned"}


def test_every_option_that_is_named_exists() -> None:
    options = {setting.option for setting in SETTINGS} | {"revenue-ops-name"}
    assert [(doc, name) for doc, name in words(OPTION) if name not in options] == []


def test_the_readme_lists_every_command() -> None:
    rows = re.findall(r"^\| `(revenue-[a-z-]+)", read(README), re.MULTILINE)
    assert sorted(rows) == sorted(command.name for command in COMMANDS)


def test_every_task_that_is_named_is_one_of_run_py(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_module()
    named = {word.split()[-1] for _, word in words(re.compile(r"python3 run\.py [a-z]+"))}
    assert {"demo", "test"} <= named
    started: list[list[str]] = []

    def note(command: list[str]) -> int:
        started.append(command)
        return 0

    monkeypatch.setattr(run, "prepare", lambda requirements: "python")
    monkeypatch.setattr(run, "run", note)
    for task in sorted(named):
        assert re.search(rf"^  {task} ", run.USAGE, re.MULTILINE), task
        started.clear()
        assert run.main([task]) == 0
        assert started, task
    assert run.main(["nonsense"]) == 2


# -- the rest ----------------------------------------------------------------------------------


def test_the_changelog_tells_of_the_present_version() -> None:
    from cl_revenue_ops.commands.desk import VERSION

    sections = re.split(r"^## ", read(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)[1:]
    assert sections[0].startswith(VERSION)
    assert all(re.search(r"^- \S", section, re.MULTILINE) for section in sections)


def test_no_document_names_a_folder_of_a_machine() -> None:
    assert list(words(MACHINE)) == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert MACHINE.search("see /home/me/x") and MACHINE.search("`/tmp/x`")
    assert not MACHINE.search("plugin=/path/to/x") and not MACHINE.search("docs/home/x")
    text = "revenue-status or `revenue-no-such`; not cl-revenue-ops, revenue-ops-dry-run, revenue-*"
    assert METHOD.findall(text) == ["revenue-status", "revenue-no-such"]
    assert OPTION.findall(text) == ["revenue-ops-dry-run"]
    text = "cl_revenue_ops/simnode/rpc_*.py, alpha.py, commands/table.py, x.pyc"
    assert FILE.findall(text) == text.split(", ")[:3]
    assert LINK.findall("[a](b.md#c) and [d](e)") == ["b.md#c", "e"]
