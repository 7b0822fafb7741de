"""Commit named files, push where asked, and put Git's refusals into words that help.

Whatever Git says, the files are as they were saved; a refusal only means that they wait for the
next commit. What somebody has staged by hand stays staged.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.studio.repository import Ran, Repository, Standing
from pipeline.errors import Problem, Text
from pipeline.i18n import _

State = Literal["committed", "unchanged", "off", "no_repository", "refused"]

HOOKS_MAY_TAKE = 60.0  # seconds
PUSH_MAY_TAKE = 30.0
LOCK_TRIES = 6  # half a second apart: another Git command seldom works longer
LINES_SHOWN = 5
REFUSED = "??"


@dataclass(frozen=True)
class Recorded:
    """What became of a record. ``told`` is for the page; ``problem`` says what to mend, if any.

    ``state`` ``committed`` with a problem means: the commit is made, but pushing it failed.
    """

    state: State
    told: Text
    commit: str | None = None
    problem: Problem | None = None


def refused(problem: Problem) -> Recorded:
    """Return that nothing was committed, and why."""
    told = _("Saved, but not recorded in Git. Nothing is lost: the next record takes it along.")
    return Recorded("refused", told, problem=problem)


def record(
    repository: Repository, paths: Sequence[str], message: str, by: str, *, empty: bool = False
) -> Recorded:
    """Commit the named files as they lie there.

    :param paths: from the project's folder; what Git ignores among them is left out.
    :param empty: commit without files.
    """
    standing = repository.standing(paths) if paths else repository.standing()
    changed = [path for path in paths if path in standing.changed]
    if not changed and not empty:
        return unchanged(repository, paths)
    obstacle = obstacle_of(repository, standing, changed)
    if obstacle is not None:
        return refused(obstacle)
    new = [path for path in changed if standing.changed[path] == REFUSED]
    if new:
        ran = repeated(repository, "add", "--intent-to-add", "--", *new)
        if not ran.good:
            return refused(explained(repository, ran))
    ran = repeated(repository, *command(by, changed), given=message, seconds=HOOKS_MAY_TAKE)
    if not ran.good:
        withdrawn(repository, new)
        return refused(explained(repository, ran))
    head = repository.head() or ""
    return Recorded("committed", _("Recorded in Git as {commit}.", commit=head[:7]), head)


def command(by: str, paths: Sequence[str]) -> list[str]:
    """Return the commit command; whoever logged in with a mail address is the author."""
    author = [f"--author={by} <{by}>"] if is_address(by) else []
    chosen = ["--", *paths] if paths else ["--allow-empty"]
    return ["commit", "--quiet", "--only", "--cleanup=whitespace", "--file=-", *author, *chosen]


def is_address(name: str) -> bool:
    """Return whether a user's name is a mail address that Git can write."""
    local, _at, domain = name.partition("@")
    return bool(local and domain) and name.isprintable() and not set(name) & set('<> ,;"')


def repeated(
    repository: Repository, *arguments: str, given: str = "", seconds: float = 30.0
) -> Ran:
    """Run a command, and again while another Git command holds the lock."""
    for left in range(LOCK_TRIES, -1, -1):
        ran = repository.git(*arguments, given=given, seconds=seconds)
        if ran.good or not is_locked(ran) or not left:
            return ran
        time.sleep(0.5)
    raise AssertionError("the last try returns")


def is_locked(ran: Ran) -> bool:
    """Return whether another Git command was in the way."""
    return ".lock': File exists" in ran.told


def withdrawn(repository: Repository, new: Sequence[str]) -> None:
    """Take back the announcement of new files, so that the index is as it was found."""
    if new:
        repository.git("rm", "--cached", "--quiet", "--ignore-unmatch", "--", *new)


def unchanged(repository: Repository, paths: Sequence[str]) -> Recorded:
    """Return that there is nothing to commit, and say so where Git ignores the files."""
    there = [path for path in paths if (repository.root / path).exists()]
    if there and all(repository.ignores(one) for one in there):
        return refused(
            Problem(
                ", ".join(there),
                _("a file that Git is told to ignore"),
                _("files that no line of .gitignore names"),
                _("Remove the line from .gitignore, then record again."),
            )
        )
    return Recorded("unchanged", _("Git has it already: nothing has changed."))


def obstacle_of(
    repository: Repository, standing: Standing, changed: Sequence[str]
) -> Problem | None:
    """Return what has to be mended before a commit can be made; None where nothing has."""
    begun = repository.under_way()
    conflicts = [path for path in changed if standing.changed[path] == "UU"]
    if begun:
        return Problem(
            ", ".join(conflicts) or "Git",
            _("a {what} that has been begun and not ended", what=begun),
            _("a repository at rest"),
            _(
                "Ask whoever began it to end it, or type git {what} --abort, which goes back to "
                "what was before it.",
                what=begun,
            ),
        )
    if conflicts:
        return Problem(
            ", ".join(conflicts),
            _("two versions that do not fit together"),
            _("one version"),
            _("Keep what shall stay between <<<<<<< and >>>>>>>, then git add the file."),
        )
    if standing.branch is None:
        return Problem(
            "HEAD",
            _("an earlier state that was checked out, on no branch"),
            _("a branch, which keeps what is recorded"),
            _("Type git switch -c my-work, or git switch main."),
        )
    if not repository.git("var", "GIT_COMMITTER_IDENT").good:
        return no_identity()
    return None


def no_identity() -> Problem:
    """Return that Git does not know who commits."""
    return Problem(
        "git config",
        _("no name and no mail address"),
        _("whom Git shall name in each record"),
        _(
            "Fill in name and mail address under Git record, or type "
            'git config user.name "Your Name" and git config user.email you@example.org.'
        ),
    )


def explained(repository: Repository, ran: Ran) -> Problem:
    """Put what stopped a commit into words."""
    if ran.code is None:
        return Problem(
            "git commit",
            _("no answer within {seconds} seconds", seconds=round(HOOKS_MAY_TAKE)),
            _("a commit that asks nothing"),
            _("A hook or a signature waits for somebody. Try git commit in a terminal."),
        )
    if is_locked(ran):
        folder = repository.folder() or Path(".git")
        return Problem(
            str(folder / "index.lock"),
            _("another Git command at work, or the leftover of one that died"),
            _("one Git command at a time"),
            _("Wait for it. If no Git command runs any more, remove this file."),
        )
    for sign, problem in known().items():
        if sign in ran.told:
            return problem
    hooks = repository.hooks()
    if hooks:
        return Problem(
            ", ".join(hooks),
            last_lines(ran),
            _("what the hook of this repository agrees to"),
            _("Mend what it names; the next record takes the files along."),
        )
    return Problem("git commit", last_lines(ran), _("a commit"), _("Try git commit in a terminal."))


def known() -> dict[str, Problem]:
    """Return the refusals that Git always words the same way."""
    disk = Problem(
        ".git",
        _("a full disk"),
        _("room for what is recorded"),
        _("Free some space, then record again."),
    )
    rights = Problem(
        ".git",
        _("no right to write there"),
        _("a folder that the studio's user may write"),
        _("Give the folder to the user that the studio runs as."),
    )
    owner = Problem(
        ".git",
        _("a repository that belongs to another user"),
        _("a repository of the studio's user"),
        _("Give it to the studio's user, or name it in git config safe.directory."),
    )
    signature = Problem(
        "git config commit.gpgSign",
        _("a signature that could not be made"),
        _("a key that needs no password here, or no signature"),
        _("Unlock the key, or type git config commit.gpgSign false."),
    )
    return {
        "Please tell me who you are": no_identity(),
        "unable to auto-detect email": no_identity(),
        "empty ident name": no_identity(),
        "No space left": disk,
        "Permission denied": rights,
        "Read-only file system": rights,
        "dubious ownership": owner,
        "failed to sign": signature,
    }


def last_lines(ran: Ran) -> str:
    """Return the end of what a command said, on one line."""
    lines = [line.strip() for line in (ran.told or ran.out).splitlines() if line.strip()]
    return " / ".join(lines[-LINES_SHOWN:])[:600] or f"exit code {ran.code}"


def pushed(repository: Repository) -> Problem | None:
    """Push the branch to its upstream; return what has to be mended, or None."""
    standing = repository.standing(("params.yaml",))
    where = f"branch.{standing.branch}"
    remote = repository.git("config", f"{where}.remote").out.strip()
    target = repository.git("config", f"{where}.merge").out.strip()
    if not standing.branch or not remote or not target:
        return Problem(
            "git push",
            _("no place that this branch is sent to"),
            _("a branch with an upstream"),
            _("Type git push -u origin HEAD once in a terminal."),
        )
    ran = repository.git("push", "--quiet", remote, f"HEAD:{target}", seconds=PUSH_MAY_TAKE)
    return None if ran.good else unsent(ran)


def unsent(ran: Ran) -> Problem:
    """Put what stopped a push into words; the commit is made and safe on this machine."""
    later = _("The record is safe on this machine; it is sent with the next one.")
    found: Text = last_lines(ran)
    fix = _("The record is safe on this machine. Try git push in a terminal.")
    told = ran.told.lower()

    def says(*signs: str) -> bool:
        return any(sign in told for sign in signs)

    if ran.code is None:
        found = _("no answer within {seconds} seconds", seconds=round(PUSH_MAY_TAKE))
        return Problem("git push", found, _("a server that answers"), later)
    if says("non-fast-forward", "fetch first", "stale info"):
        found = _("records of others that this machine has not got yet")
        fix = _(
            "The record is safe on this machine. Type git pull --rebase; if it names a file that "
            "both changed, choose what shall stay there, then git rebase --continue."
        )
    elif says("hook declined", "protected branch", "remote rejected"):
        fix = _(
            "The record is safe on this machine, but the server does not take it on this branch. "
            "Ask whoever looks after the server which branch to use."
        )
    elif says("authentication", "could not read username", "publickey", "access denied",
              "error: 401", "error: 403"):  # fmt: skip
        found = _("a server that does not know who sends")
        fix = _(
            "The record is safe on this machine. Log in to the server once with git push in a "
            "terminal, and let Git remember it."
        )
    elif says("could not resolve", "unable to connect", "timed out", "failed to connect",
              "network", "connection refused"):  # fmt: skip
        found, fix = _("no connection to the server"), later
    return Problem("git push", found, _("a branch that the server takes"), fix)
