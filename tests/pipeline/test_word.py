"""docx: what stands in it, in its order; damaged and hostile ones a named reason."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
from docx import Document as Docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn

from pipeline.sources import word
from tests.pipeline.documents import manual, refusal, rows, saved, text


def repacked(content: bytes, name: str, change: Any) -> bytes:
    """Return a docx with another content in one of its members."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, change(old.read(entry)) if entry == name else old.read(entry))
    return target.getvalue()


def test_a_docx_keeps_its_order_and_structure(project: Path) -> None:
    assert text("a.docx", saved(manual())) == (
        "# Printer\n\nBefore.\n\n## Setup\n\n- Load paper\n- Close the tray\n\n"
        "Model | Pages\nA1 | 40\n\nAfter the table.\nNext line"
    )
    assert rows("a.docx")[0].meta["title"] == "The manual"


def test_a_docx_shows_what_stands_in_it_now(project: Path) -> None:
    made = manual()
    made.add_paragraph()._p.extend(
        parse_xml(f"<w:{tag} {nsdecls('w')}><w:r><w:t>{words}</w:t></w:r></w:{tag}>")
        for tag, words in [("ins", "inserted "), ("del", "deleted "), ("moveFrom", "moved ")]
    )
    held = parse_xml(
        f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>In a field</w:t></w:r></w:p>"
        "</w:sdtContent></w:sdt>"
    )
    made.element.body.insert(len(made.element.body) - 1, held)
    cell = made.tables[0].cell(1, 1)
    cell.add_table(1, 1).cell(0, 0).text = "inner"
    made.tables[0].cell(0, 0).merge(made.tables[0].cell(0, 1))
    found = text("a.docx", saved(made))
    assert found.endswith("Next line\n\ninserted\n\nIn a field")
    assert "Model Pages\nA1 | 40 inner\n\nAfter" in found


def test_a_docx_follows_no_link(project: Path) -> None:
    made = manual()
    link = made.part.relate_to(
        "http://127.0.0.1:9/x", "http://x/attachedTemplate", is_external=True
    )
    hyper = parse_xml(f"<w:hyperlink {nsdecls('w', 'r')} r:id='{link}'><w:r><w:t>here</w:t></w:r>"
                      "</w:hyperlink>")  # fmt: skip
    made.add_paragraph("See ")._p.append(hyper)
    assert text("a.docx", saved(made)).endswith("See here")


def test_a_heading_style_of_ones_own_is_a_heading(project: Path) -> None:
    made = Docx()
    style = made.styles.add_style("章节", 1)
    style.base_style = made.styles["Heading 3"]
    made.add_paragraph("打印", style="章节")
    loop = made.styles.add_style("Loop", 1)
    loop.base_style = made.styles.add_style("Back", 1)
    loop.base_style.base_style = loop
    made.add_paragraph("plain", style="Loop")
    assert text("a.docx", saved(made)) == "### 打印\n\nplain"


def billion(content: bytes) -> bytes:
    """Return a document part in which entities grow to a billion words."""
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    declared = f'<!DOCTYPE d [<!ENTITY e0 "lol"><!ENTITY f SYSTEM "file:///etc/passwd">{levels}]>'
    start, rest = content.split(b"?>", 1)
    return start + b"?>" + declared.encode() + rest.replace(b"Before.", b"&e9;&f;")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("word/document.xml", billion),
        ("word/document.xml", lambda content: content[:900]),
        ("word/document.xml", lambda _content: b"<a>" * 100_000),
        ("[Content_Types].xml", lambda _content: b""),
        ("word/styles.xml", lambda _content: b"\0\0"),
    ],
    ids=["entities", "cut", "deep", "types", "styles"],
)
def test_a_hostile_docx_has_a_named_reason(project: Path, name: str, change: Any) -> None:
    content = repacked(saved(manual()), name, change)
    assert "a.docx: found a damaged docx document (" in refusal("a.docx", content)


def test_a_docx_that_unpacks_without_end_is_refused(project: Path) -> None:
    target = io.BytesIO(saved(manual()))
    with (
        zipfile.ZipFile(target, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("word/media/image1.xml", "w", force_zip64=True) as member,
    ):
        for _megabyte in range(300):
            member.write(bytes(1 << 20))
    assert len(target.getvalue()) < 1_000_000
    assert "allowed up to 268435456 bytes a document" in refusal("a.docx", target.getvalue())
    assert "damaged docx" in refusal("b.docx", b"PK\x03\x04 no more")


def test_styles_of_word_are_named_as_expected() -> None:
    assert qn("w:p") == f"{word.WORD}p"
