"""Writes the reference page of the commands, docs/reference/commands.md, from their table."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.commands.binding import Param, usage
from cl_revenue_ops.commands.reference_clboss import BOSS_TEXTS
from cl_revenue_ops.commands.reference_exchange import EXCHANGE_TEXTS
from cl_revenue_ops.commands.reference_rebalance import REBALANCE_TEXTS
from cl_revenue_ops.commands.reference_reports import REPORT_TEXTS
from cl_revenue_ops.commands.reference_text import CommandText
from cl_revenue_ops.commands.table import COMMANDS, RpcCommand

_INTRODUCTION = """\
# Commands

This page is generated from the table of commands in `cl_revenue_ops/commands/table.py`.

Arguments come in three forms, which mean the same: a list (`[scid, 300]`), an object
(`{"channel_id": scid, "fee_ppm": 300}`), or a list with `name=value` texts among its items
(`[scid, "fee_ppm=300"]`), which is what `lightning-cli` sends where only a later word has a `=`.
Numbers and switches may be texts. No arguments may be `[]`, `{}` or `null`.

What comes back:

- **Carried out**: a result without the key `error`.
- **The arguments are at fault** (unknown, missing, doubled, out of range, no such channel): the
  JSON-RPC error -32602 with one line of ASCII that says what to do. Nothing has changed.
- **Sound, but refused or failed** (paused, no database, node out of reach, too many open calls): a
  result `{"status": "error", "error": text, "success": false}`. Nothing has changed, unless the
  text says that this is not known.
- **No answer of the owner within 60 s** (180 s for a report; 600 s for `restore-fees`, an import or
  an export): the same, with a text that says so.

Where a channel is asked for, it may be named by its short channel id (`900000x12x0`, also with
colons, also one that it had before a splice, also its local alias), by its channel_id (64 hex
digits), or, where the peer has only one open channel, by the peer's node id.
"""

_VIRTUAL = """\
## dev-revenue-advance

Exists only where the process was started with `REVENUE_OPS_VIRTUAL_CLOCK` (Unix seconds) in its
environment, as simulators do. `until` (Unix seconds) moves the virtual clock: every timer due up to
then fires in order, each until nothing is left to do. Answers `now`, `timers`, `messages`, `next`
(the next timer, or null). An `until` before now is refused with -32602. See
[simnode.md](../specs/simnode.md).
"""


_IN_MEMORY = "On the I/O thread, from memory: at once, also when database or node are out of reach."
_CHANNEL = "a channel by any of its names; without it all channels"

TEXTS: Mapping[str, CommandText] = {
    "revenue-status": CommandText(
        "Health first: `safe_mode` with its reason, `degraded`, `writes_allowed` and every reason"
        " why not, `problems` of the configuration; then `version`, `uptime_s`, `config`; totals of"
        " `forwards`; `channel_states`, one row an open channel; the ten newest"
        " `recent_fee_changes`; `foreign_fees` that other writers set and that are left alone for a"
        " day; `actors` with state, restarts and waiting messages; `dead_letters`,"
        " `breakers`, counters of `notifications`, `database`. Field by field:"
        " [api.md](../specs/api.md).",
        _IN_MEMORY,
    ),
    "revenue-hive-status": CommandText(
        "`mode` (in this version always `standalone`), the setting, `features` (all false),"
        " `recommendations` in words, `hive_config`.",
        _IN_MEMORY,
    ),
    "revenue-config": CommandText(
        "`get`: all values with the `version` of the set; with a key its row: value, default,"
        " configured value, `source` (default, config file, setconfig or runtime), bounds, unit."
        " `list`: the rows of all settings. `list-mutable`: the keys that can change at run time."
        " `set` and `reset`: `status`, `key`, `old_value`, `new_value`, `version`; `reset` also a"
        " `message`. `set restore-fees true` is an action and stores nothing but the pause: it"
        " pauses and puts back the fee and base fee found at first contact; answers `status`"
        " (`success`, or `incomplete` where a channel failed), `restored` (old and new fee a"
        " channel), `failed` and `left_alone` (with the reason), `message`. `get restore-fees`"
        " tells how the `last` one of this start went. See [leaving.md](../leaving.md).",
        "Reading: on the I/O thread, from memory. `set` and `reset`: by the Settings actor, stored"
        " before the answer. `set paused true` closes the gate before anything is stored.",
        {
            "action": "get, set, reset, list or list-mutable",
            "key": "a setting by its key or its option name, with `-` or `_`; or `restore-fees`",
            "value": "for `set`: a text, number or switch within the bounds of the setting",
        },
        (
            "an unknown key (the nearest known one is named), a value of the wrong type or out of"
            " bounds, a contradiction between two settings, or `db_path`, which can only change in"
            " the config file: -32602",
            "a change that could not be stored: a result with `error`; the value is as before,"
            " only a pause holds all the same",
            "`set restore-fees true` in dry run, in safe mode or out of sync: a result with"
            " `error`; nothing has changed. `false` and `reset`: -32602",
        ),
        (
            "revenue-config get min_fee_ppm",
            "revenue-config set min_fee_ppm 25",
            "revenue-config set paused true",
            "revenue-config reset min_fee_ppm",
            "revenue-config set restore-fees true",
        ),
    ),
    "revenue-analyze": CommandText(
        "With a channel: `channel` (its scid) and `analysis`, the figures of its flow, defined in"
        " [flow.md](../specs/flow.md). Without: `status`, `channels` (how many), `message`.",
        "By the FlowAnalyzer. Every analysis takes in all that is new of all channels; the"
        " argument only chooses what is answered.",
        {"channel_id": _CHANNEL},
        ("an analysis that cannot read the forward log: a result with `error`",),
        ("revenue-analyze", "revenue-analyze 900000x12x0"),
    ),
    "revenue-set-fee": CommandText(
        "`status` and `success`, which agree; `channel` (scid), `channel_id`, `old_fee_ppm`,"
        " `new_fee_ppm` (also as `fee_ppm`): the fee decided on; `pinned`; `written`: false where"
        " it stood already, or where `auto` gave the channel back while the gate was closed, so"
        " that `old_fee_ppm` still stands; `message`. A pin holds until `auto`, over restarts; the"
        " base fee becomes that of `revenue-ops-base-fee-msat`.",
        "By the FeeController: it reads the node, stores the decision, writes it through the gate,"
        " and records what came of it.",
        {
            "channel_id": "the channel, by any of its names",
            "fee_ppm": "0 to 100000, or `auto` to give the channel back to the controller",
            "force": "true allows a fee outside min_fee_ppm..max_fee_ppm, and one on a peer whose"
            " policy is passive",
        },
        (
            "a fee outside the bounds without `force`, a peer with several channels: -32602",
            "a peer whose policy is passive, without `force`: a result with `error` that says how"
            " to end it",
            "paused, dry run, safe mode, a peer that is away, a refusal of the node: a result with"
            " `error`; no pin is kept and the fee is as before. Where the node did not answer a"
            " write, the channel is read again; `unknown` in the text says that this failed too",
        ),
        (
            "revenue-set-fee 900000x12x0 300",
            "revenue-set-fee 900000x12x0 9000 force=true",
            "revenue-set-fee 900000x12x0 auto",
        ),
    ),
    "revenue-fee-debug": CommandText(
        "`channels`, each with its last decision: `sentence` (what was decided), `skip_reason` "
        "(null where a fee was to be set), `outcome` (what became of it), `fee_ppm`, "
        "`target_ppm`, `wanted_ppm`, `whose` fee stands, the peer's `policy`, `repeats` of equal"
        " decisions; and with the"
        " `next` one: `at` when at the latest, and what stands `in_the_way` now. With a channel"
        " also `belief` (best fee, volume, the others' price, the demand curve, the value of the"
        " stock, the draw; `low` and `high` bound 80 % intervals), `stages` (the verdict of each in"
        " words), `arithmetic` in one line, and `record`: every input, all that forbade a write."
        " `summary` counts them; `trouble` says what the last cycle could not read. Field by field:"
        " [api.md](../specs/api.md).",
        "By the FeeController, from its store and its memory.",
        {"channel_id": _CHANNEL},
        (),
        ("revenue-fee-debug", "revenue-fee-debug 900000x12x0"),
    ),
    "revenue-wake-all": CommandText(
        '`status` ("ok"), `channels_woken` (how many channels are decided on), `message`, which'
        " also says where nothing is written. A cycle has begun when the answer comes: it learns"
        " what was forwarded, draws anew for every peer, and decides all channels. Pins, holds on"
        " other writers' fees and the updates that a channel may have in a day stay as they are.",
        "By the FeeController.",
        refusals=("safe mode: a result with `error`; the draws are as before",),
        examples=("revenue-wake-all",),
    ),
    "revenue-policy": CommandText(
        "A policy has `peer_id`, `strategy`, `rebalance_mode`, `fee_ppm_target`, `tags`,"
        " `updated_at`, `fee_multiplier_min`, `fee_multiplier_max`, `min_fee_ppm`, `max_fee_ppm`,"
        " `expires_at`, `is_expired`. `set`: `status`, `policy`, `message`. `get`: `policy`, the"
        " defaults where there is none. `list`: `policies`, `count`. `delete`: `status` (success,"
        " or noop where there was none), `message`. `tag`, `untag`: `status`, `peer_id`, `tags`."
        " `find`: `peers` (their policies), `count`, `tag`. `batch`: `status`, `updated`,"
        " `changed`, `policies`, `message`. `changes`: `changes` (policies with `change` and"
        " `deleted`, newest first, one a peer), `count`, `since`, `last_change_timestamp`,"
        " `complete`. `suggest`: `suggestions`, `count`, `evidence`; each with the `command` that"
        " would apply it. All of it: [policies.md](../specs/policies.md).",
        "By the PolicyEngine, stored before the answer.",
        {
            "action": "set, get, list, delete, tag, untag, find, batch, changes or suggest",
            "peer_id": "set, get, delete, tag, untag: a node id, our own and strangers included",
            "strategy": "set: dynamic, static, passive or hive",
            "rebalance": "set: enabled, disabled, source_only (may be drained, never filled) or"
            " sink_only (may be filled, never drained)",
            "fee_ppm": "set: 0 to 100000, the fee of a static policy; `none` takes it away",
            "fee_multiplier_min": "set: 0.1 to 5.0, or `none`",
            "fee_multiplier_max": "set: 0.1 to 5.0, or `none`",
            "min_fee_ppm": "set: 0 to 100000, or `none`",
            "max_fee_ppm": "set: 0 to 100000, or `none`; equal to min_fee_ppm it is a pin",
            "tags": "set: an array, its JSON text, or texts with commas between; replaces all tags",
            "expires_in_hours": "set: 1 to 720, from now on; 0 or less takes the end away",
            "rebalance_mode": "set: another name of rebalance",
            "fee_ppm_target": "set: another name of fee_ppm",
            "tag": "tag, untag, find: a text of 1 to 100 printable characters",
            "updates": "batch: at most 100 objects with a peer_id and options of set, as an array"
            " or its JSON text; all or none",
            "since": "changes: Unix seconds, the last_change_timestamp of the answer before",
        },
        (
            "a bad value, minimum above maximum, static without a fee, an unknown key, the entry"
            " of a batch by its number: -32602",
            "more than ten changes of one peer within a minute: a result with `error` that says"
            " when it may be tried again",
            "a change that could not be stored, suggestions before the first analysis: a result"
            " with `error`",
        ),
        (
            "revenue-policy set <peer_id> strategy=static fee_ppm=100 expires_in_hours=24",
            "revenue-policy set <peer_id> rebalance=sink_only max_fee_ppm=none",
            "revenue-policy tag <peer_id> exchange",
            "revenue-policy changes 1700000000",
            "revenue-policy suggest",
        ),
    ),
    **REBALANCE_TEXTS,
    **REPORT_TEXTS,
    **BOSS_TEXTS,
    **EXCHANGE_TEXTS,
}


def reference_markdown() -> str:
    """The whole content of the page; ends with one newline."""
    contents = "".join(f"- [{c.name}](#{c.name}): {c.help}\n" for c in COMMANDS)
    sections = [_section(command, TEXTS[command.name]) for command in COMMANDS]
    return "\n".join([_INTRODUCTION, contents, *sections, _VIRTUAL])


def _section(command: RpcCommand, text: CommandText) -> str:
    lines = [
        f"## {command.name}",
        command.help,
        _usage_line(command),
        _parameter_table(command.all_params, text.parameters),
        f"**Answers.** {text.answer}",
        f"**Served.** {text.served}",
        _listed("**Refused.**", text.refusals),
        _fenced(text.examples),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _listed(title: str, lines: tuple[str, ...]) -> str:
    return "\n\n".join([title, "\n".join(f"- {line}" for line in lines)]) if lines else ""


def _fenced(examples: tuple[str, ...]) -> str:
    lines = "\n".join(f"lightning-cli {example}" for example in examples)
    return f"```bash\n{lines}\n```" if examples else ""


def _usage_line(command: RpcCommand) -> str:
    line = usage(command.name, command.all_params).removeprefix("usage: ")
    return f"`{line}`" if command.params else "Takes no arguments."


def _parameter_table(params: tuple[Param, ...], meanings: Mapping[str, str]) -> str:
    assert {param.name for param in params} == set(meanings), "every parameter is explained"
    if not params:
        return ""
    rows = "".join(f"| `{p.name}` | {_needed(p)} | {meanings[p.name]} |\n" for p in params)
    return f"| parameter | | meaning |\n|---|---|---|\n{rows}".rstrip()


def _needed(param: Param) -> str:
    if param.required:
        return "required"
    return "optional" if param.default is None else f"default {str(param.default).lower()}"
