"""A page that draws forms, for tests; and files of params in which every field matters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from streamlit.testing.v1 import AppTest

from app.studio.forms import present, templates
from app.studio.forms.rewriting import rewritten
from app.studio.forms.templates import OWN_FILE
from tests.app.studio.pages import SECONDS, assert_sound

COLUMNS = {"text": "text", "label": "label", "group": None, "created_at": None, "meta": ["price"]}
READER = {
    "format": "txt", "encoding": "utf-8", "pattern": "(?P<text>.+)", "unmatched": "skip",
    "members": "*.csv", "sheet": None, "columns": COLUMNS,
}  # fmt: skip
STATED = {
    "licence": "MIT", "permitted_use": "research", "personal_data": False, "required": True,
    "label": None, "limit": 10, "sample": "random",
}  # fmt: skip
CHUNKS = {"size": 500, "overlap": 50}
QUERY = {"url_from": "DATABASE", "query": "SELECT 1", "batch": 10, "columns": COLUMNS}
WEB = {
    "kind": "http", "url": "https://example.com/a", "answer": "api", "reader": READER,
    "headers": {"Authorization": "TOKEN"}, "chunks": CHUNKS, "items": "data.items",
    "next_page": {"kind": "field", "path": "paging.next", "parameter": "cursor"},
    "max_pages": 3, "requests_per_second": 1.5, "timeout": 5.0, "max_size": 10,
    "max_seconds": 60.0, "allowed_hosts": ["localhost"],
}  # fmt: skip
KINDS: list[dict[str, Any]] = [
    {"kind": "file", "path": "data/raw/table.csv", "reader": READER},
    {"kind": "documents", "path": "data/raw/a.pdf", "label_by": "none", "chunks": CHUNKS},
    WEB,
    WEB | {"answer": "page", "next_page": None},
    WEB | {"next_page": {"kind": "number", "parameter": "page", "first": 1}},
    WEB | {"next_page": {"kind": "link"}},
    {"kind": "sql"} | QUERY,
    {"kind": "hub", "dataset": "me/mine", "revision": "0" * 40, "configuration": "plain",
     "part": "train", "columns": COLUMNS},
    {"kind": "datasets", "path": "data/raw/set", "part": "train", "columns": COLUMNS},
    {"kind": "stream", "feed": {"kind": "sql", "watermark": "id", "start": "0"} | QUERY,
     "keep_snapshots": 3, "keep_days": 30},
    {"kind": "stream", "feed": {"kind": "folder", "path": "data/raw/in/*.jsonl", "reader": READER},
     "keep_snapshots": None, "keep_days": None},
]  # fmt: skip
SOURCES = [{"name": f"source-{at}"} | STATED | one for at, one in enumerate(KINDS)]
SWITCHES = [
    *(f"clean.quality.{one}.enabled" for one in (
        "symbols", "repetition", "words", "wording", "language", "boilerplate", "word_list")),
    "split.augment.enabled", "clean.duplicates.near.drop", "train.contrastive.enabled",
]  # fmt: skip
COLUMN = {
    "name": "price", "type": "number", "missing": "constant", "constant": 0.5, "outliers": "keep",
    "outlier_rule": "iqr", "outlier_bound": 1.5, "scale": "none", "encode": "none",
}  # fmt: skip
ODD = {  # in which most of the fields matter that do not by default
    **dict.fromkeys(SWITCHES, True),
    "collect.sources": SOURCES,
    "clean.normalize.unicode": False,
    "clean.personal_data.phone": "mask",
    "clean.columns": [COLUMN, COLUMN | {"name": "size", "constant": "none"}],
    "clean.derived": [{"name": "share", "formula": "ratio", "of": ["price", "size"]}],
    "label.task": "multi_label",
    "label.rules": [{"pattern": "(?i)who", "label": "human"}],
    "label.agreement.min_alpha": 0.667,
    "split.strategy": "column",
    "split.column": "part",
    "split.augment.methods": ["synonym", "insert"],
    "split.augment.synonyms": "data/synonyms/words.tsv",
    "init.method": "scratch",
    "init.weights.layers.scheme": "orthogonal",
    "init.weights.embeddings.scheme": "uniform",
    "init.weights.head.scheme": "constant",
    "train.method": "lora",
    "train.freeze_embeddings": False,
    "train.optimizer.kind": "rmsprop",
    "train.schedule.kind": "plateau",
    "train.launcher.machines": 1,
    "optimize.variants": ["distilled+pruned_units+openvino_int8", "pruned_weights+onnx_int8"],
    "search.sampler": "grid",
    "serve.hosts": ["example.org"],
    "traffic.text": "masked",
}  # fmt: skip
NUMBERS = {  # a task of numbers, where labels do not matter
    "label.task": "regression", "label.labels": [], "label.mapping": {}, "label.definitions": {},
    "label.numbers": {"low": -4.0, "high": 4.0}, "init.pretrained": {
        "kind": "hub", "name": "me/mine", "revision": "0" * 40},
    "train.schedule.kind": "cosine_restarts", "train.optimizer.kind": "sgd",
}  # fmt: skip


def params(changes: dict[str, Any] | None = None) -> str:
    """Return the release's params with other values."""
    return rewritten(OWN_FILE.read_text(encoding="utf-8"), changes or {})


def script(sections: str, root: str) -> None:
    """Draw forms below each other."""
    import json
    from pathlib import Path

    from app.studio import layout
    from app.studio.forms import drawing
    from app.studio.project_files import Project

    for section in json.loads(sections):
        with layout.explained():
            drawing.section_form(section, Project(Path(root)), key=section)


def forms(project: Path, *sections: str, language: str = "en", everything: bool = True) -> AppTest:
    """Return a page with the forms of some sections, after its first run."""
    page = AppTest.from_function(
        script,
        default_timeout=SECONDS * 4,
        kwargs={"sections": json.dumps(sections), "root": str(project)},
    )
    page.session_state["language"] = language
    for section in sections:
        page.session_state[f"{section}:level"] = "all" if everything else "basic"
    if everything and "collect" in sections:
        for at in range(len(SOURCES)):
            page.session_state[f"collect.collect.sources.#{at}.fold"] = True
    page.run()
    assert_sound(page)
    return page


def widget(page: AppTest, path: str, section: str | None = None) -> Any:
    """Return the widget of a path."""
    start = f"{section or path.partition('.')[0]}.{path}@"
    kinds = ("toggle", "number_input", "slider", "selectbox", "text_input", "text_area",
             "multiselect", "button_group")  # fmt: skip
    found = [one for kind in kinds for one in page.get(kind) if (one.key or "").startswith(start)]
    assert len(found) == 1, (path, [one.key for one in found])
    return found[0]


def keys(page: AppTest) -> set[str]:
    """Return the names of all widgets without the parts that count."""
    kinds = ("toggle", "number_input", "slider", "selectbox", "text_input", "text_area",
             "multiselect", "button_group", "data_editor", "arrow_data_frame")  # fmt: skip
    return {one.key.partition("@")[0] for kind in kinds for one in page.get(kind) if one.key}


def values(path: Path) -> Any:
    """Return the values of a file of params."""
    return present.of(path.read_bytes()).values


def bundled() -> list[Path]:
    """Return the files of all bundled projects."""
    return [one.path for one in templates.listed()]
