"""`amilab command`: have the head-end of a running lab command meters, and wait for what becomes of it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from grid.wording import counted
from lab.commands.options import RUNS, AsJson, Run
from lab.commands.refusal import refusals_shown
from lab.errors import UserError
from lab.scenario.load import parse_duration
from lab.wording import printable

if TYPE_CHECKING:
    from lab.live.client import Client

app = typer.Typer(
    help="Command meters of the lab that `amilab up` keeps running. Exit code 0: all completed; 1: some did not.",
    no_args_is_help=True,
)

Serials = Annotated[list[str], typer.Argument(help="Meters, by serial (AMI00000001).")]
Within = Annotated[str, typer.Option(help="Each command ends within so much of the lab's time.")]
DEFAULT_WITHIN = "1min"
NOT_COMPLETED = 1
LOOK_EVERY_S = 0.2
WIDTH = 200
MOST_ROWS = 100
"""In the table; of more, those that were not completed come first."""


@app.command()
def ping(serials: Serials, within: Within = DEFAULT_WITHIN, as_json: AsJson = False, run: Run = RUNS) -> None:
    """Ask meters whether they are there. An answer of a gateway or a collector is none."""
    _command("ping", serials, within, as_json=as_json, run=run)


@app.command()
def read(serials: Serials, within: Within = DEFAULT_WITHIN, as_json: AsJson = False, run: Run = RUNS) -> None:
    """Read registers, power and voltages of meters now."""
    _command("register.read", serials, within, as_json=as_json, run=run)


def _command(purpose: str, serials: Sequence[str], within: str, *, as_json: bool, run: Path) -> None:
    from lab.live.client import Client

    console = Console(stderr=True, highlight=False)
    with refusals_shown():
        within_s = _within_s(within)
        client = Client.of(run)
        unique = list(dict.fromkeys(serials))
        _require_known(client, unique)
        with console.status(f"{counted(len(unique), 'meter')}: each ends within {within} of the lab's time") as status:
            commands = _ends(client, purpose, unique, within_s, status)
    if as_json:
        typer.echo(json.dumps({"purpose": purpose, "ends": dict(_tally(commands)), "commands": commands}, indent=2))
    else:
        _show(commands, shows=purpose == "register.read")
    raise typer.Exit(0 if all(each["state"] == "completed" for each in commands) else NOT_COMPLETED)


def _within_s(text: str) -> int:
    from lab.live.asked import LEAST_WITHIN_S

    try:
        length_s = parse_duration(text)
    except ValueError as error:
        raise UserError(f"--within: {error}", "Write lengths like 30s, 2min, 1h.") from error
    if not LEAST_WITHIN_S <= length_s <= 86_400:
        raise UserError(f"--within is {text}; it must be from {LEAST_WITHIN_S} s to a day")
    return length_s


def _require_known(client: Client, serials: Sequence[str]) -> None:
    """Before the first command: all that are wrong are said at once."""
    from lab.live.commanding import HINT, unknown_meters

    known = frozenset(client.get("scene")["serials"])
    if unknown := [serial for serial in serials if serial not in known]:
        raise UserError(unknown_meters(unknown), HINT)


def _ends(client: Client, purpose: str, serials: Sequence[str], within_s: int, status: Status) -> list[dict[str, Any]]:
    """Order in as many requests as it takes, and look until the last has ended."""
    from lab.live.asked import MOST_COMMANDED

    batches = [serials[first : first + MOST_COMMANDED] for first in range(0, len(serials), MOST_COMMANDED)]
    waiting = [
        client.post("commands", {"purpose": purpose, "serials": batch, "within_s": within_s})["order"]
        for batch in batches
    ]
    ended: list[dict[str, Any]] = []
    while waiting:
        time.sleep(LOOK_EVERY_S)
        found = client.get(f"commands/{waiting[0]}")
        if found["ended"]:
            ended += found["commands"]
            waiting.pop(0)
        elif found["lagging"]:
            status.update(_cell(found["lagging"]))
        else:
            under_way = sum(not each["ended"] for each in found["commands"])
            status.update(
                f"{len(ended):,} of {len(serials):,} have ended; waiting for {under_way:,} more of this order"
            )
    return ended


def _tally(commands: Iterable[dict[str, Any]]) -> Counter[str]:
    return Counter(each["state"] for each in commands)


def _show(commands: Sequence[dict[str, Any]], *, shows: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        # For a file or another program: nothing is folded.
        console = Console(highlight=False, width=WIDTH)
    ordered = sorted(commands, key=lambda each: (each["state"] == "completed", each["serial"]))
    rows = ordered[:MOST_ROWS]
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("meter", "end", "round trip", "why"):
        table.add_column(heading, justify="right" if heading == "round trip" else "left", no_wrap=heading != "why")
    if shows:
        for heading in ("read at", "import kWh", "export kWh", "power W", "voltages V"):
            table.add_column(heading, justify="left" if heading == "read at" else "right")
    for each in sorted(rows, key=lambda each: each["serial"]):
        style = "green" if each["state"] == "completed" else "red"
        trip = each["round_trip_s"]
        cells = [
            _cell(each["serial"]),
            f"[{style}]{each['state']}[/]",
            "–" if trip is None else f"{trip * 1000:,.0f} ms",
            _cell((each["reason"] or "").replace("_", " ")),
        ]
        table.add_row(*cells, *(_registers(each.get("registers")) if shows else ()))
    console.print(table)
    if len(commands) > len(rows):
        console.print(f"and {counted(len(commands) - len(rows), 'more meter')}; --json has all", style="dim")
    console.print(", ".join(f"{count:,} {state}" for state, count in sorted(_tally(commands).items())))


def _cell(text: str) -> str:
    """Others' words: a meter writes neither markup nor escape sequences."""
    return escape(printable(text))


def _registers(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["–"] * 5
    volts = [found[f"voltage_l{phase}_v"] for phase in (1, 2, 3)]
    at = datetime.fromtimestamp(found["read_at_s"], UTC)
    doubt = "" if found["implausible"] is None else f" ({found['implausible'].replace('_', ' ')})"
    return [
        f"{at:%F %T}{doubt}",
        *(_scaled(found[name], 1000, 3) for name in ("import_register_wh", "export_register_wh")),
        _scaled(found["active_power_w"], 1, 0),
        " ".join("–" if volt is None else f"{volt:.1f}" for volt in volts),
    ]


def _scaled(value: int | None, by: int, digits: int) -> str:
    return "–" if value is None else f"{value / by:,.{digits}f}"
