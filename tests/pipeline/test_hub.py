"""A hub on the loopback, as the library asks it: one commit, plain data, and a reason otherwise."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.helpers import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": []}
READ = """
import json, sys
from types import SimpleNamespace as N
from pipeline.quiet import be_quiet, leave
from pipeline.errors import SourceError
be_quiet()
from pipeline.sources import child, hub
answers = []
for wanted in json.loads(sys.argv[1]):
    wanted["columns"] = N(**wanted["columns"])
    try:
        delivery = hub.open_source(N(**wanted))
        rows = [[row.text, row.label, row.meta["file"], row.meta["row"]] for row in delivery.rows]
        answers.append({"rows": rows, "bytes": delivery.bytes, "sha256": delivery.sha256})
    except SourceError as error:
        answers.append(error.render("en"))
print(json.dumps(answers))
leave(0)
"""


def parquet(texts: list[str]) -> bytes:
    """Return a parquet file as the hub holds it, with the names of its classes."""
    features = {"label": {"names": ["no", "是"], "_type": "ClassLabel"},
                "text": {"dtype": "string", "_type": "Value"}}  # fmt: skip
    table = pa.table({"text": texts, "label": [number % 2 for number in range(len(texts))]})
    said = json.dumps({"info": {"features": features}})
    target = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), target)
    return target.getvalue()


REPOSITORIES: dict[str, dict[str, bytes]] = {
    "made/plain": {
        "README.md": b"---\nlicense: mit\n---\n",
        "data/train-00000-of-00002.parquet": parquet(["one", "two"]),
        "data/train-00001-of-00002.parquet": parquet(["three"]),
        "data/test-00000-of-00001.parquet": parquet(["four"]),
        "evil.py": b"raise SystemExit(3)",
    },
    "made/csv": {"train.csv": "text,label\n你好,a\n,b\n".encode()},
    "made/tar": {"train.tar": bytes(10_240)},
    "made/script": {"script.py": b"raise SystemExit(3)"},
    "made/foreign": {
        "README.md": b"---\nconfigs:\n- config_name: default\n  data_files: /etc/hosts\n---\n",
        "train.txt": b"x",
    },
    "made/broken": {"data/train-00000-of-00001.parquet": b"PAR1 no PAR1"},
}


class Hub(BaseHTTPRequestHandler):
    """As much of a hub as the library asks for."""

    protocol_version = "HTTP/1.1"
    asked: list[str]

    def log_message(self, *_told: Any) -> None: ...

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        path = unquote(urlsplit(self.path).path)
        self.asked.append(path)
        for name, files in REPOSITORIES.items():
            if path.startswith(f"/datasets/{name}/resolve/{COMMIT}/"):
                return self.file(files, path.partition(f"{COMMIT}/")[2])
            if path.startswith(f"/api/datasets/{name}/"):
                return self.about(name, files, path, body)
        return self.answer(404, b"{}", x_error_code="RepoNotFound")

    do_GET = do_HEAD = do_POST = serve  # noqa: N815

    def file(self, files: dict[str, bytes], inside: str) -> None:
        if inside not in files:
            return self.answer(404, x_error_code="EntryNotFound", x_repo_commit=COMMIT)
        content = files[inside]
        tag = {"etag": f'"{hashlib.sha1(content).hexdigest()}"', "x_repo_commit": COMMIT}  # noqa: S324
        wanted = self.headers.get("range", "")
        if not wanted.startswith("bytes="):
            return self.answer(200, content, **tag)
        start, _dash, end = wanted.removeprefix("bytes=").partition("-")
        part = content[int(start) : int(end or len(content)) + 1]
        said = f"bytes {start}-{int(start) + len(part) - 1}/{len(content)}"
        return self.answer(206, part, content_range=said, **tag)

    def about(self, name: str, files: dict[str, bytes], path: str, body: str) -> None:
        subject, _slash, rest = path.removeprefix(f"/api/datasets/{name}/").partition("/")
        commit, _slash, below = rest.partition("/")
        if commit != COMMIT:
            return self.answer(404, b"{}", x_error_code="RevisionNotFound")
        entries: dict[str, dict[str, Any]] = {}
        for file, content in files.items():
            digest = hashlib.sha1(content).hexdigest()  # noqa: S324
            entries[file] = {"type": "file", "path": file, "size": len(content), "oid": digest}
            for folder in list(map(str, Path(file).parents))[:-1]:
                entries[folder] = {"type": "directory", "path": folder, "oid": "0" * 40}
        if subject == "revision":
            siblings = [{"rfilename": file} for file in files]
            found: Any = {"id": name, "sha": COMMIT, "private": False, "siblings": siblings}
        elif subject == "paths-info":
            found = [entries[one] for one in parse_qs(body).get("paths", []) if one in entries]
        else:
            deep = "recursive=true" in self.path.lower()
            found = [one for where, one in entries.items()
                     if str(Path(where).parent) == (below or ".")
                     or (deep and where.startswith(below and f"{below}/"))]  # fmt: skip
            if below and not found:
                return self.answer(404, b"{}", x_error_code="EntryNotFound")
        return self.answer(200, json.dumps(found).encode(), content_type="application/json")


@contextmanager
def served() -> Iterator[tuple[str, list[str]]]:
    """Give a hub's address, and the list of what it was asked for."""
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Hub,), {"asked": asked}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def read(address: str, home: Path, *wanted: dict[str, Any]) -> list[Any]:
    """Read data sets in a process of its own, because the library reads its switches once."""
    sources = [
        {"dataset": "made/plain", "revision": COMMIT, "configuration": None, "part": "train",
         "columns": COLUMNS} | changes
        for changes in wanted
    ]  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = kept | {"HF_ENDPOINT": address, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(sources)],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answers: list[Any] = json.loads(done.stdout)
    return answers


@pytest.fixture
def home(project: Path) -> Path:
    """Return an empty cache; a folder named like a data set stands beside it."""
    (project / "made/plain").mkdir(parents=True)
    (project / "made/plain/train.csv").write_text("text,label\nlocal,no\n")
    return project / "home"


def test_one_commit_of_plain_data_and_nothing_else(home: Path) -> None:
    with served() as (address, asked):
        plain, again, table, *refused = read(
            address, home, {}, {}, {"dataset": "made/csv"},
            {"dataset": "made/tar"}, {"dataset": "made/script"}, {"dataset": "made/foreign"},
            {"dataset": "made/broken"}, {"dataset": "made/none"}, {"revision": "f" * 40},
            {"part": "dev"}, {"configuration": "odd"}, {"columns": COLUMNS | {"text": "odd"}},
        )  # fmt: skip
    where = "made/plain@0123456789ab/train"
    assert plain["rows"] == [
        ["one", "no", where, 1], ["two", "是", where, 2], ["three", "no", where, 3],
    ]  # fmt: skip
    assert plain == again
    assert plain["bytes"] > 0
    assert plain["sha256"] != table["sha256"]
    assert table["rows"] == [["你好", "a", "made/csv@0123456789ab/train", 1]]
    expected = [
        "found a data set of the kind webdataset", "scripts are no longer supported", "/etc/hosts",
        "made/broken", "found no such data set or commit", "found no such data set or commit",
        "Available splits: ['train', 'test']", "Available: ['default']", "a column odd",
    ]  # fmt: skip
    assert len(refused) == len(expected)
    for reason, part in zip(refused, expected, strict=True):
        assert isinstance(reason, str), reason
        assert part in reason
    ours = [path for path in asked if path.startswith("/datasets/made/plain/")]
    assert ours
    assert all(f"/resolve/{COMMIT}/" in path or "f" * 40 in path for path in ours)
    assert not any("evil.py" in path for path in asked)


def test_without_a_network_no_older_copy_is_taken(home: Path) -> None:
    older = home / "datasets/made___plain/default/0.0.0" / ("a" * 40)
    older.mkdir(parents=True)
    (older / "dataset_info.json").write_text('{"config_name": "default"}')
    with served() as (address, _asked):
        pass
    for reason in read(address, home, {}, {"dataset": "made/csv"}):
        assert "found no answer from the hub (" in reason
        assert "use kind: datasets" in reason
