"""A polled meter's driver, from the TOML file that states it: no code, its registers are data (docs/drivers.md)."""

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from headend.drivers.driver import Capabilities, Driver
from headend.drivers.register_map import RegisterMap
from headend.errors import DriverError, faults_of

#: It speaks when it is asked, and whoever asks verifies: Modbus has no place for a signature.
POLLED = Capabilities(
    carrier="modbus",
    reports_itself=False,
    keeps_load_profile=False,
    reports_outages=False,
    last_verifier="gateway_link",
    purposes=frozenset(("ping", "register.read")),
)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor_profile: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
    #: The document that the registers are from.
    source: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    interval_length_s: Annotated[int, Field(gt=0, le=86_400)]
    max_current_a: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    registers: RegisterMap


def parse_driver(text: str, *, origin: str) -> Driver:
    """The driver that a `driver.toml` states. Raises DriverError with every fault, each with its key."""
    try:
        document: Mapping[str, Any] = tomllib.loads(text)
        stated = _File.model_validate(document)
    except ValidationError as error:
        raise DriverError(f"{origin}: " + "; ".join(faults_of(error))) from error
    except (ValueError, RecursionError) as error:
        # Not only a TOMLDecodeError: a number of thousands of digits, and what is nested too deeply.
        raise DriverError(f"{origin}: not TOML: {error}") from error
    return Driver(
        vendor_profile=stated.vendor_profile,
        capabilities=POLLED,
        interval_length_s=stated.interval_length_s,
        # Each interval is there once its end was polled.
        report_every_s=stated.interval_length_s,
        max_current_a=stated.max_current_a,
        register_range_wh=stated.registers.roll_over_wh,
        modbus=stated.registers,
    )
