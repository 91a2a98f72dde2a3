"""The laws of the house's source text, each as a function from a file's text to its offences."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator

BELOW = {"messages", "domain", "ports", "config", "gate", "identity"}
LOWER = BELOW | {"runtime", "storage", "adapters", "settings_view", "actors", "bootstrap"}
TOP = {"callbook", "commands", "plugin", "reference", "virtual_time", "wiring", "facade"}

# Which layers of the project a layer may import, besides itself.
MAY_IMPORT = {
    "messages": set[str](),
    **dict.fromkeys(BELOW - {"messages"}, BELOW),
    "runtime": BELOW,
    "storage": BELOW,
    "adapters": BELOW,
    "actors": BELOW | {"runtime"},
    "settings_view": BELOW | {"runtime"},
    "bootstrap": BELOW | {"runtime", "actors", "settings_view"},
    **dict.fromkeys(TOP, LOWER | TOP),
    "entry": {"actors", "messages", "facade"},
    "simnode": set[str](),
    # Above everything: it plays rules and the whole house on simulated markets.
    "bench": {
        *("simnode", "domain", "facade", "bootstrap", "wiring", "plugin", "virtual_time"),
        *("adapters", "runtime", "config", "messages"),
    },
}
BASE = frozenset({"base"})

# Which modules from outside a layer must not use, and beyond which it must use none.
BANNED = {
    "domain": {"pyln", "pykka", "sqlite3", "threading", "time", "random", "secrets", "uuid", "os"},
    "actors": {"pyln", "pykka", "sqlite3", "threading", "time", "random", "secrets", "uuid", "os"},
}
ONLY = {
    "messages": set[str](),
    "simnode": {"numpy", "rich", "matplotlib", "pyln"},
    "bench": {"numpy", "scipy", "rich", "matplotlib"},
}

PURE = ("domain", "actors")
IMPURE_NAMES = {"threading", "random", "uuid4"}
IMPURE_CALLS = {
    ("time", "time"),
    ("time", "sleep"),
    ("time", "monotonic"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
}

MOST_LINES, MOST_TEST_LINES, MOST_FUNCTION_LINES = 400, 500, 70
A_MACHINES_PATH = re.compile(r"(?<![\w.~-])/(?:work|root|home/[a-z]+/(?:work|src|code|dev))/\w")


def layer_of(path: str) -> str | None:
    """The layer that a file of the project belongs to; None where no import law holds."""
    parts = path.removesuffix(".py").split("/")
    if parts[0] in ("messages", "actors"):
        return parts[0]
    if parts == ["cl-revenue-ops"]:
        return "entry"
    if parts[0] == "cl_revenue_ops" and parts[1] != "__init__":
        return parts[1]
    return None


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            if stem in ("cl_revenue_ops", "actors"):
                for alias in node.names:
                    yield node.lineno, f"{stem}.{alias.name}"
            else:
                yield node.lineno, stem


KINDS = ("HouseActor", "AskingActor")
"""What actors are made from; both stand in actors/base.py."""


def is_actor_module(text: str) -> bool:
    """Whether a file of actors/ is an actor's; the others are parts of one."""
    return any(
        isinstance(node, ast.ClassDef)
        and node.name not in KINDS
        and any(isinstance(base, ast.Name) and base.id in KINDS for base in node.bases)
        for node in ast.walk(ast.parse(text))
    )


def _fault_of_import(path: str, layer: str, name: str, parts: frozenset[str]) -> str | None:
    if name.startswith("."):
        return "relative imports hide their layer"
    names = name.split(".")
    if names[0] == "tests":
        return "nothing of the house knows its tests"
    if names[0] in ("messages", "actors", "cl_revenue_ops"):
        target = names[1] if names[0] == "cl_revenue_ops" and names[1:] else names[0]
        if layer == target == "actors":
            allowed = path != "actors/base.py" and names[1:2] and names[1] in parts
            return None if allowed else "actors know each other by messages only"
        if target != layer and target not in MAY_IMPORT.get(layer, set()):
            return f"{layer} must not know {target}"
        return None
    outside = names[0] not in sys.stdlib_module_names | ONLY.get(layer, set())
    if names[0] in BANNED.get(layer, ()) or (layer in ONLY and outside):
        return f"{layer} must not use {names[0]}"
    return None


def import_offences(path: str, text: str, parts: frozenset[str] = BASE) -> list[str]:
    """Imports against the direction of the layers, wherever in the file they stand.

    `parts` are the modules of actors/ that are no actors, which actors may import.
    """
    layer = layer_of(path)
    if layer is None:
        return []
    found = []
    for line, name in _imports(ast.parse(text)):
        fault = _fault_of_import(path, layer, name, parts)
        if fault is not None:
            found.append(f"{path}:{line}: import of {name}: {fault}")
    return found


# -- purity ------------------------------------------------------------------------------------


def purity_offences(path: str, text: str) -> list[str]:
    """Clocks, threads, global randomness and iteration over bare sets in domain/ and actors/."""
    if layer_of(path) not in PURE:
        return []
    tree = ast.parse(text)
    found = [
        f"{path}:{node.lineno}: {what}"
        for node in ast.walk(tree)
        if isinstance(node, ast.expr)
        for what in _impurities(node)
    ]
    return found + [f"{path}:{line}: iterates over a bare set" for line in set_iterations(tree)]


def _impurities(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Name) and node.id in IMPURE_NAMES:
        yield f"uses {node.id}"
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        owner = node.value
        name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", None)
        if (name, node.attr) in IMPURE_CALLS or node.attr == "uuid4":
            yield f"uses {name}.{node.attr}"
        # A generator is passed in; its type may be named.
        if name == "random" and isinstance(owner, ast.Attribute) and node.attr != "Generator":
            yield f"uses a global {name}.{node.attr}"


# -- iteration over bare sets ------------------------------------------------------------------

SET_MAKERS = {"set", "frozenset"}
SET_TYPES = SET_MAKERS | {"Set", "FrozenSet", "AbstractSet", "MutableSet"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
# What they give does not depend on the order in which they read.
ORDERLESS = {"sorted", "set", "frozenset", "any", "all", "min", "max", "len"}
READERS = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter", "sum", "reversed", "dict"}
READ_METHODS = {"join", "extend"}


def set_iterations(tree: ast.AST) -> list[int]:
    """The lines at which a set is read in its own order, which differs between processes."""
    sets = _names_of_sets(tree)
    exempt = _orderless_comprehensions(tree)
    reads = [read for node in ast.walk(tree) for read in _reads(node, exempt)]
    return sorted(read.lineno for read in reads if _is_set(read, sets))


def _reads(node: ast.AST, exempt: set[int]) -> Iterator[ast.expr]:
    """The expressions that this node reads item by item, in their order."""
    if isinstance(node, ast.For):
        yield node.iter
    elif (
        isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.DictComp)) and id(node) not in exempt
    ):
        yield from (part.iter for part in node.generators)
    elif isinstance(node, ast.Starred):
        yield node.value
    elif isinstance(node, ast.Call):
        called, owner = node.func, getattr(node.func, "value", None)
        if getattr(called, "id", None) in READERS or getattr(called, "attr", None) in READ_METHODS:
            yield from node.args
        elif getattr(called, "attr", None) == "pop" and owner is not None and not node.args:
            yield owner


def _orderless_comprehensions(tree: ast.AST) -> set[int]:
    return {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) in ORDERLESS
        for argument in node.args
    }


def _names_of_sets(tree: ast.AST) -> set[str]:
    """Names and attributes that are given a set, or said to be one, anywhere in the file."""
    names: set[str] = set()
    for _ in range(2):  # a set may be named after another named set
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _is_set(node.value, names):
                names.update(filter(None, map(_name, node.targets)))
            elif isinstance(node, ast.AnnAssign) and _is_set_type(node.annotation):
                names.update(filter(None, [_name(node.target)]))
            elif isinstance(node, ast.arg) and _is_set_type(node.annotation):
                names.add(node.arg)
    return names


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return f".{node.attr}"
    return node.id if isinstance(node, ast.Name) else None


def _is_set_type(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return isinstance(annotation, ast.Name) and annotation.id in SET_TYPES


def _is_set(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, (ast.Set, ast.SetComp)):
        return True
    if isinstance(node, ast.BinOp) and isinstance(
        node.op, (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
    ):
        sides = (node.left, node.right)
        return any(_is_set(side, names) or _is_keys(side) for side in sides)
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute):
            return node.func.attr in SET_METHODS and (
                _is_set(node.func.value, names) or _is_keys(node.func.value)
            )
        called = node.func.value if isinstance(node.func, ast.Subscript) else node.func
        return getattr(called, "id", None) in SET_MAKERS
    return _name(node) in names


def _is_keys(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("keys", "items")
    )


# -- size and form -----------------------------------------------------------------------------


def size_offences(path: str, text: str) -> list[str]:
    """Files and functions beyond their hard limits."""
    found = []
    lines = text.count("\n")
    most = MOST_TEST_LINES if path.startswith("tests/") else MOST_LINES
    if lines > most:
        found.append(f"{path}: {lines} lines, {most} are the limit")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MOST_FUNCTION_LINES:
                limit = f"{MOST_FUNCTION_LINES} are the limit"
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines, {limit}")
    return found


def docstring_offences(path: str, text: str) -> list[str]:
    """A module begins, on its first line, with one sentence that says what it owns."""
    lines = text.splitlines() or [""]
    begins = 1 if lines[0].startswith("#!") else 0
    first = lines[begins] if len(lines) > begins else ""
    sentence = first.removeprefix('"""').removesuffix('"""')
    if not first.startswith('"""') or ast.get_docstring(ast.parse(text)) is None:
        return [f"{path}: does not begin with a docstring"]
    if not sentence.endswith((".", "?")):
        return [f"{path}: its first line is not a whole sentence: {sentence}"]
    if re.search(r"[.] [A-Z]", sentence):
        return [f"{path}: its first line is more than one sentence: {sentence}"]
    return []


def machine_path_offences(path: str, text: str) -> list[str]:
    """No file speaks of the folders of the machine that it was written on."""
    return [
        f"{path}:{number}: {line.strip()[:80]}"
        for number, line in enumerate(text.splitlines(), 1)
        if A_MACHINES_PATH.search(line)
    ]


def executable_offences(path: str, mode: int) -> list[str]:
    """lightningd starts one file; no other may look like a plugin."""
    executable = bool(mode & 0o111)
    if path == "cl-revenue-ops.py":
        return [] if executable else [f"{path} must be executable"]
    return [f"{path} must not be executable"] if executable else []
