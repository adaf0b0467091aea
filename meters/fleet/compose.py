"""Which parts a shard is composed of: decided by the capabilities of its meters alone.

What a carrier needs is loaded when there is such a meter: each brings its own libraries.
"""

from __future__ import annotations

from typing import cast

from meters.device.curve import MOMENTARY_NAMES
from meters.device.facts import ConnectedFacts, PolledFacts
from meters.device.supply import PlainSupply, Supplies
from meters.fleet.core import Core, ShardSetup
from meters.fleet.counting import Counting
from meters.fleet.parts import Record, Supply
from meters.fleet.recording import Recording
from meters.fleet.shard import Shard
from meters.vendors.wires import device_metrics, recording_wire, registers_of, reporting_wire


def compose(setup: ShardSetup) -> Shard:
    """Raises FleetError: an address that is none; ProfileError: a wire that is none."""
    capabilities = setup.profile.capabilities
    if capabilities.needs_gateway:
        return _polled(setup)
    if capabilities.needs_collector:
        return _collected(setup)
    return _recording(setup) if capabilities.keeps_load_profile else _reporting(setup)


def _recording(setup: ShardSetup) -> Shard:
    from meters.fleet.direct import Direct
    from meters.fleet.voices import RecordingVoice

    wire = recording_wire(setup.profile)
    core = Core(setup)
    carrier = Direct(core, wire)

    def equip(new: bool) -> tuple[Supply, Record]:
        supply = Supplies(core.state, core.keys, cast(ConnectedFacts, setup.profile.facts))
        record = Recording(core, new=new)
        carrier.attach(supply, RecordingVoice(core, record, wire, carrier))
        return supply, record

    return Shard(core, carrier, equip)


def _reporting(setup: ShardSetup) -> Shard:
    from meters.fleet.direct import Direct
    from meters.fleet.voices import ReportingVoice

    wire = reporting_wire(setup.profile)
    core = Core(setup)
    carrier = Direct(core, wire)

    def equip(_new: bool) -> tuple[Supply, Record]:
        supply = Supplies(core.state, core.keys, cast(ConnectedFacts, setup.profile.facts))
        record = Counting(core, carrier.answers_from_s, digits_of=wire.QUANTITY_STEPS)
        carrier.attach(supply, ReportingVoice(core, record, wire, carrier))
        return supply, record

    return Shard(core, carrier, equip)


def _collected(setup: ShardSetup) -> Shard:
    from meters.fleet.collected import Collected
    from meters.fleet.collectors import by_collector

    core = Core(by_collector(setup))
    carrier = Collected(core, device_metrics(setup.profile))

    def equip(new: bool) -> tuple[Supply, Record]:
        supply = Supplies(core.state, core.keys, cast(ConnectedFacts, setup.profile.facts))
        record = Recording(core, new=new)
        carrier.attach(supply, record, new=new)
        return supply, record

    return Shard(core, carrier, equip)


def _polled(setup: ShardSetup) -> Shard:
    from meters.fleet.polled import Polled

    registers = registers_of(setup.profile)
    core = Core(setup)
    carrier = Polled(core, registers)

    def equip(_new: bool) -> tuple[Supply, Record]:
        supply = PlainSupply(core.state, cast(PolledFacts, setup.profile.facts))
        record = Counting(
            core,
            carrier.answers_from_s,
            float32_unit_wh=registers.float32_unit_wh,
            digits_of={name: registers.step_of(name) for name in MOMENTARY_NAMES},
            demands=carrier.demands,
        )
        carrier.attach(supply, record)
        return supply, record

    return Shard(core, carrier, equip)
