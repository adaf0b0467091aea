"""What a process of the head-end does: everything, or a part of it beside others.

Interval readings may be written by anybody: the key of a row says what it is, so their order makes no difference, and
any number of `ingest` workers share them by an MQTT shared subscription. For all else the order of a meter's or a
collector's messages matters (a restore after its gasp, an alias after its birth), and there is one process:
`outages` hears events, states, answers, registers and all of Sparkplug, asks for what is missing and finds outages.
`poller` polls over Modbus and hears nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from headend.drivers import Driver, MqttTopic

RoleName = Literal["all", "ingest", "poller", "outages"]
SHARE = "ingest"
"""The name of the shared subscription."""


@dataclass(frozen=True, slots=True)
class Role:
    """`hears`: what it subscribes to of meters with MQTT connections of their own; `any_order` it shares with others.

    `follows`: keeps the schedules, asks meters for what is missing, hosts collectors and looks for outages.
    """

    hears: Literal["all", "any_order", "in_order", "nothing"]
    polls: bool
    follows: bool

    @property
    def listens(self) -> bool:
        """Whether it has a link to meters with MQTT connections of their own."""
        return self.hears != "nothing"

    def takes(self, topic: MqttTopic) -> bool:
        """Whether what comes there of a meter is for this role, where several hear it."""
        return self.sees_all or topic.any_order is (self.hears == "any_order")

    @property
    def sees_all(self) -> bool:
        """Whether every reading that is stored passes through it."""
        return self.hears == "all"

    def filters(self, group: str, client_id: str, drivers: Iterable[Driver]) -> tuple[str, ...]:
        """What it subscribes to: its topics of these drivers' meters, and where it sends fences to itself.

        A topic that one driver takes in any order, and another in the order of its coming, is heard by both roles.
        """
        if self.sees_all:
            return (f"dt/{group}/#",)
        shared = self.hears == "any_order"
        # A client that subscribes by a share's name must be allowed to read the topics behind it.
        share = f"$share/{SHARE}/" if shared else ""
        known = (known for driver in drivers for known in (driver.mqtt or {}).items())
        topics = dict.fromkeys(name for name, topic in known if topic.any_order is shared)
        return (*(f"{share}dt/{group}/+/{name}" for name in topics), f"dt/{group}/_fence/{client_id}")


ROLES: dict[RoleName, Role] = {
    "all": Role("all", polls=True, follows=True),
    "ingest": Role("any_order", polls=False, follows=False),
    "outages": Role("in_order", polls=False, follows=True),
    "poller": Role("nothing", polls=True, follows=False),
}
