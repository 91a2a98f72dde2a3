"""A replaced incarnation must not take being replaced for a fault of the world."""

from __future__ import annotations

import pytest

from actors.books_reader import BooksReader
from actors.fee_writer import FeeWriter
from actors.node_reader import NodeReader
from cl_revenue_ops.domain.fees.book import FeeBook, Situation
from cl_revenue_ops.domain.fees.facts import Conditions, FeeParameters, Pin
from cl_revenue_ops.ports import PortError, StaleGeneration
from messages.channels import ChannelFact
from messages.forwards import ReadForwardIndexes
from messages.node_books import ReadMoveIndexes

A, PEER = "aa" * 32, "02" + "cc" * 32


class StaleNode:
    """A node port whose lease has passed on."""

    def __getattr__(self, name: str) -> object:
        def refuse(*args: object, **details: object) -> None:
            raise StaleGeneration("generation 1 was replaced")

        return refuse


def test_being_replaced_is_no_fault_of_the_world() -> None:
    assert not issubclass(StaleGeneration, PortError)


def test_a_replaced_fee_controller_records_no_outcome() -> None:
    book = FeeBook()
    fact = ChannelFact(A, PEER, "CHANNELD_NORMAL", True, True, fee_base_msat=0, fee_ppm=5)
    situation = Situation(Conditions(True, False, False), 10.0, FeeParameters())
    book.pins[A] = Pin(77, None, "by hand", 5.0)
    decision = book.decide(fact, situation)
    assert decision.action == "set"
    writer = FeeWriter(None, None, StaleNode())  # type: ignore[arg-type]  # nothing else is reached
    with pytest.raises(StaleGeneration):
        writer.carry_out(book, decision, 1)


def test_a_replaced_reader_answers_nobody() -> None:
    reader = NodeReader.__new__(NodeReader)
    reader._node = StaleNode()  # type: ignore[assignment]  # all that its handler uses
    with pytest.raises(StaleGeneration):
        reader._indexes(ReadForwardIndexes("c", "nobody", 1.0))


def test_a_replaced_reader_of_books_answers_nobody() -> None:
    reader = BooksReader.__new__(BooksReader)
    reader._books = StaleNode()  # type: ignore[assignment]  # all that its handler uses
    with pytest.raises(StaleGeneration):
        reader._indexes(ReadMoveIndexes("c", "nobody", 1.0))
