"""The guard: whatever form an address takes, only public ones are connected to."""

from __future__ import annotations

import contextlib
import ipaddress
import socket

import httpcore2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SourceError
from pipeline.sources.guard import Backend, Guard, is_public, shown
from tests.pipeline.web import OTHER, PUBLIC, Web, web

__all__ = ["web"]

FORMS = """
http://2130706433/ http://0x7f000001/ http://0x7f.1/ http://0177.0.0.1/ http://127.1/ http://0/
http://127.0.0.1/ http://127.0.0.1./ http://127.0.0.1.:80/ http://localhost./ http://localhost/
http://[::1]/ http://[::]/ http://[::ffff:127.0.0.1]/ http://[::ffff:7f00:1]/ http://[::127.0.0.1]/
http://[0:0:0:0:0:ffff:10.0.0.1]/ http://[2002:7f00:1::]/ http://[2002:a9fe:a9fe::1]/
http://[64:ff9b::7f00:1]/ http://[64:ff9b::a9fe:a9fe]/ http://[64:ff9b:1::1]/
http://[2001:0:7f00:1::]/ http://[2606:4700::5efe:7f00:1]/ http://[fe80::1]/ http://[fe80::1%25lo]/
http://[fc00::1]/ http://[fec0::1]/ http://[ff0e::1]/ http://[4000::1]/ http://[3fff::1]/
http://169.254.169.254/ http://169.254.169.254./latest/meta-data/ http://2852039166/
http://[::ffff:a9fe:a9fe]/ http://[fd00:ec2::254]/ http://100.100.100.200/ http://168.63.129.16/
http://192.0.0.192/ http://metadata.google.internal/ http://METADATA.google.internal./
http://metadata/ http://10.0.0.1/ http://172.16.0.1/ http://192.168.1.1/ http://100.64.0.1/
http://198.18.0.1/ http://192.0.2.1/ http://224.0.1.1/ http://240.0.0.1/ http://255.255.255.255/
http://0.0.0.0/ http://1.2.3/ http://1.2.3.4.5/ http://8.8.8.08/ http://256.1.1.1/ http://a.0x1/
http://１２７.０.０.１/ http://127。0。0。1/ http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/
http://public.test:8080/ http://public.test:22/ http://public.test:0/ http://public.test:99999/
http://public.test:x/ http://user@public.test/ http://user:word@public.test/
http://public.test@127.0.0.1/ http://127.0.0.1\\@public.test/ http://public.test\\.evil/
http:// http:/// http://./ http://.public.test/ http://a..b/ http://-a.test/ http://[::1/
http://%31%32%37.0.0.1/ http://public.test%00.evil/ file:///etc/passwd ftp://public.test/
gopher://public.test/ https:public.test //public.test/ javascript:alert(1) data:text/plain,x
"""
REFUSED = FORMS.split()
PUBLIC_ONES = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808"]


def reach(url: str, *allowed: str) -> None:
    """Do what a request does: take the address apart, look it up, connect."""
    guard = Guard(allowed)
    place = guard.place(url)
    Backend(guard).connect_tcp(place.host, place.port, timeout=1).close()


@pytest.mark.parametrize("url", REFUSED)
def test_every_form_of_a_private_address_is_refused(web: Web, url: str) -> None:
    web.names |= {"localhost": [["127.0.0.1"]], "metadata": [["169.254.169.254"]]}
    web.public("public.test")
    with pytest.raises(SourceError):
        reach(url)
    assert web.connected == []


@pytest.mark.parametrize("character", ["\t", "\n", "\r", " ", "\x00", "\x7f", "\\"])
def test_what_readers_of_addresses_disagree_about_is_refused(web: Web, character: str) -> None:
    web.public("public.test")
    with pytest.raises(SourceError):
        reach(f"http://pub{character}lic.test/")
    assert web.looked_up == []


@pytest.mark.parametrize(
    "url",
    [
        "http://public.test/a?b=1",
        "HTTP://PUBLIC.test:80",
        "http://public.test./",
        "http://公.test/",
    ],
)
def test_public_hosts_are_reached_where_they_are(web: Web, url: str) -> None:
    web.public("xn--55q.test")
    web.public("public.test")
    reach(url)
    assert web.connected == [(PUBLIC, 80)]
    assert len(web.looked_up) == 1


def test_a_name_is_looked_up_once_and_that_answer_is_used(web: Web) -> None:
    """DNS rebinding: a second look-up would lead to the loopback."""
    web.public("turning.test")
    web.names["turning.test"].append(["127.0.0.1"])
    reach("http://turning.test/")
    assert web.looked_up == ["turning.test"]
    assert web.connected == [(PUBLIC, 80)]
    with pytest.raises(SourceError, match=r"turning\.test: found the address 127\.0\.0\.1"):
        reach("http://turning.test/")
    assert web.connected == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "private", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%lo", "169.254.169.254"]
)
@pytest.mark.parametrize("turn", [1, -1])
def test_one_private_address_among_public_ones_refuses_all(
    web: Web, private: str, turn: int
) -> None:
    web.names["mixed.test"] = [[PUBLIC, private][::turn]]
    with pytest.raises(SourceError, match=r"not public|credentials"):
        reach("http://mixed.test/")
    assert web.connected == []


def test_the_next_address_is_tried_where_one_does_not_answer(web: Web) -> None:
    web.public("two.test", OTHER)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        web.hosts[PUBLIC, 80] = unused.getsockname()
        web.names["two.test"] = [[PUBLIC, OTHER]]
        reach("http://two.test/")
    assert web.connected == [(PUBLIC, 80), (OTHER, 80)]


def test_a_name_without_an_address_is_an_error_of_the_connection() -> None:
    with pytest.raises(httpcore2.ConnectError, match="Name or service not known"):
        reach("http://nowhere.test/")


def test_listed_hosts_may_be_private_and_no_others(web: Web) -> None:
    port = web.server.port
    web.names |= {"inside.test": [["127.0.0.1"]], "beside.test": [["127.0.0.1"]]}
    reach(f"http://inside.test:{port}/", "Inside.test.")
    reach(f"http://127.0.0.1:{port}/", "127.0.0.1")
    assert web.connected == [("127.0.0.1", port)] * 2
    for url in (
        "http://beside.test/",
        "http://a.inside.test/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        f"http://beside.test:{port}/",
    ):
        with pytest.raises((SourceError, httpcore2.ConnectError)):
            reach(url, "inside.test", "127.0.0.1")
    assert len(web.connected) == 2


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "metadata.test"])
def test_not_even_a_listed_host_hands_out_credentials(web: Web, host: str) -> None:
    web.names["metadata.test"] = [["169.254.169.254"]]
    with pytest.raises(SourceError, match="credentials"):
        reach(f"http://{host}/", host)
    assert web.connected == []


@pytest.mark.parametrize("host", ["http://a.test", "a.test:8000", "*", "", "a b"])
def test_a_listed_host_that_is_none_is_named(host: str) -> None:
    with pytest.raises(SourceError, match="allowed_hosts: found"):
        Guard([host])


@given(st.integers(0, 2**32 - 1))
def test_an_address_inside_another_is_judged_too(number: int) -> None:
    """Mapped, 6to4 and translated forms are as public as the address they stand for."""
    inner = ipaddress.IPv4Address(number)
    guard = Guard([])
    for outer in (
        f"::ffff:{inner}",
        f"64:ff9b::{inner}",
        str(ipaddress.IPv6Address(0x2002 << 112 | number << 80 | 1)),
    ):
        if not is_public(inner):
            with pytest.raises(SourceError):
                guard.judge(outer, outer, ipaddress.ip_address(outer))
    assert not is_public(ipaddress.IPv6Address(f"::{inner}"))


@given(st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address))
def test_nothing_private_is_public(address: ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_private
        assert not address.is_multicast


@pytest.mark.parametrize("address", PUBLIC_ONES)
def test_public_addresses_are_public(address: str) -> None:
    Guard([]).judge(address, address, ipaddress.ip_address(address))


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://a.test/b?key=SECRET", "https://a.test/b"),
        ("https://a.test/b#SECRET", "https://a.test/b"),
        ("https://a.test?key=SECRET", "https://a.test"),
        ("https://me:SECRET@a.test/b", "https://a.test/b"),
        ("/b?key=SECRET", "/b"),
    ],
)
def test_messages_show_no_secrets_of_an_address(url: str, safe: str) -> None:
    assert shown(url) == safe


@given(st.text())
def test_any_text_is_an_address_or_a_named_error(text: str) -> None:
    guard = Guard([])
    with contextlib.suppress(SourceError):
        place = guard.place(text)
        assert guard.place(place.url) == place
