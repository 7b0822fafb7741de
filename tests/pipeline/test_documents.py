"""Documents: real files become text with headings; damaged and hostile ones a named reason."""

from __future__ import annotations

import io
import logging
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docx import Document as Docx
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls, qn
from pypdf import PdfReader, PdfWriter

from pipeline.errors import SourceError
from pipeline.sources import documents, extraction
from pipeline.sources.delivery import Count, Row
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


def repacked(content: bytes, name: str, change: Any) -> bytes:
    """Return a docx with another content in one of its members."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.namelist():
            new.writestr(entry, change(old.read(entry)) if entry == name else old.read(entry))
    return target.getvalue()


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


@pytest.mark.parametrize("page", ["", " \n", "<html></html>", "<!-- no -->", "<script>x</script>"])
def test_an_empty_document_is_counted(project: Path, page: str) -> None:
    put({"a.html": page, "b.txt": "words", "c.docx": saved(Docx()), "d.md": "---\ntitle: x\n---\n"})
    delivery = open_source(source("*"))
    assert [row.text for row in delivery.rows] == ["words"]
    assert (delivery.count.read, delivery.count.empty) == (4, 3)


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


def test_front_matter_of_markdown_goes_into_meta(project: Path) -> None:
    matter = (
        "---\ntitle: 'Setup'\nauthor: Ada\nfile: forged\ntags: \n  - a\n---\n# One\r\n\n## Two\nx"
    )
    assert text("a.md", matter) == "# One\n\n## Two\nx"
    meta = rows("a.md")[0].meta
    assert (meta["title"], meta["author"], meta["file"]) == ("Setup", "Ada", "data/raw/a.md")
    assert "tags" not in meta
    assert text("b.md", "---\nno end: of it") == "---\nno end: of it"


def test_text_in_its_encoding(project: Path) -> None:
    words = "打印机每分钟打印四十页，无需安装驱动程序，适合人多的办公室使用。" * 3
    assert text("a.txt", words.encode("gb18030")) == words
    assert text("b.txt", "\ufeffmarked".encode()) == "marked"
    assert "a NUL byte" in refusal("c.txt", b"abc\0def")
    assert "content of the kind PNG" in refusal("d.txt", b"\x89PNG\r\n\x1a\n")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("page", PAGE, "# Printer manual"),
        ("paper", pdf(["Seen."]), "Seen."),
        ("letter", saved(manual()), "# Printer"),
        ("words", "# plain", "# plain"),
        ("part", "<p>only a part of a page", "only a part of a page"),
    ],
)
def test_without_an_ending_the_content_tells_the_format(
    project: Path, name: str, content: str | bytes, expected: str
) -> None:
    assert text(name, content).startswith(expected)


def test_an_address_tells_the_format_by_its_path(project: Path) -> None:
    put({"a.body": PAGE})
    place = Path("data/raw/a.body")
    assert text_of(place, "https://example.org/manual.html?x=1.pdf").startswith("# Printer manual")
    assert text_of(place, "https://example.org/manual.php").startswith("# Printer manual")


def test_chunks_know_their_document_and_their_place(project: Path) -> None:
    put({"bills/a.md": "# A\n\n" + "One two three. " * 20 + "\n\n## B\n\n" + "Four five. " * 20})
    found = rows("bills", size=200, overlap=40, label_by="folder")
    assert [row.meta["row"] for row in found] == [1, 2, 3, 4]
    assert {row.meta["chunks"] for row in found} == {4}
    assert {(row.label, row.group) for row in found} == {("bills", "data/raw/bills/a.md")}
    assert [row.meta["heading"] for row in found] == ["A", "A", "A > B", "A > B"]
    assert all(len(row.text) <= 200 for row in found)
    put({"bills/a.md": "", "bills/b.txt": "# no heading, a comment"})
    assert [row.meta["heading"] for row in rows("bills", size=200)] == [None]


def test_a_folder_is_read_in_order_and_skips_the_rest(project: Path) -> None:
    put(
        {
            "m/b/2.txt": "two",
            "m/a/1.TXT": "one",
            "m/logo.png": "x",
            "m/.hidden.txt": "no",
            "m/3": "3",
        }
    )
    delivery = open_source(source("m", label_by="folder"))
    assert [(row.text, row.label) for row in delivery.rows] == [
        ("3", "m"),
        ("one", "a"),
        ("two", "b"),
    ]
    assert (delivery.count.skipped, delivery.bytes, len(delivery.files)) == (2, 7, 3)
    assert delivery.count.decoded == 7
    assert len(delivery.sha256) == 64


def test_what_is_no_document_is_refused_by_name(project: Path) -> None:
    put({"m/logo.png": "x", "m/style.css": "x", "m/a.txt": "x"})
    with pytest.raises(SourceError) as caught:
        open_source(source("m/*"))
    assert [problem.where for problem in caught.value.problems] == [
        "data/raw/m/logo.png", "data/raw/m/style.css",
    ]  # fmt: skip
    for nothing in ("n", "m/*.pdf", "**x/*.txt"):
        with pytest.raises(SourceError, match="found no file"):
            open_source(source(nothing))


def test_a_link_out_of_the_raw_data_is_refused(project: Path) -> None:
    Path("secret.txt").write_text("secret")
    put({"m/a.txt": "x"})
    Path("data/raw/m/b.txt").symlink_to(Path("secret.txt").resolve())
    with pytest.raises(SourceError, match=r"b\.txt: found a link that leaves data/raw"):
        open_source(source("m"))


def test_every_damaged_document_is_reported_together(project: Path) -> None:
    put({"1.pdf": b"no", "2.txt": "good", "3.docx": b"no", "4.txt": b"a\0"})
    with pytest.raises(SourceError) as caught:
        rows("*")
    where = [problem.where for problem in caught.value.problems]
    assert where == ["data/raw/1.pdf", "data/raw/3.docx", "data/raw/4.txt:1"]


def test_halves_of_characters_are_replaced(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(documents.READERS, "pdf", lambda *_: extraction.Document("a\ud800b", "pdf"))
    assert text("a.pdf", b"%PDF-") == "a\ufffdb"


def test_a_document_beyond_the_memory_says_so(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(PdfReader, "__init__", fail)
    assert "needs more memory" in refusal("a.pdf", pdf(["One"]))


def test_the_limit_on_size_holds_for_documents(project: Path) -> None:
    put({"a.txt": "x" * 2_000, "b.txt": "x" * 2_000})
    count = Count(allowed=3_000)
    files = [Path("data/raw/a.txt"), Path("data/raw/b.txt")]
    with pytest.raises(SourceError, match=r"b\.txt"):
        list(documents.rows(files, source("*"), count))


def test_styles_of_word_are_named_as_expected() -> None:
    assert qn("w:p") == f"{extraction.WORD}p"
