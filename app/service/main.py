"""``python -m app.service``: answers releases over HTTP, with a page for people beside it.

Reads ``params.yaml`` and the environment:

``MOFANG_KEYS``
    who may ask, a line each (``keys``); without it only this machine may.
``MOFANG_DATABASE_URL``
    where requests are written down; SQLite below ``var`` without it.
``MOFANG_RELEASES``
    the folder of releases; ``releases`` without it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib.util
import ipaddress
import logging
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from app.service import api, connections, errors, logs, protocol
from app.service.desk import Desk
from app.service.gate import Gate, Hosts
from app.service.health import Health
from app.service.keys import KEYS, Keys
from app.service.limits import Buckets
from app.service.metrics import Metrics, Readings
from app.service.router import Router
from app.service.schedule import Schedule
from pipeline import params as project
from pipeline.errors import MofangError, ParamsError
from pipeline.i18n import LANGUAGES, _, catalogue
from pipeline.predictor import bound_kernels
from pipeline.quiet import be_quiet
from pipeline.releases import reading
from pipeline.schema.releasing import Canary
from pipeline.schema.serving import Serve
from pipeline.schema.traffic import Traffic
from pipeline.schema.watching import Alerts, Monitor
from pipeline.traffic import address, database
from pipeline.traffic.entries import Event
from pipeline.traffic.recording import Recorder

VERSION = "1"  # of the interface; releases have versions of their own
IDLE = 4  # open connections for each request that may be under way
FEWEST = 1_024  # open connections that are always allowed
OTHER_FILES = 256  # models, database and what the page for people takes
GRACE = 30  # seconds that open requests may take when the service ends
SWITCH = 0.001  # seconds after which threads may take turns; 0.005 lets answers wait for Python

logger = logging.getLogger("mofang.service")


class Sections(Protocol):
    """The sections of ``params.yaml`` that the service reads."""

    @property
    def serve(self) -> Serve: ...  # noqa: D102 - as in params.yaml

    @property
    def canary(self) -> Canary: ...  # noqa: D102

    @property
    def traffic(self) -> Traffic: ...  # noqa: D102

    @property
    def monitor(self) -> Monitor: ...  # noqa: D102

    @property
    def alerts(self) -> Alerts: ...  # noqa: D102


@dataclass(frozen=True)
class Service:
    """All parts, as they are connected."""

    knobs: Serve
    keys: Keys
    recorder: Recorder
    router: Router
    schedule: Schedule
    metrics: Metrics
    health: Health
    desk: Desk

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run all parts: what is asked comes last and goes first."""
        for language in LANGUAGES:
            catalogue(language)  # reading one takes as long as twenty answers
        self.recorder.start()
        try:
            await self.router.start()
            self.schedule.start()
            gc.collect()
            gc.freeze()  # what is there now stays; looking through it again would hold up answers
            yield
        finally:
            await self.schedule.stop()
            await self.router.stop()
            await asyncio.to_thread(self.recorder.stop)


def build(params: Sections, env: Mapping[str, str], root: Path | None = None) -> FastAPI:
    """Return the application; nothing runs and nothing is loaded before its lifespan begins.

    :param root: of the project; the current folder where it is None.
    :raises ParamsError: if a key in the environment is none.
    :raises StorageError: if the address of the database is none.
    """
    service = connect(params, env, root or Path())
    demo = service.knobs.demo.enabled and importlib.util.find_spec("gradio") is not None

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = FastAPI(
        title="Mofang",
        version=VERSION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    errors.handle(app)
    quick = api.add(
        app, api.Parts(service.desk, service.health, service.metrics, service.keys, demo=demo)
    )
    protocol.add(app, service.desk, service.health)
    if demo:
        add_demo(app, service, root or Path())
    hosts = Hosts.of(service.knobs.host, service.knobs.hosts)
    # Around the framework's own catch-all, which ``add_middleware`` would put outside.
    app.middleware_stack = Gate(
        app.build_middleware_stack(),
        keys=service.keys,
        hosts=hosts,
        metrics=service.metrics,
        most=service.knobs.limits.connections,
        quick=quick,
    )
    app.state.service = service
    return app


def connect(params: Sections, env: Mapping[str, str], root: Path) -> Service:
    """Make all parts and let them know of each other."""
    serve, readings = params.serve, Readings()
    metrics = Metrics(readings)
    recorder = Recorder(database.connect(env.get(address.VARIABLE, ""), root), params.traffic, root)
    releases = reading.root(env, root)

    def event(kind: str, data: Mapping[str, Any]) -> None:
        recorder.put(Event(datetime.now(UTC), kind, data))
        if kind != "loaded":
            schedule.wake()

    router = Router(serve, params.canary, releases, event)
    health = Health(lambda: router.ready)
    schedule = Schedule(
        {"monitor": params.monitor, "alerts": params.alerts, "traffic": params.traffic},
        env,
        sample=lambda: {"dropped": recorder.dropped, "degraded": health.reasons()},
        told=lambda outcome: tell_drift(metrics, outcome),
        root=root,
    )
    health.watch(router.reasons)
    health.watch(recorder.reasons)
    health.watch(lambda: filter(None, [schedule.problem]))
    readings.lanes, readings.queued = router.lanes, lambda: router.waiting
    readings.dropped = lambda: recorder.dropped
    desk = Desk(serve, router, recorder, metrics, Buckets(serve.rate))
    keys = Keys.read(env.get(KEYS, ""))
    return Service(serve, keys, recorder, router, schedule, metrics, health, desk)


def tell_drift(metrics: Metrics, outcome: Mapping[str, Any]) -> None:
    """Let the metrics know what the monitor found."""
    for kind, score in (outcome.get("drift") or {}).items():
        metrics.drift(kind, score)


def add_demo(app: FastAPI, service: Service, root: Path) -> None:
    """Add the page for people."""
    from app.service.demo import page
    from app.service.describe import Showcase

    page.mount(app, Showcase(service.desk), service.knobs, root / page.FOLDER)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the service until it is told to end."""
    be_quiet()
    bound_kernels()
    parser = argparse.ArgumentParser(
        prog="python -m app.service",
        description=str(_("Answer over HTTP with the releases that are promoted or tried.")),
    )
    parser.add_argument("--host", help=str(_("instead of serve.host")))
    parser.add_argument("--port", type=int, help=str(_("instead of serve.port")))
    given = parser.parse_args(arguments)
    try:
        params = with_address(project.load(), given.host, given.port)
        refuse_open_door(params.serve, Keys.read(os.environ.get(KEYS, "")))
        app = build(params, os.environ)
        listener = listen(params.serve)
    except MofangError as error:
        sys.exit(str(error))
    logs.write(os.environ)
    run(app, params.serve, listener)


def with_address(params: Any, host: str | None, port: int | None) -> Any:
    """Return params with another address.

    :raises ParamsError: if it is none.
    """
    changes = {name: one for name, one in (("host", host), ("port", port)) if one is not None}
    try:
        serve = Serve.model_validate(params.serve.model_dump() | changes)
    except ValidationError as error:
        raise ParamsError.at(
            "--host, --port",
            found=", ".join(map(str, changes.values())),
            allowed=_("a name or an address of this machine, and a port from 0 to 65535"),
            fix=_("Leave them out to take those of params.yaml."),
        ) from error
    return params.model_copy(update={"serve": serve})


def refuse_open_door(serve: Serve, keys: Keys) -> None:
    """Refuse to let everybody in from other machines.

    :raises ParamsError: if no key is set and ``serve.host`` is not this machine's own.
    """
    if not keys and not is_own(serve.host):
        raise ParamsError.at(
            "serve.host",
            found=serve.host,
            allowed=_("127.0.0.1 as long as no key is set"),
            fix=_("Set MOFANG_KEYS (name:role:key, a line each), or keep 127.0.0.1."),
        )


def is_own(host: str) -> bool:
    """Return whether only programs of this machine reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listen(serve: Serve) -> socket.socket:
    """Return a socket that listens at the service's address.

    :raises ParamsError: if another program has the port, or the machine has no such address.
    """
    family = socket.AF_INET6 if ":" in serve.host else socket.AF_INET
    try:
        return socket.create_server((serve.host, serve.port), family=family, backlog=2048)
    except OSError as error:
        raise ParamsError.at(
            f"serve.host, serve.port: {serve.host}:{serve.port}",
            found=error.strerror or str(error),
            allowed=_("an address of this machine and a free port"),
            fix=_("Take another port, or end the program that has it."),
        ) from error


def open_at_once(serve: Serve) -> int:
    """Return how many connections may be open."""
    return max(FEWEST, IDLE * serve.limits.connections)


def allow_files(count: int) -> None:
    """Let this process open so many files at once, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def server_of(app: FastAPI, serve: Serve) -> uvicorn.Server:
    """Return what speaks HTTP for the application."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=connections.patient(serve.limits.body_seconds, open_at_once(serve)),
            loop="uvloop",
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(serve.proxies),
            forwarded_allow_ips=serve.proxies,
            timeout_graceful_shutdown=GRACE,
        )
    )


def run(app: FastAPI, serve: Serve, listener: socket.socket) -> None:
    """Answer until SIGINT or SIGTERM comes; what was asked before is still answered."""
    sys.setswitchinterval(SWITCH)
    allow_files(open_at_once(serve) + OTHER_FILES)
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    print(_("Mofang answers at http://{address}:{port}", address=shown, port=port), flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server_of(app, serve).run(sockets=[listener])
