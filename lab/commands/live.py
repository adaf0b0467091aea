"""`amilab up`, and the commands that act on the lab that it keeps running: `inject` and `exercise`."""

from __future__ import annotations

import secrets
import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lab.commands.interruption import until_interrupted
from lab.commands.refusal import failures_shown, refusals_shown
from lab.commands.secret_option import disclosed
from lab.errors import UserError
from lab.fleet.presets import parse_fleet
from lab.processes.private_environment import BROKER_URL, DATABASE_URL
from lab.run.progress import RunProgress
from lab.scenario.choices import with_choices
from lab.scenario.load import load_scenario, parse_duration

DEFAULT_PORT = 8790
DEFAULT_HISTORY = "5h"

inject_app = typer.Typer(help="Disturb the lab that `amilab up` keeps running.", no_args_is_help=True)
exercise_app = typer.Typer(help="Training: exercises on the lab that `amilab up` keeps running.", no_args_is_help=True)

Run = Annotated[
    Path, typer.Option("--run", help="The run's directory, or the one in which runs are made.", file_okay=False)
]
For = Annotated[str | None, typer.Option("--for", help="For so long: 45min. Else until it is restored.")]
Stations = Annotated[
    list[str] | None, typer.Argument(help="Meters by serial (AMI00000001), collectors by name (COL0001).")
]
Meters = Annotated[int | None, typer.Option(help="So many meters, drawn.", min=1)]
Collectors = Annotated[int | None, typer.Option(help="So many collectors, drawn.", min=1)]
RUNS = Path("runs")


def up(
    scenario: Annotated[
        str, typer.Argument(help="A bundled scenario's name, or a path to a TOML file.")
    ] = "quickstart",
    speed: Annotated[
        str,
        typer.Option(help="Simulated seconds per second of wall clock: [b]1[/b] is real time. Or [b]max[/b]."),
    ] = "1",
    history: Annotated[
        str,
        typer.Option(help="Live through so much as fast as the work takes first, so that there is something to see."),
    ] = DEFAULT_HISTORY,
    duration: Annotated[str | None, typer.Option(help="End after so much simulated time. Else with Ctrl-C.")] = None,
    port: Annotated[int, typer.Option(help="Of the page; 0 for any that is free.", min=0, max=65_535)] = DEFAULT_PORT,
    host: Annotated[str, typer.Option(help="Where the page listens; beyond loopback others see it.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A host name that the page answers to as well, NAME or NAME:PORT; as often as you like."),
    ] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in your browser.")] = False,
    seed: Annotated[int | None, typer.Option(help="Instead of the scenario's seed.", min=0)] = None,
    feeder: Annotated[str | None, typer.Option(help="Instead of the scenario's, as for `amilab run`.")] = None,
    fleet: Annotated[str | None, typer.Option(help="Instead of the scenario's, as for `amilab run`.")] = None,
    meters: Annotated[int | None, typer.Option(help="Meter only so many usage points.", min=1)] = None,
    out: Annotated[Path, typer.Option(help="Where the directory of this run is made.", file_okay=False)] = RUNS,
    database_url: Annotated[str | None, typer.Option(help="As for `amilab run`.", envvar=DATABASE_URL)] = None,
    broker_url: Annotated[str | None, typer.Option(help="As for `amilab run`.", envvar=BROKER_URL)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database and the meters' memory.")] = False,
) -> None:
    """Keep a lab running, with a page to look at it, disturb it and train on it.

    Ctrl-C ends it: all that was measured is waited for, then the verdict is printed. Exit codes as of `amilab run`.
    """
    console = Console(soft_wrap=False)
    with failures_shown():
        request, session = _set_up(
            scenario, speed, history, duration, port, host, allow_host or [], browser, seed, feeder, fleet, meters, out,
            database_url, broker_url, keep, console,
        )  # fmt: skip
        from lab.run.run import run

        async def live() -> Any:
            async with session.until_told():
                outcome = await run(request, RunProgress(console))
                session.judged(outcome.verdict, outcome.directory)
            return outcome

        outcome = until_interrupted(live(), rather=session.stop)
    from lab.verdict.summary import summary

    console.print(summary(outcome.verdict, report=str(outcome.report)))
    raise typer.Exit(outcome.verdict.exit_status)


def _set_up(
    name: str,
    speed: str,
    history: str,
    duration: str | None,
    port: int,
    host: str,
    allow_host: list[str],
    browser: bool,
    seed: int | None,
    feeder: str | None,
    fleet: str | None,
    meters: int | None,
    out: Path,
    database_url: str | None,
    broker_url: str | None,
    keep: bool,
    console: Console,
) -> tuple[Any, Any]:
    """The request and the session that goes with it."""
    from lab.verdict.criteria import CRITERIA

    faults: list[str] = []
    lengths: dict[str, int | None] = {"--duration": None}
    for option, text in (("--history", history), ("--duration", duration)):
        if text is not None:
            try:
                lengths[option] = parse_duration(text)
            except ValueError as error:
                faults.append(f"{option}: {error}")
    factor: float | None = None
    if speed != "max":
        try:
            factor = float(speed)
        except ValueError:
            factor = -1.0
        if not 0.0 < factor < float("inf"):
            faults.append(f"--speed is {speed}; it must be 'max' or a number above 0")
    if fleet is not None:
        try:
            parse_fleet(fleet)
        except ValueError as error:
            faults.append(f"--fleet: {error}")
    if out.exists() and not out.is_dir():
        faults.append(f"--out is {out}, which is a file; it must be a directory")
    hint = "See `amilab up --help`."
    try:
        database_url = disclosed("--database-url", database_url)
        broker_url = disclosed("--broker-url", broker_url)
    except UserError as error:
        faults += error.faults
        hint = error.hint or hint
    try:
        loaded = load_scenario(name, seed=seed, known_criteria=[criterion.id for criterion in CRITERIA])
    except UserError as error:
        raise UserError([*faults, *error.faults], error.hint) from error
    if faults:
        raise UserError(faults, hint)
    from lab.live.server import PageServer, listen
    from lab.live.session import Session
    from lab.run.request import RunRequest

    def tell(text: str) -> None:
        console.print(f"  {text}", highlight=False, markup=False, soft_wrap=True)

    def show(url: str, opening: Path) -> None:
        console.print(f"[bold]the page:[/] {escape(url)}", highlight=False, soft_wrap=True)
        if browser:
            webbrowser.open(opening.as_uri())

    page = PageServer(listen(host, port), host, secrets.token_urlsafe(24), tell, show, allow_host)
    session = Session(
        speed=factor,
        history_s=lengths["--history"] or 0,
        duration_s=lengths["--duration"],
        serve=page.serving,
        tell=tell,
    )
    chosen = with_choices(loaded, feeder, fleet, meters)
    request = RunRequest(
        chosen, out, factor, database_url, broker_url, keep, companion=session, feeder_option=feeder is not None
    )
    return request, session


@inject_app.command("fault")
def fault(
    device: Annotated[str, typer.Argument(help="transformer, section, line or service.")] = "transformer",
    identity: Annotated[str | None, typer.Argument(metavar="[ID]", help="The device's id; drawn if not given.")] = None,
    customers: Annotated[str | None, typer.Option(help="Draw one with so many customers: 50-200.")] = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Open a device of the grid: everybody behind it is dark."""
    with refusals_shown():
        body: dict[str, Any] = {"kind": "fault", "device": device, "id": identity, "for_s": _length(lasting)}
        if customers is not None:
            body["customers"] = _range(customers)
        _inject(run, body)


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
    meters: Meters = None,
    collectors: Collectors = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """Cut the uplink of meters or collectors; of one collector, drawn, if you name none."""
    with refusals_shown():
        body = {"kind": "comms-loss", "stations": stations or [], "meters": meters, "collectors": collectors}
        _inject(run, {**body, "for_s": _length(lasting)})


@inject_app.command("reboot")
def reboot(stations: Stations = None, meters: Meters = None, collectors: Collectors = None, run: Run = RUNS) -> None:
    """Restart the communication processors of meters or collectors."""
    with refusals_shown():
        _inject(run, {"kind": "reboot", "stations": stations or [], "meters": meters, "collectors": collectors})


@inject_app.command("relay")
def relay(
    position: Annotated[str, typer.Argument(help="open: the customer is disconnected. closed: connected again.")],
    stations: Annotated[list[str] | None, typer.Argument(help="Meters by serial; one that is drawn if none.")] = None,
    meters: Meters = None,
    lasting: For = None,
    run: Run = RUNS,
) -> None:
    """A technician opens or closes the relays of meters on site: a disconnected customer is no outage."""
    with refusals_shown():
        body = {"kind": "relay", "position": position, "stations": stations or [], "meters": meters}
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
