"""Git on the command line, for a program that nobody watches: bounded in time, asking nothing.

Every command gets an argument list, no terminal, no editor and no question; what it starts ends
with it. Paths are taken literally. Nothing here changes what it is not told to change, and
nothing uses force.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 30.0
PATIENCE = 3.0  # between the request to end and its enforcement
LONGEST = 200_000  # bytes of what a command says
KEPT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_SSH", "GIT_CONFIG", "GIT_EXEC_PATH", "GIT_TRACE")
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}


@dataclass(frozen=True)
class Ran:
    """How a command ended; ``code`` is None where it did not start or took too long."""

    code: int | None
    out: str
    told: str  # what it said beside its output, without credentials

    @property
    def good(self) -> bool:
        """Whether it did what it was told."""
        return self.code == 0


@dataclass(frozen=True)
class Standing:
    """Where a repository stands."""

    branch: str | None  # None: no branch is checked out
    upstream: str | None
    ahead: int = 0
    behind: int = 0
    changed: Mapping[str, str] = field(default_factory=dict)  # path → two letters of Git


@dataclass(frozen=True)
class Repository:
    """The repository that holds a project; paths are given from the project's folder."""

    root: Path  # the project's folder

    @classmethod
    def holding(cls, root: Path) -> Repository | None:
        """Return the repository of a folder; None where none holds it, or one that ignores it."""
        if not root.is_dir():
            return None
        found = cls(root)
        inside = found.git("rev-parse", "--is-inside-work-tree")
        if inside.out.strip() != "true":
            return None
        return None if found.ignores(str(root.resolve())) else found

    def git(self, *arguments: str, given: str = "", seconds: float = SECONDS) -> Ran:
        """Run one command.

        :param given: what it reads.
        """
        command = ["git", "-C", str(self.root), "-c", "core.quotePath=false", *arguments]
        return run(command, given, seconds)

    def prefix(self) -> str:
        """Return the project's folder below the repository's, with a slash; empty where same."""
        return self.git("rev-parse", "--show-prefix").out.strip()

    def standing(self, paths: Sequence[str] = ()) -> Standing:
        """Return the branch, how far it is from its upstream, and which of the paths differ."""
        ran = self.git(
            "--no-optional-locks", "status", "--porcelain=v2", "--branch", "-z",
            "--untracked-files=all", "--no-renames", "--", *(paths or (".",)),
        )  # fmt: skip
        return parsed(ran.out, self.prefix())

    def ignores(self, path: str) -> bool:
        """Return whether a line of ``.gitignore`` names a path; it takes paths, not patterns."""
        ran = self.git("--no-literal-pathspecs", "check-ignore", "--quiet", "--", path)
        return ran.good

    def folder(self) -> Path | None:
        """Return Git's own folder."""
        ran = self.git("rev-parse", "--absolute-git-dir")
        return Path(ran.out.strip()) if ran.good else None

    def under_way(self) -> str | None:
        """Return what has been begun and not ended: merge, rebase, cherry-pick or revert."""
        folder = self.folder()
        if folder is None:
            return None
        return next((word for name, word in UNDER_WAY.items() if (folder / name).exists()), None)

    def committed(self, path: str) -> bytes | None:
        """Return a file as it stands in the last commit; None where it does not."""
        ran = self.git("show", f"HEAD:./{path}")
        return ran.out.encode() if ran.good else None

    def lines_added(self, path: str) -> int:
        """Return how many lines more a file has than in the last commit; 0 where it has fewer."""
        told = self.git("diff", "--numstat", "HEAD", "--", path).out.split()
        if len(told) >= 2 and told[0].isdecimal() and told[1].isdecimal():
            return max(0, int(told[0]) - int(told[1]))
        file = self.root / path
        if self.git("cat-file", "-e", f"HEAD:./{path}").good or not file.exists():
            return 0
        with file.open("rb") as source:
            return sum(1 for _line in source)

    def head(self) -> str | None:
        """Return the last commit; None before the first."""
        ran = self.git("rev-parse", "--verify", "--quiet", "HEAD")
        return ran.out.strip() or None

    def hooks(self) -> list[str]:
        """Return the hooks that run when something is committed."""
        ran = self.git("rev-parse", "--git-path", "hooks")
        folder = self.root / ran.out.strip()
        names = ("pre-commit", "prepare-commit-msg", "commit-msg")
        return [name for name in names if ran.good and os.access(folder / name, os.X_OK)]


def run(command: Sequence[str], given: str = "", seconds: float = SECONDS) -> Ran:
    """Run a command in a session of its own, and end it with all it started if it takes too long.

    Output goes through files: a hook may leave a child behind that would hold a pipe open.
    """
    with (
        tempfile.TemporaryFile() as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        source.write(given.encode("utf-8", "replace"))
        source.seek(0)
        try:
            process = subprocess.Popen(
                list(command),
                stdin=source,
                stdout=out,
                stderr=err,
                env=surroundings(),
                start_new_session=True,
            )
        except OSError as error:
            return Ran(None, "", error.strerror or str(error))
        late = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            late = True
            end_group(process)
        told = CREDENTIALS.sub("***", text_of(err))
        return Ran(None if late else process.returncode, text_of(out), told)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command that takes too long, with the hooks and the connections that it started."""
    for one in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, one)
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            continue
        except ProcessLookupError:
            process.wait()
        return


def text_of(file: object) -> str:
    """Return what a command wrote, up to a bound."""
    file.seek(0)  # type: ignore[attr-defined]
    content: bytes = file.read(LONGEST)  # type: ignore[attr-defined]
    return content.decode("utf-8", "replace")


def surroundings() -> dict[str, str]:
    """Return the environment of a command: English, no questions, nobody else's repository.

    Variables such as ``GIT_DIR`` are left out: a studio that was started from a hook would
    otherwise write into the repository of that hook.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith(KEPT)
    }
    return kept | {
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GIT_EDITOR": "true",
        "GIT_LITERAL_PATHSPECS": "1",
    }


def parsed(porcelain: str, prefix: str = "") -> Standing:
    """Return what ``git status --porcelain=v2 --branch -z --no-renames`` says.

    :param prefix: the project's folder, which Git writes before each path.
    """
    branch = upstream = None
    ahead = behind = 0
    changed: dict[str, str] = {}
    for entry in porcelain.split("\0")[:-1]:  # after the last there is nothing, or one cut off
        kind, _space, rest = entry.partition(" ")
        if kind == "#":
            name, _space, value = rest.partition(" ")
            if name == "branch.head" and value != "(detached)":
                branch = value
            elif name == "branch.upstream":
                upstream = value
            elif name == "branch.ab":
                ahead, behind = (abs(int(one)) for one in value.split())
        elif kind == "1":
            changed[rest.split(" ", 7)[7].removeprefix(prefix)] = rest[:2]
        elif kind == "u":
            changed[rest.split(" ", 9)[9].removeprefix(prefix)] = "UU"
        elif kind == "?":
            changed[rest.removeprefix(prefix)] = "??"
    return Standing(branch, upstream, ahead, behind, changed)
