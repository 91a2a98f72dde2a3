"""Channels since first contact, and every scid that each of them had."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from cl_revenue_ops.domain import jsontext
from cl_revenue_ops.storage.repository import Repository
from messages.channels import UNREADABLE, ChannelEntry, ChannelFact, Policy

_FACT_FIELDS = tuple(field.name for field in fields(ChannelFact))
_TEXTS = frozenset(("scid", "alias_scid", "opener"))

# An unchanged channel is not written again: the registry saves all of them at every reading.
_UPSERT = (
    "INSERT INTO channel (channel_id, peer_id, first_seen_s, closed, fact)"
    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (channel_id) DO UPDATE SET"
    " peer_id = excluded.peer_id, first_seen_s = excluded.first_seen_s,"
    " closed = excluded.closed, fact = excluded.fact"
    " WHERE fact != excluded.fact OR closed != excluded.closed"
    " OR peer_id != excluded.peer_id OR first_seen_s != excluded.first_seen_s"
)


class SqliteChannelStore(Repository):
    """Implements ports.ChannelStore."""

    def load(self) -> tuple[ChannelEntry, ...]:
        """See ports.ChannelStore; ordered by first contact, then by channel_id.

        Where a fact can't be read, one of the state UNREADABLE stands for it: the next reading of
        the node brings a new one, and the channel keeps its scids.
        """
        with self._reading() as connection:
            scids: dict[str, list[str]] = {}
            for channel_id, scid in connection.execute(
                "SELECT channel_id, scid FROM channel_scid ORDER BY channel_id, position"
            ):
                scids.setdefault(channel_id, []).append(scid)
            rows = connection.execute(
                "SELECT channel_id, peer_id, first_seen_s, closed, fact FROM channel"
                " ORDER BY first_seen_s, channel_id"
            ).fetchall()
        return tuple(
            ChannelEntry(
                channel_id,
                peer_id,
                tuple(scids.get(channel_id, ())),
                first_seen_s,
                bool(closed),
                _unpacked(channel_id, peer_id, fact),
            )
            for channel_id, peer_id, first_seen_s, closed, fact in rows
        )

    def save(self, entries: Sequence[ChannelEntry]) -> None:
        """See ports.ChannelStore; the scids of an entry replace those stored for it."""
        with self._writing() as connection:
            for entry in entries:
                connection.execute(
                    _UPSERT,
                    (
                        entry.channel_id,
                        entry.peer_id,
                        entry.first_seen_s,
                        entry.closed,
                        _packed(entry.fact),
                    ),
                )
                _save_scids(connection, entry)


def _save_scids(connection: sqlite3.Connection, entry: ChannelEntry) -> None:
    stored = connection.execute(
        "SELECT scid FROM channel_scid WHERE channel_id = ? ORDER BY position",
        (entry.channel_id,),
    ).fetchall()
    if tuple(scid for (scid,) in stored) == entry.scids:
        return
    connection.execute("DELETE FROM channel_scid WHERE channel_id = ?", (entry.channel_id,))
    connection.executemany(
        "INSERT INTO channel_scid (channel_id, position, scid) VALUES (?, ?, ?)",
        [(entry.channel_id, position, scid) for position, scid in enumerate(entry.scids)],
    )


def _packed(fact: ChannelFact) -> str:
    body = {name: getattr(fact, name) for name in _FACT_FIELDS}
    if fact.remote is not None:
        body["remote"] = fact.remote._asdict()
    return jsontext.dumps(body)


def _unpacked(channel_id: str, peer_id: str, text: str) -> ChannelFact:
    """A fact stored by any version: unknown fields are left out, new ones get their default."""
    blank = ChannelFact(channel_id, peer_id, UNREADABLE, False, False)
    try:
        body = jsontext.loads(text)
        known = {name: value for name, value in body.items() if name in _FACT_FIELDS}
        if known.get("remote") is not None:
            known["remote"] = Policy(**known["remote"])
        fact = ChannelFact(**known)
    except (ValueError, TypeError, AttributeError):
        return blank
    return fact if fact.channel_id == channel_id and _sound(fact, blank) else blank


def _sound(fact: ChannelFact, blank: ChannelFact) -> bool:
    """Whether every field has the type that it has in a fact of the node."""
    if fact.remote is not None and not all(type(value) is int for value in fact.remote):
        return False
    return all(
        _fits(name, getattr(fact, name), getattr(blank, name))
        for name in _FACT_FIELDS
        if name != "remote"
    )


def _fits(name: str, value: Any, blank: Any) -> bool:
    if blank is not None:
        return type(value) is type(blank)
    return value is None or type(value) is (str if name in _TEXTS else int)
