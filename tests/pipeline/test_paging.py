"""A paged JSON API: three ways to the next page, and an end to each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.schema.web import HttpSource
from pipeline.sources import http, paging
from pipeline.sources.file import joint_hash
from pipeline.sources.http import KEPT, open_source
from tests.pipeline.test_http import refusal, status, texts
from tests.pipeline.web import OTHER, Handler, Route, Server, Web, source, web

__all__ = ["web"]
pytestmark = pytest.mark.usefixtures("project")

LINK = {"kind": "link"}
CURSOR = {"kind": "field", "path": "paging.next", "parameter": "after"}
ADDRESS = {"kind": "field", "path": "next", "parameter": None}
NUMBER = {"kind": "number", "parameter": "page", "first": 1}
PAGES = 3


@pytest.fixture
def server(web: Web) -> Server:
    """The server of the test's web."""
    return web.server


def api(url: str, next_page: Any, items: str | None = "data.items", **changes: Any) -> HttpSource:
    """Return a source of kind http that is an API."""
    return source(url, answer="api", items=items, next_page=next_page, **changes)


def items(page: int) -> list[dict[str, Any]]:
    """Return two records of a page."""
    return [{"text": f"text {page}.{one}", "label": "human"} for one in range(2)]


def asked(one: Handler, parameter: str, first: int = 1) -> int:
    """Return the page that a request asks for."""
    return int(parse_qs(urlsplit(one.path).query).get(parameter, [str(first)])[0])


def send(one: Handler, content: Any, **headers: str) -> None:
    one.answer(json.dumps(content).encode(), Content_Type="application/json", **headers)


def by_link(one: Handler) -> None:
    page = asked(one, "p")
    link = (
        f'<https://other.test/, x>; rel="prev last", </items?p={page + 1}>; title="a, b"; rel=Next'
    )
    headers = {"Link": link} if page < PAGES else {"Link": '</items?p=1>; rel="first"'}
    send(one, {"data": {"items": items(page)}}, **headers)


def by_cursor(one: Handler) -> None:
    page = asked(one, "after")
    following = {"next": page + 1 if page < PAGES else None}
    send(one, {"data": {"items": items(page)}, "paging": following})


def by_address(one: Handler) -> None:
    page = asked(one, "p")
    following = f"items?p={page + 1}" if page < PAGES else ""
    send(one, {"data": {"items": items(page)}, "next": following})


def by_number(one: Handler) -> None:
    page = asked(one, "page")
    send(one, {"data": {"items": items(page) if page <= PAGES else []}})


KINDS: list[tuple[Any, Route]] = [
    (LINK, by_link),
    (CURSOR, by_cursor),
    (ADDRESS, by_address),
    (NUMBER, by_number),
]
EVERY_KIND = pytest.mark.parametrize(("rule", "route"), KINDS, ids=["link", "cursor", "url", "no"])
ALL = [f"text {page}.{one}" for page in range(1, PAGES + 1) for one in range(2)]


@EVERY_KIND
def test_all_pages_become_records(web: Web, server: Server, rule: Any, route: Route) -> None:
    server.routes["/items"] = route
    delivery = open_source(api(f"{server.url}/items?key=SECRET&q=a%20b", rule))
    rows = list(delivery.rows)
    assert [row.text for row in rows] == ALL
    assert [row.meta["row"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert {row.meta["file"] for row in rows} == {f"{server.url}/items"}
    assert delivery.count.read == 6
    assert delivery.bytes == sum(path.stat().st_size for path in delivery.files)
    assert delivery.sha256 == joint_hash(delivery.files)
    assert len(web.connected) == 1, "one connection serves all pages"
    if rule in (CURSOR, NUMBER):
        assert all("key=SECRET&q=a%20b" in path for path, _headers in server.requests)


@EVERY_KIND
def test_max_pages_is_where_it_stops(server: Server, rule: Any, route: Route) -> None:
    server.routes["/items"] = route
    assert texts(api(f"{server.url}/items", rule, max_pages=2)) == ALL[:4]
    assert len(server.requests) == 2


def test_without_a_rule_there_is_one_page(server: Server) -> None:
    server.routes["/items"] = lambda one: send(one, items(1))
    assert texts(api(f"{server.url}/items", None, items=None)) == ALL[:2]
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("rule", "route"),
    [
        (LINK, lambda one: send(one, items(asked(one, "p")), Link="</items?p=1>; rel=next")),
        (CURSOR, lambda one: send(one, {"data": {"items": items(1)}, "paging": {"next": 7}})),
        (ADDRESS, lambda one: send(one, {"data": {"items": items(1)}, "next": "/items?p=1"})),
        (NUMBER, lambda one: send(one, {"data": {"items": items(1)}})),
    ],
    ids=["link", "cursor", "url", "number"],
)
def test_pages_in_a_circle_are_named(server: Server, rule: Any, route: Route) -> None:
    server.routes["/items"] = route
    path = None if rule == LINK else "data.items"
    said = refusal(api(f"{server.url}/items?key=SECRET", rule, items=path))
    assert "a page that was there before" in said
    assert len(server.requests) <= 3


def test_a_wider_circle_is_named(server: Server) -> None:
    def route(one: Handler) -> None:
        page = asked(one, "p")
        send(one, items(page), Link=f"</items?p={1 + page % 2}>; rel=next")

    server.routes["/items"] = route
    wanted = api(f"{server.url}/items?p=1", LINK, items=None)
    assert "a page that was there before, after page 2" in refusal(wanted)
    assert len(server.requests) == 2


def test_an_empty_page_in_between_loses_nothing(server: Server) -> None:
    """APIs that filter after paging answer with an empty page and a cursor."""

    def route(one: Handler) -> None:
        page = asked(one, "after")
        found = [] if page == 2 else items(page)
        send(one, {"data": {"items": found}, "paging": {"next": page + 1 if page < 3 else None}})

    server.routes["/items"] = route
    assert texts(api(f"{server.url}/items", CURSOR)) == ALL[:2] + ALL[4:]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "no JSON (Expecting value"),
        (b'{"data": {"items": [{"text": "a"', "no JSON"),
        (b"[" * 100_000, "no JSON (RecursionError)"),
        (b'{"data": {"items": [{"text": NaN}]}}', "no JSON (ValueError)"),
        (b'{"data": {"items": [{"text": "\\ud800"}]}}', "no JSON (UnicodeEncodeError)"),
        (b'{"n": ' + b"9" * 5_000 + b"}", "no JSON (ValueError)"),
        (b"\xff\xfe\xff", "no JSON (UnicodeDecodeError)"),
        (b"{}", "no list under data.items"),
        (b'{"data": {"items": {"text": "a"}}}', "no list under data.items"),
        (b'{"data": [1]}', "no list under data.items"),
        (b'{"data": {"items": ["a"]}}', "items:1: found str"),
        (b'{"data": {"items": [null]}}', "items:1: found NoneType"),
        (b'{"data": {"items": [{"body": "a"}]}}', "items:1: found"),
    ],
)
def test_an_answer_of_another_shape_is_named(server: Server, body: bytes, said: str) -> None:
    server.routes["/items"] = lambda one: one.answer(body)
    assert said in refusal(api(f"{server.url}/items?key=SECRET", None))


@pytest.mark.parametrize("following", [["a"], {"a": 1}, True, 1.5])
def test_a_next_page_that_is_none_is_named(server: Server, following: Any) -> None:
    page = {"data": {"items": items(1)}, "paging": {"next": following}}
    server.routes["/items"] = lambda one: send(one, page)
    assert "paging.next: found" in refusal(api(f"{server.url}/items", CURSOR))


def test_null_is_an_empty_list(server: Server) -> None:
    server.routes["/items"] = lambda one: send(one, {"data": {"items": None}})
    assert texts(api(f"{server.url}/items", NUMBER)) == []


@pytest.mark.parametrize(
    "to", ["http://169.254.169.254/", "http://127.0.0.1/", "file:///etc/passwd", "http://127.1/"]
)
def test_no_next_page_leaves_the_internet(web: Web, server: Server, to: str) -> None:
    web.public("api.test")
    server.routes["/items"] = lambda one: send(
        one, {"data": {"items": items(1)}, "next": to}, Link=f"<{to}>; rel=next"
    )
    for rule in (LINK, ADDRESS):
        refusal(api("http://api.test/items", rule, allowed_hosts=[]))
    assert {address for address, _port in web.connected} == {"93.184.216.34"}


def test_a_next_page_of_another_host_gets_no_headers(
    web: Web, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "Bearer SECRET-123456")
    web.public("api.test")
    web.public("other.test", OTHER)

    def route(one: Handler) -> None:
        page = asked(one, "p")
        following = f"http://other.test/items?p={page + 1}" if page < PAGES else None
        send(one, {"data": {"items": items(page)}, "next": following})

    server.routes["/items"] = route
    wanted = api(
        "http://api.test/items", ADDRESS, headers={"Authorization": "API_KEY"}, allowed_hosts=[]
    )
    assert texts(wanted) == ALL
    sent = ["authorization" in headers for _path, headers in server.requests]
    assert sent == [True, False, False]


def test_pages_share_max_size(server: Server) -> None:
    server.routes["/items"] = lambda one: send(
        one, {"data": {"items": [{"text": "x" * 400_000 + one.path, "label": "a"}]}}
    )
    assert "answers of more than 1 MB" in refusal(api(f"{server.url}/items", NUMBER))
    assert len(server.requests) == 3


def test_a_page_has_to_fit_into_memory(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_PAGE", 100)
    server.routes["/items"] = by_number
    assert "a page of more than 100 bytes" in refusal(api(f"{server.url}/items", NUMBER))


def test_unchanged_pages_are_kept_and_gone_ones_removed(web: Web, server: Server) -> None:
    def tagged(route: Callable[[Handler], None]) -> Route:
        def conditional(one: Handler) -> None:
            tag = f'"{one.path}"'
            if one.headers.get("If-None-Match") == tag:
                one.answer(b"", 304)
            else:
                real = one.answer
                one.answer = lambda body, **headers: real(body, ETag=tag, **headers)  # type: ignore
                route(one)
                one.answer = real  # type: ignore[method-assign]

        return conditional

    server.routes["/items"] = tagged(by_link)
    wanted = api(f"{server.url}/items", LINK)
    first = open_source(wanted)
    assert [row.text for row in first.rows] == ALL
    again = open_source(wanted)
    assert [row.text for row in again.rows] == ALL, "the header Link is kept as well"
    assert (again.sha256, again.bytes) == (first.sha256, first.bytes)
    assert all("if-none-match" in headers for _path, headers in server.requests[3:])
    assert len(web.connected) == 2, "an answer without a body keeps its connection as well"
    server.routes["/items"] = lambda one: send(one, {"data": {"items": items(1)}})
    assert texts(wanted) == ALL[:2]
    assert len(list(KEPT.rglob("entry.json"))) == 1


def test_a_page_that_fails_fails_the_source(server: Server) -> None:
    server.routes["/items"] = lambda one: (
        by_number(one) if asked(one, "page") < 2 else status(404)(one)
    )
    assert "status 404" in refusal(api(f"{server.url}/items", NUMBER))


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ('<https://a.test/?p=2>; rel="next"', "https://a.test/?p=2"),
        ("<?p=2>;rel=next", "?p=2"),
        ('<a>; rel="prev", <b>; rel="last next"', "b"),
        ('<a>; title="x; rel=next, <c>; rel=next", <b>; REL="NEXT"', "b"),
        ('<a>; rel=prev; rel=next, <b>; rel="ne\\xt"', "b"),
        ('<a>; anchor="#x"; rel=next', None),
        ("<a>; rel=nextpage", None),
        ("<a; rel=next", None),
        ('<a>; title="rel=next', None),
        ("", None),
    ],
)
def test_the_header_link_is_read_as_rfc_8288_says(link: str, target: str | None) -> None:
    assert paging.following(link) == target


@given(st.text(alphabet='<>;,="\\ relnxt', max_size=200))
def test_any_header_link_can_be_read(link: str) -> None:
    found = paging.following(link)
    assert found is None or found in link


@given(st.text(), st.text(min_size=1))
def test_a_parameter_is_set_once_and_others_stay(value: str, other: str) -> None:
    from urllib.parse import quote_plus

    url = f"http://a.test/b?{quote_plus('x' + other)}=1&page=1&flag&page=2"
    query = parse_qs(
        urlsplit(paging.with_parameter(url, "page", value)).query, keep_blank_values=True
    )
    assert query["page"] == [value]
    assert query[f"x{other}"] == ["1"]
    assert query["flag"] == [""]


def test_problems_name_no_address_with_its_query(server: Server) -> None:
    with pytest.raises(SourceError) as caught:
        texts(api(f"{server.url}/items?key=SECRET", None))
    assert "SECRET" not in str(caught.value)
