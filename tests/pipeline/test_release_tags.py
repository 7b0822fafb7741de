"""Git tags: what we write, DVC's own registry reads."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline.i18n import Message
from pipeline.releases import state, store, tags
from tests.pipeline.made_releases import create, lay_out, write_lock

DVC_YAML = "artifacts:\n  model:\n    path: models/optimize/model\n    type: model\n"


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.strip()


def commit(what: str = "x") -> str:
    git("add", "-A")
    git("commit", "-qm", what, "--allow-empty")
    return git("rev-parse", "HEAD")


@pytest.fixture
def repository(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project in a repository, as ``git init`` and ``dvc init`` leave it."""
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "anna")
        monkeypatch.setenv(f"{name}_EMAIL", "anna@example.com")
    git("init", "-q")
    start(project)
    return project


def start(folder: Path) -> None:
    (folder / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    (folder / ".gitignore").write_text("/models\n/data\n/releases\n/work\n", encoding="utf-8")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    commit("start")


def run(strength: float) -> str:
    """Leave a run in ``models/`` and commit its ``dvc.lock``."""
    lay_out(strength=strength)
    write_lock()
    return commit(f"run {strength}")


def listed() -> list[str]:
    return git("tag", "--list").splitlines()


def test_dvc_reads_releases_and_promotions(repository: Path) -> None:
    from dvc.repo import Repo

    first = run(5.0)
    one = create("1.0.0")
    assert one.commit == first
    assert (one.origin["dirty"], one.commit) == (False, first)
    assert said(tags.register(one)) == "Git tag: model@v1.0.0"
    assert said(tags.assign(one)) == "Git tag: model#prod#1"
    second = run(6.0)
    two = create("1.1.0")
    assert said(tags.assign(two)) == "Git tag: model#prod#2", "registered on the way"
    assert listed() == ["model#prod#1", "model#prod#2", "model@v1.0.0", "model@v1.1.0"]
    with Repo(".") as repo:
        found = repo.artifacts
        assert found.get_rev("model") == second
        assert found.get_rev("model", version="v1.0.0") == first
        assert found.get_rev("model", stage="prod") == second
        assert found.get_path("model") == "models/optimize/model"
    assert said(tags.assign(one)) == "Git tag: model#prod#3", "a rollback"
    with Repo(".") as repo:
        assert repo.artifacts.get_rev("model", stage="prod") == first


def test_gto_reads_what_is_in_production_and_what_was_withdrawn(repository: Path) -> None:
    from gto import api

    run(5.0)
    tags.assign(create("1.0.0"))
    run(6.0)
    tags.register(create("1.1.0"))
    stages: Any = api.find_versions_in_stage(".", "model", "prod")
    assert [one.version for one in stages] == ["v1.0.0"]
    store.remove("1.1.0", "anna")
    assert said(tags.deregister("1.1.0")) == "Git tag: model@v1.1.0!"
    shown: Any = api.show(".", "model")
    assert [one["version"] for one in shown] == ["v1.0.0"]
    assert tags.deregister("1.2.0") is None


def said(told: Message | None) -> str:
    assert told is not None
    return told.render("en")


def test_a_run_that_is_not_committed_gets_its_tag_when_it_is(repository: Path) -> None:
    """A tag on the commit before would name another model."""
    lay_out()
    write_lock()
    made = create("1.0.0")
    assert said(tags.register(made)).startswith("No Git tag: the commit does not hold the dvc.lock")
    assert "dvc.lock" in said(tags.assign(made))
    assert listed() == []
    commit("the run")
    state.promote("1.0.0", "anna")
    assert said(tags.assign(made)) == "Git tag: model#prod#1"
    assert listed() == ["model#prod#1", "model@v1.0.0"]
    run(6.0)
    made = create("1.1.0")
    run(7.0)
    assert "dvc.lock" in said(tags.register(made)), "another run was committed since"


def test_one_commit_holds_one_release(repository: Path) -> None:
    run(5.0)
    assert "model@v1.0.0" in said(tags.register(create("1.0.0")))
    told = said(tags.register(create("1.1.0")))
    assert told.startswith("No Git tag: ")
    assert "v1.0.0" in told
    assert listed() == ["model@v1.0.0"]


def test_a_dirty_tree_is_told(repository: Path) -> None:
    run(5.0)
    Path("dvc.yaml").write_text(DVC_YAML + "# changed\n", encoding="utf-8")
    assert create("1.0.0").origin["dirty"] is True


def test_without_a_lock_only_a_clean_tree_is_tagged(repository: Path) -> None:
    lay_out()
    made = create("1.0.0")
    Path("dvc.yaml").write_text(DVC_YAML + "# changed\n", encoding="utf-8")
    assert "not committed" in said(tags.register(made))
    commit()
    assert said(tags.register(made)) == "Git tag: model@v1.0.0"


def test_a_project_below_a_repository_has_its_folder_in_the_name(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dvc.repo import Repo

    below = repository / "team/questions"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    start(below)
    first = run(5.0)
    assert said(tags.assign(create("1.0.0"))) == "Git tag: team/questions=model#prod#1"
    monkeypatch.chdir(repository)
    with Repo("team/questions", uninitialized=True) as repo:
        assert repo.artifacts.get_rev("team/questions:model", version="v1.0.0") == first


def test_a_repository_that_ignores_the_project_is_not_tagged(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = repository / "work/copy"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    (below / "dvc.yaml").write_text(DVC_YAML, encoding="utf-8")
    lay_out()
    made = create("1.0.0")
    assert made.commit is None
    assert "no Git repository holds this project" in said(tags.register(made))
    assert listed() == []
