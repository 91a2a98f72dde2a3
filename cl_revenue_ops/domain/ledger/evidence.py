"""A row of the node's lists as the evidence of an entry: compact JSON, and back."""

from __future__ import annotations

from typing import Any

from cl_revenue_ops.domain import jsontext
from messages.node_books import ChainMove, ChannelMove

# What is left out where a row has it: the defaults, and amounts of nothing.
_NOTHING: dict[str, Any] = {"created_index": None, "credit_msat": 0, "debit_msat": 0}
_BLANK_CHANNEL: dict[str, Any] = {**_NOTHING, "fees_msat": 0, **ChannelMove._field_defaults}
_BLANK_CHAIN: dict[str, Any] = {**_NOTHING, **ChainMove._field_defaults}


def of_channel_move(move: ChannelMove) -> str:
    """The row as JSON by the names of its fields."""
    return _written(move._asdict(), _BLANK_CHANNEL)


def of_chain_move(move: ChainMove) -> str:
    """The row as JSON by the names of its fields."""
    return _written(move._asdict(), _BLANK_CHAIN)


def channel_move(evidence: str) -> ChannelMove:
    """The row that `of_channel_move` wrote."""
    return ChannelMove(**{**_BLANK_CHANNEL, **jsontext.loads(evidence)})


def chain_move(evidence: str) -> ChainMove:
    """The row that `of_chain_move` wrote."""
    return ChainMove(**{**_BLANK_CHAIN, **jsontext.loads(evidence)})


def _written(fields: dict[str, Any], blank: dict[str, Any]) -> str:
    return jsontext.dumps(
        {name: value for name, value in fields.items() if name not in blank or value != blank[name]}
    )
