"""The Git record, in real repositories: what it commits, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.studio import history, preferences, record_desk, repository
from app.studio.history import Switch
from app.studio.project_files import Project
from app.studio.record_desk import Entry
from app.studio.recording import is_address
from app.studio.roles import Role, RoleError, User, acting_as
from pipeline.errors import ParamsError
from pipeline.i18n import _
from tests.app.studio import in_git
from tests.app.studio.in_git import (
    PARAMS,
    change,
    files,
    git,
    message,
    save,
)

alone, project = in_git.alone, in_git.project  # fixtures


def test_one_field_is_the_subject(project: Project) -> None:
    change(project, "epochs: 3", "epochs: 5")
    done = history.saved_params(project, "ada")
    assert done.state == "committed"
    assert done.problem is None
    assert message(project).splitlines() == [
        "train.epochs: 3 → 5", "", "Repeat: dvc repro", "By: ada", "",
    ]  # fmt: skip
    assert done.commit == git(project, "rev-parse", "HEAD").strip()
    assert history.saved_params(project, "ada").state == "unchanged"


def test_several_fields_stand_in_the_body(project: Project) -> None:
    change(project, "epochs: 3", "epochs: 5")
    change(project, "limit: null", "limit: 10")
    change(project, "[one, two]", "[one, two, three]")
    history.saved_params(project, "ada")
    said = message(project)
    assert said.startswith("Change 3 parameters\n")
    assert "collect.sources.0.limit: null → 10\n" in said
    assert "label.labels: [one, two] → [one, two, three]\n" in said
    assert "learning_rate" not in said


def test_the_message_is_in_the_language_of_who_acted(project: Project) -> None:
    change(project, "epochs: 3", "epochs: 5")
    change(project, "limit: null", "limit: 10")
    preferences.put(project, "language", "zh")
    assert history.language_of(project, "ada") == "zh"
    assert history.language_of(project, "bob") == "en"
    history.saved_params(project, "ada")
    translated = _("Change {count} parameters", count=2).render("zh")
    assert message(project).startswith(translated)


def test_what_else_is_staged_stays_staged(project: Project) -> None:
    other = project.root / "other.txt"
    other.write_text("one\n", encoding="utf-8")
    git(project, "add", "other.txt")
    other.write_text("two\n", encoding="utf-8")
    change(project, "epochs: 3", "epochs: 5")
    assert history.saved_params(project, "ada").state == "committed"
    assert files(project) == ["params.yaml"]
    assert git(project, "diff", "--cached", "--name-only").split() == ["other.txt"]
    assert git(project, "show", ":other.txt") == "one\n"
    assert other.read_text(encoding="utf-8") == "two\n"


def test_the_first_commit_of_a_repository(tmp_path: Path, alone: None) -> None:
    project = Project(tmp_path)
    project.params.write_text(PARAMS, encoding="utf-8")
    git(project, "init", "--quiet")
    git(project, "config", "user.name", "Ada")
    git(project, "config", "user.email", "ada@example.org")
    done = history.saved_params(project, "ada")
    assert done.state == "committed", done
    assert message(project).startswith("First record of params.yaml")


def test_without_a_repository_nothing_fails(tmp_path: Path, alone: None) -> None:
    project = Project(tmp_path)
    project.params.write_text(PARAMS, encoding="utf-8")
    assert history.saved_params(project, "ada").state == "no_repository"
    assert record_desk.entries(project) == []
    assert not record_desk.status(project).held


def test_a_project_that_the_repository_around_it_ignores_has_none(project: Project) -> None:
    inner = Project(project.root / "work" / "inner")
    inner.root.mkdir(parents=True)
    inner.params.write_text(PARAMS, encoding="utf-8")
    assert history.saved_params(inner, "ada").state == "no_repository"


def test_a_project_below_its_repository(project: Project) -> None:
    inner = Project(project.root / "models of ada" / "inner")
    inner.root.mkdir(parents=True)
    inner.params.write_text(PARAMS, encoding="utf-8")
    assert history.saved_params(inner, "ada").state == "committed"
    assert files(project) == ["models", "of", "ada/inner/params.yaml"]
    change(inner, "epochs: 3", "epochs: 4")
    assert record_desk.status(inner).waiting == ["params.yaml"]
    assert history.saved_params(inner, "ada").state == "committed"
    assert message(inner).startswith("train.epochs: 3 → 4")


def test_the_switch(project: Project) -> None:
    assert history.switch(project) == Switch(on=True, push=False)
    history.set_switch(project, Switch(on=False))
    change(project, "epochs: 3", "epochs: 5")
    assert history.saved_params(project, "ada").state == "off"
    assert message(project).startswith("Begin")
    with acting_as(User("eve", Role.EDITOR)), pytest.raises(RoleError):
        history.set_switch(project, Switch())
    assert not history.switch(project).on


def test_a_damaged_switch_counts_as_on(project: Project) -> None:
    project.studio.mkdir(parents=True)
    (project.studio / history.FILE).write_text("[", encoding="utf-8")
    assert history.switch(project) == Switch()


def test_a_missing_identity_is_explained_and_can_be_mended(project: Project) -> None:
    git(project, "config", "--unset", "user.name")
    git(project, "config", "--unset", "user.email")
    change(project, "epochs: 3", "epochs: 5")
    before = project.params.read_bytes()
    done = history.saved_params(project, "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert "user.email" in str(done.problem.fix)
    assert project.params.read_bytes() == before
    assert record_desk.status(project).obstacle == done.problem
    record_desk.name_yourself(project, "Ada  Lovelace", "ada@example.org")
    assert record_desk.status(project).obstacle is None
    assert history.saved_params(project, "ada").state == "committed"
    assert git(project, "log", "-1", "--format=%an <%ae>") == "Ada Lovelace <ada@example.org>\n"


@pytest.mark.parametrize(
    ("name", "address"),
    [("", "a@b"), ("A <x>", "a@b"), ("Ada", "ada"), ("Ada", "a@b\n[core]"), ("A\x1b[0m", "a@b")],
)
def test_names_that_git_cannot_write_are_refused(
    project: Project, name: str, address: str
) -> None:  # fmt: skip
    before = (project.root / ".git/config").read_bytes()
    with pytest.raises(ParamsError):
        record_desk.name_yourself(project, name, address)
    assert (project.root / ".git/config").read_bytes() == before


def test_who_logged_in_by_mail_is_the_author(project: Project) -> None:
    change(project, "epochs: 3", "epochs: 5")
    history.saved_params(project, "grace@example.org")
    names = git(project, "log", "-1", "--format=%ae %ce").split()
    assert names == ["grace@example.org", "ada@example.org"]


@pytest.mark.parametrize(
    ("name", "good"),
    [("a@b.c", True), ("ada", False), ("@b", False), ("a@", False), ("a b@c", False),
     ("a<@b", False), ("a@b\n", False)],
)  # fmt: skip
def test_addresses(name: str, good: bool) -> None:
    assert is_address(name) is good


def test_a_name_cannot_forge_a_message(project: Project) -> None:
    change(project, "epochs: 3", "epochs: 5")
    history.saved_params(project, "eve\nBy: ada\n\n# x")
    said = message(project).splitlines()
    assert said[-2] == "By: eve By: ada # x"


def test_paths_are_taken_literally_and_stay_inside(project: Project) -> None:
    odd = project.root / "*"
    odd.write_text("x", encoding="utf-8")
    (project.root / "a.txt").write_text("y", encoding="utf-8")
    done = history.commit(project, [Path("*")], "Odd", "ada")
    assert done.state == "committed"
    assert files(project) == ["*"]
    dashed = project.root / "--amend"
    dashed.write_text("x", encoding="utf-8")
    assert history.commit(project, [Path("--amend")], "Odd", "ada").state == "committed"
    assert git(project, "rev-list", "--count", "HEAD") == "3\n"
    for outside in (Path("../x"), Path("/etc/passwd"), Path(".git/config"), Path()):
        with pytest.raises(ValueError, match="found"):
            history.commit(project, [outside], "Out", "ada")


def test_a_removed_file_is_recorded(project: Project) -> None:
    (project.root / ".gitignore").unlink()
    assert history.commit(project, [Path(".gitignore")], "Gone", "ada").state == "committed"
    assert git(project, "ls-files") == "params.yaml\n"


def test_a_run_commits_what_it_leaves_with_its_figures(project: Project) -> None:
    root = project.root
    (root / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    for stage, content in (
        ("validate", {"macro_f1": 0.9, "loss": 1.0}),
        ("test", {"model": {"macro_f1": 0.91}}),
    ):
        project.stage(stage).mkdir(parents=True)
        (project.stage(stage) / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
        project.report(stage).write_text(json.dumps({"main": "macro_f1"}), encoding="utf-8")
    with (root / ".gitignore").open("a", encoding="utf-8") as target:
        target.write("report.json\n")
    change(project, "epochs: 3", "epochs: 5")
    (project.runs / "r1").mkdir(parents=True)
    (project.runs / "r1/params.yaml").write_bytes(project.params.read_bytes())
    done = history.finished_run(project, "r1", "dvc repro", _("every gate is met"), "ada")
    assert done.state == "committed"
    assert sorted(files(project)) == [
        "dvc.lock", "models/test/metrics.json", "models/validate/metrics.json", "params.yaml",
    ]  # fmt: skip
    said = message(project).splitlines()
    assert said[0] == "Run r1: every gate is met"
    assert "validate macro_f1: 0.9000" in said
    assert "test macro_f1: 0.9100" in said
    assert "Repeat: dvc repro" in said
    (project.stage("test") / "metrics.json").write_text(
        json.dumps({"model": {"macro_f1": 0.95}}), encoding="utf-8"
    )
    change(project, "epochs: 5", "epochs: 6")  # typed while the run worked: not what it used
    history.finished_run(project, "r1", "dvc repro", _("every gate is met"), "ada")
    assert files(project) == ["models/test/metrics.json"]
    assert "test macro_f1: 0.9100 → 0.9500" in message(project)
    assert record_desk.status(project).waiting == ["params.yaml"]


def test_labels_are_counted(project: Project) -> None:
    path = project.annotations / "ada.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"a": 1}\n{"a": 2}\n', encoding="utf-8")
    inside = path.relative_to(project.root)
    assert history.labelled(project, inside, "ada").state == "committed"
    assert message(project).startswith("Labels: 2 more in ada.jsonl")
    with path.open("a", encoding="utf-8") as target:
        target.write('{"a": 3}\n')
    history.labelled(project, path, "ada")
    assert message(project).startswith("Labels: 1 more in ada.jsonl")
    with path.open("a", encoding="utf-8") as target:
        target.write('{"a": 4}\n' * 50_000)  # more than a command may say
    history.labelled(project, path, "ada")
    assert message(project).startswith("Labels: 50000 more in ada.jsonl")
    with path.open("a", encoding="utf-8") as target:
        target.write('{"a": 5}\n')
    history.labelled(project, path, "ada")
    assert message(project).startswith("Labels: 1 more in ada.jsonl")


def test_a_release_is_an_entry_of_its_own(project: Project) -> None:
    (project.root / "staged").write_text("x", encoding="utf-8")
    git(project, "add", "staged")
    command = "python -m pipeline.release promote 1.2.0"
    done = history.released(project, "1.2.0", command, _("Promote {version}", version="1.2.0"), "a")
    assert done.state == "committed"
    assert files(project) == []
    assert f"Repeat: {command}" in message(project)
    assert git(project, "diff", "--cached", "--name-only") == "staged\n"


def test_what_waits_is_recorded_later(project: Project) -> None:
    history.set_switch(project, Switch(on=False))
    save(project, 3, 5)
    (project.root / "project.yaml").write_text("version: 1\n", encoding="utf-8")
    (project.root / "private.txt").write_text("x", encoding="utf-8")
    history.set_switch(project, Switch(on=True))
    assert record_desk.status(project).waiting == ["params.yaml", "project.yaml"]
    with acting_as(User("v", Role.VIEWER)), pytest.raises(RoleError):
        record_desk.record_waiting(project)
    assert record_desk.record_waiting(project).state == "committed"
    assert sorted(files(project)) == ["params.yaml", "project.yaml"]
    assert record_desk.status(project).waiting == []
    assert record_desk.record_waiting(project).state == "unchanged"


def test_entries_are_paged_and_of_one_file(project: Project) -> None:
    for epochs in range(3, 8):
        save(project, epochs, epochs + 1)
    history.released(project, "1.0.0", "x", "Release 1.0.0", "ada")
    first = record_desk.entries(project, limit=2)
    assert [one.subject for one in first] == ["Release 1.0.0", "train.epochs: 7 → 8"]
    assert isinstance(first[0], Entry)
    assert "By: ada" in first[1].body
    assert record_desk.entries(project, limit=2, offset=6)[0].subject == "Begin"
    assert len(record_desk.entries(project, limit=50, path="params.yaml")) == 6


def test_status_lines_of_git_are_read() -> None:
    lines = [
        "# branch.oid 1", "# branch.head main", "# branch.upstream origin/main",
        "# branch.ab +2 -1", "1 .M N... 100644 100644 100644 a b sub/with space.txt",
        "u UU N... 1 1 1 1 a b c sub/both.txt", "? sub/new.txt", "",
    ]  # fmt: skip
    found = repository.parsed("\0".join(lines), "sub/")
    assert (found.branch, found.upstream, found.ahead, found.behind) == (
        "main",
        "origin/main",
        2,
        1,
    )
    assert found.changed == {"with space.txt": ".M", "both.txt": "UU", "new.txt": "??"}
    assert repository.parsed("# branch.head (detached)\0").branch is None
    cut = repository.parsed("\0".join(lines)[:-4], "sub/")  # in the midst of the last name
    assert set(cut.changed) == {"with space.txt", "both.txt"}
