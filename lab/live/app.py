"""The page's HTTP interface: what a session is and does, as JSON, bytes for the map, and a stream of events."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import Body, Depends, FastAPI, Query, Request, Response
from fastapi import Path as PathPart
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from lab.errors import UserError
from lab.live.asked import ONE_LINE, Answers, CommandWanted, Injection, SpeedWanted
from lab.live.exercise_files import exercise_names, load_exercise
from lab.live.guard import Guard, Hosts
from lab.live.limits import LIMITS, Bodies, Limits
from lab.live.panels import HiddenByExercise, HouseholdsHidden
from lab.live.reader import ReadError
from lab.live.session import Session
from lab.live.stream import StateStream
from lab.scenario.air_targets import Airspace

STATIC = Path(__file__).parent / "static"
LONGEST_VALUE = 200
BUSY = 10
"""So many times what a cell can carry, others send in one that is congested by the page."""
Households = Annotated[bool, Query()]
SpanS = Annotated[int | None, Query(ge=60, le=3_660 * 86_400)]
EventNumber = Annotated[int, Query(ge=0, le=2**53)]
OrderNumber = Annotated[int, PathPart(ge=1, le=2**53)]
_WORDS = {404: "There is no such page.", 405: "That cannot be asked so."}


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


class TooManyStreams(Exception):  # noqa: N818 - names the state
    """More windows follow the lab than it tells."""


def chart_library() -> Path:
    """plotly.js as the wheel of plotly ships it, found without importing plotly."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


def make_app(session: Session, token: str, hosts: Hosts, closing: asyncio.Event, limits: Limits = LIMITS) -> FastAPI:
    """:param closing: set when streams are to end."""
    app = FastAPI(title="amilab", docs_url=None, redoc_url=None, openapi_url=None, default_response_class=Json)
    # The last one that is added is asked first.
    app.add_middleware(Bodies, limits=limits)
    app.add_middleware(Guard, token=token, hosts=hosts)
    _explain_refusals(app)
    _serve_page(app)
    _serve_state(app, session, closing, limits)
    _serve_dashboards(app, session)
    _serve_actions(app, session)
    _serve_exercises(app, session)
    return app


def _serve_page(app: FastAPI) -> None:
    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html", headers={"Cache-Control": "no-store"})

    @app.get("/charts.js")
    async def charts() -> FileResponse:
        return FileResponse(chart_library(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def _serve_state(app: FastAPI, session: Session, closing: asyncio.Event, limits: Limits) -> None:
    @app.get("/api/scene")
    async def scene() -> Response:
        document = {**session.map.document, "scenario": _scenario(session)}
        return Json(document if session.airspace is None else {**document, "network": _network(session.airspace)})

    @app.get("/api/map")
    async def map_state() -> Response:
        content = session.map_state.encoded(session.hidden)
        return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    @app.get("/api/network")
    async def network() -> Response:
        """How each meter is reached now; while the truth is hidden, how it is planned to be."""
        if session.routes is None:
            raise HTTPException(404)
        found = await asyncio.to_thread(
            session.routes.document,
            session.completed_s,
            session.network_faults(),
            dead=session.dead_collectors(),
            as_planned="truth" in session.hidden,
        )
        return Json(found)

    @app.get("/api/state")
    async def state() -> Response:
        return Json(session.state())

    @app.get("/api/events")
    async def events(after: EventNumber = 0) -> Response:
        return Json([asdict(event) for event in session.events(after)])

    async def room_for_one_more() -> None:
        if session.feed.listeners >= limits.streams:
            raise TooManyStreams

    @app.get("/api/stream", dependencies=[Depends(room_for_one_more)])
    async def stream() -> Response:
        """What the lab is, again and again; the last one says how it has ended, if it could be told."""
        return StateStream(session.feed, session.state, closing)


def _serve_dashboards(app: FastAPI, session: Session) -> None:
    @app.get("/api/dashboards")
    async def dashboards() -> Response:
        return Json(session.dashboards)

    @app.get("/api/dashboards/{uid}/choices")
    async def choices(uid: str, households: Households = False) -> Response:
        return Json(await session.panels.choices(uid, session.completed_s, households=households))

    @app.get("/api/dashboards/{uid}/panels/{key}")
    async def panel(
        request: Request, uid: str, key: str, span_s: SpanS = None, households: Households = False
    ) -> Response:
        variables = _variables(request)
        found = await session.panels.run(
            uid,
            key,
            now_s=session.completed_s,
            span_s=span_s,
            variables=variables,
            households=households,
            hidden=session.hidden,
        )
        return Json(found)


def _serve_actions(app: FastAPI, session: Session) -> None:
    @app.post("/api/inject")
    async def inject(wanted: Annotated[Injection, Body()]) -> Response:
        made = await session.inject(wanted)
        return Json([{"number": each.number, "label": each.disturbance.label} for each in made])

    @app.post("/api/commands")
    async def command(wanted: CommandWanted) -> Response:
        return Json({"order": session.command(wanted)})

    @app.get("/api/commands/{order}")
    async def commands(order: OrderNumber) -> Response:
        return Json(await session.commanding.look(order))

    @app.post("/api/speed")
    async def speed(wanted: SpeedWanted) -> Response:
        session.set_speed(wanted.speed)
        return Json({"speed": wanted.speed})

    @app.post("/api/judge")
    async def judge() -> Response:
        session.judge_now()
        return Json({})


def _serve_exercises(app: FastAPI, session: Session) -> None:
    @app.get("/api/exercises")
    async def exercises() -> Response:
        listed = [load_exercise(name) for name in exercise_names()]
        return Json(
            [{"name": each.name, "title": each.title, "briefing": " ".join(each.briefing.split())} for each in listed]
        )

    @app.post("/api/exercises/answer")
    async def answer(given: Answers) -> Response:
        return Json(session.exercises.answer(given.answers))

    @app.post("/api/exercises/stop")
    async def stop_exercise() -> Response:
        session.exercises.end()
        return Json({})

    @app.post("/api/exercises/{name}")
    async def begin_exercise(name: str) -> Response:
        return Json(await session.exercises.begin(name))


def _variables(request: Request) -> dict[str, str]:
    """Values of a dashboard's variables, each as `var-<name>=…`. Raises UserError."""
    given = {name.removeprefix("var-"): value for name, value in request.query_params.items() if name[:4] == "var-"}
    unusable = [name for name, value in given.items() if len(value) > LONGEST_VALUE or not re.match(ONE_LINE, value)]
    if unusable:
        raise UserError([f"the value of {name} is too long, or no line of text" for name in unusable])
    return given


def _scenario(session: Session) -> dict[str, Any]:
    scene = session.scene
    return {
        "name": scene.scenario.name,
        "description": scene.scenario.description,
        "seed": scene.scenario.seed,
        "start_s": scene.start_s,
        "directory": scene.directory.name,
        "interval_length_s": scene.vendors.longest_interval_s,
    }


def _network(airspace: Airspace) -> dict[str, Any]:
    """What of it can be disturbed. `cell`: by meter, -1 for whoever has no modem; others' meters do not matter."""
    cells = sorted(airspace.by_cell())
    number = {name: at for at, name in enumerate(cells)}
    return {
        "meshes": sorted(airspace.meshes()),
        "cells": cells,
        "cell": [number.get(name, -1) for name in airspace.cells],
        "busy_messages_per_s": BUSY * airspace.setup.parameters.cellular.messages_per_s,
    }


def _explain_refusals(app: FastAPI) -> None:
    """What one can put right is said in `faults` and `hint`, as in the terminal."""
    refuse: dict[type[Exception], Callable[[Exception], Response]] = {
        UserError: lambda error: _refused(422, *getattr(error, "faults", ()), hint=getattr(error, "hint", None)),
        RequestValidationError: lambda error: _refused(422, *_validation_faults(error)),
        ReadError: lambda error: _refused(503, f"the database does not answer: {error}"),
        HouseholdsHidden: lambda error: _refused(
            403, f"{error} shows what single households used", hint="Choose to see household curves first."
        ),
        HiddenByExercise: lambda error: _refused(403, f"{error} is hidden while the exercise goes on"),
        TooManyStreams: lambda _error: _refused(503, "So many windows follow this lab that it tells no more of them."),
        HTTPException: lambda error: _refused(_status(error), _WORDS.get(_status(error), "That is no request.")),
    }
    for kind, explain in refuse.items():

        async def handler(_request: Request, error: Exception, explain: Any = explain) -> Response:
            answer: Response = explain(error)
            return answer

        app.add_exception_handler(kind, handler)


def _status(error: Exception) -> int:
    assert isinstance(error, HTTPException)
    return error.status_code


def _refused(status: int, *faults: str, hint: str | None = None) -> Response:
    # What was asked may be repeated in it, whatever it was.
    told = [fault.encode(errors="backslashreplace").decode() for fault in faults]
    return Json({"faults": told, "hint": hint}, status)


def _validation_faults(error: Exception) -> list[str]:
    assert isinstance(error, RequestValidationError)
    return [
        f"{'.'.join(str(part) for part in each['loc'][1:]) or 'body'}: {each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    ]
