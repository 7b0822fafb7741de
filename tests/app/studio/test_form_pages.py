"""Forms on pages: every field is drawn, and only a save changes the file, by its bytes alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.studio.forms import describing, templates
from app.studio.forms.describing import FieldView, describe, sections
from app.studio.forms.mattering import matters, value_at
from app.studio.forms.templates import OWN_FILE
from app.studio.project_files import Project
from tests.app.studio.forms_on_pages import (
    NUMBERS,
    ODD,
    SOURCES,
    bundled,
    forms,
    keys,
    params,
    values,
    widget,
)
from tests.app.studio.pages import LANGUAGES, shown

SECTIONS = list(sections())


@pytest.fixture
def here(project: Path) -> Path:
    (project / "params.yaml").write_bytes(OWN_FILE.read_bytes())
    return project


def drawable(view: FieldView, known: Any) -> Iterator[str]:
    """Yield the paths of the widgets that a value of the schema needs."""
    if not matters(view.path, known):
        return
    if view.kind == "group":
        for one in view.fields:
            yield from drawable(one, known)
    elif view.kind == "kinds":
        kind = value_at(known, f"{view.path}.kind")
        yield f"{view.path}.kind"
        for one in view.kinds.get(kind, ()):
            if one.name != "kind":
                yield from drawable(one, known)
    elif view.kind == "sources":
        for at in range(len(value_at(known, view.path))):
            item = view.item
            assert item is not None
            yield from drawable(describing.moved(item, f"{view.path}.{at}"), known)
    else:
        yield view.path


def plain_keys(names: set[str]) -> set[str]:
    """Return the names of widgets as paths: without the form, a kind or a number's sign."""
    paths = {name.partition(".")[2] for name in names}
    return {re.sub(r"~\w+", "", one).replace(".#", ".") for one in paths}


CASES: dict[str, dict[str, Any]] = {"release": {}, "odd": ODD, "numbers": NUMBERS}


@LANGUAGES
@pytest.mark.parametrize("case", CASES)
def test_every_field_is_drawn_and_drawing_changes_nothing(
    project: Path, case: str, language: str
) -> None:
    """The values of a form that nobody touched are those of the file, whatever it holds."""
    path = project / "params.yaml"
    path.write_text(params(CASES[case]), encoding="utf-8")
    known = values(path)
    page = forms(project, *SECTIONS, language=language)
    drawn = plain_keys(keys(page))
    for section in SECTIONS:
        memory = page.session_state[f"{section}:form"]
        assert memory.pending == (), section
        assert memory.wrong == ()
        wanted = [path for one in describe(section) for path in drawable(one, known)]
        assert wanted
        assert set(wanted) - drawn == set()
    assert len(drawn) > 250


@pytest.mark.parametrize("source", bundled(), ids=lambda one: one.stem)
def test_no_bundled_project_is_changed_by_drawing_it(project: Path, source: Path) -> None:
    (project / "params.yaml").write_bytes(source.read_bytes())
    page = forms(project, *SECTIONS, everything=False)
    for section in SECTIONS:
        assert page.session_state[f"{section}:form"].pending == (), section
    assert (project / "params.yaml").read_bytes() == source.read_bytes()


@LANGUAGES
def test_texts_are_in_the_reader_s_language(here: Path, language: str) -> None:
    page = forms(here, "train", language=language)
    label = widget(page, "train.epochs").label
    assert (label == "Epochs") is (language == "en")


def saved(page: Any, section: str) -> Any:
    page.button(key=f"{section}:save").click().run()
    return page


SAVED: dict[str, list[tuple[str, object, str, str]]] = {
    "train": [
        ("train.learning_rate", 1e-5, "learning_rate: 2e-4 ", "learning_rate: 1e-5 "),
        ("train.epochs", 12, "epochs: 3 ", "epochs: 12 "),
        ("train.group_by_length", False, "group_by_length: true ", "group_by_length: false "),
        ("train.dropout", 0.25, "dropout: null ", "dropout: 0.25 "),
        ("train.metric", "accuracy", "metric: macro_f1 ", "metric: accuracy "),
        ("train.precision", "fp32", "precision: auto ", "precision: fp32 "),
        ("train.baselines.longest", 3, "longest: 2 ", "longest: 3 "),
        ("train.baselines.kinds", ["majority", "linear_svc"],
         "kinds: [majority, logistic_regression, linear_svc, frozen]",
         "kinds: [majority, linear_svc]"),
        ("train.schedule.kind", "cosine", "kind: linear, warmup", "kind: cosine, warmup"),
    ],
    "validate": [("validate.released", "1.2.0", 'released: "" ', "released: 1.2.0 ")],
    "split": [
        ("split.shares.train", 0.85, "train: 0.8,", "train: 0.85,"),
        ("split.shares.test", 0.05, "test: 0.1}", "test: 0.05}"),
        ("split.min_per_label", 3, "min_per_label: 2 ", "min_per_label: 3 "),
    ],
    "init": [("init.max_tokens", 128, "max_tokens: 64 ", "max_tokens: 128 ")],
    "optimize": [("optimize.parity.invariance", 1e-5, "invariance: 0.0001", "invariance: 1e-5")],
}  # fmt: skip


@pytest.mark.parametrize("section", SAVED)
def test_saving_fields_changes_their_bytes_and_no_others(here: Path, section: str) -> None:
    wanted = (here / "params.yaml").read_text(encoding="utf-8")
    page = forms(here, section)
    at = wanted.index(f"\n{section}:")
    for path, value, old, new in SAVED[section]:
        widget(page, path).set_value(value)
        assert old in wanted[at:]
        wanted = wanted[:at] + wanted[at:].replace(old, new, 1)
    page.run()
    saved(page, section)
    assert (here / "params.yaml").read_text(encoding="utf-8") == wanted
    assert page.success[0].value.startswith("Saved")


def neighbours(block: Any, element: Any) -> list[Any]:
    """Return what stands in the same container of a page as an element."""
    inside = list(block.children.values())
    if element in inside:
        return inside
    return [
        one for each in inside if hasattr(each, "children") for one in neighbours(each, element)
    ]


def test_a_wrong_value_never_reaches_the_file_and_the_message_stands_beside_it(
    here: Path,
) -> None:
    page = forms(here, "train")
    widget(page, "train.metric").set_value("Best of all!")
    page.run()
    (problem,) = page.error
    assert "train.metric" in problem.value
    assert problem in neighbours(page.main, widget(page, "train.metric"))
    button = page.button(key="train:save")
    assert button.disabled
    assert button.help
    assert (here / "params.yaml").read_bytes() == OWN_FILE.read_bytes()
    assert page.session_state["train:form"].wrong == ("train.metric",)


def test_values_that_contradict_each_other_are_told_and_not_saved(here: Path) -> None:
    page = forms(here, "split")
    widget(page, "split.shares.train").set_value(0.7)
    page.run()
    assert "add up to 1" in page.error[0].value
    assert page.button(key="split:save").disabled


def test_a_change_takes_along_what_would_contradict_it(here: Path) -> None:
    page = forms(here, "init")
    widget(page, "init.method").set_value("scratch")
    page.run()
    assert "train.freeze\\_embeddings" in shown(page) or "train.freeze_embeddings" in shown(page)
    saved(page, "init")
    known = values(here / "params.yaml")
    assert (known["init"]["method"], known["train"]["freeze_embeddings"]) == ("scratch", False)


def test_a_changed_field_is_marked_and_can_be_reset(here: Path) -> None:
    page = forms(here, "train")
    before = {one.key for one in page.button}
    widget(page, "train.epochs").set_value(9)
    page.run()
    (reset,) = [one for one in page.button if one.key not in before]
    assert "train.epochs" in (reset.key or "")
    assert any("changed" in one.value for one in page.caption)
    reset.click().run()
    assert widget(page, "train.epochs").value == 3
    assert page.session_state["train:form"].pending == ()


def test_the_default_is_that_of_the_project_one_started_from(here: Path) -> None:
    chinese = templates.bundled("zh-reviews").path.read_bytes()
    (here / "params.yaml").write_bytes(chinese)
    known = templates.defaults(Project(here))
    assert known["init"]["method"] == "scratch"
    (here / "var/studio").mkdir(parents=True)
    (here / "var/studio/started.yaml").write_bytes(OWN_FILE.read_bytes())
    assert templates.defaults(Project(here))["init"]["method"] == "pretrained"


def test_basic_shows_less_and_never_hides_what_waits(here: Path) -> None:
    page = forms(here, "train", everything=False)
    few = keys(page)
    assert "train.train.weight_decay" not in few
    page.session_state["train:level"] = "all"
    page.run()
    assert few < keys(page)
    widget(page, "train.weight_decay").set_value(0.02)
    page.run()
    page.session_state["train:level"] = "basic"
    page.run()
    assert widget(page, "train.weight_decay").value == 0.02
    assert page.session_state["train:form"].pending == ("train.weight_decay",)


def test_changes_of_somebody_else_are_shown_and_not_overwritten(here: Path) -> None:
    page = forms(here, "train")
    widget(page, "train.epochs").set_value(9)
    page.run()
    path = here / "params.yaml"
    theirs = path.read_text(encoding="utf-8").replace("batch_size: 32 ", "batch_size: 16 ", 1)
    path.write_text(theirs, encoding="utf-8")
    page.run()
    assert "batch_size" in page.warning[0].value.replace("\\", "")
    assert page.button(key="train:save").disabled
    assert path.read_text(encoding="utf-8") == theirs
    page.button(key="train:merge").click().run()
    assert widget(page, "train.epochs").value == 9
    assert widget(page, "train.batch_size").value == 16
    saved(page, "train")
    assert path.read_text(encoding="utf-8") == theirs.replace("epochs: 3 ", "epochs: 9 ", 1)


def test_a_change_of_another_section_is_no_change_of_somebody_else(here: Path) -> None:
    page = forms(here, "canary", "release")
    before = (here / "params.yaml").read_text(encoding="utf-8")
    widget(page, "canary.share").set_value(20)
    page.run()
    changed = before.replace("\n  examples:", "\n  # a word of somebody else\n  examples:", 1)
    assert changed != before
    (here / "params.yaml").write_text(changed, encoding="utf-8")
    widget(page, "release.examples").set_value(7)
    page.run()
    saved(page, "release")
    assert widget(page, "canary.share").value == 20
    assert not page.warning
    saved(page, "canary")
    known = values(here / "params.yaml")
    assert (known["canary"]["share"], known["release"]["examples"]) == (20, 7)
    assert "a word of somebody else" in (here / "params.yaml").read_text(encoding="utf-8")


def test_a_form_that_nobody_touched_follows_the_file(here: Path) -> None:
    page = forms(here, "train")
    path = here / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 3 ", "epochs: 7 ", 1), encoding="utf-8")
    page.run()
    assert widget(page, "train.epochs").value == 7
    assert not page.warning


def test_changes_can_be_discarded(here: Path) -> None:
    page = forms(here, "train")
    widget(page, "train.epochs").set_value(9)
    page.run()
    page.button(key="train:discard").click().run()
    assert widget(page, "train.epochs").value == 3


def test_a_source_can_be_added_changed_in_kind_and_removed(here: Path) -> None:
    page = forms(here, "collect")
    add = next(one for one in page.button if (one.key or "").endswith(".add"))
    add.click().run()
    assert page.session_state["collect:form"].pending == ("collect.sources",)
    assert page.button(key="collect:save").disabled
    key = "collect.collect.sources.#1001"
    kinds = [one for one in page.selectbox if (one.key or "").startswith(f"{key}.kind@")]
    assert kinds[0].value == "file"
    texts = {
        "name": "mine",
        "licence": "own data",
        "path": "data/raw/mine.csv",
    }
    for name, value in texts.items():
        field = [one for one in page.text_input
                 if (one.key or "").startswith(f"{key}~file.{name}@")]  # fmt: skip
        field[0].set_value(value)
    page.run()
    assert not page.error, [one.value for one in page.error]
    saved(page, "collect")
    known = values(here / "params.yaml")["collect"]["sources"]
    assert [one["name"] for one in known] == ["trec", "mine"]
    assert (here / "params.yaml").read_text().startswith(OWN_FILE.read_text()[:1500])
    page.session_state["collect.collect.sources.#1.fold"] = True
    page.run()
    remove = [one for one in page.button if (one.key or "").endswith(".remove")]
    remove[-1].click().run()
    saved(page, "collect")
    assert (here / "params.yaml").read_bytes() == OWN_FILE.read_bytes()


def test_a_source_that_is_folded_away_costs_nothing_and_loses_nothing(project: Path) -> None:
    path = project / "params.yaml"
    path.write_text(params({"collect.sources": SOURCES}), encoding="utf-8")
    before = path.read_bytes()
    page = forms(project, "collect", everything=False)
    assert not [one for one in keys(page) if ".sources." in one]
    page.session_state["collect.collect.sources.#3.fold"] = True
    page.run()
    assert {one[: len("collect.collect.sources.#3")] for one in keys(page) if ".#" in one} == {
        "collect.collect.sources.#3"
    }
    name = "collect.sources.#3~http.name"
    (text,) = [one for one in page.text_input if (one.key or "").startswith(f"collect.{name}@")]
    text.set_value("other").run()
    page.session_state["collect.collect.sources.#3.fold"] = False
    page.run()
    saved(page, "collect")
    assert path.read_bytes() == before.replace(b"source-3,", b"other,", 1).replace(
        b"name: source-3\n", b"name: other\n", 1
    )


def test_an_older_file_gets_the_fields_that_it_lacks(here: Path) -> None:
    path = here / "params.yaml"
    text = re.sub(r"\n  mobile: .*", "", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    page = forms(here, "optimize")
    assert page.session_state["optimize:form"].pending
    saved(page, "optimize")
    assert values(path)["optimize"]["mobile"] is False


def test_the_default_of_a_group_that_an_older_file_lacks_stays_what_it_is(here: Path) -> None:
    path = here / "params.yaml"
    path.write_text(re.sub(r"\n  golden:.*(\n    .*)+", "", path.read_text(encoding="utf-8")))
    assert "golden" not in values(path)["release"]
    usual = templates.defaults(Project(here))["release"]["golden"]["questions"]
    page = forms(here, "release")
    widget(page, "release.golden.questions").set_value(usual + 1)
    page.run()
    assert templates.defaults(Project(here))["release"]["golden"]["questions"] == usual
    saved(page, "release")
    assert values(path)["release"]["golden"]["questions"] == usual + 1


def test_a_file_that_is_no_yaml_is_explained(here: Path) -> None:
    (here / "params.yaml").write_text("train: {epochs: 3", encoding="utf-8")
    page = forms(here, "train")
    assert "params.yaml" in page.error[0].value


def test_wrong_values_of_a_file_are_shown_as_they_are_and_can_be_mended(here: Path) -> None:
    path = here / "params.yaml"
    text = path.read_text(encoding="utf-8").replace("epochs: 3 ", "epochs: 5000 ", 1)
    path.write_text(text.replace("method: full ", "method: fast ", 1), encoding="utf-8")
    page = forms(here, "train")
    memory = page.session_state["train:form"]
    assert memory.pending == ()
    assert set(memory.wrong) == {"train.epochs", "train.method"}
    widget(page, "train.epochs").set_value(5)
    widget(page, "train.method").set_value("full")
    page.run()
    assert not page.error
    saved(page, "train")
    assert values(path)["train"]["epochs"] == 5
