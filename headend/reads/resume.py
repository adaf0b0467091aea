"""What is still to be asked for when the head-end starts: schedules and requests as the database knows them."""

from collections.abc import Sequence

from headend.backoff import BackOff
from headend.commands import issue as commands
from headend.reads.recovery import Ask, Recovery
from headend.reads.schedule import Cadence, Schedule
from headend.registry import EndDevice
from headend.settings import HeadEndSettings
from headend.store.database import Connection
from headend.store.devices import offline
from headend.store.intervals import settled_since


def no_recovery(settings: HeadEndSettings, devices: Sequence[EndDevice]) -> Recovery:
    """For who does not follow the schedules: nobody owes anything."""
    return _recovery_of(settings, devices, Schedule([None] * len(devices), [0.0] * len(devices), grace_s=0))


async def resume(
    connection: Connection, settings: HeadEndSettings, devices: Sequence[EndDevice], *, now_s: float
) -> Recovery:
    """For who follows them: goes on where an earlier life ended. `now_s`: the head-end's clock, epoch s."""
    horizon_s = now_s - settings.recovery_horizon_s
    schedule = Schedule(
        [
            Cadence(device.driver.interval_length_s, device.driver.report_every_s)
            if device.driver.capabilities.keeps_load_profile
            else None
            for device in devices
        ],
        [max(device.registered_at_s, horizon_s) for device in devices],
        grace_s=settings.gap_grace_s,
    )
    index_of = {device.id: device.index for device in devices}
    async for meter_id, start_s, length_s in settled_since(connection, horizon_s - 86400):
        schedule.settle(index_of[meter_id], start_s, length_s)
    recovery = _recovery_of(settings, devices, schedule)
    recovery.restore(
        offline=[index_of[meter_id] for meter_id in await offline(connection)],
        issued=[
            (command_id, Ask(index_of[meter_id], from_s, to_s), expires_s)
            for command_id, meter_id, from_s, to_s, expires_s in await commands.open_commands(connection)
        ],
        ended=[
            (command_id, Ask(index_of[meter_id], from_s, to_s))
            for command_id, meter_id, from_s, to_s in await commands.ended_commands(connection)
        ],
        now_s=now_s,
    )
    return recovery


def _recovery_of(settings: HeadEndSettings, devices: Sequence[EndDevice], schedule: Schedule) -> Recovery:
    return Recovery(
        schedule,
        [device.serial for device in devices],
        back_off=BackOff(settings.retry_first_s, settings.retry_max_s),
        silent_s=settings.retry_silent_s,
        return_delay_s=settings.return_delay_s,
        max_per_sweep=settings.recovery_max_per_sweep,
    )
