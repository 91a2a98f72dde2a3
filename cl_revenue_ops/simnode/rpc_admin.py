"""RPC: listconfigs, setconfig, plugin, help, the datastore family, stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cl_revenue_ops.simnode import rpc
from cl_revenue_ops.simnode.errors import UNKNOWN_METHOD, SimRpcError, bad_params
from cl_revenue_ops.simnode.options import Option
from cl_revenue_ops.simnode.rpc import Args, Context, Method, Param


def listconfigs(context: Context, args: Args) -> dict[str, Any]:
    """All options or one."""
    return context.options.listconfigs(args.get("config"))


def setconfig(context: Context, args: Args) -> dict[str, Any]:
    """Change a dynamic option; its plugin must agree. lightningd itself checks nothing."""
    option = context.options.find(args["config"])
    if not option.dynamic:
        raise bad_params(f"config: {option.name} is not a dynamic option")
    value = _as_text(option, args)
    if option.plugin is not None:
        params = {"config": option.name} | ({} if value is None else {"val": value})
        try:
            context.plugins.named(option.plugin).request("setconfig", params)
        except SimRpcError as refusal:
            # lightningd makes an error of its own from the plugin's code and message.
            raise SimRpcError(refusal.code, refusal.message) from None
    try:
        context.options.set(
            option.name, True if value is None else value, args.get("transient", False)
        )
    except ValueError as wrong:
        if option.plugin is None:
            raise bad_params(f"val: {wrong}") from None
        # A plugin that accepts what its own option type forbids takes lightningd down with it.
        context.abort(f"{option.name}: bad literal {value!r}")
    return {"config": {"config": option.name, **context.options.shown(option)}}


def _as_text(option: Option, args: Args) -> Any:
    """The value as the plugin gets it: always text, a list of texts for a multi option."""
    value = args.get("val")
    if option.kind == "flag":
        if value is not None:
            raise bad_params(f"{option.name} does not take a value")
        return None
    if option.multi:
        if not isinstance(value, list | None):
            raise bad_params(f"{option.name} is a multi option: val must be an array")
        return [_text(item) for item in value or []]
    if isinstance(value, list):
        raise bad_params(f"{option.name} is not a multi option: val must not be an array")
    if value is None:
        raise bad_params(f"{option.name} requires a value")
    return _text(value)


def _text(value: Any) -> str:
    """A string as it is, anything else as its JSON text."""
    return value if isinstance(value, str) else json.dumps(value)


def plugin(context: Context, args: Args) -> dict[str, Any]:
    """Subcommands list, start and stop; start takes options as further parameters."""
    subcommand, name, options = _plugin_words(args["params"])
    if subcommand == "list":
        return {"command": "list", "plugins": context.plugins.listed()}
    if subcommand not in ("start", "stop"):
        raise bad_params(f"subcommand: unknown subcommand {subcommand!r}")
    if name is None:
        raise bad_params("missing required parameter: plugin")
    if subcommand == "start":
        if not context.plugins.bring_back(name):
            context.plugins.start(name, options)
        return {"command": "start", "plugins": context.plugins.listed()}
    context.plugins.stop(name)
    return {"command": "stop", "result": f"Successfully stopped {name}."}


def _plugin_words(params: Any) -> tuple[str, str | None, Mapping[str, Any]]:
    if isinstance(params, dict):
        rest = {k: v for k, v in params.items() if k not in ("subcommand", "plugin", "options")}
        return str(params.get("subcommand")), params.get("plugin"), rest
    words = [str(word) for word in params]
    if not words:
        raise bad_params("missing required parameter: subcommand")
    if len(words) > 2:
        raise bad_params("Extra parameters must be in object")
    return words[0], words[1] if len(words) > 1 else None, {}


def help_(context: Context, args: Args) -> dict[str, Any]:
    """The commands that exist now, or the one asked for; -32601 if there is none."""
    era = context.world.era
    usages = {
        name: method.describe(name) for name, method in context.methods.items()
        if method.available(era)
    }  # fmt: skip
    usages |= context.plugins.usages()
    if "command" in args:
        if args["command"] not in usages:
            raise SimRpcError(UNKNOWN_METHOD, f"Unknown command '{args['command']}'")
        usages = {args["command"]: usages[args["command"]]}
    shown = [{"command": usage} for _, usage in sorted(usages.items())]
    return {"help": shown, "format-hint": "simple"}


def _key(name: str, value: Any) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else [value]
    if not parts or not all(isinstance(part, str | int) for part in parts):
        raise bad_params(f"{name}: should be a string or an array of strings")
    return tuple(str(part) for part in parts)


def datastore(context: Context, args: Args) -> dict[str, Any]:
    """Store a value given as text or hex."""
    if ("string" in args) == ("hex" in args):
        raise bad_params("Must specify exactly one of string and hex")
    try:
        data = args["string"].encode() if "string" in args else bytes.fromhex(args["hex"])
    except ValueError:
        raise bad_params("hex: should be hex data") from None
    mode = args.get("mode", "must-create")
    with context.world.lock:
        return context.world.datastore.put(args["key"], data, mode, args.get("generation"))


def listdatastore(context: Context, args: Args) -> dict[str, Any]:
    """An entry or the children of a key."""
    with context.world.lock:
        return {"datastore": context.world.datastore.list(args.get("key", ()))}


def deldatastore(context: Context, args: Args) -> dict[str, Any]:
    """Delete an entry."""
    with context.world.lock:
        return context.world.datastore.delete(args["key"], args.get("generation"))


def stop(context: Context, args: Args) -> str:
    """Shut the node down after this answer."""
    del args
    context.stop_requested.set()
    return "Shutdown complete"


METHODS = {
    "listconfigs": Method(listconfigs, (Param("config", rpc.text),)),
    "setconfig": Method(
        setconfig,
        (
            Param("config", rpc.text, required=True),
            Param("val", rpc.anything),
            Param("transient", rpc.boolean, since=(25, 2)),
        ),
        since=(23, 8),
    ),
    "plugin": Method(plugin, (Param("subcommand", rpc.text),), raw=True),
    "help": Method(help_, (Param("command", rpc.text),)),
    "datastore": Method(
        datastore,
        (
            Param("key", _key, required=True),
            Param("string", rpc.text),
            Param("hex", rpc.text),
            Param("mode", rpc.text),
            Param("generation", rpc.u64),
        ),
    ),
    "listdatastore": Method(listdatastore, (Param("key", _key),)),
    "deldatastore": Method(
        deldatastore, (Param("key", _key, required=True), Param("generation", rpc.u64))
    ),
    "stop": Method(stop),
}
