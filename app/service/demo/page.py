"""The page at /demo: one text or many, the answer with its reasons, feedback, and the model itself.

Gradio draws it; ``visits`` knows what happens, ``door`` what may get in. Nothing on the page comes
from another machine, and nothing of a visitor stays but what the log keeps: Gradio's own state of
a visit and the files are forgotten after ``KEPT`` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastapi import FastAPI
from starlette.routing import Mount

from app.service.demo.door import Bounds, Door
from app.service.demo.service import DemoService
from app.service.demo.uploads import KEPT, Uploads
from app.service.demo.visits import LONGEST_REASON, Changes, Visits
from app.service.errors import language_of
from app.service.gate import DEMO, VISIT
from pipeline.i18n import LANGUAGES, current_language
from pipeline.quiet import be_quiet
from pipeline.schema.serving import Serve

if TYPE_CHECKING:
    import gradio

FOLDER = Path("var/demo")
UPLOADS = 64  # times the size of one file: that many files fit
AROUND = 8 * 1024  # bytes around a text or a file in a request
BYTES_A_CHARACTER = 12  # at most, in JSON: \ud83d\ude00
SESSIONS = 256  # visits that Gradio remembers at once
SECONDS_BETWEEN_SWEEPS = 60.0
IDLE = 0.02  # seconds between two looks into an empty queue; Gradio's millisecond keeps a CPU busy
MODEL, TABLE, PAGE = "model", "table", "page"  # groups of steps with a bound of their own
PAGE_STEPS = 16  # at once; they take no time

T = TypeVar("T")
Parts = dict[str, Any]  # Gradio's components by name

# Set before Gradio is imported: it reports nothing, and computes no statistics of every event.
SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_MAX_EVENTS": "1",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(10**9),
}


def mount(app: FastAPI, service: DemoService, knobs: Serve, folder: Path = FOLDER) -> None:
    """Put the page at /demo of an application that does not run yet.

    :param folder: for files that visitors send and fetch.
    :raises ImportError: if Gradio is not installed.
    """
    uploads = Uploads.open(folder, UPLOADS * knobs.demo.upload_kb * 1024)
    be_quiet()
    os.environ.update(SWITCHES | {"GRADIO_TEMP_DIR": str(uploads.folder)})
    blocks = in_a_loop(lambda: mounted(app, build(service, knobs, uploads), knobs, uploads))
    blocks.has_launched = True  # else it would read any file of this machine for a visitor
    bounds = Bounds(
        # A text and its pieces, or a text and a reason.
        question=knobs.limits.characters * BYTES_A_CHARACTER * 2 + AROUND * 4,
        upload=knobs.demo.upload_kb * 1024 + AROUND,
        seconds=knobs.limits.body_seconds,
    )
    for route in app.routes:
        if isinstance(route, Mount) and route.path == DEMO:
            route.app = Door(route.app, uploads, bounds)


def mounted(app: FastAPI, blocks: gradio.Blocks, knobs: Serve, uploads: Uploads) -> gradio.Blocks:
    """Let Gradio put its page into an application; return the page."""
    import gradio

    gradio.mount_gradio_app(
        app,
        blocks,
        DEMO,
        server_name=knobs.host,
        footer_links=[],
        run_history=False,
        show_error=False,
        max_file_size=knobs.demo.upload_kb * 1024,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        # Fonts of the reader's own machine: others would come from elsewhere.
        theme=gradio.themes.Default(
            font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
        ),
        app_kwargs={"lifespan": lambda _app: kept_clean(blocks, uploads)},
    )
    return blocks


def in_a_loop(make: Callable[[], T]) -> T:
    """Return what ``make`` makes; where no event loop runs Gradio would leave some open."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:

        async def made() -> T:
            return make()

        return asyncio.run(made())
    return make()


@contextlib.asynccontextmanager
async def kept_clean(blocks: gradio.Blocks, uploads: Uploads) -> AsyncIterator[None]:
    """Forget visits and files in time while the page runs, and all of them at its end."""
    uploads.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    task = asyncio.create_task(forget_in_time(blocks, uploads))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        blocks.is_running = False
        blocks._queue.close()
        uploads.close()


async def forget_in_time(blocks: gradio.Blocks, uploads: Uploads) -> None:
    """Forget again and again."""
    while True:
        await asyncio.sleep(SECONDS_BETWEEN_SWEEPS)
        await asyncio.to_thread(uploads.sweep)
        forget_visits(blocks, time.time() - KEPT)


def forget_visits(blocks: gradio.Blocks, before: float) -> None:
    """Take out of Gradio's memory what it would keep for ever, of visits last active long ago.

    :param before: seconds since 1970.
    """
    states, queue = blocks.state_holder, blocks._queue
    for visit, last in list(states.time_last_used.items()):
        if last.timestamp() < before:
            states.session_data.pop(visit, None)
            states.time_last_used.pop(visit, None)
    busy = {event.session_hash for event in queue.event_ids_to_events.values()}
    for visit, unread in list(queue.pending_event_ids_session.items()):
        if visit not in busy and not (unread and visit in states.session_data):
            queue.pending_event_ids_session.pop(visit, None)
            queue.pending_messages_per_session.pop(visit, None)
    for files in blocks.temp_file_sets:
        files.clear()  # paths only; the files themselves are swept


def build(service: DemoService, knobs: Serve, uploads: Uploads) -> gradio.Blocks:
    """Return the page."""
    import gradio

    visits = Visits(service, knobs, uploads)
    with gradio.Blocks(title=knobs.name, analytics_enabled=False) as blocks:
        parts = drawn(visits, knobs)
        connect(blocks, parts, visits, knobs)
    blocks.queue(
        max_size=knobs.demo.queue, api_open=False,
        default_concurrency_limit=knobs.demo.concurrency,
    )  # fmt: skip
    blocks.state_session_capacity = SESSIONS
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = IDLE
    return blocks


def drawn(visits: Visits, knobs: Serve) -> Parts:
    """Draw all parts, in the language of the service; a visitor's own comes when the page opens."""
    import gradio

    told = visits.words(current_language())

    def of(name: str) -> dict[str, Any]:
        return told.get(name, {}) | {"elem_id": f"demo_{name}"}

    parts: Parts = {name: gradio.JSON(visible=False, **of(name)) for name in ("kept", "reasons")}
    with gradio.Row(equal_height=True):
        parts["title"] = gradio.Markdown(**of("title"))
        parts["language"] = gradio.Radio(
            [(own_name(one), one) for one in LANGUAGES],
            value=current_language(), scale=0, min_width=220, **of("language"),
        )  # fmt: skip
    with gradio.Tabs():
        with gradio.Tab(**of("one_text")) as parts["one_text"]:
            draw_one_text(parts, of, knobs)
        with gradio.Tab(**of("many_texts")) as parts["many_texts"]:
            draw_many_texts(parts, of)
    with gradio.Accordion(**of("about_model"), open=True) as parts["about_model"]:
        parts["about"] = gradio.Markdown(**of("about"))
    return parts


def draw_one_text(parts: Parts, of: Callable[[str], dict[str, Any]], knobs: Serve) -> None:
    """Draw the box, the answer with its reasons, and the feedback."""
    import gradio

    parts["text"] = gradio.Textbox(
        lines=3, max_lines=12, max_length=knobs.limits.characters, autofocus=True, **of("text")
    )
    parts["ask"] = gradio.Button(variant="primary", **of("ask"))
    parts["answer"] = gradio.Markdown(**of("answer"))
    parts["bars"] = gradio.Label(show_heading=False, visible=False, **of("bars"))
    parts["shades"] = gradio.HighlightedText(visible=False, **of("shades"))
    parts["why"] = gradio.Markdown(**of("why"))
    with gradio.Group(visible=False, **of("opinion")) as parts["opinion"]:
        parts["is_it_right"] = gradio.Markdown(padding=True, **of("is_it_right"))
        with gradio.Row():
            parts["right"] = gradio.Button(**of("right"))
            parts["wrong"] = gradio.Button(**of("wrong"))
        with gradio.Group(visible=False, **of("correction")) as parts["correction"]:
            parts["right_answer"] = gradio.Dropdown([], interactive=True, **of("right_answer"))
            parts["reason"] = gradio.Textbox(max_length=LONGEST_REASON, lines=2, **of("reason"))
            parts["send"] = gradio.Button(variant="primary", **of("send"))
    parts["thanks"] = gradio.Markdown(**of("thanks"))
    parts["examples"] = gradio.Dataset(
        components=["textbox", "textbox"], samples=[], type="index", samples_per_page=12,
        **of("examples"),
    )  # fmt: skip


def draw_many_texts(parts: Parts, of: Callable[[str], dict[str, Any]]) -> None:
    """Draw the table that comes in and the one that goes out."""
    import gradio

    parts["file"] = gradio.File(file_types=[".csv"], type="binary", **of("file"))
    parts["column"] = gradio.Textbox(value="text", max_length=200, **of("column"))
    parts["label_file"] = gradio.Button(variant="primary", **of("label_file"))
    parts["summary"] = gradio.Markdown(**of("summary"))
    parts["answers"] = gradio.File(visible=False, interactive=False, **of("answers"))


def connect(blocks: gradio.Blocks, parts: Parts, visits: Visits, knobs: Serve) -> None:
    """Say which step follows what a visitor does."""
    import gradio

    words = [*visits.words("en"), "about"]
    told = ["kept", "answer", "bars", "shades", "why"]
    asked = [*told, "opinion", "right", "wrong", "correction", "thanks"]
    thanked = ["thanks", "right", "wrong", "correction", "right_answer", "reason"]

    def step(function: Any, inputs: Sequence[str], changes: Sequence[str], group: str) -> Parts:
        limit = {MODEL: knobs.demo.concurrency, TABLE: 1, PAGE: PAGE_STEPS}[group]
        return {
            "fn": listening(function, parts),
            "inputs": [parts[name] for name in inputs],
            "outputs": [parts[name] for name in changes],
            "concurrency_id": group,
            "concurrency_limit": limit,
            "api_visibility": "private",
            "show_progress": "hidden" if group == PAGE else "minimal",
        }

    ask = step(visits.asked, ["text", "language"], asked, MODEL)
    explain = step(visits.explained, ["kept", "language"], ["reasons", "shades", "why"], MODEL)
    blocks.load(**step(visits.opened, [], words, PAGE))
    parts["language"].input(
        **step(visits.switched, ["language", "kept", "reasons"], [*words, "answer", "why"], PAGE)
    )
    gradio.on([parts["ask"].click, parts["text"].submit], **ask).then(**explain)
    picked = parts["examples"].click(**step(visits.picked, ["examples"], ["text"], PAGE))
    picked.then(**ask).then(**explain)
    parts["right"].click(**step(visits.praised, ["kept", "language"], thanked, PAGE))
    parts["wrong"].click(
        **step(visits.doubted, ["kept", "language"], ["correction", "thanks"], PAGE)
    )
    parts["send"].click(
        **step(
            visits.corrected, ["kept", "right_answer", "reason", "language"], thanked, PAGE
        )
    )  # fmt: skip
    parts["label_file"].click(
        **step(visits.labelled, ["file", "column", "language"], ["answers", "summary"], TABLE)
    )


def listening(function: Any, parts: Parts) -> Callable[..., Any]:
    """Return a step as Gradio calls it; it learns who asks, and in which language, where it wants.

    Gradio gives the values of the inputs in order; ``client`` and, where no part holds it,
    ``language`` come from the request.
    """
    import gradio

    wanted = list(inspect.signature(function).parameters)

    async def step(*values: Any) -> Parts:
        given = dict(zip([one for one in wanted if one != "client"], values, strict=False))
        client, language = visitor()
        if "client" in wanted:
            given["client"] = client
        if "language" in wanted:
            given.setdefault("language", language)
        found = function(**given)
        changes: Changes = await found if inspect.isawaitable(found) else found
        return {parts[name]: gradio.update(**change) for name, change in changes.items()}

    return step


def visitor() -> tuple[str, str]:
    """Return who pays for what is asked, and the language that his browser asks for."""
    from gradio.context import LocalContext

    request = LocalContext.request.get(None)
    scope = request.request.scope if request is not None and request.request else {}
    visit = scope.get(VISIT)
    if visit is not None:
        return visit.payer, visit.language
    headers = dict(scope.get("headers", ()))
    client = scope.get("client") or ("",)
    return client[0], language_of(headers.get(b"accept-language", b"").decode("latin-1"))


def own_name(language: str) -> str:
    """Return what a language calls itself: English, 中文."""
    from babel import Locale

    return Locale(language).get_display_name(language) or language
