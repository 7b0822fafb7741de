"""Releases as they lie on the disk: ``releases/<version>/``, each sealed and never changed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.artifacts import MANIFEST, METRICS
from pipeline.errors import ModelError, MofangError
from pipeline.evaluation.answers import RELEASES as RELEASES  # for whoever reads releases
from pipeline.i18n import _
from pipeline.predictor import Card

SEMVER = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
MODEL, ORIGIN, GOLDEN, EXAMPLES = "model", "origin.json", "golden.json", "examples.json"
README, MOBILE = "README.md", "mobile"
VARIABLE = "MOFANG_RELEASES"  # names the folder of releases, where that is another one


@dataclass(frozen=True)
class Release:
    """One release."""

    version: str
    folder: Path
    created: str  # UTC, ISO 8601
    commit: str | None  # of Git, when it was made; None without a repository
    task: str
    card: Card
    figures: Mapping[str, float]  # of the variant that ships, on the test part
    origin: Mapping[str, Any]  # origin.json

    @property
    def model(self) -> Path:
        """The folder that ``Predictor.load`` takes."""
        return self.folder / MODEL

    @property
    def main(self) -> str:
        """The figure by which models of this task are compared."""
        return str(self.origin["main"])

    def limits(self, language: str) -> list[str]:
        """Return what the model is not for, from its card, in ``en`` or ``zh``."""
        return list(self.origin["limits"][language])

    def examples(self) -> list[dict[str, str]]:
        """Return texts of the test part, each with ``text`` and ``label``."""
        found: list[dict[str, str]] = loaded(self.folder / EXAMPLES)
        return found


def root(environment: Mapping[str, str], project: Path = Path()) -> Path:
    """Return where releases lie: where ``VARIABLE`` says, or in ``releases``.

    :param project: where a relative path starts.
    """
    return project / (environment.get(VARIABLE) or RELEASES)


def order(version: str) -> tuple[int, int, int]:
    """Return what versions are sorted by.

    :raises ModelError: if it is no version.
    """
    match = SEMVER.fullmatch(version)
    if match is None:
        raise ModelError.at(
            "release",
            found=repr(version),
            allowed=_("a version like 1.2.0"),
            fix=_("python -m pipeline.release list names those that are there."),
        )
    major, minor, patch = (int(part) for part in match.groups())
    return major, minor, patch


def folder_of(version: str, root: Path = RELEASES) -> Path:
    """Return where a release lies, whether it is there or not.

    :raises ModelError: if ``version`` is none; nothing else ever becomes part of a path.
    """
    order(version)
    return root / version


def versions(root: Path = RELEASES) -> list[str]:
    """Return the versions that lie there whole, the oldest number first.

    Whole means that every file of the manifest is there in its size; ``read`` compares content.
    """
    if not root.is_dir():
        return []
    named = [path.name for path in root.iterdir() if SEMVER.fullmatch(path.name)]
    return sorted((name for name in named if is_whole(root / name)), key=order)


def is_whole(folder: Path) -> bool:
    """Return whether every file that the manifest names is there in its size."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        return ORIGIN in manifest and all(
            (folder / name).stat().st_size == entry["bytes"] for name, entry in manifest.items()
        )
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return False


def read(version: str, root: Path = RELEASES, *, verify: bool = True) -> Release:
    """Return a release, every file of it compared with its manifest.

    :param verify: False leaves the comparison out, for lists: a model takes tenths of a second.
    :raises ModelError: if it is not there, or not as it was made.
    """
    folder = folder_of(version, root)
    if not folder.is_dir():
        raise absent(folder, root)
    if verify:
        artifacts.verify_manifest(folder)
    return opened(folder, version)


def absent(folder: Path, root: Path) -> ModelError:
    """Return the error for a release that is not there."""
    return ModelError.at(
        folder,
        found=_("no such release"),
        allowed=", ".join(versions(root)) or _("none, because there is no release yet"),
        fix=_("python -m pipeline.release create makes one."),
    )


def opened(folder: Path, version: str) -> Release:
    """Return the release that a folder holds.

    :raises ModelError: if a file of it is missing or says something else than it should.
    """
    try:
        origin, metrics = loaded(folder / ORIGIN), loaded(folder / METRICS)
        return Release(
            version=version,
            folder=folder,
            created=str(origin["created"]),
            commit=origin["commit"],
            task=str(origin["task"]),
            card=Card.read(folder / MODEL),
            figures={
                name: value
                for name, value in metrics["optimize"]["test"].items()
                if value is not None
            },
            origin=origin,
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(folder, str(error)) from error


def loaded(path: Path) -> Any:
    """Return the JSON of a release's file.

    :raises ModelError: if it is missing or no JSON.
    """
    try:
        return artifacts.read_json(path)
    except MofangError as error:
        raise damaged(path, error.problems[0].found) from error


def damaged(path: Path, found: Any) -> ModelError:
    """Return the error for a release that is not as it was made."""
    return ModelError.at(
        path,
        found=found,
        allowed=_("a release as python -m pipeline.release create made it"),
        fix=_("Take another release, or make it again; what serves stays as it is."),
    )
