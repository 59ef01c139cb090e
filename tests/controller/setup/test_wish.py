"""What init was asked, and where it looks by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.setup.wish import Ports, Wish, address, candidates, host, node_name


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:14002", "http://127.0.0.1:14002"),
        ("http://rack.lan:14002/", "http://rack.lan:14002"),
        ("https://rpc.example/v1", "https://rpc.example/v1"),
        ("http://[::1]:7465", "http://[::1]:7465"),
    ],
    ids=["host and port", "a slash at the end", "a path", "IPv6"],
)
def test_an_address_is_read_as_people_write_it(text, url):
    assert address(text) == url


@pytest.mark.parametrize(
    "text",
    ["ftp://rack:21", "http://", "http://me:secret@rack:1", "http://rack:1?key=secret", "http://rack:port", "a b"],
    ids=["another scheme", "no host", "a password", "a query", "no number", "two words"],
)
def test_what_is_no_address_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="is not an address; write http://HOST:PORT") as said:
        address(text)
    assert "secret" not in str(said.value)


@pytest.mark.parametrize(
    "text",
    ["192.168.1.20", "nas.lan", "rack_1", "::1", "[fe80::1]"],
    ids=["IPv4", "a name", "underscore", "IPv6", "brackets"],
)
def test_a_host_is_a_name_or_an_address_alone(text):
    assert host(text) == text.strip("[]")


@pytest.mark.parametrize(
    "text",
    ["http://192.168.1.20", "192.168.1.20:14002", "a b", "", "nas/x", "[1.2.3.4:5]", "-x", "a" * 254],
    ids=["a URL", "a port", "two words", "nothing", "a path", "brackets", "an option", "too long"],
)
def test_a_host_with_more_than_its_name_is_refused_and_told_where_a_port_goes(text):
    with pytest.raises(ValueError, match=r"is no host; write its name or address alone, .*a port goes with --storj"):
        host(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Rack_1.lan", "rack-1"), ("192.168.1.7", "192-168-1-7"), ("::1", "1"), ("---", "node"), ("a" * 80, "a" * 63)],
    ids=["a host", "an address", "IPv6", "nothing left", "too long"],
)
def test_a_host_gives_its_node_a_name_that_is_allowed(text, name):
    assert node_name(text) == name


def test_each_address_is_looked_at_once_and_those_that_were_named_first():
    wish = Wish(Path("m"), "rack", hosts=("127.0.0.1", "::1"), storj=("http://127.0.0.1:14003",))
    found = candidates(wish)
    assert found[0].endpoint == "http://127.0.0.1:14003"
    assert found[0].named
    urls = [each.endpoint for each in found]
    assert len(urls) == len(set(urls))
    assert {f"http://127.0.0.1:{port}" for port in Ports().storj} | {"http://[::1]:7465"} <= set(urls)


def test_with_only_what_is_named_nothing_else_is_tried():
    wish = Wish(Path("m"), "rack", hosts=(), golem=("http://there:7465",))
    assert [each.endpoint for each in candidates(wish)] == ["http://there:7465"]
