"""The source ``http``: a page, a file or a paged JSON API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.schema.feeds import ENVIRONMENT, Chunks, Stated
from pipeline.schema.knob import Section, knob
from pipeline.schema.origin import Reader

PATH = r"^[^.\x00-\x1f]+(\.[^.\x00-\x1f]+)*$"


class LinkPages(Section):
    """The answer's Link header names the next page."""

    kind: Literal["link"] = knob("Kind", "The answer's Link header, rel=next.")


class FieldPages(Section):
    """A field of the answer holds the next page's address or cursor."""

    kind: Literal["field"] = knob("Kind", "A field of the answer.")
    path: str = knob("Field", "As in paging.next.", pattern=PATH, max_length=200)
    parameter: str | None = knob(
        "Parameter",
        "The field holds a cursor for this query parameter; null when it holds an address.",
        pattern=r"^[\w.-]+$",
        max_length=100,
    )


class NumberPages(Section):
    """Pages are counted."""

    kind: Literal["number"] = knob("Kind", "A counted page; an answer without items is the last.")
    parameter: str = knob(
        "Parameter", "The query parameter, as in page.", pattern=r"^[\w.-]+$", max_length=100
    )
    first: int = knob("First", "The number of the first page.", ge=0, le=1_000_000)


class HttpSource(Stated):
    """A page, a file or a paged API of the web."""

    kind: Literal["http"] = knob("Kind", "A page, a file or a JSON API of the web.")
    url: str = knob(
        "Address",
        "http or https, of a public address.",
        pattern=r"^https?://[^\s\x00-\x1f@]+$",
        max_length=2_000,
    )
    answer: Literal["page", "file", "api"] = knob(
        "What it is", "page: a document; file: as a file of the project; api: JSON in pages."
    )
    headers: dict[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")],
        Annotated[str, Field(pattern=ENVIRONMENT)],
    ] = knob(
        "Headers",
        "Header → environment variable that holds its value. Secrets never stand here.",
        level="advanced",
        max_length=20,
    )
    reader: Reader = knob("Reader", "file and api: how the answer becomes records.")
    chunks: Chunks = knob("Chunks", "page: one record for the page, or one a chunk.")
    items: str | None = knob(
        "Items",
        "api: where the list of records stands in the answer, as in data.items; null when the "
        "answer is the list.",
        pattern=PATH,
        max_length=200,
    )
    next_page: (
        Annotated[LinkPages | FieldPages | NumberPages, Field(discriminator="kind")] | None
    ) = knob("Next page", "api: how the next page is found; null for a single page.")
    max_pages: int = knob(
        "Pages at most", "api: where to stop.", unit="pages", level="advanced", ge=1, le=1_000_000
    )
    requests_per_second: float = knob(
        "Rate",
        "At most so many requests a second.",
        unit="1/s",
        level="advanced",
        gt=0,
        le=1_000,
    )
    timeout: float = knob(
        "Time-out",
        "For connecting, and for each wait for bytes.",
        unit="seconds",
        level="advanced",
        gt=0,
        le=600,
    )
    max_size: int = knob(
        "Size at most",
        "Bytes of all answers together, decoded.",
        unit="MB",
        level="advanced",
        ge=1,
        le=1_000_000,
    )
    max_seconds: float = knob(
        "Time at most",
        "For one answer as a whole, however slowly it drips.",
        unit="seconds",
        level="advanced",
        gt=0,
        le=86_400,
    )
    allowed_hosts: list[Annotated[str, Field(max_length=253)]] = knob(
        "Private hosts",
        "Hosts that may have a private address; all others must be public.",
        level="advanced",
        max_length=50,
    )
