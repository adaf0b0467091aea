"""What is still to be asked for when the head-end starts: schedules and requests as the database knows them."""

from collections.abc import Mapping, Sequence

from headend.commands.purposes import LOAD_PROFILE_READ
from headend.commands.service import RECOVERY
from headend.pace import carrier_of, pace_of
from headend.reads.recovery import Ask, Recovery
from headend.reads.schedule import Cadence, Schedule
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.commands import KnownCommand, ended_commands, open_commands
from headend.store.database import Connection
from headend.store.devices import offline
from headend.store.intervals import settled_since


def no_recovery(settings: HeadEndSettings, devices: Sequence[EndDevice]) -> Recovery:
    """For who does not follow the schedules: nobody owes anything."""
    return _recovery_of(settings, devices, Schedule([None] * len(devices), [0.0] * len(devices)))


async def resume(
    connection: Connection, settings: HeadEndSettings, devices: Sequence[EndDevice], *, now_s: float
) -> Recovery:
    """For who follows them: goes on where an earlier life ended. `now_s`: the head-end's clock, epoch s."""
    horizon_s = now_s - settings.recovery_horizon_s
    schedule = Schedule(
        [
            Cadence(device.driver.interval_length_s, device.driver.report_every_s, pace_of(settings, device).grace_s)
            if device.driver.capabilities.keeps_load_profile
            else None
            for device in devices
        ],
        [max(device.registered_at_s, horizon_s) for device in devices],
    )
    index_of = {device.id: device.index for device in devices}
    async for meter_id, start_s, length_s in settled_since(connection, horizon_s - 86400):
        schedule.settle(index_of[meter_id], start_s, length_s)
    recovery = _recovery_of(settings, devices, schedule)
    recovery.restore(
        offline=[index_of[meter_id] for meter_id in await offline(connection)],
        issued=[
            (command.command_id, _ask_of(command, index_of), command.expires_s)
            for command in await open_commands(connection)
            if command.requested_by == RECOVERY
        ],
        ended=[
            (command.command_id, _ask_of(command, index_of))
            for command in await ended_commands(connection, LOAD_PROFILE_READ)
        ],
        now_s=now_s,
    )
    return recovery


def _ask_of(command: KnownCommand, index_of: Mapping[int, int]) -> Ask:
    return Ask(index_of[command.meter_id], int(command.params["from"]), int(command.params["to"]))


def _recovery_of(settings: HeadEndSettings, devices: Sequence[EndDevice], schedule: Schedule) -> Recovery:
    return Recovery(
        schedule,
        [device.serial for device in devices],
        paces=[pace_of(settings, device) for device in devices],
        carriers=[carrier_of(device) for device in devices],
        return_delay_s=settings.return_delay_s,
        max_per_sweep=settings.recovery_max_per_sweep,
    )
