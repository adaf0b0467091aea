"""The parameters of the communications network: parameters.toml, with the changes that a scenario makes.

docs/communications-network.md shows them as tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Positive = Annotated[float, Field(ge=1e-9, le=1e9)]
"""What is divided by it stays an instant that can be reckoned with."""
NotNegative = Annotated[float, Field(ge=0, le=1e9)]
Decibel = Annotated[float, Field(ge=-300, le=300)]
Share = Annotated[float, Field(ge=0, le=1)]
LinkShare = Annotated[float, Field(gt=0, lt=1)]
LossShare = Annotated[float, Field(ge=0, le=0.9)]
Few = Annotated[int, Field(ge=1, le=20, strict=True)]
Bytes = Annotated[int, Field(ge=1, le=65_536, strict=True)]
Grade = Literal["V", "S", "K", "assumption"]


class _Parameters(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeshParameters(_Parameters):
    """Of an RF mesh."""

    transmit_power_dbm: Decibel
    sensitivity_dbm: Decibel
    loss_at_1_m_db: Decibel
    path_loss_exponent: Annotated[float, Field(ge=1, le=8)]
    building_loss_db: Decibel
    shadowing_db: NotNegative
    fading_db: Positive
    least_link_success: LinkShare
    most_link_etx: Annotated[float, Field(gt=1, le=100)]
    antenna_margin_db: Decibel
    antenna_reach: Annotated[float, Field(ge=1, le=100)]
    hop_transmissions: Few
    hop_latency_least_s: NotNegative
    hop_latency_most_s: Positive
    bit_rate_bps: Positive
    fragment_bytes: Bytes
    end_to_end_tries: Few
    end_to_end_wait_s: Positive
    read_wait_s: Positive
    read_spacing_s: NotNegative
    heal_s: NotNegative
    gasp_transmissions: Few
    gasp_window_s: Positive
    gasp_slot_s: Positive
    gasp_wait_s: Positive


class PlcParameters(_Parameters):
    """Of a power-line carrier."""

    attenuation_db_per_m: Positive
    detour: Annotated[float, Field(ge=1, le=10)]
    budget_db: Decibel
    shadowing_db: NotNegative
    fading_db: Positive
    least_link_success: LinkShare
    repeater_margin_db: Decibel
    noise_db_by_hour: Annotated[tuple[Decibel, ...], Field(min_length=24, max_length=24)]
    poll_first_s: Positive
    poll_per_repeater_s: NotNegative
    poll_tries: Few
    rounds: Few
    round_least_s: Positive
    availability_least: Share
    spell_s: Positive
    fragment_bytes: Bytes
    late_share: Share
    late_most_s: NotNegative
    rejoin_least_s: NotNegative
    rejoin_most_s: NotNegative
    outage_report_s: NotNegative


class CellularParameters(_Parameters):
    """Of a cellular network."""

    spacing_m: Annotated[float, Field(ge=10, le=1e6)]
    loss_at_1_km_db: Decibel
    path_loss_exponent: Annotated[float, Field(ge=1, le=8)]
    building_loss_db: Decibel
    shadowing_db: NotNegative
    most_coupling_loss_db: Decibel
    easy_coupling_loss_db: Decibel
    operators: Annotated[int, Field(ge=1, le=9, strict=True)]
    latency_least_s: NotNegative
    latency_easy_s: NotNegative
    latency_most_s: Positive
    up_bps: Positive
    down_bps: Positive
    loss_share: LossShare
    loss_share_at_edge: LossShare
    retransmission_s: Positive
    attaches_per_s: Positive
    attach_s: Positive
    attach_wait_first_s: Positive
    attach_wait_most_s: Positive
    attach_tries: Annotated[int, Field(ge=1, le=50, strict=True)]
    messages_per_s: Positive


class BackhaulParameters(_Parameters):
    """Between a collector and the broker."""

    latency_least_s: NotNegative
    latency_most_s: Positive
    bps: Positive
    loss_share: LossShare
    retransmission_s: Positive


class FirmwareParameters(_Parameters):
    """Of an image of firmware that all meters of a mesh or a line get."""

    image_bytes: Annotated[int, Field(ge=1, le=100_000_000, strict=True)]
    airtime_share: Annotated[float, Field(gt=0, le=0.9)]
    restart_least_s: NotNegative
    restart_most_s: NotNegative


class NetworkParameters(_Parameters):
    """Of the whole communications network."""

    mesh: MeshParameters
    plc: PlcParameters
    cellular: CellularParameters
    backhaul: BackhaulParameters
    firmware: FirmwareParameters


class Parameter(BaseModel):
    """One as the file states it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: int | float | tuple[float, ...]
    unit: str
    source: Annotated[str, Field(min_length=1)]
    grade: Grade


_FIXED = "fixed"


def stated() -> dict[str, dict[str, Parameter]]:
    """All that a scenario may change, by technology and name."""
    return {technology: entries for technology, entries in _file().items() if technology != _FIXED}


def fixed() -> dict[str, Parameter]:
    """What no scenario changes, by module and constant."""
    return _file()[_FIXED]


@cache
def _file() -> dict[str, dict[str, Parameter]]:
    text = files("meters.radio").joinpath("parameters.toml").read_text(encoding="utf-8")
    return {
        technology: {name: Parameter.model_validate(entry) for name, entry in entries.items()}
        for technology, entries in tomllib.loads(text).items()
    }


def load_parameters(overrides: Mapping[str, Any] | None = None) -> NetworkParameters:
    """The parameters with these changes, by technology and name. Raises ValueError, which lists every fault."""
    values: dict[str, Any] = {
        technology: {name: entry.value for name, entry in entries.items()} for technology, entries in stated().items()
    }
    faults = []
    for technology, changes in (overrides or {}).items():
        if technology not in values:
            faults.append(f"{technology}: there is no such technology; there are {', '.join(values)}")
        elif not isinstance(changes, Mapping):
            faults.append(f"{technology}: is no table of parameters")
        else:
            values[technology] = {**values[technology], **changes}
    try:
        parameters = NetworkParameters.model_validate(values)
    except ValidationError as error:
        faults += [_fault(each) for each in error.errors(include_url=False)]
    else:
        faults += _contradictions(parameters)
    if faults:
        raise ValueError("; ".join(faults))
    return parameters


def _fault(each: Any) -> str:
    where = ".".join(map(str, each["loc"]))
    if each["type"] == "extra_forbidden":
        technology, _, _ = where.partition(".")
        return f"{where}: there is no such parameter; there are {', '.join(stated().get(technology, ()))}"
    return f"{where}: {each['msg'][:1].lower()}{each['msg'][1:]} (given: {each['input']!r:.60})"


def _contradictions(parameters: NetworkParameters) -> list[str]:
    ordered = (
        ("mesh", "hop_latency_least_s", "hop_latency_most_s"),
        ("plc", "rejoin_least_s", "rejoin_most_s"),
        ("cellular", "easy_coupling_loss_db", "most_coupling_loss_db"),
        ("cellular", "latency_least_s", "latency_easy_s"),
        ("cellular", "latency_easy_s", "latency_most_s"),
        ("cellular", "loss_share", "loss_share_at_edge"),
        ("cellular", "attach_wait_first_s", "attach_wait_most_s"),
        ("backhaul", "latency_least_s", "latency_most_s"),
        ("firmware", "restart_least_s", "restart_most_s"),
    )
    faults = [
        f"{technology}.{least} is more than {technology}.{most}"
        for technology, least, most in ordered
        if getattr(getattr(parameters, technology), least) > getattr(getattr(parameters, technology), most)
    ]
    mesh = parameters.mesh
    if mesh.least_link_success * mesh.most_link_etx < 1:
        faults.append(
            f"mesh.least_link_success lets installers use links that routes do not use: with mesh.most_link_etx "
            f"{mesh.most_link_etx:g} it must be at least {1 / mesh.most_link_etx:g}"
        )
    return faults
