"""The Git record when something is in its way: explained, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from app.studio import history, record_desk
from app.studio.history import Switch
from app.studio.project_files import Project
from app.studio.recording import Recorded, unsent
from app.studio.repository import Ran
from pipeline.i18n import _
from tests.app.studio import in_git
from tests.app.studio.in_git import (
    change,
    git,
    hook,
    message,
    save,
)

alone, project = in_git.alone, in_git.project  # fixtures


def test_a_merge_that_is_under_way_is_left_alone(project: Project) -> None:
    git(project, "checkout", "--quiet", "-b", "other")
    change(project, "epochs: 3", "epochs: 4")
    git(project, "commit", "--quiet", "--all", "--message=four")
    git(project, "checkout", "--quiet", "main")
    change(project, "epochs: 3", "epochs: 5")
    git(project, "commit", "--quiet", "--all", "--message=five")
    git(project, "merge", "other", check=False)
    before = project.params.read_bytes()
    assert b"<<<<<<<" in before
    done = history.saved_params(project, "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert done.problem.where == "params.yaml"
    assert "git merge --abort" in str(done.problem.fix)
    assert project.params.read_bytes() == before
    assert (project.root / ".git/MERGE_HEAD").exists()


def test_an_earlier_state_without_a_branch_gets_no_commit(project: Project) -> None:
    git(project, "checkout", "--quiet", "--detach")
    change(project, "epochs: 3", "epochs: 5")
    done = history.saved_params(project, "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert "git switch" in str(done.problem.fix)
    assert "epochs: 5" in project.params.read_text(encoding="utf-8")


def test_a_hook_that_refuses_is_explained(project: Project) -> None:
    hook(project, "pre-commit", "echo 'no tabs, please' >&2; exit 1")
    new = project.root / "project.yaml"
    new.write_text("version: 1\n", encoding="utf-8")
    done = history.saved_plan(project, _("Risks"), "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert done.problem.where == "pre-commit"
    assert "no tabs, please" in str(done.problem.found)
    assert git(project, "status", "--porcelain") == "?? project.yaml\n", "nothing is left staged"
    (project.root / ".git/hooks/pre-commit").unlink()
    assert history.saved_plan(project, _("Risks"), "ada").state == "committed"


def test_a_hook_that_waits_is_ended(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.studio.recording.HOOKS_MAY_TAKE", 0.5)
    mark = project.root / "var-mark"
    hook(project, "pre-commit", f"(sleep 4; touch {mark}) & sleep 60")
    change(project, "epochs: 3", "epochs: 5")
    done = history.saved_params(project, "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert "terminal" in str(done.problem.fix)
    (project.root / ".git/hooks/pre-commit").unlink()
    (project.root / ".git/index.lock").unlink(missing_ok=True)
    assert history.saved_params(project, "ada").state == "committed"
    assert not mark.exists()


def test_a_lock_of_another_git_is_waited_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(project, "epochs: 3", "epochs: 5")
    lock = project.root / ".git/index.lock"
    lock.touch()
    threading.Timer(0.7, lock.unlink).start()
    assert history.saved_params(project, "ada").state == "committed"


def test_a_lock_that_stays_is_named(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.studio.recording.LOCK_TRIES", 1)
    change(project, "epochs: 3", "epochs: 5")
    lock = project.root / ".git/index.lock"
    lock.touch()
    done = history.saved_params(project, "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert done.problem.where == str(lock)
    assert lock.exists(), "it may be somebody's"


def test_a_file_that_git_ignores_is_explained(project: Project) -> None:
    with (project.root / ".gitignore").open("a", encoding="utf-8") as target:
        target.write("project.yaml\n")
    (project.root / "project.yaml").write_text("version: 1\n", encoding="utf-8")
    done = history.saved_plan(project, _("Risks"), "ada")
    assert done.state == "refused"
    assert done.problem is not None
    assert ".gitignore" in str(done.problem.fix)


@pytest.fixture
def server(project: Project, tmp_path: Path) -> Path:
    """A repository to push to, and pushing switched on."""
    path = tmp_path / "server.git"
    subprocess.run(["git", "init", "--quiet", "--bare", path], check=True)
    git(project, "remote", "add", "origin", str(path))
    git(project, "push", "--quiet", "--set-upstream", "origin", "main")
    history.set_switch(project, Switch(on=True, push=True))
    return path


def test_a_push_goes_to_the_upstream(project: Project, server: Path) -> None:
    done = save(project, 3, 5)
    assert done.problem is None
    head = subprocess.run(
        ["git", "-C", server, "rev-parse", "main"], check=True, capture_output=True, text=True
    )
    assert head.stdout.strip() == done.commit
    assert record_desk.status(project).standing.ahead == 0


def test_records_of_others_are_explained_and_never_overwritten(
    project: Project, server: Path, tmp_path: Path
) -> None:
    other = Project(tmp_path / "other")
    subprocess.run(["git", "clone", "--quiet", "--branch=main", server, other.root], check=True)
    git(other, "config", "user.name", "Bob")
    git(other, "config", "user.email", "bob@example.org")
    (other.root / "b").write_text("b", encoding="utf-8")
    git(other, "add", "b")
    git(other, "commit", "--quiet", "--message=b")
    git(other, "push", "--quiet")
    done = save(project, 3, 5)
    assert done.state == "committed"
    assert done.problem is not None
    assert "git pull --rebase" in str(done.problem.fix)
    assert record_desk.status(project).standing.ahead == 1
    git(project, "pull", "--quiet", "--rebase")
    assert record_desk.send(project) is None
    assert record_desk.status(project).standing.ahead == 0


@pytest.mark.parametrize(
    ("address", "word"),
    [("/no/such/place", "safe"), ("https://ada:secret@127.0.0.1:9/x.git", "sent with the next")],
)
def test_a_failing_push_keeps_the_commit_and_no_secret(
    project: Project, server: Path, address: str, word: str
) -> None:
    git(project, "remote", "set-url", "origin", address)
    done = save(project, 3, 5)
    assert done.state == "committed"
    assert git(project, "rev-parse", "HEAD").strip() == done.commit
    assert done.problem is not None
    assert word in str(done.problem.fix)
    assert "secret" not in done.problem.render("en")


def test_a_server_that_declines_is_explained(project: Project, server: Path) -> None:
    path = server / "hooks/pre-receive"
    path.write_text("#!/bin/sh\necho 'main is protected' >&2\nexit 1\n", encoding="utf-8")
    path.chmod(0o755)
    done = save(project, 3, 5)
    assert done.problem is not None
    assert "which branch" in str(done.problem.fix)


@pytest.mark.parametrize(
    ("told", "word"),
    [
        ("fatal: unable to access 'https://x/y/': The requested URL returned error: 403", "Log in"),
        ("error: failed to push some refs to '/srv/a4031f.git'", "Try git push"),
        ("remote: no network of yours\n ! [remote rejected] main -> main", "which branch"),
        ("ssh: connect to host x port 22: Connection refused", "sent with the next"),
    ],
)
def test_what_stopped_a_push_is_told_by_gits_own_words(told: str, word: str) -> None:
    assert word in str(unsent(Ran(1, "", told)).fix)


def test_a_branch_without_upstream_is_explained(project: Project) -> None:
    history.set_switch(project, Switch(on=True, push=True))
    done = save(project, 3, 5)
    assert done.state == "committed"
    assert done.problem is not None
    assert "git push -u" in str(done.problem.fix)


def test_many_sessions_at_once_all_get_in(project: Project) -> None:
    names = [f"n{number}.txt" for number in range(6)]
    done: list[Recorded] = []

    def one(name: str) -> None:
        (project.root / name).write_text(name, encoding="utf-8")
        done.append(history.commit(project, [Path(name)], f"Add {name}", "ada"))

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.state for one in done] == ["committed"] * len(names)
    assert git(project, "rev-list", "--count", "HEAD") == f"{len(names) + 1}\n"
    assert git(project, "status", "--porcelain") == ""


def test_without_git_nothing_fails(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/no-such-folder")
    assert shutil.which("git") is None
    assert history.saved_params(project, "ada").state == "no_repository"


def test_somebody_elses_repository_in_the_environment_is_not_written(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "hooked"
    subprocess.run(["git", "init", "--quiet", other], check=True)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    change(project, "epochs: 3", "epochs: 5")
    assert history.saved_params(project, "ada").state == "committed"
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert message(project).startswith("train.epochs")
    assert not list((other / ".git/refs/heads").iterdir())


def test_a_record_that_has_waited_for_long_is_told_as_not_made(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "SECONDS_TO_WAIT", 0.1)
    change(project, "epochs: 3", "epochs: 5")
    with history.alone(project):
        done = history.saved_params(project, "ada")
        waited = record_desk.send(project)
    assert done.state == "refused"
    assert done.problem == waited
    assert waited is not None
    assert history.LOCK in waited.where
    assert history.saved_params(project, "ada").state == "committed"
