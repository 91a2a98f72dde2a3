"""The settings as seen from outside the Settings actor: the newest book that was accepted."""

from __future__ import annotations

from collections.abc import Mapping

from cl_revenue_ops.config import Config, SettingsBook, at_boot
from cl_revenue_ops.runtime.board import Board


class SettingsView:
    """Any thread may read it. Until the Settings actor is up it shows the configured values.

    `accept` takes a book that was validated on the I/O thread (setconfig wants its verdict at
    once); it stands until the actor has published one at least as new.
    """

    def __init__(self, board: Board, raw_options: Mapping[str, object]) -> None:
        self._board = board
        boot = at_boot(raw_options, [])
        self._accepted = boot.book
        self._typed = (boot.book, boot.config)
        self.problems = boot.problems

    @property
    def book(self) -> SettingsBook:
        """The settings in force, with their provenance."""
        notice = self._board.read("settings")
        if notice is not None:
            book: SettingsBook = notice.body["book"]
            if book.version >= self._accepted.version:
                return book
        return self._accepted

    @property
    def config(self) -> Config:
        """The values in force."""
        book = self.book
        if self._typed[0] is not book:
            self._typed = (book, book.config)
        return self._typed[1]

    def accept(self, book: SettingsBook) -> None:
        """A validated change that the actor has been told of but has not published yet."""
        self._accepted = book
