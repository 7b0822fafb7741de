"""The text of html pages and pdf documents; nothing is fetched. ``word`` reads docx.

Documents come from strangers: their size is bounded before they are parsed, and whatever a parser
throws at a hostile one becomes a reason with the document's name.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import MofangError, SourceError
from pipeline.i18n import Message, _
from pipeline.sources.decoding import SAMPLE
from pipeline.sources.delivery import problem
from pipeline.sources.flow import text_of_tree

MAX_PAGE = 20 << 20  # bytes of an html page
MAX_PAGES = 20_000  # of a pdf; a small file may claim millions
MAX_TEXT = 64_000_000  # characters of a document
# Beyond any of these, finding the main content can take minutes; all text is taken instead.
MAX_ELEMENTS = 50_000
MAX_DEPTH = 256
MAX_DEPTHS = 2_000_000  # of the starts and ends of all elements together
SHORT, SHORT_CHINESE = 250, 80  # characters below which a page has no main content to find
HAN = re.compile(r"[\u3400-\u9fff]")
CHINESE_PAGE = 40  # Han characters
CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
# What pages say → what they mean (https://encoding.spec.whatwg.org/#names-and-labels).
MEANT = {
    "gb2312": "gb18030", "gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932",
    "euc-kr": "cp949", "iso-8859-1": "cp1252", "latin1": "cp1252", "us-ascii": "cp1252",
}  # fmt: skip
OF_PAGES = re.compile(r"(utf-8|gb\w+|big5\w*|euc-\w+|iso-[\w-]+|windows-\d+|cp\d+|koi8-[ru])")
LOGGERS = ("pypdf", "trafilatura", "htmldate", "justext", "charset_normalizer", "docx")


@dataclass(frozen=True, slots=True)
class Document:
    """What a document says, and what it says of itself."""

    text: str
    format: str
    title: str | None = None
    meta: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def guarded(name: str, form: str) -> Iterator[None]:
    """Silence the libraries, and give whatever they raise the name of the document.

    :raises SourceError: instead of any other exception.
    """
    levels = {logger: logging.getLogger(logger).level for logger in LOGGERS}
    try:
        for logger in LOGGERS:
            logging.getLogger(logger).setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except MofangError:
        raise
    except MemoryError:
        raise problem(
            name,
            _("a document that needs more memory than a source may use"),
            _("what collect.limits.memory allows"),
            _("Raise it, or leave this document out."),
        ) from None
    except Exception as error:  # a hostile file can make a parser raise anything
        said = (str(error).splitlines() or [""])[0][:200]
        raise damaged(name, form, f"{type(error).__name__}: {said}") from None
    finally:
        for logger, level in levels.items():
            logging.getLogger(logger).setLevel(level)


def damaged(name: str, form: str, reason: str) -> SourceError:
    """Return the error for a document that its parser does not understand."""
    return problem(
        name,
        _("a damaged {format} document ({reason})", format=form, reason=reason),
        _("a whole {format} document", format=form),
        _("Save or download it again, or leave it out."),
    )


def too_large(name: str, found: int, limit: int, unit: Message) -> SourceError:
    """Return the error for a document beyond a limit; ``unit`` is bytes or pages."""
    return problem(
        name,
        _("{count} {unit} or more", count=found, unit=unit),
        _("up to {limit} {unit} a document", limit=limit, unit=unit),
        _("Split the document, or leave it out."),
    )


def html(path: Path, name: str) -> Document:
    """Return the main content of a page; all its text when it is short or very large."""
    if path.stat().st_size > MAX_PAGE:
        raise too_large(name, path.stat().st_size, MAX_PAGE, _("bytes"))
    page = decoded(path.read_bytes())
    tree = parsed(page, name)
    if tree is None:
        return Document("", "html")
    title = " ".join("".join(tree.xpath("string(//title)")).split()) or None
    text = main_content(page, tree) if is_ordinary(tree) else ""
    if text:
        return Document(text, "html", title, {"content": "main"})
    return Document(text_of_tree(tree), "html", title, {"content": "all"})


def decoded(content: bytes) -> str:
    """Return a page's text: by its mark, as UTF-8, by its own word, or by the look of it."""
    for mark, codec in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return content.decode(codec, "replace")
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode("utf-8-sig")
    said = CHARSET.search(content[:4096])
    label = said[1].decode("ascii", "replace").lower() if said else ""
    if label in MEANT or OF_PAGES.fullmatch(label):
        with contextlib.suppress(LookupError):
            return content.decode(MEANT.get(label, label), "replace")
    from charset_normalizer import from_bytes

    best = from_bytes(content[:SAMPLE]).best()
    return content.decode(best.encoding if best else "cp1252", "replace")


def parsed(page: str, name: str) -> Any:
    """Return a page's tree, or None when there is nothing in it.

    :raises SourceError: if it is nested so deep that the parser leaves some of it out.
    """
    from lxml.etree import ParserError  # type: ignore[import-untyped]
    from lxml.html import HTMLParser, document_fromstring  # type: ignore[import-untyped]

    parser = HTMLParser(
        encoding="utf-8", remove_comments=True, remove_pis=True, huge_tree=True, no_network=True
    )
    content = page.replace("\x00", "").encode("utf-8", "replace")
    try:
        tree = document_fromstring(content, parser=parser, ensure_head_body=True)
    except ParserError:  # nothing but white space and comments
        return None
    if any("depth" in entry.message.lower() for entry in parser.error_log):
        raise problem(
            name,
            _("elements nested thousands deep"),
            _("up to 2048 within each other"),
            _("Leave this page out."),
        )
    return tree


def is_ordinary(tree: Any) -> bool:
    """Return whether finding a page's main content takes seconds at most."""
    from lxml.etree import iterwalk

    elements = depth = depths = 0
    for event, _element in iterwalk(tree, events=("start", "end")):
        depth += 1 if event == "start" else -1
        elements += event == "start"
        depths += depth
        if elements > MAX_ELEMENTS or depth > MAX_DEPTH or depths > MAX_DEPTHS:
            return False
    return True


def main_content(page: str, tree: Any) -> str:
    """Return a page's main content without menus and footers; '' when it is too short for one."""
    from trafilatura import bare_extraction
    from trafilatura.settings import use_config

    short = SHORT_CHINESE if len(HAN.findall(page)) >= CHINESE_PAGE else SHORT
    config = use_config()
    config.set("DEFAULT", "MIN_EXTRACTED_SIZE", str(short))
    try:
        found = bare_extraction(
            tree,
            include_comments=False,
            include_formatting=False,
            include_tables=True,
            with_metadata=False,
            config=config,
        )
    except RecursionError:
        return ""
    body = getattr(found, "body", None)
    text = text_of_tree(body) if body is not None else ""
    return text if len(text) >= short else ""


def pdf(path: Path, name: str) -> Document:
    """Return the text layer of a pdf, with a form feed between pages."""
    from pypdf import PdfReader

    reader = PdfReader(path, strict=False)
    if reader.is_encrypted and not opened(reader):
        raise problem(
            name,
            _("a pdf with a password"),
            _("pdf documents that open without one"),
            _("Save it without the password, or leave it out."),
        )
    pages = list(page_texts(reader, name))
    text = "\f".join(pages).strip()
    if not text and any(page.get_contents() is not None for page in reader.pages):
        raise problem(
            name,
            _("no text layer (needs OCR)"),
            _("pdf documents whose text can be selected"),
            _("Run it through a program for optical character recognition, or leave it out."),
        )
    title = reader.metadata.title if reader.metadata else None
    return Document(text, "pdf", str(title).strip() or None if title else None)


def opened(reader: Any) -> bool:
    """Return whether the empty password opens a pdf, as it does when only printing is locked."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except (DependencyError, NotImplementedError):
        return False


def page_texts(reader: Any, name: str) -> Iterator[str]:
    """Yield the text of each page.

    :raises SourceError: for more pages or more text than a document may have.
    """
    length = 0
    for number, page in enumerate(reader.pages, 1):
        if number > MAX_PAGES:
            raise too_large(name, number, MAX_PAGES, _("pages"))
        text = page.extract_text()
        length += len(text)
        if length > MAX_TEXT:
            raise too_large(name, length, MAX_TEXT, _("characters"))
        yield text
