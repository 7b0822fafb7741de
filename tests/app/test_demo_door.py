"""What gets through to Gradio, and how much of it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.service.demo import page
from app.service.demo.door import is_foreign
from app.service.demo.service import Reply
from app.service.demo.uploads import MOST_FILES
from tests.app import tiny
from tests.app.browser import QUEUE, Browser
from tests.app.test_demo_showing import GOOD, Served, description
from tests.helpers import quickest

API = "/demo/gradio_api"


class Slow(Served):
    """Answers when it is let."""

    def __init__(self) -> None:
        super().__init__(description(), GOOD)
        self.open = threading.Event()
        self.most = self.running = 0

    async def ask(self, texts: Sequence[str], client: str) -> Reply:
        self.running += 1
        self.most = max(self.most, self.running)
        while not self.open.is_set():
            await asyncio.sleep(0.01)
        self.running -= 1
        return self.reply


SERVICE = Slow()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an application that has only the page."""
    folder = tmp_path_factory.mktemp("door")
    app = FastAPI()
    page.mount(app, SERVICE, tiny.serve(limits__body_seconds=1), folder / "var/demo")
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2, ws="none")
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    SERVICE.open.set()
    with httpx.Client(base_url=address, timeout=10.0, trust_env=False) as found:
        yield found
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


def refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert set(answer.json()["error"]) == {"code", "message", "hint"}


@pytest.mark.parametrize(
    "path",
    ["info", "openapi.json", "run/predict", "proxy=https://a.hf.space/x", "file=/etc/passwd",
     "file=http://127.0.0.1/x", "file=../../etc/passwd", "file/etc/passwd", "runs", "token", "user",
     "custom_component/1/client/component/x.js", "heartbeat/x", "vibe-code", "run-history/buckets",
     "call/step/1", "stream/x/1/1/playlist.m3u8", "dev/reload", "deep_link", "profiling/summary"],
)  # fmt: skip
def test_other_addresses_of_gradio_are_not_there(path: str, client: httpx.Client) -> None:
    refused(client.get(f"{API}/{path}"), 404)


@pytest.mark.parametrize(
    "path",
    ["run/predict", "api/predict", "call/step", "component_server", "process_recording",
     "vibe-edit", "run-history/connect", "stream/x", "queue/data"],
)  # fmt: skip
def test_nothing_else_can_be_written(path: str, client: httpx.Client) -> None:
    refused(client.post(f"{API}/{path}", json={}), 404)
    refused(client.put(f"{QUEUE}/join", json={}), 404)


@pytest.mark.parametrize(
    "path", ["/demo/monitoring", "/demo/login", "/demo/x.html", "/demo/pwa_icon"]
)
def test_other_pages_are_not_there(path: str, client: httpx.Client) -> None:
    refused(client.get(path), 404)


def ask_event(browser: Browser) -> dict[str, Any]:
    return next(one for one in browser.events if one["targets"][0][1] == "click")


@pytest.mark.parametrize(
    "value",
    [
        {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
        {"path": "http://127.0.0.1:1/x", "meta": {"_type": "gradio.FileData"}},
        {"path": "https://example.org/x.csv", "url": "https://example.org/x.csv"},
        [[{"a": {"path": "params.yaml"}}]],
        {"path": None},
        {"path": "\0"},
        {"path": ["/etc/passwd"]},
    ],
)
def test_no_file_is_read_that_was_not_uploaded(value: object, client: httpx.Client) -> None:
    browser = Browser(client)
    refused(browser.join(ask_event(browser), data=[value, "en"]), 422)


def test_gradio_itself_knows_that_it_runs(client: httpx.Client) -> None:
    """Without it Gradio would take any path for an upload; the door is not alone."""
    import gradio

    assert all(one.has_launched for one in gradio.Blocks.get_instances() if one.title == "mofang")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, json.dumps([[]]).encode() * 2,
             b'{"data":' + b"[" * 30 + b"]" * 30 + b"}"]
)  # fmt: skip
def test_what_is_no_question_is_refused(body: bytes, client: httpx.Client) -> None:
    answer = client.post(
        f"{QUEUE}/join", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code in (413, 422), answer.text


def test_a_huge_question_is_refused_before_it_is_sent(client: httpx.Client) -> None:
    answer, seconds = quickest(lambda: answer_to(client, "Content-Length: 10000000\r\n\r\n{"))
    assert b" 413 " in answer
    assert seconds < 0.1


def test_a_long_text_is_refused(client: httpx.Client) -> None:
    browser = Browser(client)
    refused(browser.join(ask_event(browser), data=["a" * 10_000_000, "en"]), 413)


def answer_to(client: httpx.Client, rest: str) -> bytes:
    """Return the first line of the answer to a question whose head ends so."""
    address = (client.base_url.host, client.base_url.port or 80)
    with socket.create_connection(address, timeout=10) as connection:
        head = f"POST {QUEUE}/join HTTP/1.1\r\nHost: {address[0]}\r\n{rest}"
        connection.sendall(head.encode())
        return connection.recv(1_000).split(b"\r\n")[0]


def test_a_body_without_a_length_is_counted(client: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        for _piece in range(200):
            yield b"a" * 1_000

    refused(client.post(f"{QUEUE}/join", content=pieces()), 413)


def test_a_body_that_does_not_arrive_is_not_waited_for(client: httpx.Client) -> None:
    assert b" 408 " in answer_to(client, "Content-Length: 10\r\n\r\n{")


def test_a_large_file_is_refused(client: httpx.Client) -> None:
    browser = Browser(client)
    assert browser.upload(b"a" * 60_000).status_code == 200
    refused(browser.upload(b"a" * 100_000), 413)
    between = browser.upload(b"a" * (64 * 1024 + 1))  # the file alone is too large
    assert between.status_code == 413


@pytest.mark.parametrize("name", ["../../x.csv", "/etc/x.csv", "a\0.csv", "a" * 300 + ".csv", "."])
def test_a_file_is_called_as_the_server_wants(name: str, client: httpx.Client) -> None:
    answer = Browser(client).upload(b"text\na\n", name)
    if answer.status_code == 200:
        (path,) = answer.json()
        assert "/var/demo/" in path
        assert ".." not in path


def test_files_do_not_fill_the_disk(client: httpx.Client) -> None:
    browser, paths = Browser(client), []
    for at in range(MOST_FILES + 1):
        answer = browser.upload(f"{at}".encode().ljust(60_000))
        if answer.status_code != 200:
            break
        paths += answer.json()
    refused(answer, 503)
    assert answer.headers["retry-after"] == "60"
    assert len(paths) > 60
    for path in paths:
        Path(path).unlink()
    assert browser.upload(b"a").status_code == 200


@pytest.mark.parametrize(
    ("method", "headers", "foreign"),
    [
        ("GET", {}, False),
        ("GET", {"sec-fetch-site": "cross-site"}, False),  # somebody follows a link
        ("GET", {"origin": "http://evil.example", "host": "h"}, True),
        ("POST", {}, False),  # a program
        ("POST", {"origin": "http://h:1", "host": "h:1"}, False),
        ("POST", {"origin": "http://h:2", "host": "h:1"}, True),
        ("POST", {"origin": "null", "host": "h"}, True),
        ("POST", {"sec-fetch-site": "same-origin", "origin": "http://proxy", "host": "h"}, False),
        ("POST", {"sec-fetch-site": "same-site"}, True),
        ("POST", {"sec-fetch-site": "cross-site"}, True),
    ],
)
def test_a_foreign_page_is_known(method: str, headers: dict[str, str], foreign: bool) -> None:
    assert is_foreign(method, headers) is foreign


def test_a_foreign_page_cannot_ask(client: httpx.Client) -> None:
    browser = Browser(client)
    browser.headers["origin"] = "http://evil.example"
    refused(browser.join(ask_event(browser)), 403)
    answer = client.get("/demo/config", headers=browser.headers)
    refused(answer, 403)
    assert "access-control-allow-origin" not in answer.headers


def test_those_who_wait_are_counted_and_the_rest_turned_away(client: httpx.Client) -> None:
    """Knobs: one at once, four may wait."""
    SERVICE.open.clear()
    SERVICE.most = 0
    browsers = [Browser(client) for _one in range(8)]
    try:
        statuses = []
        for browser in browsers:
            browser.write("text", "all is well")
            statuses.append(browser.join(ask_event(browser)).status_code)
            time.sleep(0.1)
    finally:
        SERVICE.open.set()
    assert statuses == [200] * 5 + [503] * 3
    assert SERVICE.most == 1
    until_all_are_answered()
    last = Browser(client)
    last.write("text", "all is well")
    last.do("ask")
    assert "good" in last.value("answer")


def test_visits_are_forgotten(client: httpx.Client) -> None:
    blocks = demo()
    Browser(client)
    assert blocks.state_holder.session_data
    until_all_are_answered()  # what still runs is not forgotten
    page.forget_visits(blocks, time.time() + 1)
    assert not blocks.state_holder.session_data
    assert not blocks._queue.pending_event_ids_session


def demo() -> Any:
    """Return the demo that the client asks."""
    import gradio

    return max(gradio.Blocks.get_instances(), key=lambda one: one._id)


def until_all_are_answered() -> None:
    """Wait until nobody's question is worked on or waits in the queue."""
    deadline = time.monotonic() + 10
    while demo()._queue.event_ids_to_events:
        assert time.monotonic() < deadline
        time.sleep(0.01)
