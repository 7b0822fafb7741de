"""The page at /demo over the real service, with a tiny real model."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.service.demo import texts
from pipeline.steps.targets import MULTI, REGRESSION
from tests.app import tiny
from tests.app.browser import Browser

TEXT = "please my money is late"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one release that serves."""
    folder = tmp_path_factory.mktemp("served")
    tiny.promoted(folder)
    return folder


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    """A client of the service, its page included."""
    with contextlib.chdir(root), tiny.served(root, demo__enabled=True) as found:
        yield found


@pytest.fixture
def browser(client: httpx.Client) -> Browser:
    """Somebody who has opened the page."""
    return Browser(client)


def rows(root: Path, query: str, *values: str) -> list[tuple[object, ...]]:
    """Return rows of the service's database, as soon as there are some."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.closing(sqlite3.connect(root / "var/traffic.sqlite")) as connection:
            if found := connection.execute(query, values).fetchall():
                return found
        time.sleep(0.05)
    return []


def test_the_page_takes_nothing_from_elsewhere(client: httpx.Client, browser: Browser) -> None:
    """Scripts, styles and fonts come from the service; nothing is told to anybody."""
    linked = re.findall(
        r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)=\"([^\"]+)\"", browser.html
    )
    assert len(linked) >= 3
    for address in linked:
        assert not re.match(r"(https?:)?//", address), address
    style = client.get("/demo/theme.css").raise_for_status().text
    assert all(
        address.startswith("data:") for address in re.findall(r"url\([\"']?([^\"')]+)", style)
    )
    assert "googleapis" not in style + browser.html
    assert browser.config["analytics_enabled"] is False
    assert browser.config["footer_links"] == []
    assert browser.config["connect_heartbeat"] is False


def test_what_the_page_is_made_of_can_be_read(client: httpx.Client, browser: Browser) -> None:
    linked = re.findall(r"\"\./((?:assets|static)/[^\"]+)\"", browser.html)
    assert linked
    for address in linked:
        assert client.get(f"/demo/{address}").status_code == 200, address
    assert client.get("/demo", follow_redirects=True).status_code == 200


def test_a_text_is_answered_and_explained(browser: Browser) -> None:
    browser.write("text", TEXT)
    browser.do("ask")
    assert "refund" in browser.value("answer")
    assert "1.0.0" in browser.value("answer")
    bars = browser.value("bars")["confidences"]
    assert bars[0]["label"] == "refund"
    assert sum(one["confidence"] for one in bars) == pytest.approx(1.0, abs=1e-6)
    shades = {one["token"].strip(): one["class_or_confidence"] for one in browser.value("shades")}
    assert max(shades, key=lambda word: shades[word]) == "money"
    assert "“money”" in browser.value("why")
    assert browser["opinion"]["visible"] is True


def test_enter_asks_too(browser: Browser) -> None:
    browser.write("text", TEXT)
    browser.do("text", "submit")
    assert "refund" in browser.value("answer")


def test_the_model_is_described(browser: Browser) -> None:
    told = browser.value("about")
    for part in ("1.0.0", "2026-01-01", "account, delivery, refund", "macro_f1", "three words"):
        assert part in told


def test_a_visitor_reads_his_language_and_can_change_it(client: httpx.Client) -> None:
    browser = Browser(client, "zh-CN,zh;q=0.9,en;q=0.8")
    assert browser.value("language") == "zh"
    assert browser.value("ask") == texts.ASK.render("zh")
    assert "它只认识三个词。" in browser.value("about")
    browser.write("text", TEXT)
    browser.do("ask")
    browser.write("language", "en")
    browser.do("language", "input")
    assert browser.value("ask") == texts.ASK.text
    assert browser["text"]["label"] == texts.TEXT.text
    assert browser["one_text"]["label"] == texts.ONE_TEXT.text
    assert "three words" in browser.value("about")
    assert "Answer: refund" in browser.value("answer")
    assert browser.value("why").startswith("- Without “money”")
    assert browser["language"]["choices"] == [["English", "en"], ["中文", "zh"]]


def test_an_example_of_the_test_data_is_one_click_away(browser: Browser) -> None:
    assert browser["examples"]["samples"] == [["my money", "refund"]]
    browser.write("examples", 0)
    browser.do("examples")
    assert browser.value("text") == "my money"
    assert browser.value("answer").count("refund") == 2  # the model and the test data
    assert "“money”" in browser.value("why")


def test_praise_reaches_the_database(browser: Browser, root: Path) -> None:
    browser.write("text", TEXT)
    browser.do("ask")
    number = browser.value("kept")["id"]
    browser.do("right")
    assert number[:8] in browser.value("thanks")
    assert browser["right"]["interactive"] is False
    assert said(root, number) == [("up", None, None)]


def test_a_correction_reaches_the_database(browser: Browser, root: Path) -> None:
    browser.write("text", TEXT)
    browser.do("ask")
    browser.do("wrong")
    assert browser["correction"]["visible"] is True
    browser.write("right_answer", "delivery")
    browser.write("reason", "the parcel, not the money")
    browser.do("send")
    number = browser.value("kept")["id"]
    assert number[:8] in browser.value("thanks")
    assert browser["correction"]["visible"] is False
    assert said(root, number) == [("down", "delivery", "the parcel, not the money")]


def said(root: Path, number: str) -> list[tuple[object, ...]]:
    query = (
        "select verdict, label, reason from feedback join requests "
        "on feedback.request = requests.number where id = ?"
    )
    return rows(root, query, number)


def test_looking_for_words_leaves_no_line_in_the_log(browser: Browser, root: Path) -> None:
    browser.write("text", TEXT)
    browser.do("ask")
    number = browser.value("kept")["id"]
    before = "select number from requests where id = ?"
    ((at,),) = rows(root, before, number)
    browser.do("ask")
    again = browser.value("kept")["id"]
    ((after,),) = rows(root, before, again)
    assert after == at + 1  # type: ignore[operator]
    query = "select texts, route, seconds > 0 from requests where id = ?"
    assert rows(root, query, again) == [(1, "/demo", 1)]


@pytest.mark.parametrize(
    "text",
    ["", " ", "\0", "a\0b", "\ud83d", "a" * 1_001, "😀👍🏽", "\u202emoney", "<b>money</b>",
     "{{x}} ${x}", "[SEP] [PAD]", "\u200b", "钱", "=1+1", "\\", "a\r\nb"],
)  # fmt: skip
def test_whatever_the_text_it_is_answered_or_refused_politely(
    text: str, client: httpx.Client
) -> None:
    browser = Browser(client)
    browser.write("text", text)
    event = next(one for one in browser.events if one["targets"][0][1] == "click")
    started = time.perf_counter()
    browser.changed(event, browser.answer(browser.join(event).json()["event_id"]))
    seconds = time.perf_counter() - started
    told = browser.value("answer")
    assert told.startswith(("⚠️", "## Answer")), told
    assert told.startswith("⚠️") == (browser.value("kept") is None)
    assert seconds < 1.0


def test_a_table_is_answered_row_by_row(browser: Browser) -> None:
    browser.choose("file", "id,text\n=1+1,my money\n2,\n3,my parcel\n".encode("gb18030"))
    browser.do("label_file")
    assert "2 of 3" in browser.value("summary")
    lines = browser.fetch("answers").decode("utf-8-sig").splitlines()
    assert lines[0] == '"id","text","answer","confidence","model","problem"'
    assert lines[1].startswith('"\'=1+1","my money","refund","')
    assert '"text: found an empty text' in lines[2]
    assert lines[3].startswith('"3","my parcel","delivery","')


def test_without_a_file_nothing_is_answered(browser: Browser) -> None:
    browser.do("label_file")
    assert texts.NO_FILE.text in browser.value("summary")


def test_a_table_without_such_a_column_is_told(browser: Browser) -> None:
    browser.choose("file", b"a,b\n1,my money\n")
    browser.do("label_file")
    assert "a, b" in browser.value("summary")
    browser.write("column", "b")
    browser.do("label_file")
    assert "1 of 1" in browser.value("summary")


def test_a_file_that_came_in_lies_where_only_the_service_looks(
    browser: Browser, root: Path
) -> None:
    browser.choose("file", b"text\nmy money\n")
    path = Path(browser.value("file")["path"])
    assert path.is_relative_to((root / "var/demo").resolve())
    assert path.relative_to((root / "var/demo").resolve()).parts[0].isdecimal()
    assert (root / "var/demo" / path.relative_to((root / "var/demo").resolve()).parts[0]).stat(
    ).st_mode & 0o777 == 0o700  # fmt: skip


@pytest.mark.parametrize(
    ("task", "text", "answer", "right", "label"),
    [
        (MULTI, "my money and my parcel", "delivery, refund", ["refund", "account"],
         "account|refund"),
        (REGRESSION, "good good", "Answer: ", " 3.50", "3.5"),
    ],
)  # fmt: skip
def test_several_labels_and_numbers_have_the_page_too(
    task: str, text: str, answer: str, right: object, label: str, tmp_path: Path
) -> None:
    tiny.promoted(tmp_path, task=task)
    with contextlib.chdir(tmp_path), tiny.served(tmp_path, demo__enabled=True) as client:
        browser = Browser(client)
        browser.write("text", text)
        browser.do("ask")
        assert answer in browser.value("answer")
        assert browser["bars"]["visible"] is (task == MULTI)
        assert "".join(one["token"] for one in browser.value("shades")) == text
        assert browser["right_answer"]["multiselect"] is (task == MULTI)
        browser.do("wrong")
        browser.write("right_answer", right)
        browser.do("send")
        number = browser.value("kept")["id"]
        assert number[:8] in browser.value("thanks")
        assert said(tmp_path, number) == [("down", label, None)]


def test_where_keys_are_set_the_page_asks_for_one(tmp_path: Path) -> None:
    tiny.promoted(tmp_path)
    key = "0123456789abcdef0123456789abcdef"
    env = {"MOFANG_KEYS": f"anna:predict:{key}"}
    with contextlib.chdir(tmp_path), tiny.served(tmp_path, env, demo__enabled=True) as client:
        for path in ("/demo/", "/demo/config", "/demo/assets/x.js"):
            answer = client.get(path)
            assert answer.status_code == 401
            assert "Basic" in answer.headers["www-authenticate"]
        assert client.post("/demo/gradio_api/queue/join", json={}).status_code == 401
        client.auth = ("anna", key)
        browser = Browser(client)
        browser.write("text", TEXT)
        browser.do("ask")
        assert "refund" in browser.value("answer")


def test_nothing_is_left_when_the_service_has_ended(tmp_path: Path) -> None:
    tiny.promoted(tmp_path)
    with contextlib.chdir(tmp_path), tiny.served(tmp_path, demo__enabled=True) as client:
        Browser(client).choose("file", b"text\nmy money\n")
        assert list((tmp_path / "var/demo").rglob("*.csv"))
    assert not list((tmp_path / "var/demo").iterdir())
