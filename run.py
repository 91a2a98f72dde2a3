"""Sets up what is needed beside this file and runs it: `python3 run.py demo | test | bench`."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
FLOOR = (3, 10)
USAGE = """usage: python3 run.py TASK [arguments]

  demo    the simulated node with the real plugin: 30 virtual days, tables, an HTML report
  node    the simulated node in real time, to be called with: python3 run.py call METHOD ...
  call    one JSON-RPC call to a running simulated node, as lightning-cli does it
  test    all tests
  bench   fee policies compared over simulated markets: tables, an HTML page
  figures the plugin's speed and size, as in docs/performance.md
  lint    ruff and mypy"""


def main(arguments: list[str]) -> int:
    """Run one task in a virtual environment of our own; returns its exit code."""
    if sys.version_info < FLOOR:
        print(f"Python {FLOOR[0]}.{FLOOR[1]} or newer is needed, this is {sys.version.split()[0]}")
        return 2
    task, rest = (arguments[0], arguments[1:]) if arguments else ("help", [])
    if task in ("demo", "node", "call", "bench"):
        name = {"node": "run"}.get(task, task)
        return run([prepare("requirements.txt"), "-m", "cl_revenue_ops.simnode", name, *rest])
    if task == "test":
        # All of them side by side; a choice is likely to be looked at one by one.
        chosen = rest or ["-n", "auto", "--maxprocesses", "4"]
        return run([prepare("requirements-dev.txt"), "-m", "pytest", *chosen])
    if task == "figures":
        return run([prepare("requirements-dev.txt"), "-m", "tests.benchmarks", *rest])
    if task == "lint":
        python = prepare("requirements-dev.txt")
        checks = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"])
        return max(run([python, "-m", *check]) for check in checks)
    print(USAGE)
    return 0 if task in ("help", "-h", "--help") else 2


def prepare(requirements: str) -> str:
    """The Python of `.venv`, with everything that the file names; installs only what changed."""
    home = HERE / ".venv"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = home / f"installed-{requirements}"
    wanted = _fingerprint(requirements)
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return str(python)
    print(f"setting up .venv from {requirements} ...", flush=True)
    if not python.exists():
        venv.create(home, with_pip=True, symlinks=os.name != "nt")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", str(HERE / requirements)], check=True)
    stamp.write_text(wanted)
    return str(python)


def _fingerprint(requirements: str) -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("requirements.txt", requirements):
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def run(command: list[str]) -> int:
    """Run a command from the repository's folder; Ctrl-C is the command's own business."""
    # Small matrices are sooner done by one thread; whoever wants more can say so.
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
    process = subprocess.Popen(command, cwd=HERE, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
