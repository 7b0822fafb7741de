"""The service over real HTTP: what is answered, what is refused, and how it is told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.service import api, main, manual, protocol
from app.service.gate import ROLES
from pipeline.releases import state
from pipeline.steps.targets import MULTI
from tests.app import tiny
from tests.helpers import quickest
from tests.pipeline.made_models import LABELS

ALICE, OPERATOR = "a-long-random-key-1", "another-long-key-22"
KEYS = f"alice:predict:{ALICE}\nroot:operate:{OPERATOR}"
JSON = {"content-type": "application/json"}
REFUSED_WITHIN = 0.1  # seconds


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    tiny.promoted(root)
    return root


@pytest.fixture(scope="module")
def client(project: Path) -> Iterator[httpx.Client]:
    with tiny.served(project) as one:
        yield one


def infer(texts: list[Any], **more: Any) -> dict[str, Any]:
    tensor = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [tensor | more]}


def told(answer: httpx.Response, status: int, code: str) -> dict[str, str]:
    """Check that an error has the one shape, and return it."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error: dict[str, str] = answer.json()["error"]
    assert set(error) == {"code", "message", "hint"}
    assert error["code"] == code
    assert all(error.values())
    assert len(answer.headers["x-request-id"]) == 32
    return error


def test_a_text_is_answered(client: httpx.Client) -> None:
    answer = client.post("/predict", json={"inputs": "where is my parcel"})
    assert answer.status_code == 200
    found = answer.json()
    assert found["model"] == answer.headers["x-mofang-version"] == "1.0.0"
    assert found["id"] == answer.headers["x-request-id"]
    assert found["answers"] == ["delivery"]
    [[best]] = found["predictions"]
    assert best["label"] == "delivery"
    assert 0.9 < best["score"] <= 1


def test_texts_keep_their_order_and_labels_come_best_first(client: httpx.Client) -> None:
    asked = {"inputs": ["my money", "password please", "parcel"] * 20, "parameters": {"top_k": 3}}
    found = client.post("/predict", json=asked).json()
    assert found["answers"] == ["refund", "account", "delivery"] * 20
    for labels in found["predictions"]:
        assert {one["label"] for one in labels} == set(LABELS)
        scores = [one["score"] for one in labels]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_request"),
        (b"{", 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b"\xff\xfe", 422, "invalid_request"),
        (b'{"inputs": 5}', 422, "invalid_request"),
        (b'{"inputs": []}', 422, "invalid_request"),
        (b'{"inputs": [["a"]]}', 422, "invalid_request"),
        (b'{"inputs": "a", "parameters": {"top_k": 0}}', 422, "invalid_request"),
        (b'{"inputs": "a", "parameters": {"topk": 1}}', 422, "invalid_request"),
        (b'{"inputs": "a", "other": 1}', 422, "invalid_request"),
        (b'{"inputs": ""}', 422, "empty_text"),
        (b'{"inputs": "  "}', 422, "empty_text"),
        (rb'{"inputs": "\ud800"}', 422, "invalid_request"),
        (rb'{"inputs": "a\u0000"}', 422, "invalid_request"),
        (b'{"inputs": "' + b"a" * 1_001 + b'"}', 413, "too_large"),
        (json.dumps({"inputs": ["a"] * 10_000}).encode(), 413, "too_large"),
        (b"[" * 60_000, 422, "invalid_request"),
        (b'{"inputs": [' + b"1," * 30_000 + b"1]}", 422, "invalid_request"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(
    client: httpx.Client, body: bytes, status: int, code: str
) -> None:
    client.get("/health")  # the connection is there
    answer, seconds = quickest(lambda: client.post("/predict", content=body, headers=JSON))
    assert seconds < REFUSED_WITHIN
    told(answer, status, code)


@pytest.mark.parametrize(
    "text", ["👩‍👩‍👧 password", "\u202e password", "密码 password", "password\u200b"]
)
def test_odd_texts_are_answered(client: httpx.Client, text: str) -> None:
    assert client.post("/predict", json={"inputs": text}).json()["answers"] == ["account"]


@pytest.mark.parametrize("chunked", [False, True])
def test_ten_megabytes_are_refused(client: httpx.Client, chunked: bool) -> None:
    body = b'{"inputs": "' + b"a" * 10_000_000 + b'"}'
    content: Any = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    started = time.perf_counter()
    answer = client.post("/predict", content=content if chunked else body, headers=JSON)
    assert time.perf_counter() - started < 1.0
    told(answer, 413, "too_large")
    assert client.get("/health").status_code == 200, "the connection is still good"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_has_to_say_that_it_is_json(client: httpx.Client, kind: str) -> None:
    """A page of another site can have a browser send anything else without asking."""
    headers = {"content-type": kind}
    told(client.post("/predict", content=b'{"inputs": "a"}', headers=headers), 415, "not_json")


def test_errors_speak_the_reader_s_language(client: httpx.Client) -> None:
    answers = [
        client.post("/predict", json={"inputs": [""]}, headers={"accept-language": language})
        for language in ("en", "zh-CN,zh;q=0.9")
    ]
    assert [one.headers["content-language"] for one in answers] == ["en", "zh"]


@pytest.mark.parametrize(
    "path", ["/nothing", "/predict/x", "/v2/models/other", "/v2/models/mofang/x"]
)
def test_what_is_not_there(client: httpx.Client, path: str) -> None:
    told(client.get(path), 404, "not_found")


def test_another_method(client: httpx.Client) -> None:
    told(client.get("/predict"), 405, "not_allowed_method")


def test_foreign_names_are_refused(client: httpx.Client) -> None:
    told(client.get("/model", headers={"host": "evil.org"}), 400, "unknown_host")
    assert client.get("/model", headers={"host": "localhost:1"}).status_code == 200


def test_every_answer_is_safe_to_show(client: httpx.Client) -> None:
    for path in ("/model", "/docs", "/nothing", "/metrics", "/openapi.json"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_model_tells_about_itself(client: httpx.Client) -> None:
    found = client.get("/model").json()
    assert found["version"] == "1.0.0"
    assert found["labels"] == LABELS
    assert found["figures"] == {"macro_f1": 1.0}
    assert set(found["limits"]) == {"en", "zh"}
    assert found["canary"] is None
    api.Model.model_validate(found)


def test_health_and_metrics(client: httpx.Client) -> None:
    client.post("/predict", json={"inputs": ["my money", "parcel"]})
    found = client.get("/health").json()
    assert (found["live"], found["ready"]) == (True, True)
    text = client.get("/metrics").text
    assert 'mofang_requests_total{code="200",route="/predict",version="1.0.0"}' in text
    assert 'mofang_model_info{role="stable",version="1.0.0"} 1.0' in text
    for name in ("mofang_texts_total", "mofang_input_tokens_total", "mofang_queue_texts",
                 "mofang_confidence_bucket", "process_resident_memory_bytes"):  # fmt: skip
        assert name in text


def test_a_path_that_a_client_makes_up_is_no_series(client: httpx.Client) -> None:
    client.get("/made-up-by-a-client")
    client.get("/v2/models/made-up-name")
    text = client.get("/metrics").text
    assert "made-up" not in text
    assert 'route="/v2/models/{name}"' in text


def rows(project: Path, query: str, value: object) -> list[Any]:
    with contextlib.closing(sqlite3.connect(project / "var/traffic.sqlite")) as connection:
        return connection.execute(query, (value,)).fetchall()


def until(found: Any) -> Any:
    """Wait until something is there; the log is written behind the answers."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(sqlite3.Error):
            if there := found():
                return there
        time.sleep(0.02)
    raise AssertionError("not there within 5 s")


def test_answers_and_feedback_are_written_down(project: Path, client: httpx.Client) -> None:
    answer = client.post("/predict", json={"inputs": ["my money", "parcel"]})
    number = answer.json()["id"]
    said = {"id": number, "index": 1, "verdict": "down", "label": "refund", "reason": "no, 钱"}
    received = client.post("/feedback", json=said)
    assert (received.status_code, received.json()) == (202, {"received": True})
    query = "select number, code, version, texts from requests where id = ?"
    [(request, code, version, texts)] = until(lambda: rows(project, query, number))
    assert (code, version, texts) == (200, "1.0.0", 2)
    query = 'select label from predictions where request = ? order by "index"'
    assert until(lambda: rows(project, query, request)) == [("refund",), ("delivery",)]
    query = "select verdict, label from feedback where request = ?"
    assert until(lambda: rows(project, query, request)) == [("down", "refund")]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": "sideways"}, {"index": -1}, {"id": "x"}, {"id": "'; drop table requests; --"},
        {"label": "no label"}, {"reason": "x" * 1_001}, {"reason": "a\0"}, {"other": 1},
    ],
)  # fmt: skip
def test_feedback_that_says_nothing_is_refused(
    client: httpx.Client, changes: dict[str, Any]
) -> None:
    said = {"id": "0" * 32, "index": 0, "verdict": "up"} | changes
    told(client.post("/feedback", json=said), 422, "invalid_request")


def test_the_open_inference_protocol(client: httpx.Client) -> None:
    assert client.get("/v2").json()["name"] == "mofang"
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    about = client.get("/v2/models/mofang").json()
    assert about == client.get("/v2/models/mofang/versions/1.0.0").json()
    assert about["versions"] == ["1.0.0"]
    assert about["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert about["parameters"]["labels"] == LABELS
    for path in ("", "/versions/1.0.0"):
        ready = client.get(f"/v2/models/mofang{path}/ready").json()
        assert ready == {"name": "mofang", "ready": True}
        answer = client.post(f"/v2/models/mofang{path}/infer", json=infer(["my money", "parcel"]))
        found = answer.json()
        assert (found["model_name"], found["model_version"]) == ("mofang", "1.0.0")
        label, scores = found["outputs"]
        assert label == {"name": "label", "shape": [2], "datatype": "BYTES",
                         "data": ["refund", "delivery"]}  # fmt: skip
        assert (scores["shape"], scores["datatype"]) == ([2, 3], "FP64")
        assert sum(scores["data"]) == pytest.approx(2)
        protocol.Inferred.model_validate(found)


def test_the_protocol_s_options(client: httpx.Client) -> None:
    path = "/v2/models/mofang/infer"
    asked = infer([["my money"], ["parcel"]], shape=[2, 1])
    asked |= {"id": "mine", "outputs": [{"name": "label"}]}
    found = client.post(path, json=asked).json()
    assert found["id"] == "mine"
    assert [one["name"] for one in found["outputs"]] == ["label"]
    for wrong in (
        infer(["a"], shape=[2]), infer(["a"], datatype="FP32"), infer(["a"], name="input"),
        infer([]), infer(["a"]) | {"outputs": [{"name": "x"}]}, infer([1]), {},
    ):  # fmt: skip
        told(client.post(path, json=wrong), 422, "invalid_request")
    told(client.post("/v2/models/mofang/versions/9.9.9/infer", json=infer(["a"])), 404, "not_found")
    told(client.get("/v2/models/mofang/versions/9.9.9/ready"), 404, "not_found")


def test_what_openapi_says_is_there(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    text = json.dumps(document)
    named = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}
    assert named <= set(document["components"]["schemas"])
    assert {"Ask", "Feedback", "Inference"} <= named
    there = {
        (method.upper(), path) for path, known in document["paths"].items() for method in known
    }
    assert there == {(one.method, one.path) for one in manual.OPERATIONS}


def test_every_route_has_a_role() -> None:
    app = main.build(tiny.sections(), {}, Path("nowhere"))
    for route in app.routes:
        path = getattr(route, "path", "")
        known = path in ROLES or path.startswith("/v2/models/")
        assert known, f"{path}: say in gate.ROLES who may ask"


def test_docs_come_in_both_languages_and_from_here_alone(client: httpx.Client) -> None:
    pages = [client.get("/docs", headers={"accept-language": one}).text for one in ("en", "zh")]
    assert 'lang="en"' in pages[0]
    assert 'lang="zh-CN"' in pages[1]
    assert all("cdn" not in one and "<script" not in one for one in pages)
    assert client.get("/", follow_redirects=False).headers["location"] == "/docs"


def test_keys_open_what_their_role_may(project: Path, tmp_path: Path) -> None:
    with tiny.served(tiny.copied(project, tmp_path), {"MOFANG_KEYS": KEYS}) as client:
        alice, operator = ({"authorization": f"Bearer {key}"} for key in (ALICE, OPERATOR))
        ask = {"json": {"inputs": "my money"}}
        told(client.post("/predict", **ask), 401, "no_key")
        told(client.post("/predict", **ask, headers={"x-api-key": "wrong" * 5}), 401, "no_key")
        assert client.post("/predict", **ask, headers=alice).status_code == 200
        assert client.post("/predict", **ask, headers=operator).status_code == 200
        told(client.get("/metrics", headers=alice), 403, "not_allowed")
        assert client.get("/metrics", headers=operator).status_code == 200
        for path in ("/model", "/docs", "/openapi.json", "/v2", "/v2/models/mofang", "/nothing"):
            told(client.get(path), 401, "no_key")
        for path in ("/health", "/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        assert client.get("/docs", auth=("alice", ALICE)).status_code == 200


def test_one_client_does_not_take_all(project: Path, tmp_path: Path) -> None:
    rate = {"rate__texts_per_second": 1.0, "rate__burst": 64}
    with tiny.served(tiny.copied(project, tmp_path), **rate) as client:
        assert client.post("/predict", json={"inputs": ["my money"] * 60}).status_code == 200
        answer = client.post("/predict", json={"inputs": ["my money"] * 30})
        told(answer, 429, "too_many_requests")
        assert int(answer.headers["retry-after"]) >= 20
        again = client.post(
            "/predict", json={"inputs": ["my money"] * 30}, headers={"x-client-id": "another"}
        )
        told(again, 429, "too_many_requests")


def test_no_more_requests_than_may_be_under_way(project: Path, tmp_path: Path) -> None:
    async def ask(address: str) -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(base_url=address, trust_env=False, limits=limits) as client:
            asked = (
                client.post("/predict", json={"inputs": ["my money"] * 50}) for _at in range(40)
            )
            return list(await asyncio.gather(*asked))

    with tiny.served(tiny.copied(project, tmp_path), limits__connections=2) as client:
        answers = tiny.run(ask(str(client.base_url)))
        refused = [one for one in answers if one.status_code != 200]
        assert refused
        assert len(refused) < 40
        for one in refused:
            told(one, 503, "busy")
            assert int(one.headers["retry-after"]) >= 1
        assert client.post("/predict", json={"inputs": "my money"}).status_code == 200


def test_without_a_release_it_says_so_and_takes_the_first(tmp_path: Path) -> None:
    with tiny.served(tmp_path) as client:
        error = told(client.post("/predict", json={"inputs": "a"}), 503, "not_ready")
        assert "promote" in error["hint"]
        assert client.get("/health").status_code == 503
        assert client.get("/v2/health/ready").status_code == 503
        assert client.get("/v2/health/live").status_code == 200
        told(client.get("/model"), 503, "not_ready")
        tiny.promoted(tmp_path)
        until(lambda: client.get("/health").status_code == 200)
        assert client.post("/predict", json={"inputs": "my money"}).json()["model"] == "1.0.0"


def test_a_switch_loses_no_request(project: Path, tmp_path: Path) -> None:
    root = tiny.copied(project, tmp_path)
    tiny.release(root / "releases", "1.1.0")

    async def flood(address: str, found: list[tuple[int, str]], end: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=address, trust_env=False) as client:
            while not end.is_set():
                answer = await client.post("/predict", json={"inputs": "my money"})
                found.append((answer.status_code, answer.headers.get("x-mofang-version", "")))

    async def switch(address: str) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        end = asyncio.Event()
        floods = [asyncio.create_task(flood(address, found, end)) for _client in range(4)]
        for version in ("1.1.0", "1.0.0", "1.1.0"):
            await asyncio.to_thread(state.promote, version, "test", root=root / "releases")
            while not found or found[-1][1] != version:
                await asyncio.sleep(0.05)
        end.set()
        await asyncio.gather(*floods)
        return found

    with tiny.served(root) as client:
        found = tiny.run(switch(str(client.base_url)))
    assert {code for code, _version in found} == {200}
    assert {version for _code, version in found} == {"1.0.0", "1.1.0"}


def test_several_labels_and_the_best_of_them(tmp_path: Path) -> None:
    tiny.promoted(tmp_path, task=MULTI)
    with tiny.served(tmp_path) as client:
        found = client.post("/predict", json={"inputs": ["money parcel", "hello"]}).json()
    assert found["answers"] == ["delivery|refund", ""]
    assert [len(one) for one in found["predictions"]] == [1, 1]


def test_a_head_that_does_not_arrive_ends_the_connection(project: Path, tmp_path: Path) -> None:
    root = tiny.copied(project, tmp_path)
    with tiny.served(root, limits__body_seconds=1) as client:
        address = (client.base_url.host, client.base_url.port or 0)
        for sent in (b"", b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-A: "):
            with socket.create_connection(address, timeout=5) as connection:
                connection.sendall(sent)
                started = time.monotonic()
                with contextlib.suppress(ConnectionResetError):
                    assert connection.recv(100) == b""
                assert time.monotonic() - started < 4
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(head + b"Content-Length: 50\r\n\r\n{")
            assert b" 408 " in connection.recv(1_000)


def test_a_head_without_end_ends_the_connection(client: httpx.Client) -> None:
    address = (client.base_url.host, client.base_url.port or 0)
    for begun in (b"GET /", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "):
        with socket.create_connection(address, timeout=10) as connection:
            connection.sendall(begun)
            sent = 0
            with contextlib.suppress(ConnectionError):
                while sent < 50_000_000:
                    sent += connection.send(b"a" * 100_000)
            assert sent < 20_000_000, "nobody ends it"
    assert client.get("/health").status_code == 200


def test_a_body_without_end_ends_the_connection(client: httpx.Client) -> None:
    address = (client.base_url.host, client.base_url.port or 0)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(head + b"Content-Length: 1000000000000\r\n\r\n")
        assert b" 413 " in connection.recv(10_000)
        sent, piece = 0, b"a" * 1_000_000
        with contextlib.suppress(ConnectionError):
            while sent < 500_000_000:
                connection.sendall(piece)
                sent += len(piece)
        assert sent < 200_000_000, "nobody ends it"
    assert client.get("/health").status_code == 200
