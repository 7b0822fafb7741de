"""What there is to ask, in both languages, and the page at /docs that tells it.

The page is plain HTML from this process: the usual ones load programs from elsewhere, which a
machine without the Internet cannot show and which nobody here has read.
"""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

from pipeline.i18n import Message, _

TITLE = "Mofang"


@dataclass(frozen=True)
class Operation:
    """Something that can be asked."""

    method: str
    path: str
    told: Message
    sent: Any = None  # an example of the body


INPUT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["How late is it?"]}
OPERATIONS = (
    Operation(
        "POST", "/predict",
        _("Label one text or several; top_k says how many labels of each are told, best first."),
        {"inputs": ["How late is it?", "Where is Iceland?"], "parameters": {"top_k": 3}},
    ),
    Operation(
        "POST", "/feedback",
        _("Say whether an answer was right; id and index are those of the answer."),
        {"id": "0f3c…", "index": 0, "verdict": "down", "label": "number", "reason": "a time"},
    ),
    Operation("GET", "/model", _("Which model answers, how good it is and what it is not for.")),
    Operation("GET", "/health", _("Whether the service is ready, and what it has to do without.")),
    Operation("GET", "/metrics", _("Figures for Prometheus.")),
    Operation("GET", "/v2", _("Open Inference Protocol: the server.")),
    Operation("GET", "/v2/health/live", _("Open Inference Protocol: whether the server lives.")),
    Operation("GET", "/v2/health/ready", _("Open Inference Protocol: whether it is ready.")),
    Operation("GET", "/v2/models/{name}", _("Open Inference Protocol: what the model takes.")),
    Operation(
        "GET", "/v2/models/{name}/versions/{version}",
        _("Open Inference Protocol: what this version takes."),
    ),
    Operation(
        "GET", "/v2/models/{name}/ready", _("Open Inference Protocol: whether it is loaded."),
    ),
    Operation(
        "GET", "/v2/models/{name}/versions/{version}/ready",
        _("Open Inference Protocol: whether this version is loaded."),
    ),
    Operation(
        "POST", "/v2/models/{name}/infer", _("Open Inference Protocol: label texts."),
        {"inputs": [INPUT]},
    ),
    Operation(
        "POST", "/v2/models/{name}/versions/{version}/infer",
        _("Open Inference Protocol: label texts with this version."), {"inputs": [INPUT]},
    ),
)  # fmt: skip

HEADERS = (
    ("Authorization: Bearer KEY", _("Your key, where the service needs one.")),
    ("Accept-Language: en, zh", _("The language of errors.")),
    ("X-Client-Id: …", _("Who you are: you stay with one model while a new one is tried.")),
    ("X-Request-Id", _("Of each answer: name it when you ask about one.")),
    ("X-Mofang-Version", _("Of each prediction: the release that answered.")),
)
STATUSES = (
    (400, _("The service is not called by this name.")),
    (401, _("A key is missing.")),
    (403, _("The key does not reach so far.")),
    (404, _("There is nothing here.")),
    (408, _("The body did not arrive in time.")),
    (413, _("Too much at once.")),
    (415, _("The body is no JSON.")),
    (422, _("The request does not say what is asked.")),
    (429, _("Too many texts of one client; Retry-After says how long to wait.")),
    (503, _("More than can be answered now, or no model yet; Retry-After says how long to wait.")),
)
STYLE = """
body {font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem;
color: #1d2733; background: #fff}
h2 {font-size: 1.05rem; margin: 2rem 0 .3rem} h2 b {font-weight: 600; color: #0b6b5d}
pre {background: #f3f5f7; padding: .7rem; overflow-x: auto; border-radius: .4rem}
table {border-collapse: collapse} td {padding: .15rem 1rem .15rem 0; vertical-align: top}
@media (prefers-color-scheme: dark) {body {color: #dfe6ec; background: #12181f}
pre {background: #1d2630} h2 b {color: #59c9b5} a {color: #8ab8ff}}
"""


def told(method: str, path: str) -> str:
    """Return in English what an operation does.

    :raises KeyError: if there is none; a test asks for each route.
    """
    return {(one.method, one.path): one.told.text for one in OPERATIONS}[method, path]


def page(language: str, address: str) -> str:
    """Return the page in ``en`` or ``zh``.

    :param address: of the service, as the reader called it; it stands in the examples.
    """
    parts = [
        f"<h1>{TITLE}</h1>",
        f"<p>{shown(_('Every address that there is, with an example.'), language)} ",
        '<a href="/openapi.json">openapi.json</a></p>',
        *(section(one, language, address) for one in OPERATIONS),
        f"<h2>{shown(_('Headers'), language)}</h2>",
        table([(name, meaning.render(language)) for name, meaning in HEADERS]),
        f"<h2>{shown(_('Errors'), language)}</h2>",
        code('{"error": {"code": "…", "message": "…", "hint": "…"}}'),
        table([(str(status), meaning.render(language)) for status, meaning in STATUSES]),
    ]
    lang = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html><html lang="{lang}"><head><meta charset="utf-8"><title>{TITLE}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )


def section(operation: Operation, language: str, address: str) -> str:
    """Return one operation with its example."""
    name = f"<b>{operation.method}</b> {html.escape(operation.path)}"
    command = f"curl {address}{operation.path}"
    if operation.sent is not None:
        sent = json.dumps(operation.sent, ensure_ascii=False)
        command += f" \\\n  -H 'Content-Type: application/json' \\\n  -d '{sent}'"
    return f"<h2>{name}</h2><p>{shown(operation.told, language)}</p>{code(command)}"


def shown(message: Message, language: str) -> str:
    """Return a message as HTML."""
    return html.escape(message.render(language))


def code(text: str) -> str:
    """Return text as an example."""
    return f"<pre>{html.escape(text)}</pre>"


def table(rows: list[tuple[str, str]]) -> str:
    """Return pairs of a name and its meaning."""
    cells = (
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(meaning)}</td></tr>"
        for name, meaning in rows
    )
    return f"<table>{''.join(cells)}</table>"
