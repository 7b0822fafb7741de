"""What the service answers when it does not answer: one shape, in the reader's language.

::

    {"error": {"code": "too_many_texts", "message": "inputs: found 300 texts, allowed …",
               "hint": "Send them in several requests."}}

A ``Refusal`` is meant: its texts say what to do. Whatever else goes wrong is told without a word of
what happened inside.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, to_json
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.errors import MofangError, Problem, Text, words
from pipeline.i18n import Message, _

MOST_PROBLEMS = 10  # of one request that are told


class Refusal(MofangError):  # noqa: N818 - no error of the service: it is meant
    """A request that is not answered, and why.

    :cvar status: of HTTP.
    :cvar code: a word for programs, which never changes.
    """

    status = 500
    code = "failed"
    retry_after: float | None = None  # seconds

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to the refusal."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after)))}


class Invalid(Refusal):
    """A request that does not say what is asked."""

    status, code = 422, "invalid_request"


class EmptyText(Invalid):
    """A text with nothing to read in it."""

    code = "empty_text"


class TooLarge(Refusal):
    """More than a request may bring."""

    status, code = 413, "too_large"


class TooSlow(Refusal):
    """A body that does not arrive."""

    status, code = 408, "too_slow"


class NotJson(Refusal):
    """A body of another kind."""

    status, code = 415, "not_json"


class NoKey(Refusal):
    """No key, or one that nobody has."""

    status, code = 401, "no_key"

    def headers(self) -> dict[str, str]:
        """Return how to show a key; ``Basic`` lets a browser ask for it."""
        return {"WWW-Authenticate": 'Bearer, Basic realm="mofang", charset="UTF-8"'}


class NotAllowed(Refusal):
    """A key whose role does not reach so far."""

    status, code = 403, "not_allowed"


class UnknownHost(Refusal):
    """A name by which the service may not be called."""

    status, code = 400, "unknown_host"


class NotThere(Refusal):
    """No such model, version or request."""

    status, code = 404, "not_found"


class TooMany(Refusal):
    """More than one client may ask."""

    status, code = 429, "too_many_requests"


class Busy(Refusal):
    """More than the service can answer now."""

    status, code = 503, "busy"


class Late(Busy):
    """No answer before the deadline."""

    code = "too_late"


class NotReady(Refusal):
    """No model that answers."""

    status, code = 503, "not_ready"


class Closed(NotReady):
    """A model that is on its way out; its successor answers."""


class Failed(Refusal):
    """A model that could not answer."""

    status, code = 500, "model_failed"


class Error(BaseModel):
    """What went wrong, in the language of ``Accept-Language`` (English or 中文)."""

    code: str
    message: str
    hint: str


class Errors(BaseModel):
    """Every answer that is none."""

    error: Error


class Json(Response):
    """JSON in UTF-8, whatever pydantic can write."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content)


# What statuses are called that the framework gives by itself.
STATUSES: Mapping[int, tuple[str, Message, Message]] = {
    404: ("not_found", _("There is nothing here."), _("See /docs for what there is.")),
    405: ("not_allowed_method", _("This address takes another method."), _("See /docs.")),
}
OTHER = ("refused", _("The request cannot be answered."), _("See /docs for what is allowed."))
INTERNAL = (
    "internal",
    _("The service failed to answer. It has been noted."),
    _("Try again; if it stays so, tell the operator the X-Request-Id of this answer."),
)


def handle(app: FastAPI) -> None:
    """Let every error of ``app`` leave in one shape."""
    app.add_exception_handler(Refusal, on_refusal)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_status)
    app.add_exception_handler(Exception, on_failure)


async def on_refusal(request: Request, error: Any) -> Response:
    """Answer a refusal."""
    return refused(error, language_of(request.headers.get("accept-language", "")))


async def on_validation(request: Request, error: Any) -> Response:
    """Answer what FastAPI found wrong with a path or a query."""
    return await on_refusal(request, Invalid(*explained(error.errors())))


async def on_status(request: Request, error: Any) -> Response:
    """Answer a status that the framework gives by itself."""
    told = STATUSES.get(error.status_code, OTHER)
    return shaped(
        error.status_code,
        *told,
        language=language_of(request.headers.get("accept-language", "")),
        headers=error.headers,
    )


async def on_failure(request: Request, _error: Exception) -> Response:
    """Answer what nobody foresaw; what it was stands in the log only."""
    return shaped(500, *INTERNAL, language=language_of(request.headers.get("accept-language", "")))


def refused(error: Refusal, language: str) -> Response:
    """Return the answer for a refusal in ``language``."""
    pattern = _("{where}: found {found}, allowed {allowed}.")
    message = "\n".join(
        Message(pattern.text, phrases(one, language)).render(language) for one in error.problems
    )
    hints = dict.fromkeys(words(one.fix, language) for one in error.problems)
    return shaped(
        error.status, error.code, message, " ".join(hints), language=language,
        headers=error.headers(),
    )  # fmt: skip


def phrases(problem: Problem, language: str) -> dict[str, str]:
    """Return the parts of a problem in ``language``."""
    return {name: words(getattr(problem, name), language) for name in ("where", "found", "allowed")}


def shaped(
    status: int,
    code: str,
    message: Text,
    hint: Text,
    *,
    language: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an answer of the one shape."""
    told = {"code": code, "message": words(message, language), "hint": words(hint, language)}
    answer = Json({"error": told}, status, headers=dict(headers or {}))
    answer.headers["Content-Language"] = language
    return answer


def invalid(error: ValidationError) -> Invalid:
    """Return the refusal for a body that is not what the model of it allows."""
    return Invalid(*explained(error.errors(include_url=False, include_context=False)))


def explained(details: Sequence[ErrorDetails | Any]) -> list[Problem]:
    """Put pydantic's findings into house style.

    What the client sent is not repeated: it may be long, and it may be a secret.
    """
    return [
        Problem(
            ".".join(str(step) for step in detail["loc"])[:100] or "body",
            _("a value that does not fit ({reason})", reason=plain(detail["msg"])),
            _("what /docs says"),
            _("Compare the request with /docs."),
        )
        for detail in details[:MOST_PROBLEMS]
    ]


def plain(reason: str) -> str:
    """Return a library's words on one line and not too long."""
    return " ".join(reason.split())[:200].encode("utf-8", "replace").decode()


@functools.lru_cache(maxsize=256)
def language_of(accepted: str) -> str:
    """Return which of English and Chinese a reader prefers; English where neither is named.

    :param accepted: header ``Accept-Language`` (RFC 9110, 12.5.4).
    """
    best, weight = "en", 0.0
    for part in accepted[:200].split(","):
        tag, _semicolon, quality = part.partition(";")
        language = tag.strip().lower().split("-")[0]
        if language in ("en", "zh") and (wanted := quality_of(quality)) > weight:
            best, weight = language, wanted
    return best


def quality_of(text: str) -> float:
    """Return the weight of ``q=0.8``: 1 where none is given, 0 where it is no number."""
    _name, _equals, value = text.partition("=")
    try:
        weight = float(value) if text.strip() else 1.0
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0
