"""People log in with a real provider of OpenID Connect, as docs/studio.md sets it up.

The provider is a server of its own; the studio, the browser and all that they say to each other are
real, over HTTP. The studio answers to a name that is not this machine's, which it only does where
people log in.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from app.studio.project_files import Project
from app.studio.roles import FILE
from tests.e2e.served import free_port, until
from tests.e2e.studio_browser import Browser, Reader, Studio, needs_browser
from tests.helpers import ROOT

pytestmark = [pytest.mark.e2e, needs_browser]
NAME = "studio.localhost"  # a browser finds it on this machine
WAITING = 30.0  # seconds for a page of the provider
PEOPLE: Mapping[str, Mapping[str, object]] = {
    "ada": {"email": "ada@example.org", "email_verified": True},
    "lin": {"email": "lin@example.org"},
    "eve": {"email": "eve@example.org", "email_verified": True},
    "mallory": {"email": "ada@example.org", "email_verified": False},
}
ROLES = {"ada@example.org": "operator", "lin@example.org": "labeller"}
AUTH = """\
[auth]
redirect_uri = "http://{name}:{port}/oauth2callback"
cookie_secret = "{secret}"
"""
CLIENT = """\
client_id = "studio"
client_secret = "any"
server_metadata_url = "{provider}/.well-known/openid-configuration"
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """The address of a provider that knows some people."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    known = [json.dumps({"sub": name, **claims}) for name, claims in PEOPLE.items()]
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port)]
    command += [word for one in known for word in ("--user-claims", one)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: answers(address), WAITING, "a provider")
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    """Return whether something answers at an address."""
    try:
        with urllib.request.urlopen(address, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def served(folder: Path, provider: str, *names: str, **environment: str) -> Studio:
    """Return a studio that lets people in from elsewhere, not started yet.

    :param names: of the ways to the provider; none is one way without a name.
    """
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    studio = Studio(folder, "--name", NAME, **environment)
    studio.address = f"http://{NAME}:{studio.port}"
    told = AUTH.format(name=NAME, port=studio.port, secret=secrets.token_hex(32))
    for section in [f"[auth.{one}]\n" for one in names] or [""]:
        told += section + CLIENT.format(provider=provider)
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit/secrets.toml").write_text(told, encoding="utf-8")
    return studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[Studio]:
    """A studio whose people have the roles of ``MOFANG_ROLES``."""
    lines = "\n".join(f"{address}:{role}" for address, role in ROLES.items())
    folder = tmp_path_factory.mktemp("login").resolve()
    with served(folder, provider, MOFANG_ROLES=lines) as one:
        yield one
        assert not one.incidents()


def asked(browser: Browser, studio: Studio, way: str = "log_in_") -> Reader:
    """Return somebody whom the provider asks who that is."""
    reader = browser.reader(studio.address)
    reader.open()
    assert_outside(reader)
    reader.button(way).click()
    reader.page.get_by_role("heading", name="Authorize Client").wait_for()
    return reader


def come(browser: Browser, studio: Studio, name: str, way: str = "log_in_") -> Reader:
    """Return somebody who says who that is, and comes back to the studio."""
    reader = asked(browser, studio, way)
    reader.page.get_by_role("button", name=name, exact=True).click()
    back(reader)
    return reader


def back(reader: Reader) -> None:
    """Wait until somebody is in the studio again."""
    reader.page.wait_for_url(f"{reader.address}/**")
    reader.settle()
    assert not reader.trouble


def leave(reader: Reader) -> None:
    """Log out, here and with the provider."""
    reader.button("log_out").click()
    reader.page.get_by_role("button", name="End session").click()
    back(reader)
    assert_outside(reader)


def side(reader: Reader) -> str:
    """Return what stands beside the page."""
    found: str = reader.page.locator('[data-testid="stSidebar"]').inner_text()
    return found


def links(reader: Reader) -> set[str]:
    """Return the views that somebody sees a link to."""
    found = reader.page.locator('[data-testid="stSidebar"] a')
    found.first.wait_for()
    return {str(one.get_attribute("href")) for one in found.all()}


def assert_outside(reader: Reader) -> None:
    """Hold that somebody sees the way in and nothing of the project."""
    reader.part("log_in_*").wait_for()
    assert not reader.page.locator('[data-testid="stSidebar"] a').count()
    assert not reader.sees("log_out")


@pytest.mark.parametrize(("name", "role"), [("ada", "operator"), ("lin", "labeller")])
def test_who_logs_in_has_the_role_of_the_settings(
    browser: Browser, studio: Studio, name: str, role: str
) -> None:
    reader = come(browser, studio, name)
    assert f"{name}@example.org · {role}" in side(reader)
    assert "label" in links(reader)
    assert ("start" in links(reader)) is (role == "operator")
    reader.page.goto(f"{studio.address}/start", wait_until="commit")  # without a link
    if role == "operator":
        reader.settle()
    else:
        reader.page.get_by_text("the role editor, or one above it").wait_for()
    reader.open("runs")
    assert reader.button("runs_start").is_disabled() is (role == "labeller")
    leave(reader)
    for view in ("home", "deploy"):  # the way back is closed as well
        reader.open(view)
        assert_outside(reader)


@pytest.mark.parametrize("name", ["eve", "mallory"])
def test_who_has_no_role_or_no_verified_address_stays_outside(
    browser: Browser, studio: Studio, name: str
) -> None:
    reader = come(browser, studio, name)
    assert reader.says("has no role here")
    assert not reader.page.locator('[data-testid="stSidebar"] a').count()
    reader.open("deploy")
    assert reader.says("has no role here")
    leave(reader)


def test_who_says_no_to_the_provider_is_back_at_the_door(browser: Browser, studio: Studio) -> None:
    reader = asked(browser, studio)
    reader.page.get_by_role("button", name="Deny").click()
    back(reader)
    assert_outside(reader)


def test_a_cookie_that_somebody_made_opens_nothing(browser: Browser, studio: Studio) -> None:
    reader = come(browser, studio, "lin")
    context = reader.page.context
    (cookie,) = [one for one in context.cookies() if one["name"] == "_streamlit_user"]
    assert cookie["httpOnly"]
    claims = json.dumps({"email": "ada@example.org", "is_logged_in": True, "origin": NAME})
    context.add_cookies([cookie | {"value": claims}])
    reader.open()
    assert_outside(reader)


def test_a_role_that_is_taken_away_is_gone_with_the_next_press(
    browser: Browser, provider: str, tmp_path: Path
) -> None:
    """The roles stand in the project's file, and two ways lead to the provider."""
    folder = tmp_path.resolve()
    given = Project(folder).studio / FILE
    given.parent.mkdir(parents=True)
    given.write_text(json.dumps(ROLES), encoding="utf-8")
    with served(folder, provider, "house", "garden") as studio:
        for way in ("log_in_house", "log_in_garden"):
            reader = come(browser, studio, "ada", way)
        reader.open("runs")
        assert not reader.button("runs_start").is_disabled()
        beside = given.with_suffix(".new")
        beside.write_text(json.dumps(ROLES | {"ada@example.org": "viewer"}), encoding="utf-8")
        os.replace(beside, given)
        reader.page.keyboard.press("r")
        reader.wait(reader.button("runs_start").is_disabled, WAITING, "a button for operators only")
        assert "ada@example.org · viewer" in side(reader)
        assert not studio.incidents()
