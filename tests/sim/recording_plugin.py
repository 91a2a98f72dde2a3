"""A small plugin for tests of the simulated node: it records what it is told and echoes calls."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from pyln.client import Plugin, RpcException

TOPICS = (
    "forward_event",
    "connect",
    "disconnect",
    "channel_state_changed",
    "block_added",
    "coin_movement",
    "sendpay_success",
    "sendpay_failure",
    "plugin_started",
    "plugin_stopped",
)

plugin = Plugin(autopatch=False)
heard: list[list[Any]] = []
options_at_init: dict[str, Any] = {}
clock: dict[str, float] = {}
boot_configuration: dict[str, Any] = {}


def _limit_changed(_: Plugin, name: str, value: Any) -> None:
    if os.environ.get("RECORDING_PLUGIN_GULLIBLE") is None and not str(value).isdigit():
        raise RpcException(f"{name}: not a number", code=-32602)


plugin.add_option("recording-limit", 7, "an int", opt_type="int", dynamic=True,
                  on_change=_limit_changed)  # fmt: skip
plugin.add_option("recording-word", None, "no default", opt_type="string")
plugin.add_option("recording-switch", False, "a bool", opt_type="bool")


def init(options: dict[str, Any], configuration: dict[str, Any], **_: Any) -> None:
    options_at_init.update(options)
    boot_configuration.update(configuration)
    if "REVENUE_OPS_VIRTUAL_CLOCK" in os.environ:
        clock["now"] = float(os.environ["REVENUE_OPS_VIRTUAL_CLOCK"])


def _record(topic: str) -> None:
    def handler(plugin: Plugin, **params: Any) -> None:
        heard.append([topic, params])

    plugin.add_subscription(topic, handler)


for name in TOPICS:
    _record(name)

if os.environ.get("RECORDING_PLUGIN_SHUTDOWN") is not None:

    def _leave(plugin: Plugin, **_: Any) -> None:
        print("leaving", file=sys.__stderr__, flush=True)
        os._exit(0)

    plugin.add_subscription("shutdown", _leave)


def echo(plugin: Plugin, word: Any = None, number: Any = None) -> dict[str, Any]:
    """Give back what was given."""
    return {"word": word, "number": number}


def tell(plugin: Plugin, topic: str | None = None) -> dict[str, Any]:
    """What was recorded so far."""
    return {"heard": [entry for entry in heard if topic in (None, entry[0])]}


def boot(plugin: Plugin) -> dict[str, Any]:
    """What init brought."""
    return {"options": options_at_init, "configuration": boot_configuration}


def node_call(plugin: Plugin, method: str, params: Any = None) -> dict[str, Any]:
    """Call the node and say how it went."""
    try:
        return {"result": plugin.rpc.call(method, params or {})}
    except Exception as wrong:  # noqa: BLE001 - the kind of failure is the answer
        return {"failed": type(wrong).__name__, "text": str(wrong)}


def sleep(plugin: Plugin, seconds: float) -> dict[str, Any]:
    """Be slow."""
    time.sleep(seconds)
    return {}


def die(plugin: Plugin) -> None:
    """End at once with words on standard error."""
    print("last words", file=sys.__stderr__, flush=True)
    os._exit(3)


def advance(plugin: Plugin, until: float) -> dict[str, Any]:
    """Move the virtual clock."""
    if until < clock["now"]:
        raise RpcException("until lies in the past", code=-32602)
    clock["now"] = until
    return {"now": until, "timers": 0, "messages": len(heard), "next": None}


plugin.init()(init)
plugin.add_method("revenue-echo", echo)
plugin.add_method("revenue-heard", tell)
plugin.add_method("revenue-boot", boot)
plugin.add_method("revenue-node-call", node_call)
plugin.add_method("revenue-sleep", sleep)
plugin.add_method("revenue-die", die)
plugin.add_method("dev-revenue-advance", advance)
plugin.run()
