"""The page's web side: a JSON API over a Studio, and static files from memory."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from model.page.guard import Guard, refusal
from model.page.queue import DeviceQueue, Job, QueueFull
from model.page.studio import Selection, Studio, Unknown
from model.page.uploads import in_memory_route
from pipeline import __version__
from pipeline.annotate.photos import LEAST_PIXELS
from pipeline.base.errors import DataError
from pipeline.base.labels import Category
from pipeline.masks.styles import ALL_STYLES

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
STREAM = "application/x-ndjson"
ASK_EVERY = 0.25
"""Seconds between looks at a job's place in the queue."""
Upload = Annotated[UploadFile | None, File(description="JPEG or PNG")]
Text = Annotated[str | None, Form()]
Answer = dict[str, object]


def build_app(
    studio: Studio,
    *,
    capacity: int = 8,
    hosts: tuple[str, ...] = (),
    addresses: bool = False,
    token: str = "",
    most_bytes: int = 12 << 20,
) -> FastAPI:
    """The page as an ASGI application.

    Args:
        studio: network and gallery.
        capacity: people that may wait for the network, with the one that is dressed.
        hosts, addresses: names under which the page may be called, and whether numeric addresses
            too; neither for all.
        token: what callers have to show; none where it is empty.
        most_bytes: of one uploaded picture.
    """
    dressing, looking = DeviceQueue(capacity, "network"), DeviceQueue(max(8, capacity), "previews")

    @asynccontextmanager
    async def lifespan(_: FastAPI):
        yield
        for queue in (dressing, looking):
            await asyncio.to_thread(queue.close)

    app = FastAPI(
        title="fittingroom",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        openapi_url="/api/openapi.json",
        summary="Virtual try-on: people, garments, masks and results",
        description="Pictures come and go as data URIs. Nothing that is uploaded is kept.",
    )
    app.router.route_class = in_memory_route(2 * most_bytes + (1 << 20))
    app.add_middleware(
        Guard,
        hosts=hosts,
        addresses=addresses,
        token=token,
        most_bytes=2 * most_bytes + (1 << 16),
        most_posts=2 * capacity + 8,
    )
    app.state.dressing, app.state.looking, app.state.studio = dressing, looking, studio
    _add_errors(app)
    _add_static(app)
    _add_galleries(app, studio, dressing, capacity, most_bytes)
    _add_work(app, studio, dressing, looking, most_bytes)
    return app


def _add_static(app: FastAPI) -> None:
    folder = files("model.page") / "static"
    contents = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}
    places = {"/": "index.html", "/api/docs": "api.html"} | {
        f"/static/{name}": name for name in contents if not name.endswith(".html")
    }
    for place, name in places.items():
        app.add_api_route(
            place, _giver(contents[name], TYPES[name.rsplit(".", 1)[1]]), include_in_schema=False
        )


def _giver(data: bytes, kind: str) -> Callable[[], Response]:
    def give() -> Response:
        return Response(data, media_type=kind, headers={"Cache-Control": "no-cache"})

    return give


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(DataError)
    async def unusable(_: Request, error: DataError) -> JSONResponse:
        return JSONResponse(_told(error), 422)

    @app.exception_handler(Unknown)
    async def unknown(_: Request, error: Unknown) -> JSONResponse:
        return JSONResponse(
            refusal("unknown_id", "Nobody and nothing of that id is in the gallery."), 404
        )

    @app.exception_handler(QueueFull)
    async def full(_: Request, error: QueueFull) -> JSONResponse:
        seconds = str(error.retry_after)
        return JSONResponse(
            refusal("busy", "The fitting room is full.", f"Try again in about {seconds} seconds."),
            503,
            headers={"Retry-After": seconds},
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return JSONResponse(refusal("invalid", f"{first['loc'][-1]}: {first['msg']}"), 422)

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse(
            refusal("not_found" if error.status_code == 404 else "invalid", str(error.detail)),
            error.status_code,
        )


def _told(error: DataError) -> dict[str, Any]:
    """The error for a person at a browser: no folder of this machine is named."""
    expected = f"; {error.expected} is needed" if error.expected else ""
    name = "" if error.path in ("photo", "garment", "network") else f"{Path(error.path).name}: "
    kind = getattr(error, "kind", "unusable")
    found, remedy = error.found, error.remedy
    if kind == "unreadable" and not name:
        found, remedy = (
            re.sub(r" \(.*\)", "", found),
            "Try another file",
        )  # a decoder's words help nobody here
    text = f"{name}{found}{expected}"
    return refusal(kind, f"{text[:1].upper()}{text[1:]}.", f"{remedy}." if remedy else "")


def _add_galleries(
    app: FastAPI, studio: Studio, dressing: DeviceQueue, capacity: int, most_bytes: int
) -> None:
    @app.get("/api", summary="What this page can do")
    async def about() -> Answer:
        facts = (
            {}
            if studio.predictor is None
            else {k: v for k, v in studio.predictor.facts.items() if k != "config"}
        )
        uploads = {
            "people": studio.find_pose is not None,
            "garments": True,
            "types": ["image/jpeg", "image/png"],
            "bytes": most_bytes,
            "pixels": studio.most_pixels,
            "least_side": LEAST_PIXELS,
        }
        return {
            "version": __version__,
            "categories": [str(c) for c in Category],
            "styles": list(ALL_STYLES),
            "size": list(studio.network_hw),
            "weights": facts,
            "story": "" if studio.predictor is None else studio.predictor.story,
            "gallery": studio.source is not None,
            "uploads": uploads,
        }

    @app.get("/api/status", summary="How busy it is")
    async def status() -> Answer:
        return {
            "waiting": dressing.length,
            "capacity": capacity,
            "done": dressing.done,
            "seconds_each": round(dressing.seconds, 2),
        }

    @app.get("/api/gallery/{kind}", summary="Ids of people or garments")
    async def gallery(
        kind: str,
        category: Category,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=200)] = 24,
    ) -> Answer:
        if kind not in ("person", "garment"):
            raise Unknown(kind)
        ids = studio.gallery(kind, category)
        return {"total": len(ids), "ids": ids[offset : offset + limit]}

    @app.get(
        "/api/picture/{kind}/{category}/{identity}",
        summary="A small picture of the gallery",
        response_class=Response,
    )
    def picture(kind: str, category: Category, identity: str) -> Response:
        if kind not in ("person", "garment"):
            raise Unknown(kind)
        data = studio.thumbnail(
            kind, f"{category}/{identity}"
        )  # looked up: no part of the address becomes a path
        return Response(
            data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"}
        )


def _add_work(
    app: FastAPI, studio: Studio, dressing: DeviceQueue, looking: DeviceQueue, most_bytes: int
) -> None:
    @app.post("/api/preview", summary="Keypoints, mask and agnostic image of a person")
    async def preview(
        category: Annotated[Category, Form()],
        person: Upload = None,
        person_id: Text = None,
        style: Annotated[str, Form()] = "standard",
    ) -> Answer:
        selection = await _selection(category, style, most_bytes, person=(person, person_id))
        return await _finished(looking.submit(lambda: studio.preview(selection)))

    @app.post(
        "/api/dress",
        summary="The person in the garment",
        description=f"With `Accept: {STREAM}` lines of JSON tell how far it is: `state` is waiting "
        f"(`ahead` "
        "people first), working, done (with `result`) or failed (with `error`).",
    )
    async def dress(
        request: Request,
        category: Annotated[Category, Form()],
        person: Upload = None,
        person_id: Text = None,
        garment: Upload = None,
        garment_id: Text = None,
        style: Annotated[str, Form()] = "standard",
    ) -> Answer:
        selection = await _selection(
            category, style, most_bytes, person=(person, person_id), garment=(garment, garment_id)
        )
        for key, items in (
            (selection.person_id, studio.people),
            (selection.garment_id, studio.garments),
        ):
            if key is not None and key not in items:
                raise Unknown(key)
        job = dressing.submit(lambda: studio.dress(selection))
        if STREAM in request.headers.get("accept", ""):
            return StreamingResponse(
                _told_on_the_way(job),
                media_type=STREAM,  # type: ignore[return-value]
                headers={"Cache-Control": "no-store"},
            )
        return await _finished(job, request.is_disconnected)


async def _selection(category: Category, style: str, most_bytes: int, **sources) -> Selection:
    """The selection of a form; exactly one of file and id for each source. Raises DataError."""
    if style not in ALL_STYLES:
        raise DataError("style", f"{style[:30]!r}", " or ".join(ALL_STYLES))
    values: dict[str, str | bytes] = {}
    for name, (upload, identity) in sources.items():
        if (upload is None) == (not identity):
            raise DataError(
                name, "no choice" if upload is None else "two choices", f"a file or {name}_id"
            )
        if upload is None:
            values[f"{name}_id"] = identity
            continue
        data = await upload.read(most_bytes + 1)
        await upload.close()
        if len(data) > most_bytes:
            raise DataError(
                name, f"more than {most_bytes / (1 << 20):g} MB", "", "Send a smaller picture"
            )
        if not data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")):
            raise DataError(name, "neither JPEG nor PNG", "", "Convert the picture first")
        values[name] = data
    return Selection(category, style, **values)  # type: ignore[arg-type]


async def _finished(job: Job, gone: Callable[..., Any] | None = None) -> Answer:
    """The job's result; a caller who has gone gives up the place."""
    waiting = asyncio.wrap_future(job.future)
    try:
        while not waiting.done():
            await asyncio.wait([waiting], timeout=4 * ASK_EVERY)
            if gone is not None and not waiting.done() and await gone():
                job.cancel()
        answer = JSONResponse(waiting.result(), headers={"Cache-Control": "no-store"})
        return answer  # type: ignore[return-value]
    except asyncio.CancelledError:
        job.cancel()
        raise DataError("order", "given up", "", "Ask again") from None


async def _told_on_the_way(job: Job) -> AsyncIterator[bytes]:
    line = lambda **content: json.dumps(content).encode() + b"\n"
    waiting, told = asyncio.wrap_future(job.future), None
    try:
        while not waiting.done():
            state = (
                {"state": "working"} if job.running else {"state": "waiting", "ahead": job.ahead}
            )
            if state != told:
                yield line(**state)
                told = state
            await asyncio.wait([waiting], timeout=ASK_EVERY)
        yield line(state="done", result=waiting.result())
    except DataError as error:
        yield line(state="failed", **_told(error))
    except Exception:  # the caller gets a plain sentence, the operator the traceback
        logging.getLogger(__name__).exception("A request to dress somebody failed")
        yield line(
            state="failed",
            **refusal("failed", "Something went wrong here.", "Try again, or another photo."),
        )
    finally:
        job.cancel()  # the caller has gone: the place is free
