"""The text of docx documents, with headings as in markdown; no link is followed, no macro run."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.i18n import _
from pipeline.sources.extraction import Document, damaged, too_large

MAX_UNPACKED = 256 << 20  # bytes of all parts of a document
UNTITLED = ("", "Word Document")  # python-docx makes up the latter where a document has none
WORD = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
UNSEEN = (  # deleted, moved away, and what old programs show in place of a text box
    f"{WORD}del",
    f"{WORD}moveFrom",
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
)


def docx(path: Path, name: str) -> Document:
    """Return paragraphs, lists and tables of a docx in their order; links are not followed."""
    content = path.read_bytes()
    refuse_bomb(content, name)
    from docx.api import Document as Docx

    document = Docx(io.BytesIO(content))
    body, levels = document.element.body, heading_levels(document.styles)
    for element in list(body.iter(*UNSEEN)):
        element.getparent().remove(element)
    title = (document.core_properties.title or "").strip()
    return Document(
        joined(docx_blocks(body, levels)), "docx", title if title not in UNTITLED else None
    )


def refuse_bomb(content: bytes, name: str) -> None:
    """Refuse a docx that unpacks to more than it may, or that defines entities of its own.

    zipfile reads no more of a member than the directory claims, so the claims can be added up.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        size = sum(entry.file_size for entry in entries)
        if size > MAX_UNPACKED:
            raise too_large(name, size, MAX_UNPACKED, _("bytes"))
        for entry in entries:
            if entry.filename.endswith((".xml", ".rels")) and b"<!ENTITY" in archive.read(entry):
                raise damaged(name, "docx", "<!ENTITY")


def heading_levels(styles: Any) -> dict[str, int]:
    """Return how deep a heading each paragraph style is, by its id; other styles are left out."""
    levels = {}
    for style in styles:
        above, seen = style, set()
        while above is not None and above.style_id not in seen:
            seen.add(above.style_id)
            named = re.fullmatch(r"heading (\d)|(title)", (above.name or "").lower())
            if named:
                levels[style.style_id] = min(int(named[1] or 1), 6)
                break
            above = getattr(above, "base_style", None)
    return levels


def docx_blocks(parent: Any, levels: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Yield kind and text of each paragraph and each row of a table, in their order."""
    waiting = list(parent)[::-1]
    while waiting:
        element = waiting.pop()
        if element.tag == f"{WORD}p":
            kind, text = docx_paragraph(element, levels)
            if text:
                yield kind, text
        elif element.tag == f"{WORD}tbl":
            for row in element.xpath("./w:tr | ./w:sdt/w:sdtContent/w:tr"):
                found = row.xpath("./w:tc | ./w:sdt/w:sdtContent/w:tc")
                cells = [" ".join(docx_text(cell).split()) for cell in found]
                if any(cells):
                    yield "row", " | ".join(cells)
        elif element.tag in (f"{WORD}sdt", f"{WORD}sdtContent", f"{WORD}ins", f"{WORD}customXml"):
            waiting += list(element)[::-1]


def docx_paragraph(element: Any, levels: dict[str, int]) -> tuple[str, str]:
    """Return kind and text of a paragraph: a heading, an item of a list, or plain."""
    text = docx_text(element).strip()
    properties = element.find(f"{WORD}pPr")
    if properties is None or not text:
        return "plain", text
    style = properties.find(f"{WORD}pStyle")
    name = style.get(f"{WORD}val", "") if style is not None else ""
    if name in levels:
        return "heading", f"{'#' * levels[name]} {' '.join(text.split())}"
    listed = properties.find(f"{WORD}numPr") is not None or name.startswith("List")
    return ("item", f"- {text}") if listed else ("plain", text)


def docx_text(element: Any) -> str:
    """Return the text below an element: also what was inserted, not what was deleted."""
    marks = {f"{WORD}tab": "\t", f"{WORD}br": "\n", f"{WORD}cr": "\n", f"{WORD}p": " "}
    parts = [
        (child.text or "") if child.tag == f"{WORD}t" else marks.get(child.tag, "")
        for child in element.iter()
    ]
    return "".join(parts)


def joined(blocks: Iterable[tuple[str, str]]) -> str:
    """Return blocks with an empty line between them, but none within a list or a table."""
    parts: list[str] = []
    before = ""
    for kind, text in blocks:
        parts += ["\n" if kind == before and kind in ("item", "row") else "\n\n", text]
        before = kind
    return "".join(parts[1:])
