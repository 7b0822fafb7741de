"""What tests of documents share: real files made here, and the ways to read them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docx import Document as Docx

from pipeline.errors import SourceError
from pipeline.sources.delivery import Row
from pipeline.sources.documents import open_source, text_of

STORY = (
    "The printer makes forty pages a minute and needs no driver on any modern system. It was made "
    "for offices with many users, and it keeps a list of who printed what and when."
)
PAGE = f"""<!doctype html><html><head><title>Printer &amp; manual</title><script>var secret = 1
</script><style>p {{color: red}}</style></head><body>
<nav><a href="/">Home</a> <a href="/shop">Shop</a></nav>
<article><h1>Printer manual</h1><p>{STORY}</p>
<h2>Setup</h2><p>Unpack it, plug it in, and <b>wait</b> for the green light.</p>
<ul><li>Load paper</li><li>Close the tray<ul><li>firmly</li></ul></li></ul>
<table><tr><th>Model</th><th>Pages</th></tr><tr><td>A1</td><td>40</td></tr></table>
<h2>Jams</h2><p>Open the rear door and pull gently with both hands until the paper comes free.</p>
</article><footer>Copyright 2026. All rights reserved.</footer></body></html>"""


def put(files: Mapping[str, str | bytes]) -> None:
    """Write files below data/raw."""
    for name, content in files.items():
        path = Path("data/raw") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def source(
    path: str, *, size: int | None = None, overlap: int = 0, label_by: str = "none"
) -> SimpleNamespace:
    """Return a source of kind documents."""
    chunks = SimpleNamespace(size=size, overlap=overlap)
    return SimpleNamespace(path=f"data/raw/{path}", label_by=label_by, chunks=chunks)


def rows(path: str, **how: Any) -> list[Row]:
    """Return the records of documents."""
    return list(open_source(source(path, **how)).rows)


def text(name: str, content: str | bytes) -> str:
    """Return the text of one document."""
    put({name: content})
    return text_of(Path("data/raw") / name, name)


def refusal(name: str, content: str | bytes) -> str:
    """Return why a document is refused."""
    put({name: content})
    with pytest.raises(SourceError) as caught:
        rows(name)
    assert len(caught.value.render("en")) < 700
    return caught.value.render("en")


def pdf(pages: Sequence[str], *, objects: Sequence[bytes] = (), tree: bytes | None = None) -> bytes:
    """Return a pdf whose pages show one line of text each, written by hand."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(pages)))
    made = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        tree or b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(pages)),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, line in enumerate(pages):
        drawn = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % line.encode("latin-1")
        made.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        made.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn))
    made += objects
    content, places = b"%PDF-1.4\n", []
    for number, one in enumerate(made, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, one)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return content + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\n"
        b"startxref\n%d\n%%%%EOF" % (len(made) + 1, table, len(made) + 1, len(content))
    )


def saved(document: Any) -> bytes:
    """Return the bytes of a docx or a pdf that a library wrote."""
    target = io.BytesIO()
    document.save(target) if hasattr(document, "save") else document.write(target)
    return target.getvalue()


def manual() -> Any:
    """Return a docx with headings, lists, tables and links."""
    made = Docx()
    made.core_properties.title = "The manual"
    made.add_heading("Printer", 0)
    made.add_paragraph("Before.")
    made.add_heading("Setup", 2)
    made.add_paragraph("Load paper", style="List Bullet")
    made.add_paragraph("Close the tray", style="List Number")
    table = made.add_table(2, 2)
    for place, words in enumerate(["Model", "Pages", "A1", "40"]):
        table.cell(*divmod(place, 2)).text = words
    made.add_paragraph("After the table.\nNext line")
    return made
