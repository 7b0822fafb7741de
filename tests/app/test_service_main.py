"""Where the service listens, and what it refuses to begin with."""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from app.service import main
from app.service.keys import Keys
from pipeline.errors import ParamsError, StorageError
from pipeline.i18n import LANGUAGES, _, catalogue
from tests.app import tiny

KEY = "alice:predict:a-long-random-key-1"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9"])
def test_this_machine_needs_no_key(host: str) -> None:
    main.refuse_open_door(tiny.serve(host=host), Keys.read(""))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "mofang.example.org"])  # noqa: S104
def test_other_machines_need_one(host: str) -> None:
    with pytest.raises(ParamsError, match="MOFANG_KEYS"):
        main.refuse_open_door(tiny.serve(host=host), Keys.read(""))
    main.refuse_open_door(tiny.serve(host=host), Keys.read(KEY))


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ParamsError, match=str(port)):
            main.listen(tiny.serve(port=port))


def test_the_command_line_changes_the_address() -> None:
    params = tiny.sections()
    changed = main.with_address(params, "::1", 8_123).serve
    assert (changed.host, changed.port) == ("::1", 8_123)
    assert main.with_address(params, None, None).serve == params.serve
    for host, port in (("not a host!", None), (None, 70_000)):
        with pytest.raises(ParamsError, match="--host, --port"):
            main.with_address(params, host, port)


def test_wrong_keys_and_databases_are_told_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="line 1"):
        main.build(tiny.sections(), {"MOFANG_KEYS": "nobody"}, tmp_path)
    with pytest.raises(StorageError) as caught:
        main.build(tiny.sections(), {"MOFANG_DATABASE_URL": "mysql://me:hunter22@x/y"}, tmp_path)
    assert "hunter22" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "changes",
    [
        {"limits__texts": 129},  # more than the queue holds
        {"rate__texts_per_second": 1.0, "rate__burst": 63},  # fewer than a request may bring
        {"demo__enabled": True, "demo__variants": 64, "limits__texts": 64},
        {"host": "not a host"},
        {"name": "Mofang/../x"},
    ],
)
def test_values_that_do_not_fit_each_other(changes: dict[str, Any]) -> None:
    with pytest.raises(ParamsError):
        tiny.serve(**changes)


def test_the_service_needs_neither_torch_nor_transformers(tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from pathlib import Path; from app.service import main; "
        "from tests.app import tiny; main.build(tiny.sections(), {}, Path(sys.argv[1])); "
        "heavy = {'torch', 'transformers', 'pandas', 'sklearn', 'scipy', 'gradio', 'evidently', "
        "'alembic', 'apprise', 'plotly', 'datasets'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_the_monitor_learns_in_both_languages_what_is_wrong(tmp_path: Path) -> None:
    service = main.build(tiny.sections(), {}, tmp_path).state.service
    why = _("nothing")
    service.router.follower.troubles["test"] = why
    assert service.schedule.sampled()["degraded"] == [{"en": why.render("en"),
                                                       "zh": why.render("zh")}]  # fmt: skip
    assert why.render("en") != why.render("zh")


def test_no_reader_waits_for_a_language_to_be_read(tmp_path: Path) -> None:
    catalogue.cache_clear()
    with tiny.served(tmp_path):
        assert catalogue.cache_info().currsize == len(LANGUAGES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what gradio imports
def test_the_page_for_people_is_beside_the_rest(tmp_path: Path) -> None:
    tiny.promoted(tmp_path)
    with tiny.served(tmp_path, demo__enabled=True) as client:
        page = client.get("/demo/")
        assert page.status_code == 200
        assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
        assert client.get("/", follow_redirects=False).headers["location"] == "/demo/"
        assert client.post("/predict", json={"inputs": "my money"}).json()["answers"] == ["refund"]
        assert 'route="/demo"' in client.get("/metrics").text
        assert client.get("/demo/nothing-here").status_code == 404


def test_a_showcase_answers_explains_and_takes_feedback(tmp_path: Path) -> None:
    from app.service.describe import Showcase
    from app.service.errors import Invalid, NotReady

    app = main.build(tiny.sections(), {}, tmp_path)
    service = app.state.service
    show = Showcase(service.desk)

    async def visit() -> None:
        with pytest.raises(NotReady):
            show.description()
        assert show.examples() == []
        tiny.promoted(tmp_path)
        async with service.running():
            reply = await show.ask(["my money", "parcel"], "visitor")
            assert list(reply.answers) == ["refund", "delivery"]
            assert reply.predictions[0][0][0] == "refund"
            assert reply.version == show.description()["version"] == "1.0.0"
            assert show.examples() == [("my money", "refund")]
            pieces = await show.explain("where is my money", "refund", "visitor")
            assert "".join(text for text, _weight in pieces) == "where is my money"
            assert max(pieces, key=lambda one: one[1])[0].strip() == "money"
            await show.feedback(reply.id, "down", "account", "no")
            for number, label in (("x", None), (reply.id, "no label")):
                with pytest.raises(Invalid):
                    await show.feedback(number, "up", label, None)

    tiny.run(visit())
