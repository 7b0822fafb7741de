"""The service beside the studio: start it, stop it, see how it is, ask it.

The service is a program of its own, kept by ``keeper``; the studio knows of it only what
``var/service.json`` says and what the service itself answers on this machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from app.studio import keeper, roles, stamps
from app.studio.project_files import Project
from app.studio.runs import logbook
from app.studio.runs.processes import alive
from app.studio.runs.records import Process
from pipeline import params
from pipeline.artifacts import write_json
from pipeline.errors import BusyError, MofangError, StorageError, Text
from pipeline.i18n import _

State = Literal["stopped", "starting", "running", "stopping", "failed", "elsewhere"]

CODE = Path(__file__).parents[2]  # the project may lie elsewhere
KEYS = "MOFANG_KEYS"
KEEPER = "app.studio.keeper"
SECTIONS = ("serve", "canary", "traffic", "monitor", "alerts")  # what a service reads at its start
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listens there, is asked here
PROBE, ANSWER = 0.5, 30.0  # seconds that a question about health, or to the model, may take
STARTED = 30.0  # seconds until the keeper must have said that it keeps
STOPPED = 9.0  # seconds that a page waits for the end
FULL = 10_000_000  # bytes of the log; the next start moves it aside
LINES = 30  # of the log's end
LARGEST = 4_000_000  # bytes of an answer


@dataclass(frozen=True)
class Service:
    """How the service is."""

    state: State
    host: str
    port: int
    by: str = ""
    began: str | None = None
    restarts: int = 0
    code: int | None = None  # with which it ended last, where it fell
    status: str = ""  # as /health says: ok, degraded, not ready
    degraded: Sequence[str] = ()
    outdated: bool = False  # params.yaml has other values than the service started with

    @property
    def answers(self) -> bool:
        """Whether it answers requests."""
        return self.state in ("running", "elsewhere") and self.status in ("ok", "degraded")

    @property
    def address(self) -> str:
        """Where a browser on this machine finds it."""
        host = EVERYWHERE.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """What a model answered to one text."""

    version: str
    labels: tuple[tuple[str, float], ...]  # with scores, best first
    seconds: float
    decided: str = ""  # what the model decides; "" where only scores are known


def status(project: Project, language: str = "en") -> Service:
    """Return how the service is, from its record, its processes and its own word.

    :param language: of what it says about itself.
    """
    told = record(project)
    lives = held(project)
    host, port = address_in(project)
    if lives and "port" in told:
        host, port = str(told["host"]), int(told["port"])
    health = probe(host, port, language) if port else None
    if not lives and health is not None:
        return Service("elsewhere", host, port, **said(health))
    state: State = "failed" if told.get("state") == keeper.FAILED else "stopped"
    if lives and told.get("state") == keeper.STOPPING:
        state = "stopping"
    elif lives:
        state = "starting" if health is None else "running"
    return Service(
        state,
        host,
        port,
        by=str(told.get("by", "")),
        began=told.get("began"),
        restarts=int(told.get("restarts", 0)),
        code=told.get("code"),
        outdated=lives and told.get("params") not in (None, sections(project)),
        **said(health or {}),
    )


def said(health: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a service says about itself, as ``Service`` has it."""
    reasons = health.get("degraded") or ()
    return {"status": str(health.get("status", "")), "degraded": tuple(map(str, reasons))}


def start(project: Project) -> Service:
    """Start the service, and return as soon as it is kept.

    Needs the role for ``roles.RUN_SERVICE``.

    :raises RoleError: if the role is too small.
    :raises BusyError: if it runs already.
    :raises ParamsError: if ``params.yaml`` is not allowed.
    :raises StorageError: if ``var`` cannot be written, or the keeper does not start.
    """
    user = roles.require(roles.RUN_SERVICE, "start")
    serve = params.load(project.params).serve
    with locked(project) as lock:
        port = serve.port or free_port(serve.host)
        log = project.root / keeper.LOG
        if log.exists() and log.stat().st_size > FULL:
            log.replace(log.with_name(f"{log.name}.1"))
        told = {"state": keeper.RUNNING, "host": serve.host, "port": port, "by": user.name,
                "began": keeper.now(), "params": sections(project)}  # fmt: skip
        write_json(project.root / keeper.RECORD, told)
        service = [sys.executable, "-m", "app.service", "--port", str(port)]
        known = dict(os.environ) | {"PYTHONPATH": code_path(), "PYTHONUNBUFFERED": "1"}
        with open(log, "ab", opener=private) as output:
            done = subprocess.run(
                [sys.executable, "-m", KEEPER, str(lock), *service],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=project.root,
                env=known, pass_fds=(lock,), start_new_session=True, timeout=STARTED, check=False,
            )  # fmt: skip
    if done.returncode:
        raise StorageError.at(
            keeper.LOG,
            found=_("exit code {code}", code=done.returncode),
            allowed=_("a service that starts"),
            fix=_("Read the last lines of the log below."),
        )
    return status(project)


def stop(project: Project) -> Service:
    """Ask the service to end; what was asked of it before is still answered.

    Needs the role for ``roles.RUN_SERVICE``.

    :raises RoleError: if the role is too small.
    """
    roles.require(roles.RUN_SERVICE, "stop")
    told = record(project)
    # Without its keeper, which somebody killed, the service is told itself.
    process = known(told.get("keeper")) or known(told.get("service"))
    if process is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGTERM)
        until = time.monotonic() + STOPPED
        while held(project) and time.monotonic() < until:
            time.sleep(0.05)
    return status(project)


def record(project: Project) -> dict[str, Any]:
    """Return what the keeper wrote last; nothing where it never ran."""
    try:
        content = json.loads((project.root / keeper.RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def known(told: Mapping[str, Any] | None) -> Process | None:
    """Return a process that was written down; None where it is gone or is another one by now."""
    try:
        process = Process(int(told["pid"]), float(told["started"])) if told else None
    except (KeyError, TypeError, ValueError):
        return None
    return process if alive(process) else None


def held(project: Project) -> bool:
    """Return whether a keeper or a service lives: either holds the lock, and it goes with them."""
    path = project.root / keeper.LOCK
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def locked(project: Project) -> Iterator[int]:
    """Hold the right to run the service; whoever inherits the number of the file goes on with it.

    :raises BusyError: saying who runs it since when.
    :raises StorageError: if the file cannot be written.
    """
    path = project.root / keeper.LOCK
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError.at(
            path,
            found=error.strerror or str(error),
            allowed=_("a folder that can be written"),
            fix=_("Mend its rights or free some space; what serves goes on."),
        ) from error
    try:
        if not taken(lock):
            told = record(project)
            raise BusyError.at(
                "app.service",
                found=_("running since {at}, started by {by}", at=told.get("began", "?"),
                        by=told.get("by", "?")),
                allowed=_("one at a time"),
                fix=_("Stop it first."),
            )  # fmt: skip
        yield lock
    finally:
        os.close(lock)


def taken(lock: int) -> bool:
    """Return whether the lock could be taken; who only looks at it holds it for a moment."""
    for _try in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def private(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


def code_path() -> str:
    """Return the ``PYTHONPATH`` by which Mofang's own code is found from any folder."""
    return os.pathsep.join([str(CODE), *filter(None, [os.environ.get("PYTHONPATH")])])


def free_port(host: str) -> int:
    """Return a port that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        return int(listener.getsockname()[1])


def values(project: Project) -> params.Params | None:
    """Return the parameters; None where ``params.yaml`` is missing or not allowed."""
    try:
        return stamps.params(project.params)
    except MofangError:
        return None


def address_in(project: Project) -> tuple[str, int]:
    """Return where a service would listen; port 0 where that is not known."""
    found = values(project)
    return ("127.0.0.1", 0) if found is None else (found.serve.host, found.serve.port)


def sections(project: Project) -> str | None:
    """Return what tells the values that a service reads from others; None where there are none."""
    known = values(project)
    if known is None:
        return None
    read = {name: getattr(known, name).model_dump(mode="json") for name in SECTIONS}
    return hashlib.sha256(json.dumps(read, sort_keys=True).encode()).hexdigest()


def log(project: Project) -> list[str]:
    """Return the last lines that the service printed."""
    return logbook.tail(project.root / keeper.LOG, LINES)


def probe(host: str, port: int, language: str) -> dict[str, Any] | None:
    """Return what a service of ours says about its health; None where none answers."""
    try:
        _code, answer, _headers = asked(host, port, "GET", "/health", seconds=PROBE,
                                        language=language)  # fmt: skip
    except OSError:
        return None
    return answer if isinstance(answer, dict) and "degraded" in answer else None


def ask(service: Service, text: str, language: str, top: int = 5) -> Answer:
    """Ask the running service as a client does.

    Needs the role for ``roles.TRY_MODEL``.

    :raises RoleError: if the role is too small.
    :raises BusyError: if it does not answer, or refuses; with its own words.
    """
    roles.require(roles.TRY_MODEL, "service")
    began = time.monotonic()
    body = {"inputs": [text], "parameters": {"top_k": top}}
    try:
        code, answer, _headers = asked(service.host, service.port, "POST", "/predict",
                                       seconds=ANSWER, language=language, body=body)  # fmt: skip
    except OSError as error:
        raise refused(service, str(error), _("Start the service, then ask again.")) from error
    if code != 200:
        why = answer.get("error", {}) if isinstance(answer, dict) else {}
        raise refused(service, str(why.get("message", code)), str(why.get("hint", "")))
    ranked = tuple((str(one["label"]), float(one["score"])) for one in answer["predictions"][0])
    seconds = time.monotonic() - began
    return Answer(str(answer["model"]), ranked, seconds, str(answer["answers"][0]))


def refused(service: Service, found: Text, fix: Text) -> BusyError:
    """Return the error for a service that does not answer what it is asked."""
    return BusyError.at(service.address, found=found, allowed=_("an answer"), fix=fix)


def asked(
    host: str,
    port: int,
    method: str,
    path: str,
    *,
    seconds: float,
    language: str,
    body: Mapping[str, Any] | None = None,
) -> tuple[int, Any, Mapping[str, str]]:
    """Return status, JSON and headers of an answer of this machine, without any proxy.

    :raises OSError: if nothing answers, or what answers speaks otherwise.
    """
    headers = {"Accept-Language": language, "X-Client-Id": "studio"}
    key = own_key(os.environ.get(KEYS, ""))
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    content = None if body is None else json.dumps(body).encode()
    connection = http.client.HTTPConnection(EVERYWHERE.get(host, host), port, timeout=seconds)
    try:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read(LARGEST)), dict(answer.headers)
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(type(error).__name__) from error
    finally:
        connection.close()


def own_key(text: str) -> str:
    """Return a key with which the studio may ask the service that has the same environment."""
    for line in text.splitlines():
        name, _colon, rest = line.strip().partition(":")
        role, _colon, key = rest.partition(":")
        if name.strip() and role.strip() in ("predict", "operate") and key.strip():
            return key.strip()
    return ""
