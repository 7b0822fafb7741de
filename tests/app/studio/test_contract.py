"""What the studio is made of: who imports whom, a file a page, and nothing heavy in its process."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.studio.layout import VIEWS
from app.studio.project_files import Project
from tests.app.studio import data_project, deployed, model_project
from tests.helpers import ROOT

APP = ROOT / "app"
HEAVY = {
    "torch",
    "transformers",
    "evidently",
    "sklearn",
    "openvino",
    "gradio",
    "optuna",
    "matplotlib",
    "dvc",
    "onnxruntime",
    "nncf",
    "datasets",
    "cleanlab",
    "scipy",
}  # fmt: skip - Streamlit itself brings a shell of plotly, where that is installed
PROGRAM = """
import importlib, json, pkgutil, sys
from pathlib import Path
from streamlit.components.v2 import manifest_scanner
manifest_scanner.scan_component_manifests = list  # no packages are searched for components

def now(): return sorted({name.partition(".")[0] for name in sys.modules})

from tests.app.studio.pages import NAMES, open_page
titles = [open_page(name, Path.cwd()).title[0].value for name in NAMES]
drawn = now()
import app.studio
for one in pkgutil.walk_packages(app.studio.__path__, "app.studio."):
    if not one.name.endswith((".main", ".supervisor", ".execute")):
        importlib.import_module(one.name)
print(json.dumps({"titles": titles, "drawn": drawn, "imported": now()}))
"""


def imported(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, also inside of functions and by their names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports are not followed here"
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (one.value for one in node.args if isinstance(one, ast.Constant))


@pytest.mark.parametrize(("one", "other"), [("studio", "service"), ("service", "studio")])
def test_studio_and_service_never_import_each_other(one: str, other: str) -> None:
    files = sorted((APP / one).rglob("*.py"))
    assert len(files) > 5
    for path in files:
        found = {name for name in imported(path) if f"{name}.".startswith(f"app.{other}.")}
        assert not found, path


def test_each_page_is_a_file_of_its_name_that_draws() -> None:
    files = {path.stem: path for path in (APP / "studio/views").glob("*.py")}
    del files["__init__"]
    assert {one.name: one.module for one in VIEWS} == {
        name: f"app.studio.views.{name}" for name in files
    }
    for path in files.values():
        functions = [one for one in ast.parse(path.read_text(encoding="utf-8")).body
                     if isinstance(one, ast.FunctionDef)]  # fmt: skip
        (draw,) = (one for one in functions if one.name == "draw")
        assert [one.arg for one in draw.args.args] == ["project"], path


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with results of all stages, and a day of traffic."""
    with pytest.MonkeyPatch.context() as patch:
        made = data_project.shared(tmp_path_factory)
        here = data_project.copied(made, tmp_path_factory.mktemp("filled"))
        patch.chdir(here.root)
        model_project.fill(here)
        deployed.visited(here.root)
    return here


def test_no_page_brings_a_heavy_package_into_the_studio(filled: Project) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=filled.root, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(set(found["titles"])) == len(VIEWS)
    assert {"streamlit", "altair"} <= set(found["drawn"])
    assert not set(found["drawn"]) & HEAVY
    assert not set(found["imported"]) & HEAVY
