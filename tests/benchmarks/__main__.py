"""Lists the benchmarks and runs them: `python -m tests.benchmarks [name | all] [arguments]`."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def benchmarks() -> dict[str, str]:
    """Every benchmark by name (the file's, without `bench_`), with the first line of its text."""
    found = {}
    for path in sorted(FOLDER.glob("bench_*.py")):
        text = ast.get_docstring(ast.parse(path.read_text())) or ""
        found[path.stem.removeprefix("bench_")] = text.partition("\n")[0]
    return found


def main(arguments: list[str]) -> int:
    """Run one benchmark, or all with their defaults; without a name, tell which there are."""
    known = benchmarks()
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    chosen = list(known) if name == "all" else [name.removeprefix("bench_")]
    if not arguments or not set(chosen) <= set(known) or (name == "all" and rest):
        print("usage: python -m tests.benchmarks NAME [arguments], or `all` without arguments\n")
        for known_name, text in known.items():
            print(f"  {known_name:<12} {text}")
        return 0 if not arguments else 2
    for each in chosen:
        print(f"-- {each}", flush=True)
        sys.argv = [f"bench_{each}", *rest]
        runpy.run_module(f"tests.benchmarks.bench_{each}", run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
