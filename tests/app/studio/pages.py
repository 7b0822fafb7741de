"""A page of the studio as a reader has it: ``open_page`` draws one view in a project.

The page runs for real in this process (Streamlit's AppTest), in the project's folder; what it holds
can be read and pressed: ``page.button(key="…").click().run()``.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app.studio.layout import BY_NAME, VIEWS
from app.studio.project_files import Project
from app.studio.roles import FILE, Role

NAMES = [one.name for one in VIEWS]
LANGUAGES = pytest.mark.parametrize("language", ["en", "zh"])
SECONDS = 30.0  # the first page of a process imports pandas and altair


def script(view: str, root: str) -> None:
    """Draw one view, as ``main`` does for the reader's choice."""
    from pathlib import Path

    import streamlit as st

    from app.studio import layout
    from app.studio.project_files import Project

    st.session_state.setdefault("opened", root)
    assert Project.here().root == Path(root)
    layout.draw(layout.BY_NAME[view])


def open_page(
    view: str,
    project: Project | Path,
    language: str = "en",
    role: Role = Role.OPERATOR,
    **query: str,
) -> AppTest:
    """Return a view after its first run; no traceback and no incident stands on it.

    :param role: other than operator, the reader is logged in with this role.
    :param query: parameters of the address.
    """
    root = (project.root if isinstance(project, Project) else project).resolve()
    assert view in BY_NAME
    os.chdir(root)  # conftest changes it back after the test
    page = AppTest.from_function(
        script, default_timeout=SECONDS, kwargs={"view": view, "root": str(root)}
    )
    page.session_state["language"] = language
    for name, value in query.items():
        page.query_params[name] = value
    if role is not Role.OPERATOR:
        log_in(page, Project(root), role)
    page.run()
    assert_sound(page)
    return page


def log_in(page: AppTest, project: Project, role: Role) -> str:
    """Let somebody with a role look at a page; return the address."""
    address = f"{role.name.lower()}@example.org"
    project.studio.mkdir(parents=True, exist_ok=True)
    path = project.studio / FILE
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if role is not Role.NOBODY:
        known[address] = role.name.lower()
    path.write_text(json.dumps(known), encoding="utf-8")
    page.user = {"is_logged_in": True, "email": address, "iat": time.time()}
    return address


def assert_sound(page: AppTest) -> None:
    """Fail where the page holds a traceback, or an incident that nobody foresaw."""
    assert not page.exception, [one.value for one in page.exception]
    incidents = [one.value for one in page.error if one.icon == ":material/bug_report:"]
    assert not incidents, incidents


def shown(page: AppTest) -> str:
    """Return all texts of a page, to look for words in."""
    texts: list[str] = []
    for element in page.main:
        for name in ("label", "value", "body", "help"):
            text = getattr(element, name, None)
            if isinstance(text, str):
                texts.append(text)
    return "\n".join(texts)


def on_white(colour: str) -> float:
    """Return the contrast of a colour to white, as WCAG 2 reckons it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
