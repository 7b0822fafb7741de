"""What the studio needs of its machine, and whether it is there.

Every check answers within seconds, asks no network and shows no secret.
"""

from __future__ import annotations

import configparser
import contextlib
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from app.studio import roles
from app.studio.project_files import Project
from app.studio.speech import language, number, plain, plural, size
from pipeline.errors import BusyError, Text
from pipeline.i18n import Message, _

State = Literal["good", "warning", "bad"]
SECONDS = 5.0  # that a program may take to answer
NOTIFICATION_SECONDS = 60.0
LONGEST = 4_000  # characters of what a program says
LITTLE_MEMORY, LITTLE_DISK = 4e9, 5e9  # bytes: MiniLM trains in 3 GB; a run writes some GB
REQUIREMENTS = ("requirements.txt", "requirements-service.txt", "requirements-optimum.txt")
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?==([^\s;#]+)", re.MULTILINE)
MEMORY = re.compile(r"^Mem(Total|Available):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """One thing that is needed."""

    title: Message
    state: State
    found: Text
    hint: Text = ""


def checks(project: Project) -> list[Check]:
    """Return all checks."""
    roles.allow(roles.CHECK_SYSTEM)
    found: Sequence[Callable[[Project], Check]] = (
        python, cores, memory, gpu, disk, packages, git, identity, remote, door,
    )  # fmt: skip
    return [check(project) for check in found]


def python(_project: Project) -> Check:
    """Check the version of Python."""
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Check(_("Python"), "good" if good else "bad", version,
                 "" if good else _("Mofang needs Python 3.11 or newer."))  # fmt: skip


def cores(_project: Project) -> Check:
    """Count the processor's cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = plural(count or 1, _("{count} core"), _("{count} cores"))
    return Check(_("Processor"), "good", found)


def memory(_project: Project) -> Check:
    """Look how much memory there is and how much is free."""
    with contextlib.suppress(OSError):
        text = Path("/proc/meminfo").read_text(encoding="ascii")
        kilobytes = {name: int(count) for name, count in MEMORY.findall(text)}
        total, free = kilobytes["Total"] * 1024, kilobytes["Available"] * 1024
        found = _("{free} free of {total}", free=size(free), total=size(total))
        if free < LITTLE_MEMORY:
            hint = _("Training a small model takes about 3 GB. Close other programs, or choose a "
                     "smaller batch size.")  # fmt: skip
            return Check(_("Memory"), "warning", found, hint)
        return Check(_("Memory"), "good", found)
    return Check(_("Memory"), "warning", _("this system does not say"))


def gpu(_project: Project) -> Check:
    """Look for GPUs, by NVIDIA's own library."""
    names = gpus()
    if not names:
        hint = _("Everything works without one, training takes longer.")
        return Check(_("GPU"), "good", _("none"), hint)
    return Check(_("GPU"), "good", ", ".join(names))


@functools.cache
def gpus() -> tuple[str, ...]:
    """Return the GPUs with their memory, in the order of their numbers."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the library names no common error, and may be missing
        return ()
    try:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(at) for at in range(pynvml.nvmlDeviceGetCount())
        ]
        return tuple(
            f"{at}: {pynvml.nvmlDeviceGetName(one)} "
            f"({pynvml.nvmlDeviceGetMemoryInfo(one).total / 1e9:.0f} GB)"
            for at, one in enumerate(handles)
        )
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def disk(project: Project) -> Check:
    """Look how much room the project's disk has."""
    usage = shutil.disk_usage(project.root)
    found = _("{free} free of {total}", free=size(usage.free), total=size(usage.total))
    if usage.free < LITTLE_DISK:
        hint = _("Free some space (dvc gc -w removes old versions), then start again.")
        return Check(_("Disk"), "warning", found, hint)
    return Check(_("Disk"), "good", found)


def packages(project: Project) -> Check:
    """Compare what is installed with what was tested together, without importing any of it."""
    pinned = {
        name: version
        for file in REQUIREMENTS
        if (project.root / file).is_file()
        for name, version in PINNED.findall((project.root / file).read_text(encoding="utf-8"))
    }
    wrong = [name for name, version in pinned.items() if installed(name) != version]
    if wrong:
        shown = ", ".join(
            f"{name} {installed(name) or plain(_('missing'))} ≠ {pinned[name]}"
            for name in wrong[:5]
        )
        hint = _("Run pip install -r requirements.txt in the studio's environment.")
        return Check(_("Packages"), "warning", shown, hint)
    return Check(
        _("Packages"),
        "good",
        plural(len(pinned), _("{count} as tested"), _("all {count} as tested")),
    )


def installed(name: str) -> str | None:
    """Return the version of an installed package; None where there is none."""
    try:
        return importlib.metadata.version(name).partition("+")[0]
    except importlib.metadata.PackageNotFoundError:
        return None


def git(project: Project) -> Check:
    """Look for Git and the repository that holds the project."""
    version = answer(["git", "--version"], project)
    if version is None:
        hint = _("Install Git to keep a record of what was changed.")
        return Check(_("Git"), "warning", _("not installed"), hint)
    inside = answer(["git", "rev-parse", "--is-inside-work-tree"], project)
    if inside != "true":
        hint = _("Run git init in the project's folder to keep a record of what was changed.")
        return Check(_("Git"), "warning", _("no repository"), hint)
    branch = answer(["git", "branch", "--show-current"], project) or _("no branch")
    number_ = version.removeprefix("git version ")
    return Check(_("Git"), "good", _("{version}, branch {branch}", version=number_, branch=branch))


def identity(project: Project) -> Check:
    """Look whether Git knows who commits."""
    name = answer(["git", "config", "user.name"], project)
    address = answer(["git", "config", "user.email"], project)
    if name and address:
        return Check(_("Name in Git"), "good", f"{name} <{address}>")
    hint = _("Set it with git config user.name and git config user.email, so that the record says "
             "who changed what.")  # fmt: skip
    return Check(_("Name in Git"), "warning", _("not set"), hint)


def remote(project: Project) -> Check:
    """Look where DVC keeps a second copy of data and models; credentials are not shown."""
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read([project.root / ".dvc/config", project.root / ".dvc/config.local"])
    except (configparser.Error, UnicodeDecodeError):
        return Check(_("Copy of the data"), "bad", _("a file of .dvc that cannot be read"))
    chosen = config.get("core", "remote", fallback="")
    place = config.get(f"'remote \"{chosen}\"'", "url", fallback="")
    if not place:
        hint = _("Data and models are only on this machine. docs/remotes.md says how to keep a "
                 "copy.")  # fmt: skip
        return Check(_("Copy of the data"), "warning", _("none"), hint)
    shown = re.sub(r"(?<=://)[^/@]*@", "", place)
    return Check(_("Copy of the data"), "good", f"{chosen}: {shown}")


def door(_project: Project) -> Check:
    """Say who can come in."""
    import streamlit as st

    address = st.get_option("server.address") or ""
    if roles.login() is not None:
        return Check(_("Who can come in"), "good", _("people who log in and have a role"))
    return Check(_("Who can come in"), "good", _("this machine only ({address})", address=address))


def answer(command: Sequence[str], project: Project) -> str | None:
    """Return the first line that a program prints; None where it fails or does not answer."""
    try:
        done = subprocess.run(
            command, cwd=project.root, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout.strip().partition("\n")[0] if done.returncode == 0 else None


@dataclass(frozen=True)
class Told:
    """What came of a test notification."""

    good: bool
    lines: str


def test_notification(project: Project) -> Told:
    """Send a test to every target of ``MOFANG_ALERTS``, by the monitor, and return what it says.

    :raises RoleError: if the user may not.
    :raises BusyError: if no answer came in a minute.
    """
    roles.require(roles.TEST_NOTIFICATION)
    command = [sys.executable, "-m", "pipeline.monitor", "alerts", "test"]
    try:
        done = subprocess.run(
            command,
            cwd=project.root,
            env=os.environ | {"MOFANG_LANGUAGE": language()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=NOTIFICATION_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BusyError.at(
            "python -m pipeline.monitor alerts test",
            found=_("no answer in {seconds} seconds", seconds=number(NOTIFICATION_SECONDS)),
            allowed=_("targets that answer"),
            fix=_("Look whether this machine reaches the targets of MOFANG_ALERTS."),
        ) from None
    return Told(done.returncode == 0, done.stdout[-LONGEST:].strip())
