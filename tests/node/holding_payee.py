#!/usr/bin/env python3
"""A plugin for the payee of the real line: holds payments while a file `hold` lies beside it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from pyln.client import Plugin

HOLD = Path("hold")
plugin = Plugin(autopatch=False)


def _wait(request: Any) -> None:
    while HOLD.exists():
        time.sleep(0.02)
    request.set_result({"result": "continue"})


def _accepted(plugin: Plugin, request: Any, **_: Any) -> None:
    del plugin
    threading.Thread(target=_wait, args=(request,), daemon=True).start()


plugin.add_hook("htlc_accepted", _accepted, background=True)

if __name__ == "__main__":
    plugin.run()
