"""The laws of the house's source text hold, and each law is seen to find an offence."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.unit import house_laws as laws

ROOT = Path(__file__).resolve().parents[2]
PYTHON = {".py"}
TEXT = {".py", ".md", ".toml", ".txt", ".sql", ".json", ".yml", ".yaml", ".cfg", ".html"}
Law = Callable[[str, str], list[str]]


def files(endings: set[str]) -> list[str]:
    """The project's own files with these endings; folders that begin with a dot are tools'."""
    return sorted(
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in endings
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        and path.relative_to(ROOT).parts[0] != "out"
    )


def offences(law: Law, endings: set[str]) -> list[str]:
    """All that this law finds in the project."""
    return [
        offence
        for path in files(endings)
        for offence in law(path, (ROOT / path).read_text(encoding="utf-8"))
    ]


@cache
def shared_parts() -> frozenset[str]:
    """The modules of actors/ that are no actors."""
    return frozenset(
        Path(path).stem
        for path in files(PYTHON)
        if path.startswith("actors/") and not laws.is_actor_module((ROOT / path).read_text())
    )


def imports(path: str, text: str) -> list[str]:
    """The import law of this project."""
    return laws.import_offences(path, text, shared_parts())


# -- the project -------------------------------------------------------------------------------


def test_the_walk_finds_the_project() -> None:
    found = files(PYTHON)
    for path in ("cl-revenue-ops.py", "actors/base.py", "messages/base.py"):
        assert path in found
    for layer in ("domain", "runtime", "storage", "adapters", "simnode", "config"):
        assert any(laws.layer_of(path) == layer for path in found)


def test_every_module_of_the_house_belongs_to_a_known_layer() -> None:
    layers = {laws.layer_of(path) for path in files(PYTHON)} - {None}
    assert layers <= set(laws.MAY_IMPORT), "a new part of the house: say what it may import"


@pytest.mark.parametrize(
    ("law", "endings"),
    [
        (imports, PYTHON),
        (laws.purity_offences, PYTHON),
        (laws.size_offences, PYTHON),
        (laws.docstring_offences, PYTHON),
        (laws.machine_path_offences, TEXT),
    ],
    ids=["imports", "purity", "size", "docstrings", "paths"],
)
def test_the_project_keeps_the_law(law: Law, endings: set[str]) -> None:
    found = offences(law, endings)
    assert found == [], "\n" + "\n".join(found)


def test_only_the_entry_file_is_executable() -> None:
    found = [
        offence
        for path in files(TEXT | {""})
        for offence in laws.executable_offences(path, (ROOT / path).stat().st_mode)
    ]
    assert found == []


# -- the import law ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("messages/fees.py", "import numpy"),
        ("messages/fees.py", "from cl_revenue_ops.ports import Node"),
        ("messages/fees.py", "from cl_revenue_ops import ports"),
        ("cl_revenue_ops/domain/flow.py", "from cl_revenue_ops.runtime.rng import uniform"),
        ("cl_revenue_ops/domain/flow.py", "import time"),
        ("cl_revenue_ops/domain/flow.py", "from random import random"),
        ("cl_revenue_ops/ports/node.py", "from cl_revenue_ops.adapters.node import LightningNode"),
        ("cl_revenue_ops/config/table.py", "from cl_revenue_ops.runtime.clock import SystemClock"),
        ("cl_revenue_ops/storage/database.py", "import cl_revenue_ops.adapters.rpc"),
        ("cl_revenue_ops/adapters/rpc.py", "from cl_revenue_ops.storage.database import Database"),
        ("cl_revenue_ops/runtime/actor.py", "from actors.base import HouseActor"),
        ("cl_revenue_ops/runtime/actor.py", "from cl_revenue_ops.storage import errors"),
        ("cl_revenue_ops/storage/database.py", "from cl_revenue_ops.runtime.lease import Fence"),
        ("actors/accountant.py", "from actors.settings import Settings"),
        ("actors/accountant.py", "from actors import settings"),
        ("actors/accountant.py", "import actors.gateway"),
        ("actors/base.py", "from actors.base import HouseActor"),
        ("actors/accountant.py", "import sqlite3"),
        ("actors/accountant.py", "import threading"),
        ("actors/accountant.py", "from time import monotonic"),
        ("actors/accountant.py", "from pyln.client import Plugin"),
        ("actors/accountant.py", "from cl_revenue_ops.storage.database import Database"),
        ("actors/accountant.py", "from cl_revenue_ops.adapters.rpc import NodeRpc"),
        ("actors/accountant.py", "from cl_revenue_ops.bootstrap import build"),
        ("actors/accountant.py", "from .base import HouseActor"),
        ("actors/accountant.py", "def f():\n    import random"),
        ("cl_revenue_ops/bootstrap.py", "from cl_revenue_ops.facade import Facade"),
        ("cl_revenue_ops/bootstrap.py", "from cl_revenue_ops.storage.database import Database"),
        ("cl_revenue_ops/facade.py", "from cl_revenue_ops.simnode.world import World"),
        ("cl_revenue_ops/facade.py", "from tests.unit import house_laws"),
        ("cl_revenue_ops/simnode/node.py", "from cl_revenue_ops.domain.flow import step"),
        ("cl_revenue_ops/simnode/node.py", "from messages.base import Message"),
        ("cl_revenue_ops/simnode/node.py", "import pykka"),
        ("cl_revenue_ops/simnode/cli.py", "from cl_revenue_ops.bench.cli import main"),
        ("cl_revenue_ops/facade.py", "from cl_revenue_ops.bench.arena import play"),
        ("cl_revenue_ops/domain/flow.py", "from cl_revenue_ops.bench.policy import FeePolicy"),
        ("cl_revenue_ops/bench/rule.py", "from actors.fee_controller import FeeController"),
        ("cl_revenue_ops/bench/rule.py", "from cl_revenue_ops.storage.database import Database"),
        ("cl_revenue_ops/bench/baselines/static.py", "import sqlalchemy"),
    ],
)
def test_the_import_law_finds(path: str, line: str) -> None:
    assert len(laws.import_offences(path, line)) == 1


def test_the_import_law_knows_an_actor_from_a_part_of_one() -> None:
    assert laws.is_actor_module("class Teller(HouseActor):\n    pass")
    assert not laws.is_actor_module("class HouseActor(MailboxActor):\n    pass")
    line, parts = "from actors.teller import Teller", frozenset({"base", "teller"})
    assert len(laws.import_offences("actors/gateway.py", line)) == 1
    assert laws.import_offences("actors/gateway.py", line, parts) == []
    assert len(laws.import_offences("actors/base.py", line, parts)) == 1
    assert {"base", "supervisor", "gateway"} & shared_parts() == {"base"}


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("messages/fees.py", "from messages.base import Fact"),
        ("messages/fees.py", "from dataclasses import dataclass"),
        ("cl_revenue_ops/domain/flow.py", "from messages.flow import FlowReport"),
        ("cl_revenue_ops/domain/flow.py", "import numpy as np"),
        ("cl_revenue_ops/runtime/rng.py", "import threading, pykka"),
        ("actors/accountant.py", "from actors.base import HouseActor"),
        ("actors/accountant.py", "from cl_revenue_ops.runtime.actor import Context"),
        ("cl_revenue_ops/bootstrap.py", "def f():\n    from actors.gateway import Gateway"),
        ("cl_revenue_ops/facade.py", "from cl_revenue_ops.adapters.rpc import NodeRpc"),
        ("cl_revenue_ops/simnode/node.py", "from cl_revenue_ops.simnode.world import World"),
        ("cl_revenue_ops/bench/arena.py", "from cl_revenue_ops.simnode.world import World"),
        ("cl_revenue_ops/bench/house_life.py", "from cl_revenue_ops.facade import Facade"),
        ("cl_revenue_ops/bench/rule.py", "from messages.channels import ChannelFact"),
        ("cl_revenue_ops/bench/stats.py", "from scipy import stats"),
        ("tests/sim/test_x.py", "from cl_revenue_ops.simnode.world import World"),
    ],
)
def test_the_import_law_allows(path: str, line: str) -> None:
    assert laws.import_offences(path, line) == []


# -- the purity law ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "now = time.time()",
        "time.sleep(1)",
        "at = datetime.now()",
        "at = datetime.datetime.now()",
        "draw = random.random()",
        "draw = random.choice(items)",
        "draw = np.random.uniform()",
        "rng = np.random.default_rng(4)",
        "name = uuid4()",
        "name = uuid.uuid4()",
        "lock = threading.Lock()",
    ],
)
def test_the_purity_law_finds(line: str) -> None:
    for path in ("actors/x.py", "cl_revenue_ops/domain/x.py"):
        assert laws.purity_offences(path, line) != []
    assert laws.purity_offences("cl_revenue_ops/runtime/x.py", line) == []


@pytest.mark.parametrize(
    "line",
    [
        "now_s = self.context.clock.now()",
        "since_s = clock.monotonic()",
        "draw = rng.random()",
        "draw = generator.uniform(0.0, 1.0)",
        "def f(rng: np.random.Generator) -> float: return rng.random()",
        "random_walk = 3",
    ],
)
def test_the_purity_law_allows(line: str) -> None:
    assert laws.purity_offences("cl_revenue_ops/domain/x.py", line) == []


@pytest.mark.parametrize(
    "text",
    [
        "for x in {1, 2}: pass",
        "for x in set(items): pass",
        "rows = [x for x in frozenset(items)]",
        "rows = list({x for x in items})",
        "seen = set()\nfor x in seen: pass",
        "def f(seen: set[str]):\n    return [x for x in seen]",
        "seen: frozenset[str] = load()\nfirst = next(iter(seen))",
        "class A:\n    def f(self):\n        self.seen = set()\n        return tuple(self.seen)",
        "for x in old.keys() - new.keys(): pass",
        "a = set(x)\nb = a | other\nfor y in b: pass",
        "for x in set(a).union(b): pass",
        "text = ', '.join({str(x) for x in items})",
        "both = [*set(items)]",
        "total = sum({0.1, 0.2})",
        "seen = set[int]()\nany_one = seen.pop()",
        "table = {x: 1 for x in set(items)}",
    ],
)
def test_the_purity_law_finds_iteration_over_a_bare_set(text: str) -> None:
    assert len(laws.set_iterations(ast.parse(text))) == 1
    assert len(laws.purity_offences("actors/x.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "for x in sorted({1, 2}): pass",
        "seen = set()\nif x in seen: pass",
        "seen = set()\nn = len(seen)",
        "seen = {x for x in items}",
        "wide = {x + 1 for x in set(items)}",
        "ok = all(x > 1 for x in set(items))",
        "rows = sorted(x.name for x in set(items))",
        "for x in table.keys(): pass",
        "for x in {1: 2}: pass",
        "total_msat = local_msat - remote_msat\nfor x in rows: pass",
        "row = rows.pop()",
    ],
)
def test_the_purity_law_allows_sets_read_in_no_order(text: str) -> None:
    assert laws.set_iterations(ast.parse(text)) == []


# -- size and form -----------------------------------------------------------------------------


def test_the_size_law_finds_long_files_and_functions() -> None:
    function = "def f():\n" + "    x = 1\n" * 69
    assert laws.size_offences("actors/x.py", function) == []
    assert len(laws.size_offences("actors/x.py", function + "    x = 1\n")) == 1
    method = "class A:\n    def f(self):\n" + "        x = 1\n" * 70
    assert len(laws.size_offences("tests/unit/x.py", method)) == 1
    assert laws.size_offences("actors/x.py", "x = 1\n" * 400) == []
    assert len(laws.size_offences("actors/x.py", "x = 1\n" * 401)) == 1
    assert laws.size_offences("tests/unit/x.py", "x = 1\n" * 500) == []
    assert len(laws.size_offences("tests/unit/x.py", "x = 1\n" * 501)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "import os\n",
        '\n"""Late."""\n',
        '"""No full stop"""\n',
        '"""One sentence. And another."""\n',
        '"""One. Two begins here\nand ends here."""\n',
        "# a comment first\n",
    ],
)
def test_the_docstring_law_finds(text: str) -> None:
    assert len(laws.docstring_offences("actors/x.py", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Owns the forward log, i.e. every row."""\n',
        '"""Owns the forward log.\n\nAnd more of it.\n"""\n',
        '#!/usr/bin/env python3\n"""The entry point."""\n',
        '"""Is it sound? Tests of the file."""\n',
    ],
)
def test_the_docstring_law_allows(text: str) -> None:
    assert laws.docstring_offences("actors/x.py", text) == []


def test_the_path_law_finds_folders_of_a_machine() -> None:
    # Put together here, so that this file keeps the law itself.
    for folder in ("work", "root", "home/me/src"):
        assert len(laws.machine_path_offences("docs/x.md", f"see `/{folder}/main/x.md`")) == 1
    inner = "work"
    for text in (
        "~/.lightning/bitcoin",
        f"tests/{inner}/x",
        f"https://example.org/{inner}/x",
        "a/b",
    ):
        assert laws.machine_path_offences("docs/x.md", text) == []


def test_the_executable_law_finds() -> None:
    assert len(laws.executable_offences("run.py", 0o100755)) == 1
    assert len(laws.executable_offences("cl-revenue-ops.py", 0o100644)) == 1
    assert laws.executable_offences("cl-revenue-ops.py", 0o100755) == []
    assert laws.executable_offences("run.py", 0o100644) == []
