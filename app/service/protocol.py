"""Open Inference Protocol v2 over REST, as KServe, Triton and others speak it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md

One input, ``text`` (BYTES, [n]); two outputs, ``label`` (BYTES, [n]), what the model decides, and
``scores`` (FP64, [n, outputs]). Errors have the shape that all errors of this service have, where
the protocol has one sentence.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.service.api import BODIES, Texts, documented, parsed
from app.service.desk import Desk, Reply
from app.service.errors import Invalid, Json, NotThere
from app.service.gate import visit_of
from app.service.health import Health
from app.service.limits import body_of
from pipeline.i18n import Message, _

TEXT, LABEL, SCORES = "text", "label", "scores"
NAME, VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"


class Tensor(BaseModel):
    """Texts that are to be labelled."""

    name: str = Field(description="text", max_length=200)
    shape: list[int] = Field(description="[n] or [n, 1]", min_length=1, max_length=2)
    datatype: str = Field(description="BYTES", max_length=20)
    data: Texts | Annotated[list[Texts], Field(fail_fast=True)]


class Wanted(BaseModel):
    """An output that is to be told."""

    name: str = Field(description="label or scores", max_length=200)


class Inference(BaseModel):
    """The body of ``infer``."""

    id: str | None = Field(None, max_length=200)
    inputs: list[Tensor] = Field(min_length=1, max_length=10)
    outputs: list[Wanted] | None = Field(None, max_length=10)


class Output(BaseModel):
    """An output."""

    name: str
    shape: list[int]
    datatype: str
    data: list[str | float]


class Inferred(BaseModel):
    """The answer to ``infer``."""

    model_name: str
    model_version: str
    id: str = Field(description="That of the request, or this service's, which feedback needs.")
    outputs: list[Output]


class Server(BaseModel):
    """The server."""

    name: str
    version: str
    extensions: list[str]


class Described(BaseModel):
    """An input or an output of the model."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[Described]
    outputs: list[Described]
    parameters: dict[str, Any]


class Live(BaseModel):
    """Whether the server lives."""

    live: bool


class Ready(BaseModel):
    """Whether the server is ready."""

    ready: bool


class Loaded(BaseModel):
    """Whether a model is loaded."""

    name: str
    ready: bool


BODIES.append(Inference)


def add(app: FastAPI, desk: Desk, health: Health) -> None:
    """Add all routes of the protocol."""
    add_server(app, health)
    add_models(app, desk)
    add_inference(app, desk)


def add_server(app: FastAPI, health: Health) -> None:
    """Add what is asked about the server."""

    @app.get("/v2", **documented("GET", "/v2", Server))
    async def server() -> Response:
        return Json({"name": app.title.lower(), "version": app.version, "extensions": []})

    @app.get("/v2/health/live", **documented("GET", "/v2/health/live", Live))
    async def live() -> Response:
        return Json({"live": health.live()})

    @app.get("/v2/health/ready", **documented("GET", "/v2/health/ready", Ready, busy=Ready))
    async def ready() -> Response:
        there = health.ready()
        return Json({"ready": there}, 200 if there else 503)


def add_models(app: FastAPI, desk: Desk) -> None:
    """Add what is asked about models."""

    @app.get(NAME, **documented("GET", NAME, Metadata))
    async def model(name: str) -> Response:
        check_name(desk, name)
        return Json(metadata(desk, desk.stable().version))

    @app.get(VERSION, **documented("GET", VERSION, Metadata))
    async def version_of(name: str, version: str) -> Response:
        check_name(desk, name)
        return Json(metadata(desk, desk.lane(version).version))

    @app.get(f"{NAME}/ready", **documented("GET", f"{NAME}/ready", Loaded, busy=Loaded))
    async def ready(name: str) -> Response:
        check_name(desk, name)
        there = desk.router.ready
        return Json({"name": name, "ready": there}, 200 if there else 503)

    @app.get(f"{VERSION}/ready", **documented("GET", f"{VERSION}/ready", Loaded))
    async def version_ready(name: str, version: str) -> Response:
        check_name(desk, name)
        desk.lane(version)
        return Json({"name": name, "ready": True})


def add_inference(app: FastAPI, desk: Desk) -> None:
    """Add what is asked of models."""

    async def answer(request: Request, name: str, version: str | None) -> Response:
        visit = visit_of(request)
        desk.admit(visit)
        check_name(desk, name)
        route = f"{VERSION if version else NAME}/infer"
        asked = parsed(Inference, await body_of(request, desk.knobs.limits))
        reply = await desk.ask(texts_of(asked), visit, route, version)
        return Json(inferred(name, asked, reply))

    @app.post(f"{NAME}/infer", **documented("POST", f"{NAME}/infer", Inferred, Inference))
    async def infer(request: Request, name: str) -> Response:
        return await answer(request, name, None)

    @app.post(f"{VERSION}/infer", **documented("POST", f"{VERSION}/infer", Inferred, Inference))
    async def infer_version(request: Request, name: str, version: str) -> Response:
        return await answer(request, name, version)


def check_name(desk: Desk, name: str) -> None:
    """Refuse a model that is not served.

    :raises NotThere: if it has another name.
    """
    if name != desk.knobs.name:
        raise NotThere.at(
            "model",
            found=_("another name"),
            allowed=desk.knobs.name,
            fix=_("Ask for the model by this name."),
        )


def metadata(desk: Desk, version: str) -> dict[str, Any]:
    """Return what a version takes and gives."""
    lane = desk.lane(version)
    outputs = lane.decides.outputs
    return {
        "name": desk.knobs.name,
        "versions": [one.version for one in desk.router.lanes()],
        "platform": "mofang",
        "inputs": [{"name": TEXT, "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
            {"name": SCORES, "datatype": "FP64", "shape": [-1, len(outputs)]},
        ],
        "parameters": {"task": lane.card.task, "labels": outputs, "version": version},
    }


def texts_of(asked: Inference) -> list[str]:
    """Return the texts of the one input.

    :raises Invalid: if there is another input, or its shape is not that of its data.
    """
    if len(asked.inputs) != 1 or asked.inputs[0].name != TEXT:
        raise unfit("inputs", _("another input"), _("one input of the name {name}", name=TEXT))
    tensor = asked.inputs[0]
    if tensor.datatype != "BYTES":
        raise unfit("inputs[0].datatype", _("another type"), "BYTES")
    texts = [text for one in tensor.data for text in ([one] if isinstance(one, str) else one)]
    if tensor.shape not in ([len(texts)], [len(texts), 1]):
        told = _("[{count}] or [{count}, 1], as there are texts", count=len(texts))
        raise unfit("inputs[0].shape", _("another shape"), told)
    for wanted in asked.outputs or ():
        if wanted.name not in (LABEL, SCORES):
            raise unfit("outputs", _("another output"), f"{LABEL}, {SCORES}")
    return texts


def unfit(where: str, found: Message, allowed: Message | str) -> Invalid:
    """Return the error for a tensor that the model does not know."""
    return Invalid.at(
        where, found=found, allowed=allowed, fix=_("GET /v2/models/NAME says what the model takes.")
    )


def inferred(name: str, asked: Inference, reply: Reply) -> dict[str, Any]:
    """Return the answer, with the outputs that are wanted; all when none is named."""
    texts, outputs = reply.scores.shape
    known: dict[str, dict[str, Any]] = {
        LABEL: {"shape": [texts], "datatype": "BYTES", "data": reply.labels},
        SCORES: {
            "shape": [texts, outputs],
            "datatype": "FP64",
            "data": reply.scores.ravel().tolist(),
        },
    }
    wanted = [one.name for one in asked.outputs] if asked.outputs else list(known)
    return {
        "model_name": name,
        "model_version": reply.version,
        "id": asked.id or reply.id,
        "outputs": [{"name": one} | known[one] for one in wanted],
    }
