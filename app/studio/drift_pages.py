"""The pages that Evidently drew about windows of requests, and the box in which one is shown.

Such a page runs a script of its own. It is shown in a frame inside of a frame: the inner one is a
stranger to the studio and may load nothing, send nothing and lead nowhere.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from app.studio.project_files import Project
from pipeline.errors import DataError, Text
from pipeline.i18n import _

PAGES = Path("var/drift")
PAGE = "drift.html"
NAME = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9]+")
LARGEST = 40_000_000  # bytes
# As default-src stands for frame-src too, the inner frame cannot even go to another address.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; form-action 'none'; base-uri 'none'"
)
# Without allow-same-origin there is no cookie, no storage and no parent for it.
SANDBOX = "allow-scripts"
SCALE = 0.625  # Evidently draws for a wider window than the studio has


def pages(project: Project) -> list[str]:
    """Return the names of the drift pages that there are, the newest first."""
    folder = project.root / PAGES
    if not folder.is_dir():
        return []
    names = [one.name for one in folder.iterdir() if NAME.fullmatch(one.name)]
    there = [one for one in names if path_of(project, one).is_file()]
    return sorted(there, reverse=True)


def path_of(project: Project, name: str) -> Path:
    """Return where a page lies."""
    return project.root / PAGES / name / PAGE


def page(project: Project, name: str) -> str:
    """Return a drift page as it was written; it is only ever shown inside of ``boxed``.

    :raises DataError: if there is none of this name, or it is too large to show.
    """
    path = path_of(project, name)
    if not NAME.fullmatch(name) or not path.is_file():
        raise no_page(name, _("no such page"))
    if path.stat().st_size > LARGEST:
        raise no_page(name, _("a page that is too large to show"))
    return path.read_text(encoding="utf-8", errors="replace")


def no_page(name: str, found: Text) -> DataError:
    """Return the error for a drift page that cannot be shown."""
    return DataError.at(
        f"{PAGES}/{name[:40]}",
        found=found,
        allowed=_("a page that the monitor wrote"),
        fix=_("Choose another one, or look again."),
    )


def boxed(page: str, title: str) -> str:
    """Return a page in which a foreign one is shut up: it may run, but reach nothing and nobody.

    The frame that Streamlit draws around it shares the studio's origin; the one in here does not.
    """
    return (
        '<!doctype html><html><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        "<style>html,body,iframe{margin:0;border:0;width:100%;height:100%;display:block}"
        "body{overflow:hidden}"
        f"iframe{{width:{100 / SCALE}%;height:{100 / SCALE}%;transform:scale({SCALE});"
        "transform-origin:0 0}</style></head><body>"
        f'<iframe sandbox="{SANDBOX}" referrerpolicy="no-referrer" '
        f'title="{html.escape(title, quote=True)}" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe></body></html>'
    )
