"""The facts that a vendor profile states of a meter, by what the meter is made of. Units are in the names."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0)]
PositiveInt = Annotated[int, Field(gt=0, strict=True)]
MOST_WH, MOST_CURRENT_A = 2**53, 100_000
"""No meter's register is wider, and no transformer's current higher; with more, no head-end needs to take it."""
Share = Annotated[float, Field(ge=0, le=1)]


class MeterFacts(BaseModel):
    """What the profile states of any device."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    interval_length_s: PositiveInt
    report_every_s: PositiveInt
    register_step_wh: PositiveInt
    register_roll_over_wh: Annotated[int, Field(gt=0, le=MOST_WH, strict=True)]
    max_current_a: Annotated[float, Field(gt=0, le=MOST_CURRENT_A)]
    accuracy_class_percent: Positive
    reactive_class_percent: Positive = 2.0
    reference_current_a: Annotated[float, Field(gt=0, le=MOST_CURRENT_A)] = 5.0
    """Basic current Ib of a meter for direct connection (IEC 62053-21). Behind current transformers it is their rated
    current, at the meter's terminals."""
    transformer_operated: bool = False
    """Whether it is always behind current transformers. Any meter is that its shipment names transformers for."""
    voltage_error_percent: Positive = 0.5
    current_error_percent: Positive = 0.5
    class_error_share: Share
    near_roll_over_share: Share

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if faults := self.faults():
            raise ValueError("; ".join(faults))
        return self

    def faults(self) -> list[str]:
        """Which facts contradict each other."""
        faults = []
        if self.report_every_s % self.interval_length_s:
            faults.append("report_every_s is not a multiple of interval_length_s")
        if 86_400 % self.interval_length_s:
            faults.append("interval_length_s does not divide a day")
        if self.register_roll_over_wh % self.register_step_wh:
            faults.append("register_roll_over_wh is not a multiple of register_step_wh")
        return faults

    def set_to(self, interval_length_s: int) -> dict[str, int]:
        """What is another value at another capture period: it reports after as many intervals as before."""
        return {
            "interval_length_s": interval_length_s,
            "report_every_s": self.report_every_s // self.interval_length_s * interval_length_s,
        }


class ConnectedFacts(MeterFacts):
    """Of a meter with a communication processor that is connected, by itself or by its collector, to a broker."""

    boot_delay_min_s: Positive
    boot_delay_max_s: Positive
    reboot_extra_s: Annotated[float, Field(ge=0)]
    keep_alive_s: Annotated[int, Field(gt=0, le=65535, strict=True)]
    reconnect_first_s: Positive
    reconnect_limit_s: Positive

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.boot_delay_max_s < self.boot_delay_min_s:
            faults.append("boot_delay_max_s is less than boot_delay_min_s")
        if self.reconnect_limit_s < self.reconnect_first_s:
            faults.append("reconnect_limit_s is less than reconnect_first_s")
        return faults

    @property
    def silence_limit_s(self) -> float:
        """After this long without a packet the broker takes a client for gone (MQTT 3.1.1, 3.1.2.10)."""
        return 1.5 * self.keep_alive_s


class Facts(ConnectedFacts):
    """Of a meter with a clock, a load profile, a super-capacitor and a communication processor."""

    load_profile_depth_s: PositiveInt
    clock_drift_limit_s_per_day: Annotated[float, Field(ge=0)]
    sync_every_s: PositiveInt
    sync_error_limit_s: Annotated[float, Field(ge=0)]
    clock_event_threshold_s: Positive
    clock_reserve_s: Positive = 129_600.0
    """So long its clock runs on without supply; after more it is invalid until it is set."""
    nominal_voltage_v: Positive = 230.0
    sag_threshold_share: Annotated[float, Field(gt=0, lt=1)] = 0.9
    swell_threshold_share: Annotated[float, Field(gt=1)] = 1.1
    voltage_hysteresis_share: Share = 0.02
    qualifying_delay_s: Positive
    qualifying_offset_s: Annotated[float, Field(ge=0)]
    hold_up_s: Positive

    def faults(self) -> list[str]:
        faults = super().faults()
        faults += [
            f"{name} is not a multiple of interval_length_s"
            for name in ("sync_every_s", "load_profile_depth_s")
            if getattr(self, name) % self.interval_length_s
        ]
        if self.hold_up_s <= self.qualifying_delay_s + self.qualifying_offset_s:
            faults.append(
                f"hold_up_s ({self.hold_up_s:g}) ends before the last gasp: it must exceed qualifying_delay_s + "
                f"qualifying_offset_s ({self.qualifying_delay_s:g} + {self.qualifying_offset_s:g})"
            )
        return faults


class DirectFacts(Facts):
    """Of a meter with a load profile and a connection of its own."""

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.report_every_s != self.interval_length_s:
            faults.append("report_every_s differs from interval_length_s: this wire reports each interval when it ends")
        return faults


class CollectedFacts(Facts):
    """Of meters behind a collector, and of the collector."""

    meters_per_collector: PositiveInt
    collector_passes_transformers: Annotated[bool, Field(strict=True)]
    """Whether a collector reaches meters behind another transformer than its own."""
    gasp_heard_share: Share
    unreachable_after_s: Positive
    collector_battery_s: Positive

    @property
    def by_power_line(self) -> bool:
        """Whether the collector reaches its meters over the line, which ends at a transformer; else by radio."""
        return not self.collector_passes_transformers


class CountingFacts(MeterFacts):
    """Of a meter that counts registers, and keeps no intervals.

    `register_step_wh` is the coarsest step that its registers show, `counting_step_wh` what it counts in.
    """

    counting_step_wh: Positive
    frequency_hz: Positive

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.counting_step_wh > self.register_step_wh:
            faults.append("counting_step_wh is more than register_step_wh")
        return faults


class PolledFacts(CountingFacts):
    """Of a meter that speaks when it is asked; and of its gateway."""

    start_up_s: Positive
    gateway_boot_s: Positive
    reboot_s: Positive


class ReportingFacts(ConnectedFacts, CountingFacts):
    """Of a meter that publishes what its registers show, in each interval once or more."""

    registers_every_s: PositiveInt

    def faults(self) -> list[str]:
        faults = super().faults()
        if self.interval_length_s % self.registers_every_s:
            faults.append("interval_length_s is not a multiple of registers_every_s")
        return faults

    def set_to(self, interval_length_s: int) -> dict[str, int]:
        """As often as ever, but at least once in each interval."""
        return {
            **super().set_to(interval_length_s),
            "registers_every_s": min(self.registers_every_s, interval_length_s),
        }
