"""Every change of releases, as the page Deploy asks for it, and a model that is tried.

What loads a model runs in a process of its own: the command that an engineer would type, so that
both are refused, recorded and tagged alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from app.studio import history, roles, serving
from app.studio.deploying import next_version
from app.studio.project_files import Project
from app.studio.recording import Recorded
from app.studio.runs.environment import of_tools
from app.studio.serving import Answer
from pipeline.errors import DataError
from pipeline.i18n import Message, _
from pipeline.releases import reading

SECONDS = 900.0  # that a change may take; making a release asks the whole validation part
TRYING = 120.0  # seconds that a model may take to load and to answer
LONGEST_TEXT = 20_000  # characters that are asked about
LONGEST_WHY = 500
MOST_OUTPUT = 20_000  # characters of what a command printed
MONITORS = ("MOFANG_DATABASE_URL", "MOFANG_ALERTS")  # secrets that only the monitor gets


@dataclass(frozen=True)
class Outcome:
    """What became of a command."""

    good: bool
    said: str  # what it printed
    command: str  # as a person would type it
    record: Recorded | None = None  # in Git; None where nothing changed


@dataclass(frozen=True)
class Desk:
    """Changes the releases of a project; commands speak the reader's language.

    Each change needs the role for its action of ``roles``, and raises ``RoleError`` where the
    user's is too small, and ``ModelError`` for what is no version.
    """

    project: Project
    language: str = "en"

    def create(self, version: str = "", promoted: bool = False) -> Outcome:
        """Make a release of the last run.

        :param version: as in ``1.2.0``; ``""`` takes the next minor one.
        :param promoted: then let it serve.
        """
        named = checked(version.strip() or next_version(self.project))
        roles.require(roles.CREATE_RELEASE, named)
        if promoted:
            roles.require(roles.PROMOTE, named)
        words = ["create", f"--version={named}", *(["--promote"] if promoted else [])]
        return self.change(words, named, _("Release {version} made", version=named))

    def promote(self, version: str, force: bool = False) -> Outcome:
        """Let a release answer all requests at once.

        :param force: also where it is blocked, which ends the block.
        """
        roles.require(roles.PROMOTE, checked(version))
        told = _("Release {version} promoted", version=version)
        return self.change(["promote", version, *forced(force)], version, told)

    def canary(
        self, version: str, share: int, shadow: bool = False, force: bool = False
    ) -> Outcome:
        """Let a release answer some clients beside stable, or change how many.

        :param share: percent.
        :param shadow: answer copies only, which no client sees.
        """
        checked(version)
        roles.require(roles.CANARY, f"{version} {share}%{' shadow' if shadow else ''}")
        words = ["canary", version, f"--share={int(share)}", *(["--shadow"] if shadow else [])]
        told = _("Release {version} tried with {share} percent", version=version, share=share)
        return self.change([*words, *forced(force)], version, told)

    def end_canary(self, version: str, why: str = "") -> Outcome:
        """End and block the canary; stable answers all."""
        roles.require(roles.ROLL_BACK, f"canary {checked(version)}")
        told = _("Trial of release {version} ended", version=version)
        return self.change(["rollback", "--canary", *reason(why)], version, told)

    def roll_back(self, version: str, why: str = "") -> Outcome:
        """Bring back what served before, and block what serves.

        :param version: that is brought back, for the record.
        """
        roles.require(roles.ROLL_BACK, checked(version))
        told = _("Release {version} brought back", version=version)
        return self.change(["rollback", *reason(why)], version, told)

    def remove(self, version: str, force: bool = False) -> Outcome:
        """Remove a release that does not serve.

        :param force: also the one that a rollback would bring back.
        """
        roles.require(roles.REMOVE_RELEASE, checked(version))
        told = _("Release {version} removed", version=version)
        return self.change(["remove", version, *forced(force)], version, told)

    def verify(self, version: str) -> Outcome:
        """Compare every file of a release with its manifest, and ask its golden questions."""
        roles.require(roles.TRY_MODEL, checked(version))
        return self.run(["pipeline.release", "show", version], SECONDS)

    def ask(self, version: str, text: str, top: int = 5) -> Answer:
        """Ask a release, whether it serves or not; ``""`` asks the model of the last run.

        :raises DataError: for a text that is empty or too long, or where the model cannot answer.
        """
        require_text(text)
        model = self.project.stage("optimize") / reading.MODEL
        if version:
            model = reading.folder_of(version, self.project.releases) / reading.MODEL
        roles.require(roles.TRY_MODEL, version or "models/optimize")
        wanted = json.dumps({"model": str(model), "texts": [text], "top": top})
        began = time.monotonic()
        outcome = self.run(["app.studio.asking"], TRYING, wanted)
        try:
            (ranked,) = json.loads(outcome.said.splitlines()[-1])["answers"]
            labels = tuple((str(one["label"]), float(one["score"])) for one in ranked)
        except (LookupError, ValueError, TypeError) as error:
            raise DataError.at(
                version or "models/optimize",
                found=outcome.said[-LONGEST_WHY:] or _("nothing"),
                allowed=_("an answer"),
                fix=_("Check the release, or make it again."),
            ) from error
        return Answer(version, labels, time.monotonic() - began)

    def change(self, words: Sequence[str], version: str, told: Message) -> Outcome:
        """Run a command that changes releases, and record it in Git where it went well."""
        outcome = self.run(["pipeline.release", *words], SECONDS)
        if not outcome.good:
            return outcome
        user = roles.current(self.project).name
        record = history.released(self.project, version, outcome.command, told, user)
        return replace(outcome, record=record)

    def monitor(self, words: Sequence[str], seconds: float) -> Outcome:
        """Run a command of the monitor, which gets the addresses of alerts and the database."""
        secrets = {name: os.environ[name] for name in MONITORS if name in os.environ}
        return self.run(["pipeline.monitor", *words], seconds, more=secrets)

    def run(
        self,
        words: Sequence[str],
        seconds: float,
        given: str = "",
        more: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run one of our modules in the project, bounded in time.

        :param words: the module and its arguments.
        :param given: what it reads.
        :param more: variables of the environment, beside those that every tool gets.
        """
        named = {
            "MOFANG_USER": roles.current(self.project).name,
            "MOFANG_LANGUAGE": self.language,
            "PYTHONPATH": serving.code_path(),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=self.project.root,
            env=of_tools() | named | dict(more or {}), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            said, _none = process.communicate(given, timeout=seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            said = process.communicate()[0]
            late = _("It took longer than {seconds} seconds and was ended.", seconds=int(seconds))
            said += f"\n{late.render(self.language)}"
        good = process.returncode == 0
        return Outcome(good, readable(said)[-MOST_OUTPUT:], typed(words))


def checked(version: str) -> str:
    """Return a version; nothing else ever comes into a command.

    :raises ModelError: if it is none.
    """
    reading.order(version)
    return version


def require_text(text: str) -> None:
    """Refuse a text that no model is asked about.

    :raises DataError: if it is empty or too long.
    """
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise DataError.at(
            "text",
            found=_("{count} characters", count=len(text.strip())),
            allowed=_("1 to {most} characters", most=LONGEST_TEXT),
            fix=_("Write a text, or a shorter one."),
        )


def readable(said: str) -> str:
    """Return what a command printed; of a traceback only its last line, which says what it is."""
    head, trace, tail = said.partition("Traceback (most recent call last)")
    last = tail.strip().splitlines()[-1:] if trace else []
    return "\n".join([head.strip(), *last]).strip()


def forced(force: bool) -> list[str]:
    """Return the word that forces a change."""
    return ["--force"] if force else []


def reason(why: str) -> list[str]:
    """Return the words that give a reason; whatever it begins with, it is no option."""
    shown = " ".join(why.split())[:LONGEST_WHY]
    return [f"--why={shown}"] if shown else []


def typed(words: Sequence[str]) -> str:
    """Return a command as a person would type it."""
    return shlex.join(["python", "-m", *words])
