"""Every case of this folder runs on a simulated line and, where it can be had, on a real one.

A module may ask for other kinds with KINDS; `elder` is a simulated node of an old release,
`beside clboss` a simulated one with a CLBoss.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cl_revenue_ops.simnode import clboss
from tests.node import real_line
from tests.node.line import Line
from tests.node.simulated_line import SimulatedLine

KINDS = ("simulated", "real")
ELDER = "v23.05"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each case its kinds of node; session scope runs one kind after the other."""
    if "kind" in metafunc.fixturenames:
        kinds = getattr(metafunc.module, "KINDS", KINDS)
        metafunc.parametrize("kind", kinds, indirect=True, scope="session")


@pytest.fixture(scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    """simulated, beside clboss, elder or real; skips where a real node cannot be run."""
    wanted: str = request.param
    reason = real_line.why_not() if wanted == "real" else None
    if reason is not None:
        pytest.skip(f"no real node: {reason}")
    return wanted


@pytest.fixture(scope="session")
def chain(kind: str) -> Iterator[real_line.Chain | None]:
    """bitcoind for the real lines."""
    made = real_line.Chain() if kind == "real" else None
    yield made
    if made is not None:
        made.stop()


@pytest.fixture(scope="module")
def line(
    kind: str, chain: real_line.Chain | None, request: pytest.FixtureRequest
) -> Iterator[Line]:
    """The module's line of three nodes; at its end the plugin must leave it without complaint."""
    made: Line
    if chain is not None:
        made = real_line.RealLine(chain, request.module.__name__.rsplit(".", 1)[-1])
    elif kind == "beside clboss":
        made = SimulatedLine(clboss=clboss.NEWEST)
    else:
        made = SimulatedLine(ELDER) if kind == "elder" else SimulatedLine()
    yield made
    made.shut_down()
    assert made.complaints() == []
    assert made.unclean_exits() == []
