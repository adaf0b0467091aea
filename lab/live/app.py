"""The page's HTTP interface: what a session is and does, as JSON, bytes for the map, and a stream of events."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import Body, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles

from lab.errors import UserError
from lab.live.asked import Answers, Injection, SpeedWanted
from lab.live.exercise_files import exercise_names, load_exercise
from lab.live.guard import Guard
from lab.live.panels import HiddenByExercise, HouseholdsHidden
from lab.live.reader import ReadError
from lab.live.session import Session

STATIC = Path(__file__).parent / "static"
QUIET_S = 1.0
"""The stream says at least this often what time it is."""
LEAST_S = 0.1
"""And no more often than this."""
Households = Annotated[bool, Query()]


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return orjson.dumps(content)


def chart_library() -> Path:
    """plotly.js as the wheel of plotly ships it, found without importing plotly."""
    found = importlib.util.find_spec("plotly")
    assert found is not None
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js"


def make_app(session: Session, guard: Guard, token: str, closing: asyncio.Event) -> FastAPI:
    """:param closing: set when streams are to end."""
    app = FastAPI(title="amilab", docs_url=None, redoc_url=None, openapi_url=None, default_response_class=Json)
    app.middleware("http")(guard)
    _explain_refusals(app)

    index = (STATIC / "index.html").read_text(encoding="utf-8").replace("{{token}}", token)

    @app.get("/")
    async def page() -> Response:
        return Response(index, media_type="text/html", headers={"Cache-Control": "no-store"})

    @app.get("/charts.js")
    async def charts() -> FileResponse:
        return FileResponse(chart_library(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    app.mount("/static", StaticFiles(directory=STATIC), name="static")

    @app.get("/api/scene")
    async def scene() -> Response:
        return Json({**session.map.document, "scenario": _scenario(session)})

    @app.get("/api/map")
    async def map_state() -> Response:
        content = session.map_state.encoded(session.hidden)
        return Response(content, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    @app.get("/api/state")
    async def state() -> Response:
        return Json(session.state())

    @app.get("/api/events")
    async def events(after: int = 0) -> Response:
        return Json([asdict(event) for event in session.events(after)])

    @app.get("/api/stream", response_class=EventSourceResponse)
    async def stream() -> AsyncIterator[ServerSentEvent]:
        with session.feed.listening() as news:
            while not closing.is_set():
                yield ServerSentEvent(event="state", raw_data=orjson.dumps(session.state()).decode())
                await asyncio.sleep(LEAST_S)
                await _within(QUIET_S, news.wait())
                news.clear()

    @app.get("/api/dashboards")
    async def dashboards() -> Response:
        return Json(session.panels.described())

    @app.get("/api/dashboards/{uid}/choices")
    async def choices(uid: str, households: Households = False) -> Response:
        return Json(await session.panels.choices(uid, session.completed_s, households=households))

    @app.get("/api/dashboards/{uid}/panels/{key}")
    async def panel(
        request: Request, uid: str, key: str, span_s: int | None = None, households: Households = False
    ) -> Response:
        variables = {
            name.removeprefix("var-"): value for name, value in request.query_params.items() if name.startswith("var-")
        }
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

    @app.post("/api/inject")
    async def inject(wanted: Annotated[Injection, Body()]) -> Response:
        made = await session.inject(wanted)
        return Json([{"number": each.number, "label": each.disturbance.label} for each in made])

    @app.post("/api/speed")
    async def speed(wanted: SpeedWanted) -> Response:
        session.set_speed(wanted.speed)
        return Json({"speed": wanted.speed})

    @app.post("/api/judge")
    async def judge() -> Response:
        session.judge_now()
        return Json({})

    @app.get("/api/exercises")
    async def exercises() -> Response:
        listed = [load_exercise(name) for name in exercise_names()]
        return Json(
            [{"name": each.name, "title": each.title, "briefing": " ".join(each.briefing.split())} for each in listed]
        )

    @app.post("/api/exercises/answer")
    async def answer(given: Answers) -> Response:
        return Json(session.answer(given.answers))

    @app.post("/api/exercises/stop")
    async def stop_exercise() -> Response:
        session.end_exercise()
        return Json({})

    @app.post("/api/exercises/{name}")
    async def begin_exercise(name: str) -> Response:
        return Json(await session.begin_exercise(name))

    return app


def _scenario(session: Session) -> dict[str, Any]:
    scene = session.scene
    return {
        "name": scene.scenario.name,
        "description": scene.scenario.description,
        "seed": scene.scenario.seed,
        "start_s": scene.start_s,
        "directory": scene.directory.name,
        "interval_length_s": scene.vendors.interval_length_s,
    }


async def _within(limit_s: float, work: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(limit_s):
            await work
    except TimeoutError:
        return


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
    }
    for kind, explain in refuse.items():

        async def handler(_request: Request, error: Exception, explain: Any = explain) -> Response:
            answer: Response = explain(error)
            return answer

        app.add_exception_handler(kind, handler)


def _refused(status: int, *faults: str, hint: str | None = None) -> Response:
    return JSONResponse({"faults": list(faults), "hint": hint}, status)


def _validation_faults(error: Exception) -> list[str]:
    assert isinstance(error, RequestValidationError)
    return [f"{'.'.join(str(part) for part in each['loc'][1:]) or 'body'}: {each['msg']}" for each in error.errors()]
