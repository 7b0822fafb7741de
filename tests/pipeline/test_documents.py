"""Documents: found, told apart, cut into records; every damaged one is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docx import Document as Docx

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import SourceError
from pipeline.sources import documents, extraction
from pipeline.sources.delivery import Count
from pipeline.sources.documents import open_source, text_of
from tests.helpers import changed
from tests.helpers import rows as stored
from tests.pipeline.documents import PAGE, manual, pdf, put, refusal, rows, saved, source, text


@pytest.mark.parametrize("page", ["", " \n", "<html></html>", "<!-- no -->", "<script>x</script>"])
def test_an_empty_document_is_counted(project: Path, page: str) -> None:
    put({"a.html": page, "b.txt": "words", "c.docx": saved(Docx()), "d.md": "---\ntitle: x\n---\n"})
    delivery = open_source(source("*"))
    assert [row.text for row in delivery.rows] == ["words"]
    assert (delivery.count.read, delivery.count.empty) == (4, 3)


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


def test_the_limit_on_size_holds_for_documents(project: Path) -> None:
    put({"a.txt": "x" * 2_000, "b.txt": "x" * 2_000})
    count = Count(allowed=3_000)
    files = [Path("data/raw/a.txt"), Path("data/raw/b.txt")]
    with pytest.raises(SourceError, match=r"b\.txt"):
        list(documents.rows(files, source("*"), count))


def test_the_stage_collects_documents(project: Path) -> None:
    put(
        {
            "m/bills/a.html": PAGE,
            "m/letters/b.docx": saved(manual()),
            "m/letters/c.pdf": pdf(["Hi"]),
        }
    )
    wanted = {
        "name": "papers", "kind": "documents", "path": "data/raw/m", "licence": "made here",
        "permitted_use": "tests", "personal_data": False, "required": True, "limit": None,
        "label": None, "sample": "first",
        "label_by": "folder", "chunks": {"size": 300, "overlap": 0},
    }  # fmt: skip
    collect(changed({"collect.sources": [wanted]}))
    found = stored(artifacts.COLLECT / artifacts.RECORDS)
    assert [one["label"] for one in found] == ["bills", "bills", "letters", "letters"]
    assert {one["group"] for one in found[:2]} == {"data/raw/m/bills/a.html"}
    assert len({one["id"] for one in found}) == 4
    assert json.loads(found[1]["meta"])["heading"] == "Printer manual > Setup"
