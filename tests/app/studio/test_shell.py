"""How the studio starts, who it lets in, and what stands around every page."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from streamlit import config
from streamlit.testing.v1 import AppTest
from streamlit.testing.v1.element_tree import Element
from streamlit.util import calc_hash

from app.studio import __main__ as program
from app.studio import frame as frame_of_pages
from app.studio import layout
from app.studio.project_files import Project
from app.studio.roles import FILE, Role
from pipeline.errors import DataError, ParamsError
from tests.app.studio.pages import assert_sound, log_in
from tests.helpers import ROOT

MAIN = ROOT / "app/studio/main.py"


@pytest.fixture
def here(project: Path) -> Project:
    """Return an empty project in which the test runs."""
    return Project(project)


LOGIN = """
[auth]
redirect_uri = "https://studio.example.org/oauth2callback"
cookie_secret = "x"
client_id = "y"
server_metadata_url = "https://id.example.org/.well-known/openid-configuration"
"""


HOSTS = "server.allowedHosts"


def settings(command: list[str]) -> dict[str, str]:
    given = (one.removeprefix("--").partition("=") for one in command if one.startswith("--"))
    flags = [(name, value) for name, _equals, value in given]
    hosts = [value for name, value in flags if name == HOSTS]
    return dict(flags) | {HOSTS: json.dumps(hosts)}


def test_it_starts_on_this_machine_only_and_tells_nobody() -> None:
    found = settings(program.streamlit("127.0.0.1", 8501, []))
    assert found["server.address"] == "127.0.0.1"
    assert json.loads(found[HOSTS]) == ["127.0.0.1", "::1", "localhost"]
    assert found["client.showErrorDetails"] == "none"
    assert found["browser.gatherUsageStats"] == "false"
    assert found["server.enableXsrfProtection"] == "true"
    assert found["server.maxUploadSize"] == "50"
    known = set(config.get_config_options())
    assert set(found) <= known


def test_the_file_says_the_same_as_the_program() -> None:
    content = tomllib.loads((ROOT / ".streamlit/config.toml").read_text())
    written = {
        f"{section}.{name}": value
        for section, one in content.items()
        for name, value in one.items()
    }
    flags = settings(program.streamlit("127.0.0.1", 8501, []))
    shared = {name: value for name, value in written.items() if name in flags}
    assert len(shared) > 10
    for name, value in shared.items():
        told = json.dumps(sorted(value)) if isinstance(value, list) else str(value)
        assert flags[name].lower() == told.lower(), name


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "studio.example.org"])  # noqa: S104
def test_other_machines_come_in_only_where_people_log_in(here: Project, host: str) -> None:
    for given_host, names in ((host, []), ("127.0.0.1", [host])):
        with pytest.raises(ParamsError):
            program.refuse_open_door(given_host, names, here)
    (here.root / ".streamlit").mkdir()
    (here.root / program.SECRETS).write_text(LOGIN)
    program.refuse_open_door(host, [host], here)


@pytest.mark.parametrize("missing", ["redirect_uri", "cookie_secret", "client_id", "server_meta"])
def test_half_a_login_is_none(here: Project, missing: str) -> None:
    lines = [line for line in LOGIN.splitlines() if not line.startswith(missing)]
    (here.root / ".streamlit").mkdir()
    (here.root / program.SECRETS).write_text("\n".join(lines))
    assert not program.has_login(here)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_login(here: Project, host: str) -> None:
    program.refuse_open_door(host, [], here)


def test_a_folder_without_stages_is_no_project(here: Project) -> None:
    with pytest.raises(DataError):
        program.refuse_no_project(here)
    done = subprocess.run(
        [sys.executable, "-m", "app.studio"],
        env=os.environ | {"MOFANG_PROJECT": str(here.root)},
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "dvc.yaml" in done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def shake_hands(port: int, host: str, origin: str) -> int:
    """Return what the server says to a browser that wants to open a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {
        "Host": host, "Origin": origin, "Upgrade": "websocket", "Connection": "Upgrade",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
    }  # fmt: skip
    try:
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def started(here: Project) -> Iterator[int]:
    """Start the studio as ``make studio`` does; yield its port."""
    (here.root / "dvc.yaml").write_text("stages: {}\n")
    (here.root / "streamlit.py").write_text("raise SystemExit('not the studio')\n")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "app.studio", "--port", str(port)],
        env=os.environ | {"MOFANG_PROJECT": str(here.root)},
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError), urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(20)


def test_it_serves_this_machine_and_no_page_of_another_name(started: int) -> None:
    own = f"127.0.0.1:{started}"
    assert shake_hands(started, own, f"http://{own}") == 101
    local = f"localhost:{started}"
    assert shake_hands(started, local, f"http://{local}") == 101
    evil = f"evil.example.org:{started}"  # a name that somebody let lead to this machine
    assert shake_hands(started, evil, f"http://{evil}") == 403


@pytest.fixture
def door() -> Iterator[None]:
    """Let the studio listen to this machine only."""
    before = config.get_option("server.address")
    config.set_option("server.address", "127.0.0.1")
    yield
    config.set_option("server.address", before)


def frame(here: Project, **user: object) -> AppTest:
    """Return the whole studio, at its first page."""
    (here.root / "dvc.yaml").write_text("stages: {}\n")
    (here.root / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    page = AppTest.from_file(MAIN, default_timeout=30)
    if user:
        page.user = user
    return page


@pytest.mark.usefixtures("door")
def test_the_frame_shows_language_user_run_and_page(here: Project) -> None:
    page = frame(here).run()
    assert not page.exception
    assert page.session_state["language"] == "en"
    assert "ada" in "".join(one.value for one in page.sidebar.caption)
    assert page.title[0].value == "Home"


@pytest.mark.usefixtures("door")
def test_the_language_is_remembered(here: Project) -> None:
    page = frame(here).run()
    page.sidebar.button_group(key="language").set_value("zh").run()
    assert not page.exception
    assert page.session_state["language"] == "zh"
    again = frame(here).run()
    assert again.session_state["language"] == "zh"
    shared = frame(here)
    shared.query_params["language"] = "en"
    assert shared.run().session_state["language"] == "en"
    shared.sidebar.button_group(key="language").set_value("zh").run()
    assert shared.query_params["language"] == "zh"


@pytest.mark.usefixtures("door")
def test_the_browser_chooses_the_first_language(here: Project) -> None:
    page = frame(here)
    page.context = {"locale": "zh-CN"}
    assert page.run().session_state["language"] == "zh"


@pytest.mark.usefixtures("door")
def test_who_is_not_logged_in_sees_only_the_way_in(here: Project) -> None:
    page = frame(here, is_logged_in=False)
    page.secrets["auth"] = {"client_id": "y"}
    page.run()
    assert not page.exception
    assert [one.key for one in page.button] == ["log_in_"]
    assert not page.sidebar.caption


@pytest.mark.usefixtures("door")
def test_each_way_to_log_in_has_its_button(here: Project) -> None:
    page = frame(here, is_logged_in=False)
    page.secrets["auth"] = {"cookie_secret": "x", "one": {"client_id": "y"}, "two": {}}
    page.run()
    assert not page.exception
    assert [one.key for one in page.button] == ["log_in_one", "log_in_two"]


@pytest.mark.usefixtures("door")
def test_who_has_no_role_sees_only_the_way_out(here: Project) -> None:
    page = frame(here, is_logged_in=True, email="eve@example.org", iat=time.time()).run()
    assert not page.exception
    assert "eve@example.org" in page.warning[0].value
    assert [one.key for one in page.button] == ["log_out"]


@pytest.mark.usefixtures("door")
def test_a_damaged_file_of_roles_lets_nobody_in(here: Project) -> None:
    here.studio.mkdir(parents=True)
    (here.studio / FILE).write_text("{")
    page = frame(here, is_logged_in=True, email="ada@example.org", iat=1.0).run()
    assert not page.exception
    assert not page.sidebar.caption


def test_an_open_address_without_login_shows_nothing(here: Project) -> None:
    before = config.get_option("server.address")
    config.set_option("server.address", "0.0.0.0")  # noqa: S104 - refused here
    try:
        page = frame(here).run()
    finally:
        config.set_option("server.address", before)
    assert not page.exception
    assert "python -m app.studio" in page.error[0].value
    assert not page.sidebar.caption
    assert not page.button


def links(page: AppTest) -> list[str]:
    """Return the addresses of the links in the sidebar, in their order."""
    return [one.proto.page for one in page.sidebar.get("page_link")]


def opened(page: AppTest, address: str) -> AppTest:
    """Open a page of the studio by its address."""
    page._page_hash = calc_hash(address)
    return page.run()


@pytest.mark.usefixtures("door")
def test_language_user_and_run_stand_above_the_links_to_all_pages(here: Project) -> None:
    page = frame(here).run()
    assert_sound(page)
    assert links(page) == ["", *(one.name for one in layout.VIEWS[1:])]  # the first stands out
    parts = [one.type for one in page.sidebar if isinstance(one, Element)]
    assert parts[:5] == ["button_group", "caption", "caption", "caption", "page_link"]
    assert "ada" in page.sidebar.caption[0].value
    assert "No run yet" in page.sidebar.caption[1].value
    titles = [one.value for one in page.sidebar.caption[2:]]
    assert titles == [one.text for one in layout.GROUPS]


@pytest.mark.usefixtures("door")
def test_every_page_has_an_address_also_the_one_at_the_root(here: Project) -> None:
    page = opened(frame(here), layout.HOME)
    assert_sound(page)
    assert page.title[0].value == "Home"
    assert links(page) == [one.name for one in layout.VIEWS]


@pytest.mark.usefixtures("door")
def test_who_may_not_see_a_page_is_told_which_role_it_needs(here: Project) -> None:
    page = frame(here)
    log_in(page, here, Role.VIEWER)
    opened(page, "label")
    assert_sound(page)
    (refusal,) = page.error
    assert "labeller" in refusal.value
    assert not {"label", "start"} & set(links(page))
    assert len(links(page)) == len(layout.VIEWS) - 2


def test_the_icon_of_the_studio_needs_no_other_host() -> None:
    from streamlit.commands.page_config import _get_favicon_string

    assert _get_favicon_string(frame_of_pages.ICON).startswith("data:image/svg+xml;base64,")
