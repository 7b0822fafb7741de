"""Start from a bundled project: ``python -m pipeline.template NAME`` writes its ``params.yaml``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artifacts import PARAMS, write_bytes
from pipeline.errors import MofangError, ParamsError
from pipeline.i18n import _
from pipeline.params import check

TEMPLATES = Path(__file__).parent / "templates"


def names() -> list[str]:
    """Return the bundled projects."""
    return sorted(path.stem for path in TEMPLATES.glob("*.yaml"))


def apply(name: str, target: Path = PARAMS) -> Path | None:
    """Write a template as ``params.yaml``; what stood there is kept beside it and returned.

    :raises ParamsError: if there is no such template.
    """
    if name not in names():
        raise ParamsError.at(
            name,
            found=_("no such template"),
            allowed=", ".join(names()),
            fix=_("Give one of these names."),
        )
    path = TEMPLATES / f"{name}.yaml"
    content = path.read_bytes()
    check(content, path)
    kept = None
    if target.exists() and target.read_bytes() != content:
        moment = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
        kept = target.with_name(f"{target.stem}.before-{moment}{target.suffix}")
        write_bytes(kept, target.read_bytes())
    write_bytes(target, content)
    return kept


def main() -> None:
    """Apply the template that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(f"python -m pipeline.template {'|'.join(names())}")
    kept = apply(sys.argv[1])
    print(_("params.yaml is now the template {name}; run dvc repro.", name=sys.argv[1]))
    if kept:
        print(_("What stood there before is kept as {path}.", path=kept))


if __name__ == "__main__":
    try:
        main()
    except MofangError as error:
        sys.exit(str(error))
