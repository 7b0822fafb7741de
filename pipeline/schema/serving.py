"""Section ``serve``: how releases are answered over HTTP. No stage reads it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.schema.knob import Section, contradiction, knob

# A name or an address of a machine, IPv6 without brackets; *.example.org stands for all below it.
HOST = r"^(\*\.)?[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$|^::1?$"
ADDRESS = r"^[0-9A-Fa-f.:]{2,45}(/[0-9]{1,3})?$"
Host = Annotated[str, Field(pattern=HOST, max_length=253)]
Address = Annotated[str, Field(pattern=ADDRESS, max_length=49)]


class Batching(Section):
    """How texts of several requests share the model."""

    budget: int = knob(
        "Tokens a batch",
        "Padding counted. More make better use of the processor and delay short requests.",
        unit="tokens", ge=1, le=1_000_000,
    )  # fmt: skip
    queue: int = knob(
        "Queue", "Texts that may wait; beyond them the answer is 503 with Retry-After.",
        unit="texts", ge=1, le=100_000,
    )  # fmt: skip
    deadline_ms: int = knob(
        "Deadline", "No request waits longer; then the answer is 503 with Retry-After.",
        unit="ms", ge=10, le=600_000,
    )  # fmt: skip


class Limits(Section):
    """What a request may bring; all is checked before a text is read."""

    body_kb: int = knob("Body", "Of a request.", unit="kB", ge=1, le=100_000)
    body_seconds: int = knob(
        "Time to send", "For the head of a request to arrive, and again for its body.",
        unit="seconds", level="advanced", ge=1, le=600,
    )  # fmt: skip
    connections: int = knob(
        "Requests at once",
        "Under way; more are answered with 503 and Retry-After.",
        unit="requests", level="advanced", ge=1, le=100_000,
    )  # fmt: skip
    texts: int = knob("Texts", "In a request; at most what the queue holds.",
                      unit="texts", ge=1, le=100_000)  # fmt: skip
    characters: int = knob("Characters", "In a text.", unit="characters", ge=1, le=1_000_000)


class Rate(Section):
    """How much one client may ask, as a token bucket."""

    texts_per_second: float = knob(
        "Texts a second", "Of one client, on average; 0 sets no rate.",
        unit="texts/s", ge=0.0, le=1_000_000.0,
    )  # fmt: skip
    burst: int = knob("Burst", "Texts of one client at once; at least what a request may bring.",
                      unit="texts", ge=1, le=1_000_000)  # fmt: skip
    clients: int = knob(
        "Clients remembered", "Who was away longest is forgotten first.",
        unit="clients", level="advanced", ge=1, le=1_000_000,
    )  # fmt: skip


class Demo(Section):
    """The page at /demo."""

    enabled: bool = knob("Demo", "A page for people at /demo; it needs gradio.")
    queue: int = knob("Waiting visitors", "Further ones are asked to come back.",
                      unit="visitors", ge=1, le=1_000)  # fmt: skip
    concurrency: int = knob("At once", "Visitors whose texts are asked about at the same time.",
                            unit="visitors", level="advanced", ge=1, le=64)  # fmt: skip
    upload_kb: int = knob("File", "A CSV file that is uploaded.", unit="kB", ge=1, le=100_000)
    rows: int = knob("Rows", "Of a CSV file that is uploaded.", unit="rows", ge=1, le=100_000)
    variants: int = knob(
        "Altered texts", "That explain one answer: each leaves out some words. More take longer.",
        unit="texts", level="advanced", ge=2, le=500,
    )  # fmt: skip


class Serve(Section):
    """How ``python -m app.service`` answers."""

    name: str = knob(
        "Name", "Of the model, in addresses such as /v2/models/NAME/infer.",
        pattern=r"^[a-z][a-z0-9_-]*$", max_length=50,
    )  # fmt: skip
    host: Host = knob(
        "Address", "Where it listens; another one than this machine's own only with keys."
    )
    port: int = knob("Port", "0 takes any free one.", ge=0, le=65_535)
    hosts: list[Host] = knob(
        "Host names", "By which it may be called besides those of this machine; as a guard "
        "against foreign web pages others are refused.",
        level="advanced", max_length=100,
    )  # fmt: skip
    proxies: list[Address] = knob(
        "Proxies", "Whose word is taken about a client's address (X-Forwarded-For).",
        level="advanced", max_length=100,
    )  # fmt: skip
    workers: int = knob(
        "Workers", "Threads that answer at the same time; 0 takes one a processor core.",
        unit="threads", level="advanced", ge=0, le=256,
    )  # fmt: skip
    batching: Batching = knob("Batching", "How texts of several requests share the model.")
    limits: Limits = knob("Limits", "What a request may bring.")
    rate: Rate = knob("Rate", "How much one client may ask.")
    demo: Demo = knob("Demo", "The page at /demo.")

    @model_validator(mode="after")
    def a_request_can_be_answered(self) -> Serve:
        """The largest request that is allowed fits into the queue and into the rate."""
        if self.limits.texts > self.batching.queue:
            raise contradiction("limits.texts above batching.queue")
        # The text itself is asked with them.
        if self.demo.enabled and self.demo.variants >= self.limits.texts:
            raise contradiction("demo.variants not below limits.texts")
        if self.rate.texts_per_second and self.limits.texts > self.rate.burst:
            raise contradiction("limits.texts above rate.burst")
        return self
