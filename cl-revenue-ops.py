#!/usr/bin/env python3
"""The entry point that lightningd starts: makes sure whose code runs, then serves."""

import os
import sys
from pathlib import Path

# The matrices here are small: threads beside this one cost more than they take over, and the
# processor belongs to lightningd. Read when numpy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

HERE = Path(__file__).resolve().parent
# lightningd and its installers may start this from anywhere, with other packages of the same
# names on the path.
sys.path.insert(0, str(HERE))

import actors
import messages

for package in (actors, messages):
    found = Path(package.__file__).resolve().parent
    if found.parent != HERE:
        sys.exit(f"cl-revenue-ops: package {package.__name__} comes from {found}, not from {HERE}")

from cl_revenue_ops.facade import main

if __name__ == "__main__":
    main()
