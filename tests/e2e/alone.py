"""The real service where nothing can be imported that ``requirements-service.txt`` does not bring.

``python -m tests.e2e.alone`` takes what ``python -m app.service`` takes. It stands for a fresh
environment with only that file installed: every other package of this one is hidden.
"""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from packaging.requirements import Requirement

FILE = Path(__file__).parents[2] / "requirements-service.txt"


def brought(path: Path = FILE) -> set[str]:
    """Return the names of all distributions that a requirements file brings, as pip sees them."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    waiting = [Requirement(line) for line in lines if line]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        wanted = waiting.pop()
        key = (canonical(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        for text in importlib.metadata.requires(wanted.name) or []:
            inner = Requirement(text)
            if holds(inner, wanted.extras):
                waiting.append(inner)
    return {name for name, _extras in seen}


def holds(inner: Requirement, extras: set[str]) -> bool:
    """Return whether a requirement of a distribution is wanted here, with these extras."""
    asked = [{"extra": one} for one in (*extras, "")]
    return inner.marker is None or any(inner.marker.evaluate(one) for one in asked)


def canonical(name: str) -> str:
    """Return a distribution's name as all of its spellings share it."""
    return re.sub(r"[-_.]+", "-", name).lower()


class Hidden:
    """Finds packages on the path as usual, but none that is not brought."""

    def __init__(self, allowed: set[str]) -> None:
        owners = importlib.metadata.packages_distributions()
        self.hidden = {
            name for name, some in owners.items() if not allowed & set(map(canonical, some))
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is; None where a fresh environment would have none."""
        if name.partition(".")[0] in self.hidden:
            return None
        return PathFinder.find_spec(name, path, target)

    def find_distributions(self, *asked: Any, **named: Any) -> Iterable[Any]:
        """Return what is installed; packages ask for their own versions."""
        return PathFinder.find_distributions(*asked, **named)


def main() -> None:
    """Run the service."""
    finder: Any = Hidden(brought())
    for name in [one for one in sys.modules if one.partition(".")[0] in finder.hidden]:
        del sys.modules[name]
    sys.meta_path[sys.meta_path.index(PathFinder)] = finder
    runpy.run_module("app.service", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
