"""Keys, rates, texts, host names, languages and the log: what is checked before a text is read."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service import errors, logs
from app.service.errors import (
    EmptyText,
    Invalid,
    NoKey,
    NotAllowed,
    Refusal,
    TooLarge,
    TooMany,
    UnknownHost,
    language_of,
)
from app.service.gate import Hosts, name_in, role_for
from app.service.keys import EVERYBODY, Keys, require
from app.service.limits import Buckets, check_text, check_texts
from app.service.manual import page
from pipeline.errors import ParamsError
from tests.app import tiny

ALICE, ROOT_KEY = "a-long-random-key-1", "another-long-key-22"
KEYS = Keys.read(f"alice:predict:{ALICE}\n\nroot:operate:{ROOT_KEY}\n")
LIMITS = tiny.serve().limits


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {ALICE}"},
        {"authorization": f"bearer  {ALICE} "},
        {"x-api-key": ALICE},
        {"authorization": "Basic " + base64.b64encode(f"any:{ALICE}".encode()).decode()},
    ],
)
def test_a_key_names_its_owner(headers: dict[str, str]) -> None:
    caller = KEYS.caller(headers)
    assert (caller.name, caller.role) == ("alice", "predict")
    assert KEYS.knows(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": f"Bearer {ALICE}x"},
        {"authorization": f"Bearer {ALICE[:-1]}"},
        {"authorization": "Basic %%%"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"authorization": f"Digest {ALICE}"},
        {"x-api-key": "alice"},
        {"x-api-key": "\udc80" * 20},
    ],
)
def test_any_other_key_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(NoKey) as caught:
        KEYS.caller(headers)
    assert caught.value.status == 401
    assert "Bearer" in caught.value.headers()["WWW-Authenticate"]
    assert not KEYS.knows(headers)
    assert ALICE not in str(caught.value)


def test_without_keys_everybody_may_do_everything() -> None:
    none = Keys.read("")
    assert not none
    assert none.caller({}) is EVERYBODY
    require(EVERYBODY, "operate")


def test_roles() -> None:
    alice, root = (KEYS.caller({"x-api-key": key}) for key in (ALICE, ROOT_KEY))
    require(alice, "predict")
    require(root, "predict")
    require(root, "operate")
    with pytest.raises(NotAllowed):
        require(alice, "operate")


@pytest.mark.parametrize(
    "line",
    ["alice", "alice:predict", "alice:predict:short", ":predict:" + ALICE, "alice:god:" + ALICE],
)
def test_a_line_that_is_no_key_is_named_and_not_shown(line: str) -> None:
    with pytest.raises(ParamsError, match="line 2") as caught:
        Keys.read(f"bob:predict:{ALICE}\n{line}")
    for secret in (ALICE, "short"):
        assert secret not in str(caught.value)
    assert ALICE not in repr(KEYS)


def test_the_rate_is_an_average_with_bursts() -> None:
    rate = tiny.serve(rate__texts_per_second=10.0, rate__burst=64).rate
    buckets = Buckets(rate)
    buckets.take("alice", 64, now=0.0)
    with pytest.raises(TooMany) as caught:
        buckets.take("alice", 5, now=0.1)
    assert caught.value.retry_after == pytest.approx(0.4)
    assert caught.value.headers() == {"Retry-After": "1"}
    buckets.take("bob", 64, now=0.1)
    buckets.take("alice", 5, now=0.5)
    buckets.take("alice", 64, now=100.0)
    with pytest.raises(TooMany):
        buckets.take("alice", 1, now=100.0)


def test_a_rate_of_nothing_is_none() -> None:
    buckets = Buckets(tiny.serve(rate__texts_per_second=0.0).rate)
    for _time in range(100):
        buckets.take("alice", 1_000, now=0.0)
    assert len(buckets) == 0


def test_the_memory_of_clients_is_bounded() -> None:
    buckets = Buckets(tiny.serve(rate__texts_per_second=1.0, rate__clients=50).rate)
    for at in range(1_000):
        buckets.take(f"client {at}", 1, now=float(at))
        buckets.take("regular", 1, now=float(at))
    assert len(buckets) == 50
    buckets.take("regular", 1, now=1_000.0)


@given(st.lists(st.tuples(st.integers(1, 64), st.floats(0, 3)), max_size=40))
def test_no_client_gets_more_than_the_rate(asked: list[tuple[int, float]]) -> None:
    buckets = Buckets(tiny.serve(rate__texts_per_second=10.0, rate__burst=64).rate)
    now, given_out = 0.0, 0
    for texts, pause in asked:
        now += pause
        try:
            buckets.take("alice", texts, now)
        except TooMany:
            continue
        given_out += texts
    assert given_out <= 64 + 10 * now + 1e-6


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([], Invalid),
        ([""], EmptyText),
        ([" \t\n\u3000"], EmptyText),
        (["a\0b"], Invalid),
        (["\ud800"], Invalid),
        (["好\udfff"], Invalid),
        (["a" * 1_001], TooLarge),
        (["a"] * 65, TooLarge),
        (["fine", ""], EmptyText),
    ],
)
def test_texts_that_are_refused(texts: list[str], kind: type[Refusal]) -> None:
    with pytest.raises(kind) as caught:
        check_texts(texts, LIMITS)
    assert type(caught.value) is kind
    for language in ("en", "zh"):
        errors.refused(caught.value, language)  # can be written, whatever stands in the text


@pytest.mark.parametrize(
    "text", ["a", "你好", "👩‍👩‍👧", "a" * 1_000, "\u202eevil", "x\u200b", "\ufffd"]
)
def test_texts_that_are_answered(text: str) -> None:
    check_text(text, "inputs", 1_000)


@given(st.text(alphabet=st.characters(categories=["Cs", "L", "Zs", "Cc"]), max_size=30))
def test_what_passes_can_be_encoded(text: str) -> None:
    try:
        check_text(text, "inputs", 30)
    except Invalid:
        return
    assert text.encode().decode() == text
    assert text.strip()


@pytest.mark.parametrize(
    "header",
    ["localhost", "LocalHost:8000", "127.0.0.1:8000", "[::1]:8000", "10.1.2.3", "a.example.org:1",
     "mofang.test"],
)  # fmt: skip
def test_names_by_which_it_may_be_called(header: str) -> None:
    Hosts.of("127.0.0.1", ["*.example.org", "Mofang.test"]).check(header)


@pytest.mark.parametrize(
    "header",
    ["", "evil.org", "localhost.evil.org", "127.0.0.1.evil.org", "example.org", "evilexample.org",
     "localhost@evil.org", "[::1].evil.org", "xn--localhost"],
)  # fmt: skip
def test_foreign_names_are_refused(header: str) -> None:
    with pytest.raises(UnknownHost):
        Hosts.of("127.0.0.1", ["*.example.org"]).check(header)


def test_the_name_in_a_header() -> None:
    assert name_in("[FE80::1]:80") == "fe80::1"
    assert name_in(" A.b:80 ") == "a.b"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh-CN;q=0.8", "en"),
        ("fr, zh;q=0.5, en;q=0.4", "zh"),
        ("fr", "en"),
        ("zh;q=0", "en"),
        ("en;q=0.1, zh;q=0.9", "zh"),
        ("zh;q=nan, en;q=x", "en"),
        ("," * 5_000, "en"),
    ],
)
def test_the_language_of_a_reader(header: str, language: str) -> None:
    assert language_of(header) == language


@given(st.text(max_size=60))
def test_any_header_names_a_language(header: str) -> None:
    assert language_of(header) in ("en", "zh")


def test_paths_that_nobody_named_are_the_operators() -> None:
    assert role_for("/predict") == "predict"
    assert role_for("/v2/models/mofang/infer") == "predict"
    assert role_for("/demo/gradio_api/queue/join") == "predict"
    assert role_for("/metrics") == "operate"
    assert role_for("/predict/../metrics") == "operate"
    assert role_for("/demonstration") == "operate"
    assert role_for("/health") is None


def test_an_error_has_one_shape_in_both_languages() -> None:
    error = TooLarge.at("inputs", found="9 texts", allowed="8", fix="Send fewer.")
    for language in ("en", "zh"):
        answer = errors.refused(error, language)
        told = json.loads(bytes(answer.body))
        assert set(told) == {"error"}
        assert set(told["error"]) == {"code", "message", "hint"}
        assert told["error"]["code"] == "too_large"
        assert answer.headers["content-language"] == language
    assert answer.status_code == 413


def line(record: logging.LogRecord, **secrets: str) -> dict[str, Any]:
    text = logs.Lines(secrets).format(record)
    assert "\n" not in text
    assert text.isascii()
    found: dict[str, Any] = json.loads(text)
    return found


def record(message: str, *values: object, trace: Any = None) -> logging.LogRecord:
    return logging.LogRecord("mofang.test", logging.INFO, "", 0, message, values, trace)


def test_a_line_of_the_log_cannot_be_forged() -> None:
    told = line(record("asked for %s", 'x\n{"level": "info"}\x1b[2J\u202e'))
    assert told["message"].startswith("asked for x\n")
    assert told["level"] == "info"
    assert told["at"].endswith("+00:00")


def test_secrets_are_not_in_the_log() -> None:
    secrets = {
        "MOFANG_KEYS": f"alice:predict:{ALICE}\nroot:operate:{ROOT_KEY}",
        "MOFANG_DATABASE_URL": "postgresql+psycopg://mofang:hunter22secret@db/mofang",
        "MOFANG_ALERTS": "dingtalk://token-of-a-robot/13800000000",
    }
    try:
        raise RuntimeError(f"cannot use {ALICE} at {secrets['MOFANG_DATABASE_URL']}")
    except RuntimeError as error:
        trace = (type(error), error, error.__traceback__)
    told = line(record("%s %s", ROOT_KEY, secrets["MOFANG_ALERTS"], trace=trace), **secrets)
    for one in (ALICE, ROOT_KEY, "hunter22secret", "token-of-a-robot"):
        assert one not in json.dumps(told)
    assert "RuntimeError" in told["trace"]


def failure(request: int, error: type[Exception] = RuntimeError) -> logging.LogRecord:
    try:
        raise error(f"of request {request}")
    except Exception as caught:
        trace = (type(caught), caught, caught.__traceback__)
    return record("request %s failed", request, trace=trace)


def test_what_fails_with_every_request_fills_no_disk() -> None:
    now = [1_000.0]
    sparing = logs.Sparing(clock=lambda: now[0])

    def written(count: int, error: type[Exception] = RuntimeError) -> list[dict[str, Any]]:
        made = (failure(at, error) for at in range(count))
        return [line(one) for one in made if sparing.filter(one)]

    first = written(500)
    assert len(first) == logs.LINES
    assert ["trace" in one for one in first] == [True] + [False] * (logs.LINES - 1)
    assert {one["error"] for one in first} == {"RuntimeError"}
    assert first[3]["message"] == "request 3 failed", "the number that a client tells is found"
    assert "trace" in written(1, ValueError)[0], "another kind"
    now[0] += logs.MINUTE
    (told,) = written(1)
    assert told["left_out"] == 500 - logs.LINES
    assert "trace" not in told
    now[0] += logs.HOUR
    assert "trace" in written(1)[0]


def test_kinds_of_the_log_are_bounded() -> None:
    sparing = logs.Sparing()
    for at in range(3 * logs.KINDS):
        one = record("seen")
        one.lineno = at
        assert sparing.filter(one)
    assert len(sparing._kinds) == logs.KINDS


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_needs_nothing_from_elsewhere(language: str) -> None:
    text = page(language, 'http://localhost:8000"><script>')
    assert "<script" not in text
    assert text.count("src=") == 0
    assert text.count("href=") == 1
    for path in ("/predict", "/feedback", "/v2/models/{name}/infer"):
        assert path in text
