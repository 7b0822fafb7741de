"""A page, a file or a paged JSON API of the web."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.artifacts import WORK
from pipeline.i18n import _
from pipeline.sources import fetching, reading
from pipeline.sources.delivery import Count, Delivery, Row
from pipeline.sources.file import deliver
from pipeline.sources.paging import first_page, items_of, next_page, parsed

if TYPE_CHECKING:
    from pipeline.sources.fetching import Body, Client

KEPT = WORK / "http"
MAX_PAGE = 64_000_000  # bytes of one page of an API, which is held in memory


class Chunks(Protocol):
    """How a document becomes several records."""

    @property
    def size(self) -> int | None: ...
    @property
    def overlap(self) -> int: ...


class Wanted(fetching.Wanted, Protocol):
    """A source of kind ``http`` (``pipeline.schema.web.HttpSource``)."""

    @property
    def name(self) -> str: ...
    @property
    def answer(self) -> str: ...
    @property
    def reader(self) -> reading.Reader: ...
    @property
    def chunks(self) -> Chunks: ...
    @property
    def items(self) -> str | None: ...
    @property
    def next_page(self) -> Any: ...
    @property
    def max_pages(self) -> int: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of an answer of the web; an unchanged one is not fetched again.

    :raises SourceError: for an address that must not be asked, a variable that is not set, or an
        answer that did not come whole. Pages of an API are fetched while rows are taken.
    """
    from pipeline.sources.fetching import Client, Slot
    from pipeline.sources.guard import shown
    from pipeline.sources.shelf import tidy

    client, name, shelf = Client(source), shown(source.url), shelf_of(source)
    tidy(KEPT)
    if source.answer == "api":
        return pages(source, client, name, shelf)
    form = source.reader.format
    ending = None if source.answer == "page" or form == "auto" else f".{form}"
    with client:
        body = client.fetch(source.url, Slot(shelf, client.room, ending))
    if source.answer == "file":
        return deliver({name: body.path}, source.reader)
    count = Count()
    rows = document_rows(body.path, name, source, count)
    return Delivery(rows, count, body.bytes, body.sha256, [body.path])


def shelf_of(source: Wanted) -> Path:
    """Return the folder that keeps the answers of a source: named by its address and shape."""
    shape = [source.url, source.answer, source.reader.format, sorted(source.headers.items())]
    return KEPT / digest_of(json.dumps(shape))


def digest_of(text: str) -> str:
    """Return the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def document_rows(path: Path, name: str, source: Wanted, count: Count) -> Iterator[Row]:
    """Yield the rows of a page: one, or one a chunk; chunks of a page stay together."""
    from pipeline.sources.documents import text_of
    from pipeline.steps.chunking import chunks

    count.took(path.stat().st_size, name)
    called = name if name.endswith(path.suffix) else f"{name} ({path.name})"  # by type, not address
    text, how = text_of(path, called), source.chunks
    pieces = [text] if how.size is None else chunks(text, size=how.size, overlap=how.overlap)
    for number, piece in enumerate(pieces, 1):
        count.read += 1
        if piece.strip():
            yield Row(piece, None, source.name, None, {"file": name, "row": number})
        else:
            count.empty += 1


def pages(source: Wanted, client: Client, name: str, shelf: Path) -> Delivery:
    """Return the records of an API; bytes, sha256 and files are known after the rows were taken."""
    delivery = Delivery(iter(()), Count(), 0, digest_of(""), [])
    delivery.rows = page_rows(source, client, name, shelf, delivery)
    return delivery


def page_rows(
    source: Wanted, client: Client, name: str, shelf: Path, delivery: Delivery
) -> Iterator[Row]:
    """Yield the rows of all pages."""
    from pipeline.sources.shelf import tidy

    hashes: list[str] = []
    number = 0
    with client:
        for body, items in answers(source, client, name, shelf):
            hashes.append(body.sha256)
            delivery.bytes += body.bytes
            delivery.count.took(body.bytes, name)
            delivery.files.append(body.path)
            delivery.sha256 = hashes[0] if len(hashes) == 1 else digest_of("".join(hashes))
            for values in items:
                number += 1
                delivery.count.read += 1
                where = f"{name}:{number}"
                if not isinstance(values, dict):
                    raise reading.problem(
                        where,
                        type(values).__name__,
                        _("a JSON object a record"),
                        _("Name the place of the list of records under items."),
                    )
                columns = source.reader.columns
                yield from reading.mapped(values, where, name, number, columns, delivery.count)
    tidy(shelf, {path.parent.name for path in delivery.files})


def answers(
    source: Wanted, client: Client, name: str, shelf: Path
) -> Iterator[tuple[Body, list[Any]]]:
    """Yield each page and its items, up to ``max_pages``."""
    from pipeline.sources.fetching import Slot

    rule = source.next_page
    url, seen, last = first_page(source.url, rule), set[str](), ""
    for number in range(1, source.max_pages + 1):
        seen.add(url)
        body = client.fetch(url, Slot(shelf / digest_of(url), MAX_PAGE, ".json"))
        answer = parsed(body.path.read_bytes(), name)
        items = items_of(answer, source.items, name)
        if items and body.sha256 == last:
            raise again(name, number)
        yield body, items
        if not items and (rule is None or rule.kind == "number"):
            return
        address = next_page(source.url, answer, body.link, rule, number)
        if address is None:
            return
        url, last = client.follow(body, address), body.sha256
        if url in seen:
            raise again(name, number)


def again(name: str, number: int) -> Exception:
    """Return the error for pages that go round in a circle."""
    return reading.problem(
        name,
        _("a page that was there before, after page {number}", number=number),
        _("pages that come to an end"),
        _("Correct next_page, or set max_pages."),
    )
