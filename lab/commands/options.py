"""The options that several commands have, each once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lab.commands.secret_option import AT_FILE
from lab.fleet.presets import PRESETS
from lab.processes.private_environment import BROKER_URL, DATABASE_URL
from lab.scenario.network import NetworkModel

RUNS = Path("runs")
_FLEETS = "; ".join(f"[b]{name}[/b]: {preset.description}" for name, preset in sorted(PRESETS.items()))

Scenario = Annotated[str, typer.Argument(help="A bundled scenario's name, or a path to a TOML file.")]
Seed = Annotated[int | None, typer.Option(help="Instead of the scenario's seed.", min=0)]
Feeder = Annotated[
    str | None,
    typer.Option(
        help="Instead of the scenario's: [b]schutterwald[/b], [b]simbench:[/b]CODE (its loads up to 1 kV get "
        "meters), or [b]file:[/b]PATH of a pandapower JSON file."
    ),
]
Fleet = Annotated[
    str | None,
    typer.Option(
        help=f"Instead of the scenario's: {_FLEETS}; or shares of vendors, [b]rl-dsp=0.3,file:acme.toml=0.7[/b] "
        "(see `amilab vendors`)"
    ),
]
Meters = Annotated[
    int | None, typer.Option(help="Meter only so many usage points, drawn by seed; the others are load.", min=1)
]
Network = Annotated[
    NetworkModel | None,
    typer.Option(
        help="Instead of the scenario's: [b]radio[/b], a mesh, cells or a power line decide which frames arrive, and "
        "when; or [b]none[/b]."
    ),
]
Out = Annotated[Path, typer.Option(help="Where the directory of this run is made.", file_okay=False)]
DatabaseUrl = Annotated[
    str | None,
    typer.Option(
        help=f"Store in this PostgreSQL, in a schema of the run's own, instead of an embedded one. {AT_FILE}",
        envvar=DATABASE_URL,
    ),
]
BrokerUrl = Annotated[
    str | None,
    typer.Option(
        help=f"Use this MQTT broker, mqtt://user:password@host:port, instead of an embedded one. {AT_FILE}",
        envvar=BROKER_URL,
    ),
]
Keep = Annotated[bool, typer.Option("--keep", help="Keep the database and the meters' memory.")]
Compose = Annotated[bool, typer.Option("--compose", help="Run in the containers of compose/ instead of in processes.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all of it as JSON, for programs.")]
Run = Annotated[
    Path, typer.Option("--run", help="The run's directory, or the one in which runs are made.", file_okay=False)
]
