"""The REST interface: predict, feedback, model, health, metrics and the page that explains them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.service import manual
from app.service.desk import Desk, Reply
from app.service.errors import Errors, Json, invalid
from app.service.gate import DEMO, Answer, visit_of
from app.service.health import Health
from app.service.keys import Keys
from app.service.limits import body_of
from app.service.metrics import Metrics

BEST = 1  # labels of each text that are told where nothing else is said
LONGEST_REASON = 1_000  # characters
REFUSALS = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 503)

Asked = TypeVar("Asked", bound=BaseModel)
# What limits.check_text wants, as far as JSON Schema can say it; there it gets words of its own.
Readable = Annotated[str, Field(json_schema_extra={"minLength": 1, "pattern": r"\S"})]
# A long list of what is no text is not looked through to its end.
Texts = Annotated[list[Readable], Field(fail_fast=True, json_schema_extra={"minItems": 1})]


class Strict(BaseModel):
    """What a client sends; a name that is not known is a spelling mistake."""

    model_config = ConfigDict(extra="forbid")


class Parameters(Strict):
    """How an answer looks."""

    top_k: int = Field(BEST, ge=1, le=10_000, description="How many labels of each text are told.")


class Ask(Strict):
    """Texts that are to be labelled."""

    inputs: Readable | Texts = Field(description="A text, or several.")
    parameters: Parameters | None = None


class Scored(BaseModel):
    """A label with its probability, 0 to 1; for numbers ``value`` and the number."""

    label: str
    score: float


class Predictions(BaseModel):
    """The answer to ``/predict``."""

    model: str = Field(description="The release that answered.")
    predictions: list[list[Scored]] = Field(description="For each text its labels, best first.")
    answers: list[str] = Field(
        description="For each text what the model decides: a label, several joined by |, or a "
        "number. Thresholds of the model count here."
    )
    id: str = Field(description="Of this request, for feedback.")


class Feedback(Strict):
    """What somebody says about an answer."""

    id: str = Field(description="Of the answer.", pattern=r"^[0-9a-f]{32}$")
    index: int = Field(description="Of the text in its request, from 0.", ge=0, le=1_000_000)
    verdict: Literal["up", "down"]
    label: str | None = Field(None, description="What would have been right.", max_length=1_000)
    reason: str | None = Field(None, description="Why.", max_length=LONGEST_REASON)


class Received(BaseModel):
    """That feedback has arrived."""

    received: Literal[True] = True


class Model(BaseModel):
    """Which model answers."""

    name: str
    version: str
    created: str
    task: str
    labels: list[str]
    max_tokens: int
    figures: dict[str, float | None] = Field(description="On the test part.")
    limits: dict[str, list[str]] = Field(description="What it is not for, in en and zh.")
    canary: str | None = Field(description="The release that is tried beside it.")


class State(BaseModel):
    """Whether the service is ready."""

    status: str
    live: bool
    ready: bool
    degraded: list[str]


@dataclass(frozen=True)
class Parts:
    """What the routes are connected to."""

    desk: Desk
    health: Health
    metrics: Metrics
    keys: Keys
    demo: bool  # whether there is a page at /demo


def add(app: FastAPI, parts: Parts) -> dict[str, Answer]:
    """Add all routes but those of the Open Inference Protocol.

    :returns: what ``Gate`` may call by itself.
    """
    quick = add_answers(app, parts.desk)
    add_state(app, parts)
    add_pages(app, parts.demo)
    describe(app)
    return quick


def add_answers(app: FastAPI, desk: Desk) -> dict[str, Answer]:
    """Add what people and programs ask the model."""

    @app.post("/predict", **documented("POST", "/predict", Predictions, Ask))
    async def predict(request: Request) -> Response:
        visit = visit_of(request)
        desk.admit(visit)
        ask = parsed(Ask, await body_of(request, desk.knobs.limits))
        texts = [ask.inputs] if isinstance(ask.inputs, str) else ask.inputs
        top_k = ask.parameters.top_k if ask.parameters else BEST
        reply = await desk.ask(texts, visit, "/predict")
        return Json(
            {
                "model": reply.version,
                "predictions": ranked(reply, top_k),
                "answers": reply.labels,
                "id": reply.id,
            }
        )

    @app.post("/feedback", status_code=202, **documented("POST", "/feedback", Received, Feedback))
    async def feedback(request: Request) -> Response:
        visit = visit_of(request)
        desk.admit(visit)
        said = parsed(Feedback, await body_of(request, desk.knobs.limits))
        desk.feedback(visit, said)
        return Json({"received": True}, 202)

    @app.get("/model", **documented("GET", "/model", Model))
    async def model(request: Request) -> Response:
        told = desk.model()
        visit_of(request).version = told["version"]
        return Json(told)

    return {"/predict": predict}


def add_state(app: FastAPI, parts: Parts) -> None:
    """Add what those ask who keep the service running."""

    @app.get("/health", **documented("GET", "/health", State, busy=State))
    async def health(request: Request) -> Response:
        report = parts.health.report(visit_of(request).language)
        if not parts.keys.knows(request.headers):
            report["degraded"] = []  # that it is degraded may be known to all, and why not
        return Json(report, 200 if report["ready"] else 503)

    @app.get("/metrics", **documented("GET", "/metrics", None))
    async def metrics(request: Request) -> Response:
        content, kind = parts.metrics.page(request.headers.get("accept", ""))
        return Response(content, media_type=kind)


def add_pages(app: FastAPI, demo: bool) -> None:
    """Add what a browser opens."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        address = str(request.base_url).rstrip("/")
        return HTMLResponse(manual.page(visit_of(request).language, address))

    @app.get("/favicon.ico", include_in_schema=False)
    async def favicon() -> Response:
        """Say that there is no icon, for which every browser asks; it is no mistake."""
        return Response(status_code=204)

    @app.get("/", include_in_schema=False)
    async def start() -> Response:
        return RedirectResponse(f"{DEMO}/" if demo else "/docs")


def parsed(model: type[Asked], body: bytes) -> Asked:
    """Return what a body says.

    :raises Invalid: if it is no JSON, or does not say what ``model`` asks for.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def ranked(reply: Reply, top_k: int) -> list[list[dict[str, Any]]]:
    """Return for each text its ``top_k`` best labels with their scores, best first.

    Where one of two labels has a threshold, the label that is answered comes first, as
    ``BasePredictor.predict`` has it.
    """
    rows: list[list[float]] = reply.scores.tolist()
    return [
        [{"label": reply.outputs[at], "score": row[at]} for at in order(row, label, reply)[:top_k]]
        for row, label in zip(rows, reply.labels, strict=True)
    ]


def order(row: Sequence[float], label: str, reply: Reply) -> list[int]:
    """Return the positions of a text's scores, best first.

    Plain Python: numpy hands over the interpreter's lock for each sort, and for a few numbers that
    takes a hundred times as long as sorting them.
    """
    if reply.decided:
        first = reply.outputs.index(label)
        return [first, 1 - first]
    return sorted(range(len(row)), key=row.__getitem__, reverse=True)


def documented(
    method: str,
    path: str,
    answer: type[BaseModel] | None,
    body: type[BaseModel] | None = None,
    busy: type[BaseModel] = Errors,
) -> dict[str, Any]:
    """Return what OpenAPI says about a route.

    Bodies are read by the route itself, in a tenth of the time that the framework takes, so that
    their models are named here.

    :param busy: what stands in an answer with status 503.
    """
    known: dict[str, Any] = {
        "summary": manual.told(method, path),
        "response_model": answer,
        "responses": {status: {"model": Errors} for status in REFUSALS} | {503: {"model": busy}},
    }
    if answer is None:
        known["response_class"] = Response
    if body is not None:
        content = {"application/json": {"schema": {"$ref": reference(body.__name__)}}}
        known["openapi_extra"] = {"requestBody": {"required": True, "content": content}}
    return known


def reference(model: str = "{model}") -> str:
    """Return where the schema of a model stands in OpenAPI."""
    return f"#/components/schemas/{model}"


BODIES: list[type[BaseModel]] = [Ask, Feedback]


def describe(app: FastAPI) -> None:
    """Let OpenAPI know the models of bodies, and keys."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            told = get_openapi(title=app.title, version=app.version, routes=app.routes)
            _names, bodies = models_json_schema(
                [(one, "validation") for one in BODIES], ref_template=reference()
            )
            parts = told.setdefault("components", {})
            parts["schemas"] = parts.get("schemas", {}) | bodies["$defs"]
            parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            told["security"] = [{}, {"key": []}]
            app.openapi_schema = told
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
