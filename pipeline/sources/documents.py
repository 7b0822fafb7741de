"""Documents of the project: html, pdf, docx, md and txt, whole or in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from pipeline.errors import Problem, SourceError
from pipeline.i18n import _
from pipeline.sources import decoding, extraction, file, word
from pipeline.sources.delivery import Count, Delivery, Row, shown
from pipeline.sources.extraction import Document
from pipeline.steps.chunking import headings, placed

FORMATS = {
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".md": "md",
    ".markdown": "md",
    ".txt": "txt",
    ".text": "txt",
}
MARKED = ("html", "docx", "md")  # their headings stand in the text as in markdown
LOOKS_LIKE_HTML = re.compile(rb"<(!doctype\s+html|html|head|body|title|div|p|h[1-6])[\s>]", re.I)
FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?\n)?(?:---|\.\.\.)[ \t]*(?:\n|$)", re.DOTALL)
SIMPLE = re.compile(r"([A-Za-z][\w-]{0,39}):[ \t]+(.{1,1000})")
HEAD = 4096  # bytes in which a page without an ending shows itself
KINDS = {"PDF": "pdf", "zip": "docx", "HTML": "html"}
LISTED = 20  # problems, before the rest is left unread


class Chunks(Protocol):
    """How a document becomes several records."""

    @property
    def size(self) -> int | None: ...
    @property
    def overlap(self) -> int: ...


class Wanted(Protocol):
    """A source of kind ``documents``."""

    @property
    def path(self) -> str: ...
    @property
    def label_by(self) -> str: ...
    @property
    def chunks(self) -> Any: ...


def open_source(source: Wanted) -> Delivery:
    """Return the records of every document that is meant, in the order of their names.

    :raises SourceError: if there is none, one lies outside ``data/raw`` or is no document; later,
        with every document that cannot be read.
    """
    count = Count()
    files = found(source.path, count)
    return Delivery(
        rows=rows(files, source, count),
        count=count,
        bytes=sum(path.stat().st_size for path in files),
        sha256=file.joint_hash(files),
        files=files,
    )


def found(path: str, count: Count) -> list[Path]:
    """Return the documents that a file, a folder or a pattern means, sorted.

    Of a folder's files, others than documents are counted as skipped; those that are meant by
    name or pattern must be documents.
    """
    literal = Path(path)
    if literal.is_dir():
        files = in_folder(literal, count)
    else:
        files = [literal] if literal.is_file() else file.fitting(path)
    if not files:
        raise file.no_file(path)
    file.refuse_outside(files)
    odd = [one for one in files if one.suffix and one.suffix.lower() not in FORMATS]
    if odd:
        raise SourceError(*(other_ending(one) for one in odd[:LISTED]))
    return files


def in_folder(folder: Path, count: Count) -> list[Path]:
    """Return the documents below a folder, sorted; the rest is counted as skipped."""
    taken = []
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and path.suffix.lower() in (*FORMATS, ""):
            taken.append(path)
        elif not path.is_dir():
            count.skipped += 1
    return taken


def other_ending(path: Path) -> Problem:
    """Return the problem with a file that is no document."""
    return Problem(
        shown(str(path)),
        _("the ending {ending}", ending=path.suffix),
        ", ".join(sorted(FORMATS)),
        _("Move it away, or give a pattern such as data/raw/manuals/*.pdf."),
    )


def rows(files: list[Path], source: Wanted, count: Count) -> Iterator[Row]:
    """Yield the records of each document.

    :raises SourceError: at the end, with every document that cannot be read.
    """
    problems: list[Problem] = []
    for path in files:
        try:
            document = document_of(path, shown(str(path)))
        except SourceError as error:
            problems += error.problems
            if len(problems) >= LISTED:
                break
            continue
        count.took(len(document.text.encode()), str(path))
        if not problems:
            yield from records(document, path, source, count)
    if problems:
        raise SourceError(*problems)


def records(document: Document, path: Path, source: Wanted, count: Count) -> Iterator[Row]:
    """Yield a document's records; they share a group, so that no split parts them."""
    name = shown(str(path))
    size, overlap = source.chunks.size, source.chunks.overlap
    pieces = list(placed(document.text, size=size, overlap=overlap, marked=is_marked(document)))
    count.read += max(1, len(pieces))
    count.empty += not pieces
    label = path.parent.name if source.label_by == "folder" else None
    stated = {"format": document.format, "title": document.title}
    for number, (titles, piece) in enumerate(pieces, 1):
        place = {"file": name, "row": number, "chunks": len(pieces)}
        meta = document.meta | place | stated | {"heading": " > ".join(titles) or None}
        yield Row(piece, label, name, None, meta)


def text_of(path: Path, name: str) -> str:
    """Return the text of one document, its headings as in markdown.

    :param name: what messages call it; its ending, or else the path's, tells the format. Without
        an ending that is known, the content does.
    :raises SourceError: for what cannot be read.
    """
    return document_of(path, name).text


def document_of(path: Path, name: str) -> Document:
    """Return one document; see :func:`text_of`."""
    form = format_of(path, name)
    if path.stat().st_size == 0:
        return Document("", form)
    with extraction.guarded(name, form):
        document = READERS[form](path, name)
    text = whole_characters(document.text.replace("\r\n", "\n").replace("\r", "\n"))
    title = document.title
    if title is None and is_marked(document):
        title = next((heading.title for heading in headings(text)), None)
    return replace(document, text=text, title=whole_characters(title[:500]) if title else None)


def is_marked(document: Document) -> bool:
    """Return whether a line with ``#`` is a heading."""
    return document.format in MARKED


def whole_characters(text: str) -> str:
    """Return a text without halves of characters, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def format_of(path: Path, name: str) -> str:
    """Return the format that the name's ending tells, the path's, or else the content."""
    for ending in (PurePosixPath(urlsplit(name).path).suffix, path.suffix):
        if ending.lower() in FORMATS:
            return FORMATS[ending.lower()]
    kind = decoding.kind_of(path)
    if kind in KINDS:
        return KINDS[kind]
    with path.open("rb") as source:
        return "html" if LOOKS_LIKE_HTML.search(source.read(HEAD)) else "txt"


def txt(path: Path, name: str) -> Document:
    """Return a text file.

    :raises SourceError: for bytes that are no text.
    """
    if path.stat().st_size > extraction.MAX_TEXT:
        raise extraction.too_large(name, path.stat().st_size, extraction.MAX_TEXT, _("bytes"))
    decoding.refuse_other_content(path, name, "txt")
    encoding = decoding.encoding_of(path, name, "auto")
    return Document("".join(decoding.open_text(path, name, encoding, Count())), "txt")


def md(path: Path, name: str) -> Document:
    """Return a markdown file as it is, but for front matter, whose simple lines become meta."""
    text = txt(path, name).text.replace("\r\n", "\n")
    matter = FRONT_MATTER.match(text)
    if matter is None:
        return Document(text, "md")
    lines = (SIMPLE.fullmatch(line.rstrip()) for line in (matter[1] or "").splitlines()[:100])
    meta = {line[1]: line[2].strip("\"'") for line in lines if line}
    return Document(text[matter.end() :], "md", meta.pop("title", None), dict(meta))


READERS: dict[str, Callable[[Path, str], Document]] = {
    "html": extraction.html,
    "pdf": extraction.pdf,
    "docx": word.docx,
    "md": md,
    "txt": txt,
}
