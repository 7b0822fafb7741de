"""The copy of the project in which a run works, ``work/runs/tree``.

DVC records parameters and files as they are after a stage, not as the stage found them
(treeverse/dvc#11058). In a folder of its own nothing can change under a run: what people edit
meanwhile waits for the next one, and what is recorded is what was used. Pages see the results of
the last run until a new one is there, never half of it.

- What people edit (parameters, code, raw data, annotations) is copied.
- What stages write is linked, which takes no room: both sides replace these files, nobody changes
  them in place. After the run new outputs are linked back, a folder at a time.
- ``data/snapshots``, an input to which ``collect`` adds, is linked like an output.
- ``work``, ``releases`` and ``var`` are the project's own, so checkpoints and caches are shared.
"""

from __future__ import annotations

import configparser
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from app.studio.dotted import value_at
from app.studio.project_files import Project
from app.studio.runs.records import TREE, Run
from pipeline.artifacts import require_space, sha256, sweep, sync, write_bytes
from pipeline.errors import Text
from pipeline.i18n import _

COPIED = ("dvc.yaml", ".dvcignore", ".dvc/config", ".dvc/plots", "pipeline")
SHARED = ("work", "releases", "var")
GROWING = "data/snapshots"
OWNER = ".dvc/run"  # in the tree: the id of the run that it was made for
LEFT_OUT = frozenset({"__pycache__"})
SETTINGS = "[core]\n    no_scm = true\n    analytics = false\n[cache]\n    dir = {cache}\n"
LARGE = 100_000_000  # bytes to copy from which the disk is asked first


@dataclass(frozen=True)
class Graph:
    """What ``dvc.yaml`` says of the stages."""

    outputs: Mapping[str, tuple[str, ...]]  # stage → paths
    inputs: tuple[str, ...]  # what no stage writes


def tree_of(project: Project) -> Path:
    """Return the folder in which runs of a project work."""
    return project.runs / TREE


def graph(path: Path) -> Graph:
    """Return the stages of a ``dvc.yaml``."""
    content: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    stages: Mapping[str, Any] = content.get("stages") or {}
    outputs = {
        name: tuple(one for kind in ("outs", "metrics", "plots") for one in names(stage.get(kind)))
        for name, stage in stages.items()
    }
    made = {one for some in outputs.values() for one in some}
    asked = {one for stage in stages.values() for one in names(stage.get("deps"))}
    inputs = sorted(one for one in asked if not within(one, made))
    return Graph(outputs, tuple(inputs))


def linked(stages: Graph) -> list[str]:
    """Return the paths that stages write."""
    return [GROWING, *(one for paths in stages.outputs.values() for one in paths)]


def names(entries: Any) -> list[str]:
    """Return the paths of a list in which an entry may carry options."""
    return [str(next(iter(one)) if isinstance(one, Mapping) else one) for one in entries or ()]


def within(path: str, folders: set[str]) -> bool:
    """Return whether a path is one of these or lies below one."""
    return bool({path, *map(str, Path(path).parents)} & folders)


def prepare(run: Run) -> Path:
    """Make the tree equal to the project, with the run's snapshot of the parameters.

    :raises StorageError: if there is no room for the copies.
    """
    project, tree = run.project, tree_of(run.project)
    stages = graph(project.graph)
    (tree / ".dvc").mkdir(parents=True, exist_ok=True)
    (tree / OWNER).unlink(missing_ok=True)
    inputs = {*COPIED, *stages.inputs} - {GROWING}
    wanted = sorted(one for one in inputs if not within(str(Path(one).parent), inputs))
    missing = sum(new_bytes(project.root / one, tree / one) for one in wanted)
    if missing > LARGE:
        require_space(tree, missing)
    for one in wanted:
        copy(project.root / one, tree / one)
    for one in linked(stages):
        link(project.root / one, tree / one)
        if not os.path.lexists(project.root / one):
            remove(tree / one)
    for name in SHARED:
        share(project.root / name, tree / name)
    ignored = project.root / ".dvcignore"
    own = ignored.read_text(encoding="utf-8") if ignored.exists() else ""
    shared = "".join(f"/{name}\n" for name in SHARED)
    (tree / ".dvcignore").write_text(own.rstrip("\n") + "\n" + shared, encoding="utf-8")
    cache = cache_of(project.root)
    (tree / ".dvc/config.local").write_text(SETTINGS.format(cache=cache), encoding="utf-8")
    copy(project.lock, tree / "dvc.lock")
    write_bytes(tree / "params.yaml", run.snapshot.read_bytes())
    write_bytes(tree / OWNER, run.id.encode())
    return tree


def is_of(run: Run) -> bool:
    """Return whether the tree is as this run left it, and not an earlier one."""
    try:
        return (tree_of(run.project) / OWNER).read_text(encoding="utf-8") == run.id
    except OSError:
        return False


def bring_home(run: Run) -> None:
    """Give the project what the run made: outputs first, ``dvc.lock`` last; again does no harm.

    What a stage did not get to write stays as it was.
    """
    project, tree = run.project, tree_of(run.project)
    for one in linked(graph(tree / "dvc.yaml")):
        link(tree / one, project.root / one)
    if recorded(tree / "dvc.lock") is not None:
        bring_lock(tree / "dvc.lock", project.lock)


def bring_lock(source: Path, target: Path) -> None:
    """Copy a ``dvc.lock`` whole, unless it is the same."""
    content = source.read_bytes()
    if not target.exists() or target.read_bytes() != content:
        write_bytes(target, content)


def changed_meanwhile(run: Run) -> bool:
    """Return whether somebody else's ``dvc.lock`` stands in the project by now."""
    now = fingerprint(run.project.lock)
    return now not in (run.lock_sha256, fingerprint(tree_of(run.project) / "dvc.lock"))


def fingerprint(path: Path) -> str | None:
    """Return the sha256 of a file; None where there is none."""
    return sha256(path) if path.is_file() else None


def recorded(path: Path) -> Mapping[str, Any] | None:
    """Return the stages of a ``dvc.lock``, or None where it is missing or was cut off."""
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        stages: Mapping[str, Any] = content["stages"]
        return stages if isinstance(stages, Mapping) else None
    except (OSError, YAMLError, KeyError, TypeError, ValueError):
        return None


def doubts(run: Run, ran: Iterator[str]) -> list[Text]:
    """Return in what DVC's record of the stages that ran differs from the run's snapshot."""
    tree = tree_of(run.project)
    found: list[Text] = []
    if sha256(tree / "params.yaml") != run.params_sha256:
        found.append(_("Somebody changed {path} while the run worked.", path=tree / "params.yaml"))
    values = YAML(typ="safe", pure=True).load(run.snapshot.read_text(encoding="utf-8"))
    stages = recorded(tree / "dvc.lock") or {}
    for stage in ran:
        noted = stages.get(stage, {}).get("params", {}).get("params.yaml", {})
        for path, value in noted.items():
            if value_at(values, path) != value:
                found.append(
                    _("DVC recorded another value of {path} for the stage {stage}.",
                      path=path, stage=stage)
                )  # fmt: skip
    return found


def cache_of(root: Path) -> Path:
    """Return the folder of the project's DVC cache, as its settings say."""
    for name in ("config.local", "config"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(root / ".dvc" / name, encoding="utf-8")
        except configparser.Error:
            continue
        told = parser.get("cache", "dir", fallback=None)
        if told:
            return (root / ".dvc" / told).resolve()
    return (root / ".dvc/cache").resolve()


def files_of(folder: Path) -> dict[str, os.stat_result]:
    """Return the files below a folder by their relative paths, or a single file as ``.``."""
    if folder.is_file():
        return {".": folder.stat()}
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if one not in LEFT_OUT]
        for name in files:
            path = Path(place) / name
            if path.is_file():
                found[str(path.relative_to(folder))] = path.stat()
    return found


def differing(source: Path, target: Path) -> Iterator[tuple[str, int]]:
    """Yield the files that a copy lacks or has in an older version, with their sizes."""
    there = files_of(target)
    for name, facts in files_of(source).items():
        old = there.get(name)
        if old is None or (old.st_size, old.st_mtime_ns) != (facts.st_size, facts.st_mtime_ns):
            yield name, facts.st_size


def new_bytes(source: Path, target: Path) -> int:
    """Return how much a copy would write."""
    return sum(size for _name, size in differing(source, target))


def copy(source: Path, target: Path) -> None:
    """Make a copy equal to its source; files that are the same stay."""
    if not source.exists():
        remove(target)
        return
    if source.is_dir() != target.is_dir():
        remove(target)
    for name, _size in list(differing(source, target)):
        place = target / name if name != "." else target
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / name if name != "." else source, place)
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        for name in files_of(target).keys() - files_of(source).keys():
            (target / name).unlink(missing_ok=True)


def link(source: Path, target: Path) -> None:
    """Make an output equal to another, whole or not at all, by links where the disk allows them."""
    if not source.exists():
        return
    if same(source, target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    building = target.with_name(f".{target.name}.tmp-{os.getpid()}")
    previous = target.with_name(f".{target.name}.old-{os.getpid()}")
    try:
        if source.is_dir():
            building.mkdir()
            for name in files_of(source):
                (building / name).parent.mkdir(parents=True, exist_ok=True)
                link_file(source / name, building / name)
        else:
            link_file(source, building)
        if target.is_dir():
            target.rename(previous)
        building.rename(target)
        sync(target.parent)
    finally:
        remove(building)
        remove(previous)


def same(source: Path, target: Path) -> bool:
    """Return whether two outputs hold the same files already."""
    if source.is_dir() != target.is_dir():
        return False
    left, right = files_of(source), files_of(target)
    return left.keys() == right.keys() and all(alike(left[one], right[one]) for one in left)


def alike(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two files are one, or copies with the same time."""
    linked = (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
    return linked or (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def link_file(source: Path, target: Path) -> None:
    """Link a file, or copy it where the disk knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def remove(path: Path) -> None:
    """Remove a file or a folder, or nothing."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def share(source: Path, target: Path) -> None:
    """Let the tree have a folder of the project itself, also after the project was moved."""
    source.mkdir(exist_ok=True)
    there = os.path.relpath(source, target.parent)
    if not target.is_symlink() or str(target.readlink()) != there:
        remove(target)
        target.symlink_to(there, target_is_directory=True)
