"""The page's addresses: what each answers, and how the server is started."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from avsep.errors import AvsepError, OutputError
from avsep.page import audio, changes
from avsep.page.archive import zipped
from avsep.page.catalog import Catalog, Found, NotFound, picture_of, plain_file
from avsep.page.describe import describe, summary
from avsep.page.jobs import COMMAND, Jobs, TooMany
from avsep.page.security import Guard
from avsep.page.uploads import TooLarge, save_clip
from avsep.results.faces import read_faces
from avsep.storage.files import remove_partials
from avsep.version import __version__

STATIC = Path(__file__).parent / "static"
MOST_BYTES, MOST_JOBS = 4 * 2**30, 8
_MOST_JSON = 2**18
_OPTIONS = {"speakers": ("auto", *map(str, range(1, 9))), "quality": ("fast", "normal", "best")}
"""What the page may ask of a separation."""


@dataclass(frozen=True)
class Settings:
    """Of a page. folder: with the results. most_bytes: of a clip that is sent. most_jobs: that wait or run at once.
    command: what separates a clip."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    most_bytes: int = MOST_BYTES
    most_jobs: int = MOST_JOBS
    command: Sequence[str] = COMMAND

    @property
    def hosts(self) -> set[str] | None:
        """Names by which a browser may call the page; any where a token is asked for."""
        if self.token is not None:
            return None
        names = {"localhost", "127.0.0.1", "[::1]", f"[{self.host}]" if ":" in self.host else self.host}
        return {f"{name}:{self.port}" for name in names} | (names if self.port == 80 else set())


class Changed(Exception):
    """A result is another one than the browser knows."""


class Json(Response):
    """A document; half characters of file names are escaped, so that they can be sent."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode()


class Page:
    """What the addresses answer with."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.catalog = Catalog(settings.folder)
        self.jobs = Jobs(settings.folder, settings.most_jobs, settings.command)
        self.outlines = audio.Outlines()
        self.changes = changes.Changes()
        self._changing: dict[str, asyncio.Lock] = {}

    # What there is

    def index(self, request: Request) -> Response:
        return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})

    def about(self, request: Request) -> Response:
        folder, free = self.settings.folder, None
        with suppress(OSError):
            free = shutil.disk_usage(next(one for one in (folder, *folder.parents) if one.exists())).free
        told = {"version": __version__, "folder": _sendable(str(folder)), "free_bytes": free}
        return Json(told | {"most_bytes": self.settings.most_bytes})

    def results(self, request: Request) -> Response:
        found, damaged = self.catalog.all()
        return Json([*map(summary, found), *({"name": one.name, "damaged": one.reason} for one in damaged)])

    def result(self, request: Request) -> Response:
        return Json(describe(self._found(request), self.catalog))

    def faces(self, request: Request) -> Response:
        return self._of_one_version(request, lambda found: Json(read_faces(found.result.folder)))

    # Sound and picture

    def sound(self, request: Request) -> Response:
        number = _whole(request.path_params["number"])

        def make(found: Found) -> Response:
            if number * audio.CHUNK_SECONDS > found.result.seconds + audio.CHUNK_SECONDS:
                raise NotFound("The sound ends before that")
            channels, rate = audio.shape(found.sounds[0])
            samples, scale = audio.chunk(found.sounds, number, channels, rate)
            return Response(samples, media_type="application/octet-stream", headers={"x-scale": repr(scale)} | _KEEP)

        return self._of_one_version(request, make)

    def outline(self, request: Request) -> Response:
        number = _whole(request.path_params["number"])

        def make(found: Found) -> Response:
            if number * audio.TILE_SECONDS > found.result.seconds:
                raise NotFound("The sound ends before that")
            _, rate = audio.shape(found.sounds[0])
            of = found.version + found.id
            made = self.outlines.get(of, number, lambda: audio.outline(found.sounds, number, rate))
            return Response(made, media_type="application/octet-stream", headers=_KEEP)

        return self._of_one_version(request, make)

    def video(self, request: Request) -> Response:
        return FileResponse(plain_file(picture_of(self._found(request).result)), media_type="video/mp4")

    def thumbnail(self, request: Request) -> Response:
        found = self._found(request)
        track = self.catalog.track(found, request.path_params["track"])
        return FileResponse(plain_file(track.thumbnail), media_type="image/jpeg", headers=_KEEP)

    # Downloads

    def file(self, request: Request) -> Response:
        found = self._found(request)
        name = self._listed(found, [request.path_params["name"]])[0]
        path = plain_file(found.result.folder / name)
        return FileResponse(path, media_type="application/octet-stream", filename=_sendable(name))

    def archive(self, request: Request) -> Response:
        found = self._found(request)
        names = self._listed(found, request.query_params.getlist("file") or self.catalog.files(found))
        files = [plain_file(found.result.folder / name) for name in dict.fromkeys(names)]
        saved = f"attachment; filename*=utf-8''{quote(_sendable(found.result.folder.name), safe='')}.zip"
        return StreamingResponse(zipped(files), media_type="application/zip", headers={"content-disposition": saved})

    def _listed(self, found: Found, names: list[str]) -> list[str]:
        have = {_sendable(name): name for name in self.catalog.files(found)}
        if not names or not all(name in have for name in names):
            raise NotFound("There is no such file in this result. Reload the page")
        return [have[name] for name in names]

    # Changes

    async def change(self, request: Request) -> Response:
        found = await run_in_threadpool(self._found, request)
        what = request.path_params["change"]
        if what not in (*changes.CHANGES, "undo"):
            raise NotFound("There is no such change")
        asked = await _document(request)
        async with self._changing.setdefault(found.id, asyncio.Lock()):
            await run_in_threadpool(self._found, request)  # another change may have come first
            try:
                undoable = await run_in_threadpool(self.changes.make, found.result.folder, what, asked)
            except (KeyError, TypeError, ValueError) as error:
                raise HTTPException(400, f"The change does not say what to do ({error!r:.200})") from error
            now = await run_in_threadpool(self.catalog.find, found.id)
            told = await run_in_threadpool(describe, now, self.catalog)
            return Json(told | {"undo": undoable})

    # Jobs

    async def list_jobs(self, request: Request) -> Response:
        return Json([job.describe() for job in self.jobs.all])

    async def add_job(self, request: Request) -> Response:
        options = []
        for name, allowed in _OPTIONS.items():
            value = request.query_params.get(name, allowed[0])
            if value not in allowed:
                raise HTTPException(400, f"{name} is one of {', '.join(allowed)}, not {value!r:.40}")
            options += [f"--{name}", value] if name in request.query_params else []
        size = request.headers.get("content-length")
        if size is not None and (not size.isdecimal() or int(size) > self.settings.most_bytes):
            raise TooLarge
        with self.jobs.reserve() as place:
            name = request.query_params.get("name", "")
            clip = await save_clip(self.settings.folder, name, request.stream(), self.settings.most_bytes)
            return Json(place.take(clip, options).describe(), 201)

    async def cancel_job(self, request: Request) -> Response:
        job = self.jobs.find(request.path_params["job"])
        if job is None:
            raise NotFound("There is no such job any more")
        self.jobs.cancel(job)
        return Json(job.describe())

    def _found(self, request: Request) -> Found:
        """The result that is asked for, in the version that is asked for if one is. Raises NotFound and Changed."""
        found = self.catalog.find(request.path_params["result"])
        if request.query_params.get("v", found.version) != found.version:
            raise Changed
        return found

    def _of_one_version(self, request: Request, make: Callable[[Found], Response]) -> Response:
        """What `make` makes of the result that is asked for. Raises Changed where another version took its place
        meanwhile, whatever came of that."""
        found = self._found(request)
        try:
            return make(found)
        finally:
            if self.catalog.find(found.id).version != found.version:
                raise Changed


_KEEP = {"cache-control": "private, max-age=3600, immutable"}
"""For what is asked for with the version of the result in its address."""


def build_app(settings: Settings) -> Guard:
    """The page as an application."""
    page = Page(settings)

    @asynccontextmanager
    async def at_work(app: Starlette) -> AsyncIterator[None]:
        work = asyncio.create_task(page.jobs.run())
        try:
            yield
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            page.jobs.close()
            page.changes.close()

    of = "/api/results/{result}"
    routes = [
        Route("/", page.index),
        Route("/api/about", page.about),
        Route("/api/results", page.results),
        Route(of, page.result),
        Route(of + "/faces", page.faces),
        Route(of + "/sound/{number}", page.sound),
        Route(of + "/outline/{number}", page.outline),
        Route(of + "/video", page.video),
        Route(of + "/thumbnail/{track}", page.thumbnail),
        Route(of + "/file/{name}", page.file),
        Route(of + "/archive", page.archive),
        Route(of + "/change/{change}", page.change, methods=["POST"]),
        Route("/api/jobs", page.list_jobs),
        Route("/api/jobs", page.add_job, methods=["POST"]),
        Route("/api/jobs/{job}/cancel", page.cancel_job, methods=["POST"]),
        Mount("/static", _Static(directory=STATIC)),
    ]
    handlers: dict[Any, Callable[..., Any]] = {
        NotFound: lambda request, error: _told(404, str(error)),
        AvsepError: lambda request, error: _told(507 if isinstance(error, OutputError) else 422, str(error)),
        TooMany: lambda request, error: _told(
            429, f"{settings.most_jobs} clips wait already. Try it again when one is done, or cancel one"
        ),
        Changed: lambda request, error: _told(409, "The result was changed elsewhere. Reload the page"),
        TooLarge: lambda request, error: _told(
            413, f"The clip is larger than {settings.most_bytes / 2**30:.3g} GiB. Start avsep page with --max-gib"
        ),
        ClientDisconnect: lambda request, error: _told(400, "The browser went away"),
        OSError: lambda request, error: _told(500, f"A file cannot be read or written ({error.strerror or error})"),
        HTTPException: lambda request, error: _told(error.status_code, error.detail),
        Exception: lambda request, error: _told(500, f"internal fault: {type(error).__name__}"),
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=at_work)
    return Guard(app, settings.hosts, settings.token, settings.port)


class _Static(StaticFiles):
    """The page's own files, asked for anew each time, as another version of avsep may have others."""

    def file_response(self, *args: Any, **settings: Any) -> Response:
        response = super().file_response(*args, **settings)
        response.headers["cache-control"] = "no-cache"
        return response


def _told(status: int, message: str) -> Json:
    return Json({"error": message}, status)


def _whole(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise NotFound("There is no such piece")
    return int(text)


async def _document(request: Request) -> dict[str, Any]:
    """The JSON object that a request brings."""
    body = bytearray()
    async for block in request.stream():
        body += block
        if len(body) > _MOST_JSON:
            raise HTTPException(413, "The change is too long")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The change is no JSON") from error
    if not isinstance(document, dict):
        raise HTTPException(400, "The change is no JSON object")
    return document


def _sendable(name: str) -> str:
    """The name of a file as an address or a header has it."""
    return name.encode("utf-8", "replace").decode()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises AvsepError where the port is taken or the host is not of this machine."""
    where = f"port {port} of {host}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(128)
        except OSError:
            listening.close()
            raise
    except (OSError, OverflowError) as error:
        raise AvsepError(
            f"{where} cannot be opened ({getattr(error, 'strerror', None) or error}). If a page runs there already,"
            " open it or end it; else choose another port with --port, 0 for any that is free"
        ) from error
    return listening


def serve(settings: Settings, listening: socket.socket) -> None:
    """Answer until interrupted."""
    if settings.folder.is_dir():
        remove_partials(settings.folder)  # what a page that was killed had begun to save
    config = uvicorn.Config(
        build_app(settings),
        log_level="critical",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=2,
        lifespan="on",
    )
    with listening:
        uvicorn.Server(config).run(sockets=[listening])


def address(settings: Settings) -> str:
    """What a browser is to open."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    if host in ("0.0.0.0", "[::]"):
        host = socket.gethostname()
    asked = f"?token={quote(settings.token, safe='')}" if settings.token else ""
    return f"http://{host}:{settings.port}/{asked}"
