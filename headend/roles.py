"""What a process of the head-end does: everything, or a part of it beside others.

Interval readings may be written by anybody: the key of a row says what it is, so their order makes no difference, and
any number of `ingest` workers share them by an MQTT shared subscription. For all else the order of a meter's or a
collector's messages matters (a restore after its gasp, an alias after its birth), and there is one process:
`outages` hears events, states, answers and all of Sparkplug, asks for what is missing and finds outages. `poller` polls
over Modbus and hears nothing.
"""

from dataclasses import dataclass
from typing import Literal

RoleName = Literal["all", "ingest", "poller", "outages"]
SHARE = "ingest"
"""The name of the shared subscription."""


@dataclass(frozen=True, slots=True)
class Role:
    """`topics`: below `dt/<group>/`, shared among all of this role if `shared`; none for who is not on MQTT.

    `follows`: keeps the schedules, asks meters for what is missing, hosts collectors and looks for outages.
    """

    topics: tuple[str, ...]
    polls: bool
    follows: bool
    shared: bool = False

    @property
    def listens(self) -> bool:
        """Whether it has a link to meters with MQTT connections of their own."""
        return bool(self.topics)

    @property
    def sees_all(self) -> bool:
        """Whether every reading that is stored passes through it."""
        return self.topics == ("#",)

    def filters(self, group: str, client_id: str) -> tuple[str, ...]:
        """What it subscribes to: its topics, and where it sends fences to itself."""
        if self.sees_all:
            return (f"dt/{group}/#",)
        # A client that subscribes by a share's name must be allowed to read the topics behind it.
        share = f"$share/{SHARE}/" if self.shared else ""
        return (*(f"{share}dt/{group}/{topic}" for topic in self.topics), f"dt/{group}/_fence/{client_id}")


ROLES: dict[RoleName, Role] = {
    "all": Role(("#",), polls=True, follows=True),
    "ingest": Role(("+/ds",), polls=False, follows=False, shared=True),
    "outages": Role(("+/ev", "+/st", "+/lp"), polls=False, follows=True),
    "poller": Role((), polls=True, follows=False),
}
