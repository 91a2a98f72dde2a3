"""The command line: `call` (as lightning-cli), `run` (an interactive node), `demo` and `bench`."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from cl_revenue_ops.simnode import client, sling
from cl_revenue_ops.simnode.errors import NodeDown, PluginDied, SimRpcError
from cl_revenue_ops.simnode.node import SimulatedNode
from cl_revenue_ops.simnode.sling_routes import MarketRoutes

# Commands of modules of their own, loaded only when they are asked for: slow imports, and the
# bench stands above this package.
_LAZY = {
    "demo": ("cl_revenue_ops.simnode.demo", "show the plugin at work on a simulated market"),
    "bench": ("cl_revenue_ops.bench.cli", "compare fee policies over scenarios and seeds"),
    "bench-figures": ("cl_revenue_ops.bench.figures_cli", "measure the pricing rule"),
}
_RAW = re.compile(r'[0-9.]+|true|false|null|[{\["].*', re.DOTALL)


def argument(word: str) -> Any:
    """A parameter as lightning-cli types it: numbers, literals and JSON raw, the rest text."""
    if _RAW.fullmatch(word) is None:
        return word
    try:
        return json.loads(word)
    except ValueError:
        raise SystemExit(f"not valid JSON: {word}") from None


def parameters(words: list[str], keyed: bool) -> list[Any] | dict[str, Any]:
    """Params by lightning-cli's rule: an object only if -k or the first word contains '='."""
    if not keyed and not (words and "=" in words[0]):
        return [argument(word) for word in words]
    pairs = [word.partition("=") for word in words]
    missing = [word for word, sign, _ in pairs if not sign]
    if missing:
        raise SystemExit(f"expected key=value in {missing[0]!r}")
    return {key: argument(value) for key, _, value in pairs}


def shown(result: Any) -> str:
    """A result as text: JSON, or plain lines if it carries `format-hint: simple`."""
    if isinstance(result, str):
        return result
    if not isinstance(result, dict) or result.get("format-hint") != "simple":
        return json.dumps(result, indent=3, ensure_ascii=False)
    return "\n".join(_simple({k: v for k, v in result.items() if k != "format-hint"}))


def _simple(value: Any) -> list[str]:
    if isinstance(value, dict):
        if len(value) == 1:
            # lightning-cli leaves the name of a single field out.
            return _simple(next(iter(value.values())))
        lines = []
        for key, inner in value.items():
            first, *rest = _simple(inner) or [""]
            lines += [f"{key}={first}", *rest]
        return lines
    if isinstance(value, list):
        return [line for item in value for line in _simple(item)]
    return [_plain(value)]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _call(options: argparse.Namespace) -> int:
    path = options.rpc_file or options.dir / options.network / "lightning-rpc"
    params = parameters(options.params, options.keyed)
    try:
        print(shown(client.call(path, options.method, params)))
    except SimRpcError as error:
        print(json.dumps(error.as_json(), indent=3))
        return 1
    except NodeDown as error:
        print(f"lightning-cli: {error}", file=sys.stderr)
        return 2
    return 0


def _run(options: argparse.Namespace) -> int:
    """Keep a node with a market going: in real time, or virtual time paced by `--speed`."""
    market_module = importlib.import_module("cl_revenue_ops.simnode.market")
    driver_module = importlib.import_module("cl_revenue_ops.simnode.market_driver")
    start_s = time.time()
    virtual = options.speed != 1.0
    node = SimulatedNode(
        [sys.executable, str(options.plugin)] if options.plugin else None,
        start_s=start_s if virtual else None, seed=options.seed, directory=options.dir,
        network=options.network, sling=sling.NEWEST if options.sling else None,
    )  # fmt: skip
    market = market_module.draw_market(options.seed, start_s=start_s, days=options.days)
    driver = driver_module.MarketDriver(market, node.world)
    if node.sling is not None:
        routes = importlib.import_module("cl_revenue_ops.simnode.route_market").RouteMarket(market)
        node.sling.routes = MarketRoutes(routes, driver.peer_ids)
    node.on_step = lambda _, until_s: driver.step(min(until_s, market.end_s))
    try:
        with node:
            print(f"rpc-file: {node.rpc_file}")
            print("Ctrl-C stops the node", flush=True)
            pace(node, options.speed if virtual else None, market.end_s)
    except KeyboardInterrupt:
        print("stopped")
    except (SimRpcError, PluginDied) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def pace(node: SimulatedNode, speed: float | None, end_s: float) -> None:
    """Let time pass until the market ends or the node stops; `speed` None: real time."""
    began = time.monotonic()
    start_s = node.clock.now()
    while node.running and node.clock.now() < end_s:
        time.sleep(0.25)
        if speed is not None and node.running:
            node.advance(start_s + (time.monotonic() - began) * speed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cl_revenue_ops.simnode")
    commands = parser.add_subparsers(dest="command", required=True)
    call = commands.add_parser("call", help="call an RPC method, as lightning-cli does")
    call.add_argument("--rpc-file", type=Path)
    call.add_argument("--dir", type=Path, default=Path.cwd(), help="the node's base directory")
    call.add_argument("--network", default="regtest")
    call.add_argument("-k", "--keyed", action="store_true", help="parameters are key=value")
    call.add_argument("method")
    call.add_argument("params", nargs=argparse.REMAINDER)
    call.set_defaults(work=_call)
    run = commands.add_parser("run", help="run a node with a market until Ctrl-C")
    run.add_argument("--plugin", type=Path, default=Path("cl-revenue-ops.py"))
    run.add_argument("--no-plugin", dest="plugin", action="store_const", const=None)
    run.add_argument("--no-sling", dest="sling", action="store_false")
    run.add_argument("--dir", type=Path, help="base directory; a temporary one if absent")
    run.add_argument("--network", default="regtest")
    run.add_argument("--seed", type=int, default=1)
    run.add_argument("--days", type=int, default=365, help="how long the market lasts")
    run.add_argument("--speed", type=float, default=1.0, help="seconds of node time a second")
    run.set_defaults(work=_run)
    for name, (_, text) in _LAZY.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in _LAZY:
        module = importlib.import_module(_LAZY[words[0]][0])
        return int(module.main(words[1:]) or 0)
    options = _parser().parse_args(words)
    return int(options.work(options))
