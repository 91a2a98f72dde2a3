"""What moves money on a line beyond forwards: the same verbs on a simulated and on a real node."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any

from tests.node.line import Line, Row, wait_for
from tests.node.real_line import RealLine
from tests.node.simulated_line import SimulatedLine

LOCK_BLOCKS = 6
Part = tuple[int, int]


class Money(ABC):
    """Verbs of the middle node; amounts msat, capacities sat. They wait until it has happened."""

    def __init__(self, line: Line) -> None:
        self.line = line

    @abstractmethod
    def open(self, opener: str, capacity_sat: int, push_msat: int) -> str:
        """Another channel with the payee, opened by the `middle` or the `payee`; its id."""

    @abstractmethod
    def pay_own(self, channel: str, amount_msat: int) -> None:
        """We pay an invoice of the payee over that channel."""

    @abstractmethod
    def be_paid(self, amount_msat: int) -> None:
        """The payer pays an invoice of ours."""

    @abstractmethod
    def rebalance(self, out: str, into: str, parts: list[Part]) -> str:
        """We pay ourselves through the payee, in parts of (amount, fee); the payment hash."""

    @abstractmethod
    def deposit(self, amount_sat: int) -> None:
        """Somebody pays to our wallet, confirmed."""

    @abstractmethod
    def withdraw(self, amount_sat: int) -> str:
        """We pay to an address outside, not confirmed yet; the txid."""

    @abstractmethod
    def splice(self, channel: str, amount_sat: int) -> str:
        """Add to the channel or, negative, take out for the wallet; locked in; the txid."""

    @abstractmethod
    def close(self, channel: str) -> None:
        """Close mutually; the transaction is in a block."""

    @abstractmethod
    def force_close(self, channel: str) -> None:
        """Close by force while the peer is away; our commitment transaction is in a block."""

    def channel(self, channel_id: str) -> Row:
        """The channel as listpeerchannels shows it."""
        rows = self.line.call("listpeerchannels")["channels"]
        found: Row = next(row for row in rows if row["channel_id"] == channel_id)
        return found


def money_of(line: Line) -> Money:
    """The verbs for that kind of line."""
    if isinstance(line, SimulatedLine):
        return SimulatedMoney(line)
    assert isinstance(line, RealLine)
    return RealMoney(line)


class SimulatedMoney(Money):
    """Straight through the world of the simulator."""

    def __init__(self, line: SimulatedLine) -> None:
        super().__init__(line)
        self._node = line.node

    def open(self, opener: str, capacity_sat: int, push_msat: int) -> str:
        world, ours = self._node.world, opener == "middle"
        if ours:
            world.fund(2 * capacity_sat)
        held_msat = capacity_sat * 1000 - push_msat if ours else push_msat
        side = "local" if ours else "remote"
        name = world.open_channel(self.line.payee_id, capacity_sat, held_msat, opener=side)
        self.line.mine(LOCK_BLOCKS)
        return name

    def pay_own(self, channel: str, amount_msat: int) -> None:
        done = self._node.world.send_payment(channel, self.line.payee_id, amount_msat, 0)
        assert done["status"] == "complete"

    def be_paid(self, amount_msat: int) -> None:
        assert self._node.world.receive_payment(self.line.incoming["channel_id"], amount_msat)

    def rebalance(self, out: str, into: str, parts: list[Part]) -> str:
        routes = [(out, into, amount_msat, fee_msat) for amount_msat, fee_msat in parts]
        rows = self._node.world.circular_parts(routes)
        assert {row["status"] for row in rows} == {"complete"}
        return str(rows[0]["payment_hash"])

    def deposit(self, amount_sat: int) -> None:
        self._node.deposit(amount_sat)

    def withdraw(self, amount_sat: int) -> str:
        return self._node.world.withdraw(amount_sat)

    def splice(self, channel: str, amount_sat: int) -> str:
        world = self._node.world
        # The real command for taking out adds the fee to the amount that it is told.
        fee_sat = world.chain_fee_msat(1_100) // 1000 if amount_sat < 0 else 0
        txid = self._node.splice(channel, amount_sat - fee_sat)
        self.line.mine(LOCK_BLOCKS)
        return txid

    def close(self, channel: str) -> None:
        self._node.close(channel)

    def force_close(self, channel: str) -> None:
        self._node.world.disconnect(self.line.payee_id)
        self._node.force_close(channel)


class RealMoney(Money):
    """By the commands of the three real nodes and bitcoind."""

    def __init__(self, line: RealLine) -> None:
        super().__init__(line)
        self._line = line

    def _fund(self, node: Any, amount_sat: int) -> None:
        address = self._line.at(node, "newaddr", {"addresstype": "bech32"})["bech32"]
        txid = self._line.bitcoind.rpc.sendtoaddress(address, amount_sat / 10**8)
        self.line.mine(1)

        def seen() -> bool:
            outputs = self._line.at(node, "listfunds")["outputs"]
            return any(o["txid"] == txid and o["status"] == "confirmed" for o in outputs)

        wait_for(seen, "the deposit")

    def open(self, opener: str, capacity_sat: int, push_msat: int) -> str:
        ours = opener == "middle"
        node, peer = self._line.middle, self.line.payee_id
        if not ours:
            node, peer = self._line.payee, self._line.middle.info["id"]
        self._fund(node, 2 * capacity_sat)
        params = {"id": peer, "amount": capacity_sat, "push_msat": push_msat}
        channel_id = str(self._line.at(node, "fundchannel", params)["channel_id"])
        self.line.mine(LOCK_BLOCKS)
        self._wait_normal(channel_id)
        return channel_id

    def _wait_normal(self, channel_id: str) -> None:
        def normal() -> bool:
            ends = [
                self._line.at(node, "listpeerchannels")["channels"]
                for node in (self._line.middle, self._line.payee)
            ]
            states = {r["state"] for rows in ends for r in rows if r["channel_id"] == channel_id}
            return states == {"CHANNELD_NORMAL"}

        wait_for(normal, "a usable channel")

    def _invoice(self, node: Any, amount_msat: int) -> Row:
        label = os.urandom(8).hex()
        params = {"amount_msat": amount_msat, "label": label, "description": label}
        found: Row = self._line.at(node, "invoice", params)
        return found

    def _send(self, node: Any, route: list[Row], invoice: Row, **more: int) -> None:
        hash_ = invoice["payment_hash"]
        params = {"route": route, "payment_hash": hash_, **more}
        params["payment_secret"] = invoice["payment_secret"]
        self._line.at(node, "sendpay", params)

    def _hop(self, to: str, channel: str, amount_msat: int, delay: int) -> Row:
        scid = self.channel(channel)["short_channel_id"]
        return {"id": to, "channel": scid, "amount_msat": amount_msat, "delay": delay}

    def pay_own(self, channel: str, amount_msat: int) -> None:
        invoice = self._invoice(self._line.payee, amount_msat)
        hop = self._hop(self.line.payee_id, channel, amount_msat, 15)
        self._send(self._line.middle, [hop], invoice)
        self.line.call("waitsendpay", {"payment_hash": invoice["payment_hash"]})

    def be_paid(self, amount_msat: int) -> None:
        invoice = self._invoice(self._line.middle, amount_msat)
        channel = self.line.incoming["channel_id"]
        hop = self._hop(self._line.middle.info["id"], channel, amount_msat, 15)
        self._send(self._line.payer, [hop], invoice)
        hash_ = invoice["payment_hash"]
        self._line.at(self._line.payer, "waitsendpay", {"payment_hash": hash_})

    def rebalance(self, out: str, into: str, parts: list[Part]) -> str:
        total_msat = sum(amount_msat for amount_msat, _ in parts)
        invoice = self._invoice(self._line.middle, total_msat)
        ids = range(1, len(parts) + 1) if len(parts) > 1 else range(1)
        for part, (amount_msat, fee_msat) in zip(ids, parts, strict=True):
            route = [
                self._hop(self.line.payee_id, out, amount_msat + fee_msat, 21),
                self._hop(self._line.middle.info["id"], into, amount_msat, 15),
            ]
            several = {"partid": part, "amount_msat": total_msat, "groupid": 1} if part else {}
            self._send(self._line.middle, route, invoice, **several)
        hash_ = str(invoice["payment_hash"])
        for part in ids:
            wanted = {"payment_hash": hash_, **({"partid": part, "groupid": 1} if part else {})}
            self.line.call("waitsendpay", wanted)
        return hash_

    def deposit(self, amount_sat: int) -> None:
        self._fund(self._line.middle, amount_sat)

    def withdraw(self, amount_sat: int) -> str:
        address = self._line.bitcoind.rpc.getnewaddress()
        params = {"destination": address, "satoshi": amount_sat}
        return str(self.line.call("withdraw", params)["txid"])

    def splice(self, channel: str, amount_sat: int) -> str:
        old_scid = self.channel(channel)["short_channel_id"]
        method = "splicein" if amount_sat > 0 else "spliceout"
        if amount_sat > 0:
            self._fund(self._line.middle, 2 * amount_sat)
        params = {"channel": channel, "amount": f"{abs(amount_sat)}sat"}
        txid = str(self.line.call(method, params)["txid"])
        wait_for(lambda: txid in self._line.bitcoind.rpc.getrawmempool(), "the splice")
        self.line.mine(LOCK_BLOCKS)
        wait_for(lambda: self.channel(channel)["short_channel_id"] != old_scid, "the new scid")
        self._wait_normal(channel)
        return txid

    def close(self, channel: str) -> None:
        self.line.call("close", {"id": channel})
        self._confirm(channel)

    def force_close(self, channel: str) -> None:
        self.line.disconnect_payee()
        self.line.call("close", {"id": channel, "unilateraltimeout": 1})
        self._confirm(channel)

    def _confirm(self, channel: str) -> None:
        wait_for(self._line.bitcoind.rpc.getrawmempool, "the closing transaction")
        self.line.mine(1)
        wait_for(lambda: self.channel(channel)["state"] == "ONCHAIN", "the close on chain")
