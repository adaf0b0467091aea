"""A head-end that was told no ratio of instrument transformers: what a meter counts of the secondary is billed so."""

from dataclasses import replace

from headend import registry
from headend.ratios import NO_TRANSFORMERS
from headend.registry import EndDevice
from headend.store.devices import KnownDevice
from lab.parts.headend import HeadPart
from lab.parts.process import run_part

device_of = registry._device


def forget_ratios(index: int, row: KnownDevice) -> EndDevice:
    return replace(device_of(index, row), ratios=NO_TRANSFORMERS)


if __name__ == "__main__":
    registry._device = forget_ratios
    run_part("sabotage", lambda _name: HeadPart().handlers())
