"""The tables that a verdict is made from: what each must hold.

The rule of lab/verdict/conform.py and lab/verdict/read_run.py: bad input is reported whole. Every missing, mistyped or
impossible column of every table is listed in one `TableError`. Nothing is guessed, and a time without a zone is
refused rather than taken for UTC.
"""

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lab.errors import UserError
from meters.device.curve import CORE as CURVE_CORE
from meters.device.curve import REGISTERS as CURVE_FORM

DETECTED_FILE = "detected_outages.parquet"
PHASE_EVENTS_FILE = "phase_events.parquet"
EVENTS_FILE = "events.parquet"
QUALITIES = ("actual", "estimated", "revised")
ORIGINS = ("reported", "recovered")


class TableError(UserError):
    """The input cannot be judged. `faults` lists everything that is wrong with it."""


class Kind(Enum):
    """What a column holds, and the Arrow type that it is brought to."""

    TEXT = pa.dictionary(pa.int32(), pa.string())
    TIME = pa.timestamp("us", tz="UTC")
    INTEGER = pa.int64()
    NUMBER = pa.float64()
    FLAG = pa.bool_()


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    kind: Kind
    required: bool = True
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Schema:
    """Columns of one table. `one_of`: at least one of these names has to be present."""

    name: str
    columns: tuple[Column, ...]
    one_of: tuple[str, ...] = ()

    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)


def _columns(kind: Kind, names: str, *, required: bool = True, nullable: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, kind, required, nullable) for name in names.split())


PHASE_ENERGIES = "import_l1_wh import_l2_wh import_l3_wh export_l1_wh export_l2_wh export_l3_wh"
REGISTERS = "import_register_wh export_register_wh"
QUADRANTS = "reactive_q1_varh reactive_q2_varh reactive_q3_varh reactive_q4_varh"
REACTIVE_REGISTERS = QUADRANTS.replace("_varh", "_register_varh")
REACTIVE_TOTALS = "reactive_import_register_varh reactive_export_register_varh"
"""Of meters with two registers of reactive energy: quadrants I and II, III and IV."""
ALLOWANCES = f"import_allowed_wh export_allowed_wh {QUADRANTS.replace('_varh', '_allowed_varh')}"
POWERS_BY_WAY = "import_power_w export_power_w"
"""The net power over the phases, from 0 up, by its way."""
VOLTAGES = "voltage_l1_v voltage_l2_v voltage_l3_v"
CURRENTS = "current_l1_a current_l2_a current_l3_a"
POWER_FACTORS = "power_factor_l1 power_factor_l2 power_factor_l3"
PHASE_POWERS = (
    "active_power_l1_w active_power_l2_w active_power_l3_w"
    " reactive_power_l1_var reactive_power_l2_var reactive_power_l3_var"
)
MAX_DEMAND = "max_demand_import_w"
MAX_DEMAND_AT = "max_demand_at"
RATIOS = ("current_ratio", "voltage_ratio")
MOST_RATIO = 10_000.0
"""As the shipment file bounds them."""

_KINDS = {
    pa.string(): Kind.TEXT,
    pa.int64(): Kind.INTEGER,
    pa.float64(): Kind.NUMBER,
    pa.bool_(): Kind.FLAG,
}

TRUTH = Schema(
    "truth",
    (
        *_columns(Kind.TEXT, "usage_point"),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s"),
        *_columns(Kind.NUMBER, "energised_s import_wh export_wh"),
        *_columns(Kind.NUMBER, "voltage_v", nullable=True),
        # Runs of earlier releases do not say it.
        *_columns(Kind.NUMBER, QUADRANTS, required=False),
    ),
)
FRAMES = Schema(
    "frames",
    (
        *_columns(Kind.TIME, "time"),
        *_columns(Kind.TEXT, "usage_point"),
        *_columns(Kind.FLAG, "energised"),
        *_columns(Kind.NUMBER, "import_wh export_wh active_power_w"),
        *_columns(Kind.NUMBER, "reactive_power_var", required=False),
    ),
)
FLEET = Schema(
    "fleet",
    (
        *_columns(Kind.TEXT, "serial usage_point vendor_profile protocol"),
        # Runs of earlier releases do not say what their meters can do.
        *_columns(Kind.FLAG, "keeps_load_profile reports_outages", required=False),
        *_columns(Kind.INTEGER, "interval_length_s report_every_s"),
        *_columns(Kind.NUMBER, "accuracy_class_percent register_step_wh"),
        *_columns(Kind.NUMBER, "reactive_class_percent", required=False),
        # What carries the meter: a collector, or host and port of a gateway; empty where nothing does.
        *_columns(Kind.TEXT, "collector", required=False, nullable=True),
        # Of instrument transformers whose secondary the meter counts; earlier runs have none.
        *_columns(Kind.NUMBER, " ".join(RATIOS), required=False),
    ),
)
JOURNAL = Schema(
    "journal",
    (
        *_columns(Kind.TEXT, "serial usage_point"),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s import_wh export_wh"),
        # What a polled meter was not asked for, or does not have, is null.
        *_columns(Kind.INTEGER, PHASE_ENERGIES, nullable=True),
        *_columns(Kind.INTEGER, f"{REGISTERS} active_power_w"),
        *_columns(Kind.NUMBER, VOLTAGES),
        *_columns(Kind.INTEGER, "status", nullable=True),
        *_columns(Kind.NUMBER, "window_start_s window_end_s recorded_at_s"),
        # Journals of earlier releases do not say what the class allows at low load, nor do they have all quantities.
        *_columns(Kind.NUMBER, ALLOWANCES, required=False, nullable=True),
        *_columns(
            Kind.INTEGER, f"{QUADRANTS} {REACTIVE_REGISTERS} {PHASE_POWERS} {MAX_DEMAND}", required=False, nullable=True
        ),
        *_columns(Kind.NUMBER, f"{CURRENTS} {POWER_FACTORS}", required=False, nullable=True),
        *_columns(Kind.TIME, MAX_DEMAND_AT, required=False, nullable=True),
    ),
)
STORED = Schema(
    "stored",
    (
        *_columns(Kind.TEXT, "serial usage_point", required=False, nullable=True),
        *_columns(Kind.TIME, "interval_start"),
        *_columns(Kind.INTEGER, "interval_length_s"),
        *_columns(Kind.NUMBER, "import_wh", nullable=True),
        *_columns(Kind.TEXT, "vendor_profile", required=False, nullable=True),
        *_columns(Kind.NUMBER, "export_wh", required=False, nullable=True),
        *_columns(Kind.NUMBER, f"{PHASE_ENERGIES} {REGISTERS}", required=False, nullable=True),
        *_columns(Kind.NUMBER, f"active_power_w {POWERS_BY_WAY} {VOLTAGES}", required=False, nullable=True),
        *_columns(Kind.NUMBER, f"{QUADRANTS} {REACTIVE_REGISTERS} {MAX_DEMAND}", required=False, nullable=True),
        *_columns(Kind.NUMBER, REACTIVE_TOTALS, required=False, nullable=True),
        *_columns(Kind.NUMBER, f"{PHASE_POWERS} {CURRENTS} {POWER_FACTORS}", required=False, nullable=True),
        *_columns(Kind.TIME, MAX_DEMAND_AT, required=False, nullable=True),
        *_columns(Kind.INTEGER, "status revision", required=False, nullable=True),
        *_columns(Kind.TEXT, "quality origin", required=False),
        *_columns(Kind.TIME, "device_time received_at committed_at ingested_at", required=False, nullable=True),
        # When the registers of a polled meter were read at either end, by the head-end's clock.
        *_columns(Kind.TIME, "window_start window_end", required=False, nullable=True),
    ),
    one_of=("usage_point", "serial"),
)

# The part of a journal that says what polled meters showed at any instant.
# Those of earlier releases have fewer channels.
REGISTER_CURVES = Schema(
    "registers", tuple(Column(field.name, _KINDS[field.type], field.name in CURVE_CORE) for field in CURVE_FORM)
)

# What a head-end says of outages (lab/verdict/detected.py): one row per outage and customer.
DETECTED = Schema(
    "detected",
    (
        *_columns(Kind.TEXT, "outage usage_point"),
        *_columns(Kind.TEXT, "device", nullable=True),
        *_columns(Kind.TIME, "detected_at dark_from"),
        *_columns(Kind.TIME, "dark_to", nullable=True),
        *_columns(Kind.TEXT, "phase", required=False, nullable=True),
        *_columns(Kind.TIME, "gasp_received_at restore_received_at", required=False, nullable=True),
    ),
)

# Phases that were lost beside a supply (lab/verdict/phase_losses.py): what there was, and the events that are stored.
PHASE_LOSSES = Schema(
    "phase losses",
    (
        *_columns(Kind.TEXT, "usage_point phase"),
        *_columns(Kind.TIME, "start"),
        *_columns(Kind.TIME, "end", nullable=True),
        *_columns(Kind.INTEGER, "partial_s"),
    ),
)
PHASE_EVENTS = Schema(
    "phase events",
    (
        *_columns(Kind.TEXT, "usage_point code"),
        *_columns(Kind.TEXT, "phase", nullable=True),
        *_columns(Kind.TIME, "down_at up_at", nullable=True),
    ),
)

# The meters' event logs, and what the head-end has stored of them (lab/verdict/voltage_events.py).
EVENTS = Schema(
    "events",
    (
        *_columns(Kind.TEXT, "serial"),
        *_columns(Kind.INTEGER, "sequence", required=False),
        *_columns(Kind.TEXT, "code", required=False),
        *_columns(Kind.TIME, "device_time", required=False),
        *_columns(Kind.TEXT, "detail", required=False, nullable=True),
    ),
)

# Frames of the communications network, where a run has a model of one (lab/verdict/deliveries.py).
DELIVERIES_DIRECTORY = "network"
DELIVERIES = Schema(
    "deliveries",
    (
        *_columns(Kind.TEXT, "serial technology via"),
        *_columns(Kind.INTEGER, "direction delivery_class cause hops attempts bytes about"),
        *_columns(Kind.FLAG, "lit"),
        *_columns(Kind.TIME, "sent_at"),
        *_columns(Kind.TIME, "arrived_at", nullable=True),
    ),
)
TECHNOLOGIES = ("mesh", "plc", "cellular")
MOST_OF_FRAMES = {"hops": 255, "attempts": 255, "bytes": 2**32 - 1}
"""As meters write them: sums over all frames of a run are far from where integers end."""


@dataclass(frozen=True, slots=True)
class DeliveryLimit:
    """Of a class of messages: 98 % are to arrive `within_s` of being wanted (RFC 8036, 4.2)."""

    name: str
    within_s: float
    meaning: str

    @property
    def told(self) -> str:
        """The limit in words."""
        return f"{self.within_s:.0f} s" if self.within_s < 3600 else f"{self.within_s / 3600:.0f} h"


READ, FIRMWARE, GASP = 4, 5, 11
"""The classes of meter reads, of images of firmware, and of last gasps."""
CLASSES = {
    1: DeliveryLimit("c1_alarms", 5.0, "C1, outages and restorations"),
    2: DeliveryLimit("c2_control", 10.0, "C2, power quality, connect and disconnect"),
    3: DeliveryLimit("c3_system", 30.0, "C3, faults, configuration, security"),
    READ: DeliveryLimit("c4_reads", 7200.0, "C4, meter reads"),
}
"""By the value of `delivery_class`."""
REPORTED = {**CLASSES, FIRMWARE: DeliveryLimit("c5_firmware", 604_800.0, "C5, images of firmware")}
"""Those that are reported. No criterion is made of C5: an image has a week, and a run is shorter."""
CAUSES = (
    "on time",
    "dark",
    "radio",
    "collision",
    "collector",
    "cell",
    "backhaul",
    "energy",
    "jammed",
    "bulk",
    "registration",
)
"""By the value of `cause`: what a frame was lost or delayed by most."""
UP = 0
"""The direction to the head-end; 1 is the other one."""


@dataclass(frozen=True, slots=True)
class RunTables:
    """The tables of a run, each as its schema says; `detected` where the head-end says anything of outages.

    `registers`: what the journal has of polled meters, empty without any.
    """

    truth: pa.Table
    frames: pa.Table
    fleet: pa.Table
    journal: pa.Table
    stored: pa.Table
    detected: pa.Table | None = None
    registers: pa.Table = field(default_factory=lambda: empty(REGISTER_CURVES))


def empty(schema: Schema) -> pa.Table:
    """The table without rows, every column present."""
    return pa.table({c.name: pa.array([], c.kind.value) for c in schema.columns})


def capability(fleet: pa.Table, name: str) -> NDArray[np.bool_]:
    """Which meters (rows) can do this: a column of `FLEET`. In earlier runs, all that were not polled could do all."""
    if name in fleet.column_names:
        return np.asarray(fleet[name].to_numpy(), dtype=bool)
    return np.array([protocol != "modbus" for protocol in fleet["protocol"].to_pylist()], dtype=bool)
