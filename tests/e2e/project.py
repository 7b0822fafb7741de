"""A whole project in a temporary folder: the real files, tiny honest data, a tiny real model."""

from __future__ import annotations

import csv
import hashlib
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
ASKS = {
    "delivery": ["where is my parcel", "when does the courier come", "the box has not arrived",
                 "my order is late", "track the shipment", "the package went to the wrong street"],
    "refund": ["give me my money back", "I want a refund", "return the payment to my card",
               "you charged me twice", "cancel it and repay me", "the invoice is too high"],
    "account": ["I forgot my password", "change my e-mail address", "delete my profile",
                "I cannot log in", "lock my account", "update my phone number"],
}  # fmt: skip
LONGEST = 900  # seconds of a program; slow tests train for some minutes
NO_CACHE = shutil.ignore_patterns("__pycache__")
COPIED = (
    "dvc.yaml", ".dvcignore", ".gitignore", ".dvc/config", ".dvc/.gitignore",
    ".dvc/plots/waterfall.json",
    "data/raw/README.md", "data/annotations/README.md", "data/annotations/guideline.md",
    "data/synonyms/README.md",
    "data/snapshots/README.md", "models/base/README.md",
)  # fmt: skip
OPENINGS = [
    "please",
    "hello ,",
    "good morning ,",
    "urgent :",
    "dear team ,",
    "sorry but",
    "hi ,",
    "",
]
ENDINGS = ["today", "as soon as possible", "thank you", "I wait since monday", "help", ""]


def requests(count: int) -> list[dict[str, str]]:
    """Return service requests of three kinds, with the dirt that real tables have."""
    made = [
        {"request": " ".join(filter(None, (start, ask, end))), "kind": kind}
        for kind, asks in ASKS.items()
        for start, ask, end in itertools.product(OPENINGS, asks, ENDINGS)
    ]
    rows = random.Random(7).sample(made, count)
    rows[3]["request"] = f"<p>{rows[3]['request']}</p>"
    rows[5]["request"] = f"  {rows[5]['request']}\u200b caf\u00c3\u00a9 "
    return [*rows, dict(rows[0]), dict(rows[1]), {"request": "x", "kind": "refund"}]


def params() -> dict[str, object]:
    """Return the project's own params.yaml, made tiny."""
    values = YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    values["collect"]["sources"] = [
        {
            "name": "requests", "kind": "file", "path": "data/raw/requests.csv",
            "licence": "made for this test", "permitted_use": "tests", "personal_data": False,
            "required": True, "limit": None, "label": None, "sample": "first",
            "reader": {
                "format": "auto", "encoding": "utf-8", "pattern": None, "unmatched": "fail",
                "members": "*", "sheet": None,
                "columns": {"text": "request", "label": "kind", "group": None,
                            "created_at": None, "meta": []},
            },
        }
    ]  # fmt: skip
    values["label"] |= {"labels": sorted(ASKS), "mapping": {}, "definitions": {}}
    # Openings and endings repeat so much here that most requests are alike.
    values["clean"]["duplicates"]["near"]["threshold"] = 0.97
    values["init"] |= {"method": "scratch", "max_tokens": 24}
    values["init"]["scratch"] |= {"layers": 2, "hidden": 32, "heads": 2, "intermediate": 64}
    values["init"]["scratch"]["tokenizer"] |= {"vocabulary": 300}
    values["train"] |= {
        "epochs": 4, "batch_size": 16, "learning_rate": 5e-3, "freeze_embeddings": False,
        "threads": 1, "checkpoint_steps": 7, "head_rate": 2.0, "precision": "fp32", "patience": 0,
    }  # fmt: skip
    values["train"]["baselines"] |= {"kinds": ["majority", "linear_svc"]}
    values["validate"] |= {
        "gates": ["accuracy >= 0.5"], "better_than_baseline": False, "bootstrap_samples": 200,
    }  # fmt: skip
    values["test"] |= {"bootstrap_samples": 200}
    values["test"]["errors"] |= {"explained": 2, "steps": 8}
    values["test"]["robustness"] |= {"records": 20}
    values["test"]["learning_curve"] |= {"shares": [0.5, 1.0], "draws": 1}
    values["optimize"] |= {
        "variants": ["openvino_int8"], "calibration_records": 30,
        "gates": ["points_lost <= 20", "agreement >= 0.5"],
    }  # fmt: skip
    values["optimize"]["parity"] |= {"margin": 0.9, "tolerance": 0.9}  # so small a model is rough
    values["optimize"]["measuring"] |= {"rounds": 3, "batches": [1, 8], "lengths": [8, 16]}
    return values


class Project:
    """A copy of the repository with its own data, git and dvc."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = folder / "progress.jsonl"
        self.variables: dict[str, str] = {}  # that its programs run with, too

    @classmethod
    def create(cls, folder: Path, rows: int = 360) -> Project:
        """Copy what git would, and fill in data and params."""
        shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=NO_CACHE)
        for name in COPIED:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        project = cls(folder)
        with (folder / "data/raw/requests.csv").open("w", encoding="utf-8", newline="") as target:
            table = csv.DictWriter(target, ["request", "kind"])
            table.writeheader()
            table.writerows(requests(rows))
        project.set(params())
        for words in (
            ["init", "-q"],
            ["config", "user.name", "t"],
            ["config", "user.email", "t@t"],
        ):
            subprocess.run(["git", *words], cwd=folder, check=True)
        project.commit()
        return project

    def copy(self, folder: Path) -> Project:
        """Return a second project in the same state."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Project(folder)

    def set(self, values: dict[str, object]) -> None:
        """Write params.yaml."""
        with (self.folder / "params.yaml").open("w", encoding="utf-8") as target:
            YAML(typ="safe", pure=True).dump(values, target)

    def get(self) -> dict[str, dict[str, object]]:
        """Read params.yaml."""
        found: dict[str, dict[str, object]] = YAML(typ="safe", pure=True).load(
            (self.folder / "params.yaml").read_text(encoding="utf-8")
        )
        return found

    def change(self, section: str, **values: object) -> None:
        """Change some values of one section."""
        found = self.get()
        found[section] |= values
        self.set(found)  # type: ignore[arg-type]

    def commit(self) -> None:
        """Commit everything that git does not ignore."""
        subprocess.run(["git", "add", "-A"], cwd=self.folder, check=True)
        subprocess.run(["git", "commit", "-qm", "x", "--allow-empty"], cwd=self.folder, check=True)

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that programs of this project run with."""
        tools = Path(sys.executable).parent
        return (
            os.environ
            | {
                "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
                "MOFANG_PROGRESS": str(self.progress),
                "MOFANG_LANGUAGE": "en",
                "PYTHONDONTWRITEBYTECODE": "1",
            }
            | self.variables
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a program in a session of its own."""
        return subprocess.Popen(
            words, cwd=self.folder, env=self.environment, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *words: str, code: int = 0) -> str:
        """Run a program to its end and return what it printed."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LONGEST,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def repro(self, *words: str, code: int = 0) -> str:
        """Run ``dvc repro``."""
        return self.run("dvc", "repro", *words, code=code)

    def stage(self, name: str, code: int = 0) -> str:
        """Run one stage without DVC."""
        return self.run(sys.executable, "-m", f"pipeline.{name}", code=code)

    def steps(self) -> int:
        """Return how many steps of training were reported."""
        if not self.progress.exists():
            return 0
        return self.progress.read_text(encoding="utf-8").count('"stage": "train"')

    def wait_for_step(self, step: int, process: subprocess.Popen[str]) -> None:
        """Wait until training reported ``step`` steps, or ended."""
        while self.steps() < step and process.poll() is None:
            time.sleep(0.005)

    def weights(self) -> str:
        """Return the sha256 of the trained model's weights."""
        path = self.folder / "models/train/model/model.safetensors"
        return hashlib.sha256(path.read_bytes()).hexdigest()
