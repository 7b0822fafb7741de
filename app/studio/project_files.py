"""Where the files of the project lie that the studio works on.

The pipeline's paths are relative, so the studio runs in the project's folder; everything that the
studio reads or writes goes through a ``Project`` all the same, so that tests can give it another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline import artifacts

VARIABLE = "MOFANG_PROJECT"


@dataclass(frozen=True)
class Project:
    """A project by its folder."""

    root: Path

    @classmethod
    def here(cls) -> Project:
        """Return the project of ``MOFANG_PROJECT``, or of the current folder."""
        return cls(Path(os.environ.get(VARIABLE) or Path.cwd()).resolve())

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name

    @property
    def params(self) -> Path:
        """``params.yaml``."""
        return self.root / artifacts.PARAMS

    @property
    def graph(self) -> Path:
        """``dvc.yaml``, the stages."""
        return self.root / "dvc.yaml"

    @property
    def lock(self) -> Path:
        """``dvc.lock``, what the last runs recorded."""
        return self.root / "dvc.lock"

    @property
    def plan(self) -> Path:
        """``project.yaml``, what the project is for."""
        return self.root / "project.yaml"

    @property
    def data(self) -> Path:
        """What the data stages write, and ``raw`` and ``annotations``, which people give."""
        return self.root / "data"

    @property
    def raw(self) -> Path:
        """The files that people bring."""
        return self.root / artifacts.RAW

    @property
    def annotations(self) -> Path:
        """What people labelled: one file of JSON lines an annotator."""
        return self.root / artifacts.ANNOTATIONS

    @property
    def models(self) -> Path:
        """What the model stages write."""
        return self.root / "models"

    @property
    def work(self) -> Path:
        """Checkpoints, runs and what else can be made again; Git does not see it."""
        return self.root / artifacts.WORK

    @property
    def runs(self) -> Path:
        """One folder a run."""
        return self.work / "runs"

    @property
    def releases(self) -> Path:
        """The releases that the service answers with."""
        return self.root / (os.environ.get("MOFANG_RELEASES") or "releases")

    @property
    def var(self) -> Path:
        """The service's database and what it knows of itself."""
        return self.root / "var"

    @property
    def studio(self) -> Path:
        """What the studio remembers: preferences, roles, audit lines."""
        return self.var / "studio"

    def stage(self, name: str) -> Path:
        """Return the folder that a stage writes."""
        data = name in ("collect", "clean", "label", "split")
        return (self.data if data else self.models) / name

    def report(self, name: str) -> Path:
        """Return the report of a stage."""
        return self.stage(name) / artifacts.REPORT
