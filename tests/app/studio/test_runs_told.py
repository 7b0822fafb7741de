"""A real stage that fails tells its cause as data; the page says it in the reader's language."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.studio.project_files import Project
from app.studio.runs import diagnosing, following, records, starting
from app.studio.speech import explained
from pipeline import stage
from pipeline.errors import (
    DataError,
    GateError,
    ModelError,
    MofangError,
    ParamsError,
    Problem,
    StorageError,
)
from pipeline.i18n import _
from pipeline.modeling.batching import too_small
from pipeline.params import Params
from tests.app.studio import small_project as small
from tests.app.studio.pages import open_page, shown
from tests.e2e.project import Project as Whole
from tests.helpers import ROOT


@pytest.mark.e2e
def test_a_failed_stage_is_explained_in_both_languages_and_mended(tmp_path: Path) -> None:
    """The pipeline's own code, its first stage."""
    whole = Whole.create(tmp_path / "project", rows=120)
    table = whole.folder / "data/raw/requests.csv"
    content = table.read_text(encoding="utf-8")
    table.write_text(content.replace("request,kind", "question,kind", 1), encoding="utf-8")
    project = Project(whole.folder.resolve())
    with small.swept(project):
        failed = small.over(starting.start(project, ["collect"], device="cpu"), 120.0)
        assert failed.state == "failed"
        found = diagnosing.explain(failed)
        assert found is not None
        assert (found.kind, found.stage) == ("data", "collect")
        (problem,) = found.problems
        for language in ("en", "zh"):
            page = shown(open_page("runs", project, language))
            for said in (problem.found, problem.allowed, problem.fix):
                assert str(said.render(language) if hasattr(said, "render") else said) in page
        assert problem.render("en") != problem.render("zh")
        table.write_text(content, encoding="utf-8")
        done = small.over(starting.start(project, ["collect"], device="cpu"), 240.0)
        assert done.state == "done", done.log.read_text()
        states = following.stages(done)
        assert (states["collect"], states["clean"]) == ("done", "waiting")
        assert (project.root / "data/collect/report.json").exists()


def failed_by(error: MofangError, folder: Path, monkeypatch: pytest.MonkeyPatch) -> records.Run:
    """Return the record of a run in which a stage failed by an error, written by the stage."""
    project = Project(folder)
    run = records.Run(
        project=project, id=records.new_id(), command=("dvc", "repro"), device="auto", by="ada",
        state="failed", began=records.now(), ended=records.now(), params_sha256="", commit=None,
        lock_sha256=None, code=255,
    )  # fmt: skip
    run.folder.mkdir(parents=True)
    (folder / "dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    run.snapshot.write_bytes((ROOT / "params.yaml").read_bytes())
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    run.log.write_text("Running stage 'train':\n> python -m pipeline.train\nsomething\n")
    monkeypatch.setenv("MOFANG_ERROR", str(run.folder / records.FAULT))
    monkeypatch.chdir(folder)

    def train(_params: Params) -> None:
        raise error

    with pytest.raises(SystemExit):
        stage.run(train)
    return records.write(run)


WHERE = {"found": "x", "allowed": "y", "fix": "Mend it."}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (GateError.at("validate", **WHERE), "gate"),
        (ParamsError.at("params.yaml, train", **WHERE), "params"),
        (StorageError.at("models", **WHERE), "disk"),
        (DataError.at("data", **WHERE), "data"),
        (ModelError.at("models", **WHERE), "model"),
        (MofangError(Problem("train", "x", "y", "Mend it.")), "unknown"),
        (too_small(32), "memory"),
        (ModelError.at("train", found=_("a failure of a training process ({reason})",
                                        reason="OutOfMemoryError: CUDA out of memory"),
                       allowed="y", fix="z"), "memory"),
    ],
)  # fmt: skip
def test_each_kind_of_error_is_known_by_what_the_stage_wrote(
    error: MofangError, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_by(error, tmp_path, monkeypatch)
    found = diagnosing.explain(run)
    assert found is not None
    assert (found.kind, found.stage) == (kind, "train")
    assert found.problems == tuple(error.problems)
    assert (found.smaller is not None) == (kind == "memory")
    assert "train" in str(found.cause)


def test_texts_of_an_error_hold_no_markup_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = DataError.at("a*b*", found="<img src=x> ![x](http://127.0.0.1:1)", allowed="`y`",
                         fix="[Mend](x)")  # fmt: skip
    run = failed_by(error, tmp_path, monkeypatch)
    found = diagnosing.explain(run)
    assert found is not None
    assert "![x](" not in explained(found.problems[0])


def test_a_damaged_note_of_a_stage_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = failed_by(GateError.at("validate", **WHERE), tmp_path, monkeypatch)
    for content in ("{", "[]", json.dumps({"error": "GateError"}), '{"problems": [1]}'):
        (run.folder / records.FAULT).write_text(content)
        found = diagnosing.explain(run)
        assert found is not None
        assert (found.kind, found.problems) == ("unknown", ())
        assert "something" in str(found.cause)
