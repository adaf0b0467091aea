"""The commands that act on the lab that `amilab up` keeps running: `inject` and `exercise`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.commands.options import RUNS, Run
from lab.commands.refusal import refusals_shown
from lab.errors import UserError
from lab.scenario.load import parse_duration

inject_app = typer.Typer(help="Disturb the lab that `amilab up` keeps running.", no_args_is_help=True)
exercise_app = typer.Typer(help="Training: exercises on the lab that `amilab up` keeps running.", no_args_is_help=True)

For = Annotated[str | None, typer.Option("--for", help="For so long: 45min. Else until it is restored.")]
Stations = Annotated[
    list[str] | None, typer.Argument(help="Meters by serial (AMI00000001), collectors by name (COL0001).")
]
SoMany = Annotated[int | None, typer.Option(help="So many meters, drawn.", min=1)]
Cells = Annotated[list[str] | None, typer.Argument(help="Cells by name (operator-a/cell-E0N0).")]
SoManyCells = Annotated[int | None, typer.Option("--cells", help="So many cells, drawn.", min=1)]
Collectors = Annotated[int | None, typer.Option(help="So many collectors, drawn.", min=1)]


@inject_app.command("fault")
def fault(
    device: Annotated[str, typer.Argument(help="transformer, section, line or service.")] = "transformer",
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="The device's id; drawn if not given.")] = None,
    customers: Annotated[
        str | None, typer.Option(help="Draw one with so many customers: 50-200; 10-200 if not given.")
    ] = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Open a device of the grid: everybody behind it is dark."""
    with refusals_shown():
        body: dict[str, Any] = {"kind": "fault", "device": device, "id": identity, "for_s": _length(lasting)}
        if customers is not None:
            body["customers"] = _range(customers)
        _inject(run, body)


@inject_app.command("conductor")
def conductor(
    which: Annotated[str, typer.Argument(metavar="CONDUCTOR", help="L1, L2, L3, or N for the neutral.")],
    device: Annotated[str, typer.Argument(help="transformer, section, line or service.")] = "section",
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="The device's id; drawn if not given.")] = None,
    customers: Annotated[
        str | None, typer.Option(help="Draw one with so many customers: 5-50; 10-200 if not given, 1 for a service.")
    ] = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Open one conductor of a device at low voltage: an open phase, a blown fuse, an open neutral."""
    with refusals_shown():
        body: dict[str, Any] = {"kind": "fault", "device": device, "id": identity, "for_s": _length(lasting)}
        if customers is not None:
            body["customers"] = _range(customers)
        _inject(run, {**body, "conductor": which})


@inject_app.command("restore")
def restore(
    number: Annotated[int | None, typer.Argument(help="Of the disturbance; all that are active if not given.")] = None,
    run: Run = RUNS,
) -> None:
    """End a disturbance: close what is open, give uplinks back."""
    with refusals_shown():
        _inject(run, {"kind": "restore", "number": number}, over=True)


@inject_app.command("comms-loss")
def comms_loss(
    stations: Stations = None,
    meters: SoMany = None,
    collectors: Collectors = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Cut the uplink of meters or collectors; of one collector, drawn, if you name none."""
    with refusals_shown():
        body = {"kind": "comms-loss", "stations": stations or [], "meters": meters, "collectors": collectors}
        _inject(run, {**body, "for_s": _length(lasting)})


@inject_app.command("reboot")
def reboot(stations: Stations = None, meters: SoMany = None, collectors: Collectors = None, run: Run = RUNS) -> None:
    """Restart the communication processors of meters or collectors."""
    with refusals_shown():
        _inject(run, {"kind": "reboot", "stations": stations or [], "meters": meters, "collectors": collectors})


@inject_app.command("relay")
def relay(
    position: Annotated[str, typer.Argument(help="open: the customer is disconnected. closed: connected again.")],
    stations: Annotated[list[str] | None, typer.Argument(help="Meters by serial; one that is drawn if none.")] = None,
    meters: SoMany = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """A technician opens or closes the relays of meters on site: a disconnected customer is no outage."""
    with refusals_shown():
        body = {"kind": "relay", "position": position, "stations": stations or [], "meters": meters}
        _inject(run, {**body, "for_s": _length(lasting)})


@inject_app.command("jam")
def jam(
    stations: Annotated[list[str] | None, typer.Argument(help="Collectors by name, whose whole meshes it is.")] = None,
    collectors: Collectors = None,
    radius: Annotated[int | None, typer.Option(help="All within so many metres of a meter.", min=1)] = None,
    around: Annotated[str | None, typer.Option(help="Of which meter, by serial; drawn if not given.")] = None,
    strength: Annotated[
        float | None, typer.Option(help="The share of transmissions that it spoils: 0.8; all if not given.")
    ] = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Jam radio meshes of the modelled network; that of one collector, drawn, if you name none."""
    with refusals_shown():
        body: dict[str, Any] = {"kind": "jam", "stations": stations or [], "collectors": collectors}
        body |= {"radius_m": radius, "around": around, "strength": strength}
        _inject(run, {**body, "for_s": _length(lasting)})


@inject_app.command("cell-down")
def cell_down(cells: Cells = None, count: SoManyCells = None, lasting: For = None, run: Run = RUNS) -> None:
    """Let cells of the modelled network serve nobody; one, drawn, if you name none."""
    with refusals_shown():
        _inject(run, {"kind": "cell-down", "cells": cells or [], "count": count, "for_s": _length(lasting)})


@inject_app.command("operator-outage")
def operator_outage(
    operator: Annotated[str | None, typer.Argument(help="operator-a; drawn if not given.")] = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Let all cells of an operator of the modelled network serve nobody."""
    with refusals_shown():
        _inject(run, {"kind": "operator-outage", "operator": operator, "for_s": _length(lasting)})


@inject_app.command("congestion")
def congestion(
    messages_per_s: Annotated[float, typer.Option(help="What others send in each cell, a second.")],
    cells: Cells = None,
    count: SoManyCells = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Let others load cells of the modelled network; one, drawn, if you name none."""
    with refusals_shown():
        body = {"kind": "congestion", "cells": cells or [], "count": count, "messages_per_s": messages_per_s}
        _inject(run, {**body, "for_s": _length(lasting)})


@inject_app.command("kill")
def kill(
    part: Annotated[str, typer.Argument(help="headend, broker, database or fleet.")],
    down: Annotated[str, typer.Option(help="Start it again after so long.")] = "1min",
    run: Run = RUNS,
) -> None:
    """SIGKILL a part of the lab, and start it again."""
    with refusals_shown():
        _inject(run, {"kind": "kill", "part": part, "down_s": _length(down)})


@exercise_app.command("list")
def list_exercises() -> None:
    """List the exercises that come with amilab."""
    from lab.live.exercise_files import exercise_names, load_exercise

    for name in exercise_names():
        typer.echo(f"{name:<24} {load_exercise(name).title}")


@exercise_app.command("start")
def start_exercise(name: Annotated[str, typer.Argument(help="See `amilab exercise list`.")], run: Run = RUNS) -> None:
    """Begin an exercise: the truth is hidden, and questions are posed on the page and here."""
    from lab.live.client import Client

    with refusals_shown():
        _pose(Client.of(run).post(f"exercises/{name}", {}))


@exercise_app.command("show")
def show_exercise(run: Run = RUNS) -> None:
    """What the exercise that goes on asks."""
    from lab.live.client import Client

    with refusals_shown():
        posed = Client.of(run).get("state")["exercise"]
        if posed is None:
            raise UserError("no exercise goes on", "Begin one: `amilab exercise start NAME`.")
        _pose(posed)


@exercise_app.command("answer")
def answer(
    answers: Annotated[list[str], typer.Argument(help="KEY=ANSWER for each question.")], run: Run = RUNS
) -> None:
    """Answer every question, with - what you do not know, and read the debrief; the exercise is over then."""
    from lab.live.client import Client

    with refusals_shown():
        if faulty := [each for each in answers if "=" not in each]:
            raise UserError([f"{each!r} is no KEY=ANSWER" for each in faulty], "See `amilab exercise show`.")
        given = {key: value for key, _, value in (each.partition("=") for each in answers)}
        _debrief(Client.of(run).post("exercises/answer", {"answers": given}))


@exercise_app.command("stop")
def stop_exercise(run: Run = RUNS) -> None:
    """End the exercise without answers."""
    from lab.live.client import Client

    with refusals_shown():
        Client.of(run).post("exercises/stop", {})
        typer.echo("the exercise is over")


def _inject(run: Path, body: dict[str, Any], *, over: bool = False) -> None:
    from lab.live.client import Client

    for made in Client.of(run).post("inject", body):
        typer.echo(f"{made['number']}  {'over: ' if over else ''}{made['label']}")


def _length(text: str | None) -> int | None:
    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise UserError(str(error), "Write lengths like 40s, 45min, 2h.") from error


def _range(text: str) -> list[int]:
    least, _, most = text.partition("-")
    if not (least.isdecimal() and most.isdecimal()):
        raise UserError(f"--customers is {text!r}; it must be a range like 50-200")
    return [int(least), int(most)]


def _pose(posed: dict[str, Any]) -> None:
    console = Console(highlight=False)
    console.print(f"[bold]{escape(posed['title'])}[/]  {posed['points']} points")
    console.print(posed["briefing"], markup=False)
    for question in posed["questions"]:
        choices = f" ({' / '.join(question['options'])})" if question["options"] else ""
        console.print(f"[bold]{question['key']}[/]  {escape(question['text'] + choices)}")
    keys = " ".join(f"{question['key']}=…" for question in posed["questions"])
    console.print(f"amilab exercise answer {keys}", markup=False, style="dim")


def _debrief(debrief: dict[str, Any]) -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "yours", "right", "points", ""):
        table.add_column(heading, justify="right" if heading == "points" else "left")
    for each in debrief["questions"]:
        points = f"{each['earned']:g} of {each['points']}"
        table.add_row(each["key"], escape(each["answer"] or "–"), escape(each["right"]), points, escape(each["remark"]))
    minutes = debrief["simulated_s"] / 60
    console.print(
        f"[bold]{escape(debrief['title'])}: {debrief['earned']:g} of {debrief['points']} points[/]  "
        f"in {minutes:.1f} simulated minutes, {debrief['wall_s']:.0f} s of yours"
    )
    console.print(table)
    for each in debrief["questions"]:
        console.print(f"{each['key']}: {each['explain']}", markup=False, style="dim")
    for happened in debrief["what_happened"]:
        console.print(f"what happened: {happened['text']}", markup=False)
