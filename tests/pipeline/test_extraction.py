"""Pages and pdf: real files become text with headings; damaged and hostile ones a named reason."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader, PdfWriter

from pipeline.sources import extraction
from tests.pipeline.documents import PAGE, STORY, pdf, refusal, rows, saved, text

READ = """# Printer manual

{story}

## Setup

Unpack it, plug it in, and wait for the green light.

- Load paper
- Close the tray
  - firmly

Model | Pages
A1 | 40

## Jams

Open the rear door and pull gently with both hands until the paper comes free."""
CHINESE = (
    "<html><head><meta charset='gb2312'><title>打印机手册</title></head><body>"
    "<div class='nav'><a href='/'>首页</a> <a href='/s'>商店</a></div><div class='content'>"
    "<h1>打印机手册</h1><p>打印机每分钟打印四十页，无需安装驱动程序，适合人多的办公室使用。</p>"
    "<h2>卡纸</h2><p>请打开后盖，轻轻取出卡住的纸张。然后合上后盖，等待绿灯亮起！为什么会卡纸？"
    "因为纸张受潮，或者装得太多；请换用干燥的纸。</p></div><div class='footer'>版权所有</div>"
    "</body></html>"
)


def test_a_page_keeps_its_content_and_structure(project: Path) -> None:
    assert text("a.html", PAGE) == READ.format(story=STORY)
    (row,) = rows("a.html")
    assert row.meta == {
        "file": "data/raw/a.html", "row": 1, "chunks": 1, "format": "html", "content": "main",
        "title": "Printer & manual", "heading": "Printer manual",
    }  # fmt: skip
    assert (row.label, row.group, row.created_at) == (None, "data/raw/a.html", None)


@pytest.mark.parametrize("codec", ["gb2312", "gb18030", "utf-8", "utf-16"])
def test_chinese_pages_in_their_encodings(project: Path, codec: str) -> None:
    found = text("a.htm", CHINESE.encode(codec))
    assert found.startswith("# 打印机手册\n\n打印机每分钟打印四十页，")
    assert "\n\n## 卡纸\n\n请打开后盖" in found
    assert "首页" not in found


@pytest.mark.parametrize("said", ["", "rot13", "punycode", "utf-7", "x-unknown", "zlib_codec"])
def test_a_page_that_lies_about_its_encoding_is_still_read(project: Path, said: str) -> None:
    assert "办公室" in text("a.html", CHINESE.replace("gb2312", said).encode("gb18030"))


def test_a_short_page_gives_all_its_text_with_headings(project: Path) -> None:
    page = "<title>T</title><h1>Hi</h1><p>there <i>my</i> friend<br>again</p><pre>  # x\n  y</pre>"
    assert text("a.html", page) == "# Hi\n\nthere my friend\nagain\n\n```\n  # x\n  y\n```"
    assert rows("a.html")[0].meta["content"] == "all"


def test_xhtml_may_declare_its_encoding(project: Path) -> None:
    assert text("a.xhtml", f'<?xml version="1.0" encoding="utf-8"?>{PAGE}').startswith("# Printer")


def test_a_page_with_very_many_elements_is_read_whole(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "MAX_ELEMENTS", 20)
    assert "Printer manual" in text("a.html", PAGE)
    assert rows("a.html")[0].meta["content"] == "all"


@pytest.mark.parametrize("depth", [300, 1500])
def test_deep_pages_lose_nothing(project: Path, depth: int) -> None:
    assert "within" in text("a.html", "<div>" * depth + f"<p>{STORY} within</p>" + "</div>" * depth)


def test_endless_pages_are_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "<p>first</p>" + "<div>" * 100_000 + "<p>within</p>"
    assert "a.html: found elements nested thousands deep" in refusal("a.html", deep)
    monkeypatch.setattr(extraction, "MAX_PAGE", 100)
    assert "allowed up to 100 bytes a document" in refusal("a.html", PAGE)


def test_a_pdf_gives_its_pages(project: Path) -> None:
    made = PdfWriter(clone_from=io.BytesIO(pdf(["Page one.", "Page two."])))
    made.add_metadata({"/Title": "Manual"})
    assert text("a.pdf", saved(made)) == "Page one.\fPage two."
    assert rows("a.pdf")[0].meta["title"] == "Manual"
    assert [row.text for row in rows("a.pdf", size=12)] == ["Page one.", "Page two."]


def test_a_pdf_that_only_locks_printing_is_read(project: Path) -> None:
    made = PdfWriter(clone_from=io.BytesIO(pdf(["Open."])))
    made.encrypt(user_password="", owner_password="secret", algorithm="AES-256")
    assert text("a.pdf", saved(made)) == "Open."


def test_a_pdf_with_a_password_is_refused(project: Path) -> None:
    made = PdfWriter(clone_from=io.BytesIO(pdf(["Closed."])))
    made.encrypt(user_password="secret", algorithm="AES-256")
    assert "a.pdf: found a pdf with a password" in refusal("a.pdf", saved(made))


def test_a_pdf_of_images_needs_ocr_and_one_of_nothing_is_empty(project: Path) -> None:
    drawn = b"BT /F1 12 Tf 72 720 Td (Seen) Tj ET"
    scan = pdf(["Seen"]).replace(
        drawn, b"q 9 0 0 9 0 0 cm BI /W 1 /H 1 ID x EI Q".ljust(len(drawn))
    )
    assert "found no text layer (needs OCR)" in refusal("a.pdf", scan)
    made = PdfWriter()
    made.add_blank_page(100, 100)
    assert text("b.pdf", saved(made)) == ""


@pytest.mark.parametrize(
    "content",
    [
        b"no pdf at all",
        b"%PDF-1.4\n%%EOF",
        pdf(["One"])[:200],
        pdf(["One"], tree=b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 1000000 >>"),
        pdf(["One"], tree=b"<< /Type /Pages /Kids 7 /Count (many) >>"),
        pdf(["One"], tree=b"[" * 50_000),
    ],
    ids=["other", "hollow", "cut", "recursive", "types", "nested"],
)
def test_a_damaged_pdf_has_a_named_reason(
    project: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("pypdf").propagate = True
    assert "a.pdf: found a damaged pdf document (" in refusal("a.pdf", content)
    assert capfd.readouterr() == ("", "")


def test_a_broken_table_of_objects_is_mended(project: Path) -> None:
    content = pdf(["One."]).replace(b"startxref\n", b"startxref\n9")
    assert text("a.pdf", content) == "One."


def test_a_pdf_with_pages_without_end_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = b"<< /Type /Pages /Kids [%s] /Count 30000 >>" % (b"4 0 R " * 30_000)
    monkeypatch.setattr(extraction, "MAX_PAGES", 50)
    assert "allowed up to 50 pages a document" in refusal("a.pdf", pdf(["One"], tree=tree))
    monkeypatch.setattr(extraction, "MAX_TEXT", 5)
    assert "allowed up to 5 characters a document" in refusal("a.pdf", pdf(["One", "Two"]))


def test_a_document_beyond_the_memory_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(PdfReader, "__init__", fail)
    assert "needs more memory" in refusal("a.pdf", pdf(["One"]))
