"""`compose/.env`: what `amilab compose init` wrote and the user may change. Docker Compose reads the same file.

As for Docker Compose, a variable of the environment goes before the file's.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from lab.errors import UserError

ENV = ".env"
HEADEND_PASSWORD = "headend_database_password"  # noqa: S105 - a file's name
"""In `secrets/`: of the role that the head-end has in the database."""
MOST_INGEST_WORKERS = 64
INIT_HINT = "Run `amilab compose init` first: it writes compose/.env, keys and passwords."
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}
_MIB = 2**20
PROCESS_MIB = 64
"""Of a container of meters before it has any."""
METER_MIB = 0.12
"""Of each meter in it; measured at 0.05 to 0.08 (docs in compose/README.md)."""


def parse_memory(value: object) -> int:
    """Bytes, from a number with Docker's unit: 512m, 2g. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([bkmg]?)b?", str(value).strip().lower())
    if found is None:
        raise ValueError(f"is {value!r}; it must be a size such as 512m or 2g")
    return int(found[1]) * _UNITS[found[2]]


Memory = Annotated[int, BeforeValidator(parse_memory)]
Port = Annotated[int, Field(ge=1, le=65535)]


class ComposeSettings(BaseModel):
    """The settings that the lab itself needs; images and memory limits are Docker's business only."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    project: str = Field(default="amilab", pattern=r"^[a-z0-9][a-z0-9_-]*$", alias="AMILAB_PROJECT")
    compose_file: str = Field(default="compose.yaml", alias="COMPOSE_FILE")
    uid: int = Field(ge=1, alias="AMILAB_UID")
    gid: int = Field(ge=1, alias="AMILAB_GID")
    meters_per_container: int = Field(default=500, ge=1, alias="METERS_PER_CONTAINER")
    spare_meters: int = Field(default=1, ge=0, alias="AMILAB_SPARE_METERS")
    ingest_workers: int = Field(default=1, ge=1, le=MOST_INGEST_WORKERS, alias="AMILAB_INGEST_WORKERS")
    kept_runs: int = Field(default=5, ge=1, alias="AMILAB_KEPT_RUNS")
    link_port: Port = Field(default=7400, alias="AMILAB_LINK_PORT")
    broker_port: Port = Field(default=8883, alias="AMILAB_BROKER_PORT")
    database_port: Port = Field(default=5433, alias="AMILAB_DATABASE_PORT")
    grafana_port: Port = Field(default=3000, alias="AMILAB_GRAFANA_PORT")
    broker_address: IPv4Address = Field(default=IPv4Address("198.18.64.2"), alias="AMILAB_BROKER_ADDRESS")
    metering_subnet: IPv4Network = Field(default=IPv4Network("198.18.64.0/18"), alias="AMILAB_METERING_SUBNET")
    metering_range: IPv4Network = Field(default=IPv4Network("198.18.96.0/19"), alias="AMILAB_METERING_RANGE")
    lab_subnet: IPv4Network = Field(default=IPv4Network("198.18.0.0/18"), alias="AMILAB_LAB_SUBNET")

    meters_memory: Memory = Field(default=2**30, alias="AMILAB_METERS_MEMORY", validate_default=True)

    @model_validator(mode="after")
    def _memory_suffices(self) -> ComposeSettings:
        needed_mib = PROCESS_MIB + METER_MIB * self.meters_per_container
        if self.meters_memory < needed_mib * _MIB:
            raise ValueError(
                f"AMILAB_METERS_MEMORY is {self.meters_memory // _MIB} MiB, too little for METERS_PER_CONTAINER="
                f"{self.meters_per_container}: it takes about {needed_mib:,.0f} MiB"
            )
        return self

    @property
    def files(self) -> list[str]:
        """What the project is made of, relative to its directory."""
        return self.compose_file.split(":")

    @model_validator(mode="after")
    def _addresses_fit(self) -> ComposeSettings:
        faults = {
            "AMILAB_BROKER_ADDRESS is not in AMILAB_METERING_SUBNET": self.broker_address not in self.metering_subnet,
            "AMILAB_METERING_RANGE is not in AMILAB_METERING_SUBNET": not self.metering_range.subnet_of(
                self.metering_subnet
            ),
            "AMILAB_BROKER_ADDRESS is in AMILAB_METERING_RANGE, which Docker gives to others": self.broker_address
            in self.metering_range,
            "AMILAB_METERING_SUBNET and AMILAB_LAB_SUBNET overlap": self.metering_subnet.overlaps(self.lab_subnet),
        }
        if any(faults.values()):
            raise ValueError("; ".join(fault for fault, found in faults.items() if found))
        return self


def read_settings(directory: Path) -> ComposeSettings:
    """The settings in `directory`/.env.

    :raises UserError: there is no such file, or listing everything that is wrong in it.
    """
    path = directory / ENV
    if not path.is_file():
        raise UserError(f"there is no {path}", INIT_HINT)
    return parse_settings({**dotenv_values(path), **os.environ}, str(path))


def parse_settings(values: Mapping[str, str | None], source: str) -> ComposeSettings:
    """Raises UserError, listing every fault."""
    try:
        return ComposeSettings.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        faults = [f"{source}: {_said(fault, values)}" for fault in error.errors()]
        missing = any(fault["type"] == "missing" for fault in error.errors())
        hint = f"Correct {source}; compose/README.md lists every setting."
        raise UserError(faults, f"{hint} {INIT_HINT}" if missing else hint) from None


def _said(fault: ErrorDetails, values: Mapping[str, str | None]) -> str:
    if not fault["loc"]:  # of several settings, which it names
        return fault["msg"].removeprefix("Value error, ")
    name = str(fault["loc"][0])
    if fault["type"] == "missing":
        return f"{name} is missing"
    if fault["type"] == "value_error":  # in our words
        return f"{name} {fault['msg'].removeprefix('Value error, ')}"
    return f"{name}={values[name]}: {fault['msg']}"
