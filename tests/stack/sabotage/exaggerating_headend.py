"""A head-end that stores one sag deeper than its meter told it."""

from headend.drivers import event_log
from headend.drivers.records import EndDeviceEvent
from headend.drivers.rl_dsp import wire
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

end_device_event = event_log.end_device_event
_done: list[object] = []


def exaggerated(*, device_time_s: int, sequence: object, code: object, detail: object) -> EndDeviceEvent:
    if code == "voltage_sag" and not _done and isinstance(detail, dict):
        _done.append(code)
        detail = {**detail, "lowest_v": detail["lowest_v"] - 1}
    return end_device_event(device_time_s=device_time_s, sequence=sequence, code=code, detail=detail)


if __name__ == "__main__":
    wire.end_device_event = exaggerated  # type: ignore[attr-defined] # that is the sabotage
    run_part("sabotage", lambda _name: HeadPart().handlers())
