"""The link to meters with an MQTT connection of their own."""

from collections.abc import Collection, Sequence

from headend.commands.outgoing import Outgoing
from headend.drivers import Driver, driver_for, known_profiles
from headend.links.direct.intake import DirectIntake
from headend.links.link import Notices, fence_topic
from headend.links.mqtt import MqttConnection, Session
from headend.reads.ingest import Ingest
from headend.reads.record import Recorder
from headend.reads.reported import ReportedRegisters
from headend.registry import EndDevice
from headend.roles import ROLES
from headend.settings import HeadEndSettings


class DirectLink:
    """A standing session, in which the broker keeps what we have not acknowledged."""

    def __init__(
        self,
        settings: HeadEndSettings,
        devices: Sequence[EndDevice],
        recorder: Recorder,
        reported: ReportedRegisters,
        ingest: Ingest,
        notices: Notices,
    ) -> None:
        self._settings = settings
        self._ingest = ingest
        self._notices = notices
        self._serials = frozenset(device.serial for device in devices if self.reaches(device))
        intake = DirectIntake(settings, devices, recorder, reported=reported, on_fence=ingest.fence_read)
        session = Session(
            settings.client_id,
            ROLES[settings.role].filters(settings.group, settings.client_id, _drivers_of(devices)),
            certificate=settings.broker_certificate,
        )
        self._connection = MqttConnection(
            settings,
            session,
            on_message=lambda topic, payload, packet_id: ingest.receive(
                intake.receive, topic, payload, source=self._connection, packet_id=packet_id
            ),
            on_chunk=ingest.chunk_read,
            on_lost=self._lost,
            on_failure=notices.failed,
        )
        ingest.attach(self._connection)

    @property
    def connected(self) -> bool:
        return self._connection.connected

    async def connect(self) -> None:
        if not self.connected:
            await self._connection.connect()

    async def disconnect(self) -> None:
        was_connected = self.connected
        await self._connection.disconnect()
        if was_connected:
            self._ingest.connection_lost(self._connection)

    async def fence(self) -> bool:
        def send(token: str) -> None:
            self._connection.publish(f"dt/{self._settings.group}/_fence/{self._settings.client_id}", token.encode())

        if not self.connected:
            return False
        return await self._ingest.fence(self._connection, send) and await self._connection.published()

    async def fence_stations(self, names: Collection[str], token: str) -> None:
        """Behind what was sent on the command topic of each."""
        if not self.connected:
            return
        for serial in names:
            if serial in self._serials:
                self._connection.publish(fence_topic(f"cmd/{self._settings.group}/{serial}"), token.encode())
        await self._connection.published()

    def reaches(self, device: EndDevice) -> bool:
        return device.driver.capabilities.connects_itself

    def send(self, command: Outgoing) -> None:
        device = command.device
        # Not kept by the broker for a meter that is away: it is asked when it is back.
        self._connection.publish_once(f"cmd/{device.group}/{device.serial}", command.envelope)
        self._notices.commanded(device.serial)

    def next_due_s(self) -> float | None:
        return None

    async def advance(self, now_s: float) -> None:
        """It has no timers: meters come by themselves."""

    def hold(self) -> None:
        self._connection.hold()

    def drop(self) -> None:
        self._connection.drop()

    def _lost(self) -> None:
        self._ingest.connection_lost(self._connection)
        self._notices.lost()


def _drivers_of(devices: Sequence[EndDevice]) -> list[Driver]:
    """The drivers of its meters: what no registered meter says need not be heard in two places."""
    found = {device.driver.vendor_profile: device.driver for device in devices if device.driver.mqtt}
    return list(found.values()) or list(map(driver_for, known_profiles()))
