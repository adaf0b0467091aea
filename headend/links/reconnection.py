"""When links that were lost are made anew: with a back-off, on the head-end's clock."""

import asyncio
from collections.abc import Sequence

from headend.backoff import BackOff
from headend.clock import Clock
from headend.errors import BrokerRefused, BrokerUnavailable
from headend.links.link import Link
from headend.log import logger
from headend.metrics import Metrics
from headend.settings import HeadEndSettings


class Reconnection:
    """One for all links of a head-end: they lead through one broker, and come back together."""

    def __init__(self, settings: HeadEndSettings, clock: Clock, links: Sequence[Link], metrics: Metrics) -> None:
        self._settings = settings
        self._clock = clock
        self._links = links
        self._metrics = metrics
        self._back_off = BackOff(settings.reconnect_first_s, settings.reconnect_max_s)
        self._attempts = 0
        self._at_s: float | None = None
        self._renewing = False

    @property
    def is_waiting(self) -> bool:
        """Whether a link is to be made anew, later."""
        return self._at_s is not None

    async def first(self) -> None:
        """Connect, trying for `startup_timeout_s` of the wall clock. Raises BrokerUnavailable, BrokerRefused.

        A broker that may be away is left to `advance`.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self._settings.startup_timeout_s
        delay_s = 0.1
        while True:
            try:
                await self._connect()
            except BrokerUnavailable:
                if self._settings.broker_may_be_away:
                    self._put_off()
                    return
                if loop.time() + delay_s > deadline_s:
                    raise
            else:
                return
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, 2.0)

    def lost(self) -> None:
        """A link is gone: it is made anew after the back-off, unless that is under way for another one."""
        if self._at_s is None:
            self._put_off()

    def renew(self) -> None:
        """Connect anew at the next opportunity: what we show the broker, or whom we trust, has changed."""
        self._renewing = True

    def next_due_s(self) -> float | None:
        """The next instant at which `renewed` or `advance` has something to do."""
        return self._clock.now() if self._renewing else self._at_s

    async def renewed(self) -> bool:
        """Connect anew, if that was asked for; True if links were made. While none stands, `advance` does it anyway.

        What was not committed was not acknowledged: the broker sends it again.
        """
        asked, self._renewing = self._renewing, False
        standing = [link for link in self._links if link.connected]
        if not asked or not standing:
            return False
        for link in standing:
            await link.disconnect()
        self.lost()
        return await self._try()

    async def advance(self, now_s: float) -> bool:
        """Connect what is not connected, if its time has come; True if all links stand again."""
        return self._at_s is not None and self._at_s <= now_s and await self._try()

    async def _connect(self) -> None:
        for link in self._links:
            await link.connect()

    async def _try(self) -> bool:
        try:
            await self._connect()
        except (BrokerUnavailable, BrokerRefused) as error:
            self._put_off()
            logger().warning("broker still away", error=str(error), attempt=self._attempts)
            return False
        self._at_s = None
        self._attempts = 0
        self._metrics.reconnects.inc()
        logger().warning("connected to the broker again", broker=self._settings.broker_host)
        return True

    def _put_off(self) -> None:
        # Without the group, which is another one in each run of the same seed.
        key = self._settings.client_id.replace(self._settings.group, "")
        delay_s = self._back_off.delay_s(self._attempts, key)
        self._attempts += 1
        self._at_s = self._clock.now() + delay_s
