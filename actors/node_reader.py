"""The node reader: reads forwards, the chain, payments and money for those who must not block."""

from __future__ import annotations

from actors.base import HouseActor, handles
from cl_revenue_ops.domain.channels import usable
from cl_revenue_ops.ports import Node, PaymentNode, PortError, ReportNode, Unavailable
from cl_revenue_ops.runtime.actor import Context
from messages.channels import ChannelFact
from messages.forwards import ForwardPage, ReadForwardIndexes, ReadForwards
from messages.rebalance import MoneyView, ReadMoney, ReadOwnPayments, ReadPaymentIndex
from messages.reports import ReadAliases, ReadChainView, ReadClosedChannels


class NodeReader(HouseActor):
    """Blocks on the node, nobody else waits. A failure of the node is a refusal, not a crash."""

    def __init__(
        self, context: Context, *, node: Node, reports: ReportNode, payments: PaymentNode
    ) -> None:
        super().__init__(context)
        self._payments = payments
        self._node = node
        self._reports = reports
        self._whole: ForwardPage | None = None

    @handles(ReadForwardIndexes)
    def _indexes(self, message: ReadForwardIndexes) -> None:
        try:
            self.answer(message, self._node.forward_indexes())
        except PortError as error:
            self.refuse(message, str(error))

    @handles(ReadForwards)
    def _forwards(self, message: ReadForwards) -> None:
        try:
            page = self._page(message)
        except PortError as error:
            self._whole = None
            self.refuse(message, str(error))
            return
        self.answer(message, page)

    @handles(ReadChainView)
    def _chain_view(self, message: ReadChainView) -> None:
        try:
            self.answer(message, self._reports.chain_view(self.now()))
        except PortError as error:
            self.refuse(message, str(error))

    @handles(ReadClosedChannels)
    def _closed_channels(self, message: ReadClosedChannels) -> None:
        try:
            self.answer(message, self._reports.closed_channels())
        except PortError as error:
            self.refuse(message, str(error))

    @handles(ReadAliases)
    def _aliases(self, message: ReadAliases) -> None:
        try:
            found = tuple((peer_id, self._reports.alias(peer_id)) for peer_id in message.peer_ids)
            self.answer(message, found)
        except PortError as error:
            self.refuse(message, str(error))

    @handles(ReadPaymentIndex)
    def _payment_index(self, message: ReadPaymentIndex) -> None:
        try:
            self.answer(message, self._payments.newest_payment())
        except PortError as error:
            self.refuse(message, str(error))

    @handles(ReadOwnPayments)
    def _own_payments(self, message: ReadOwnPayments) -> None:
        try:
            self.answer(message, self._payments.own_payments(message.start))
        except PortError as error:
            self.refuse(message, str(error))
        except ValueError as error:
            self.refuse(message, str(error), invalid=True)

    @handles(ReadMoney)
    def _money(self, message: ReadMoney) -> None:
        """What can be read of it; a part that cannot is none, which is not the same as nothing."""
        at_s, troubles = self.now(), []
        onchain_msat = channels_msat = None
        facts: tuple[ChannelFact, ...] = ()
        try:
            onchain_msat = self._payments.onchain_msat()
        except PortError as error:
            troubles.append(str(error))
        try:
            facts = self._node.channels().facts
            channels_msat = sum(fact.local_msat for fact in facts if usable(fact))
        except PortError as error:
            troubles.append(str(error))
        trouble = "; ".join(troubles) or None
        self.answer(message, (MoneyView(at_s, onchain_msat, channels_msat, trouble), facts))

    def _page(self, message: ReadForwards) -> ForwardPage:
        """A page as asked for; a node without paging gives its whole list, which is cut here."""
        whole = self._whole
        if whole is None or message.start == 1:
            page = self._node.forwards(message.index, message.start, message.limit)
            if len(page.rows) <= message.limit:
                return page
            if (message.index, message.start) != ("created", 1):
                # Places in the whole list are no indexes: whoever reads by index begins again.
                raise Unavailable("the node has stopped to answer by index")
            whole = self._whole = page
        first = message.start - 1
        rows = whole.rows[first : first + message.limit]
        last = first + message.limit >= len(whole.rows)
        if last:
            self._whole = None
        return ForwardPage(rows, message.start + len(rows), last, 0 if first else whole.malformed)
