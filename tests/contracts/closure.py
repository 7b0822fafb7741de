"""Which files of ``pipeline/`` a module imports, directly or through others."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
EXEMPT = ("pipeline/params.py", "pipeline/schema/")  # hold no default and compute nothing
# What a module reads beside code: the report's pages, and its sentences in both languages.
BESIDE = {"pipeline/evaluation/report.py": ("pipeline/evaluation/pages", "pipeline/locale")}


@cache
def imported(path: Path) -> frozenset[Path]:
    """Return the project's files that one file imports, wherever in it the import stands."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            file = ROOT / f"{name.replace('.', '/')}.py"
            if file.is_file():
                found.add(file)
    return frozenset(found)


def closure(path: Path) -> set[str]:
    """Return a file and all it imports, relative to the project; the schema is left out."""
    seen: set[Path] = set()
    waiting = [path]
    while waiting:
        file = waiting.pop()
        if file not in seen and not str(file.relative_to(ROOT)).startswith(EXEMPT):
            seen.add(file)
            waiting += imported(file)
    found = {str(file.relative_to(ROOT)) for file in seen}
    return found.union(*(BESIDE[file] for file in found & BESIDE.keys()))
