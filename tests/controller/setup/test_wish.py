"""What init was asked, and where it looks by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.setup.wish import Ports, Wish, address, candidates, node_name


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
    ("host", "name"),
    [("Rack_1.lan", "rack-1"), ("192.168.1.7", "192-168-1-7"), ("::1", "1"), ("---", "node"), ("a" * 80, "a" * 63)],
    ids=["a host", "an address", "IPv6", "nothing left", "too long"],
)
def test_a_host_gives_its_node_a_name_that_is_allowed(host, name):
    assert node_name(host) == name


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
