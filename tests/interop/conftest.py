"""A broker, and who listens to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.interop.connects import WireTap
from tests.interop.listener import Listener
from tests.meters.meter_broker import Broker, broker

__all__ = ["broker"]


@pytest.fixture
async def listener(broker: Broker) -> AsyncIterator[Listener]:
    listener = await Listener(broker.port).open()
    yield listener
    listener.close()


@pytest.fixture
async def tap(broker: Broker) -> AsyncIterator[WireTap]:
    tap = await WireTap(broker.port).open()
    yield tap
    await tap.close()
