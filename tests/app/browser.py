"""The page at /demo as a browser has it: its parts, what a visitor does, and what changes.

Gradio's page is a list of components and of events that join them; this follows both, over HTTP.
"""

from __future__ import annotations

import json
import secrets
import warnings
from typing import Any

import httpx

from pipeline.quiet import be_quiet

be_quiet()
with warnings.catch_warnings():  # typer, which Gradio imports, uses what click will take away
    warnings.simplefilter("ignore", DeprecationWarning)
    import gradio  # noqa: F401

START = "window.gradio_config = "
QUEUE = "/demo/gradio_api/queue"


class Browser:
    """One visit of the page."""

    def __init__(self, client: httpx.Client, language: str = "en") -> None:
        self.client, self.visit = client, secrets.token_hex(6)
        self.headers = {"accept-language": language}
        self.html = client.get("/demo/", headers=self.headers).raise_for_status().text
        found = self.html.index(START) + len(START)
        self.config, _end = json.JSONDecoder().raw_decode(self.html, found)
        self.parts = {one["id"]: one["props"] for one in self.config["components"]}
        self.numbers = {
            props["elem_id"].removeprefix("demo_"): number
            for number, props in self.parts.items()
            if str(props.get("elem_id", "")).startswith("demo_")
        }
        self.events = self.config["dependencies"]
        for event in self.events:
            if any(target[1] == "load" for target in event["targets"]):
                self.run(event)

    def __getitem__(self, name: str) -> dict[str, Any]:
        """Return the properties of a part."""
        found: dict[str, Any] = self.parts[self.numbers[name]]
        return found

    def value(self, name: str) -> Any:
        """Return what a part shows, without the escapes of Markdown."""
        value = self[name].get("value")
        return value.replace("\\", "") if isinstance(value, str) else value

    def write(self, name: str, value: Any) -> None:
        """Let a visitor fill in a part."""
        self[name]["value"] = value

    def do(self, name: str, event: str = "click") -> None:
        """Let a visitor do something, and see everything that follows."""
        number = self.numbers[name]
        (first,) = [one for one in self.events if [number, event] in one["targets"]]
        self.run(first)

    def run(self, event: dict[str, Any]) -> None:
        """Run an event and those that follow."""
        self.changed(event, self.answer(self.join(event).raise_for_status().json()["event_id"]))
        for other in self.events:
            if other.get("trigger_after") == event["id"]:
                self.run(other)

    def join(self, event: dict[str, Any], **others: Any) -> httpx.Response:
        """Send an event."""
        values = [self.parts[number].get("value") for number in event["inputs"]]
        body = {
            "data": values, "fn_index": event["id"], "session_hash": self.visit,
            "event_data": None, "trigger_id": None,
        } | others  # fmt: skip
        # As a browser writes it: half a surrogate pair stays an escape.
        headers = self.headers | {"content-type": "application/json"}
        return self.client.post(f"{QUEUE}/join", content=json.dumps(body), headers=headers)

    def answer(self, number: str) -> list[Any]:
        """Wait for what an event brings."""
        address = f"{QUEUE}/data?session_hash={self.visit}"
        with self.client.stream("GET", address, headers=self.headers, timeout=20.0) as stream:
            for line in stream.iter_lines():
                if not line.startswith("data: "):
                    continue
                message = json.loads(line.removeprefix("data: "))
                if message["msg"] == "process_completed" and message["event_id"] == number:
                    assert message["success"], message
                    found: list[Any] = message["output"]["data"]
                    return found
        raise AssertionError("the stream ended before the answer")

    def changed(self, event: dict[str, Any], data: list[Any]) -> None:
        """Change the parts as the server says."""
        for number, change in zip(event["outputs"], data, strict=True):
            if isinstance(change, dict) and change.get("__type__") == "update":
                self.parts[number] |= {k: v for k, v in change.items() if k != "__type__"}
            else:
                self.parts[number]["value"] = change

    def upload(self, content: bytes, name: str = "texts.csv") -> httpx.Response:
        """Send a file."""
        files = {"files": (name, content, "text/csv")}
        return self.client.post("/demo/gradio_api/upload", files=files, headers=self.headers)

    def choose(self, part: str, content: bytes) -> None:
        """Let a visitor choose a file."""
        (path,) = self.upload(content).raise_for_status().json()
        self.write(part, {"path": path, "meta": {"_type": "gradio.FileData"}})

    def fetch(self, part: str) -> bytes:
        """Return the file that a part offers."""
        path = self[part]["value"]["path"]
        answer = self.client.get(f"/demo/gradio_api/file={path}", headers=self.headers)
        return answer.raise_for_status().content
