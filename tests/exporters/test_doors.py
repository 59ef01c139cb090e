"""Doors: which token is whose, and that a wrong one tells nothing."""

from __future__ import annotations

import pytest

from exporters.doors import Role, Tokens, is_loopback


@pytest.fixture
def tokens(tmp_path):
    (tmp_path / "read").write_bytes(b" reader \n")
    (tmp_path / "operate").write_bytes(b"operator")
    return Tokens(tmp_path / "read", tmp_path / "operate")


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("Bearer reader", Role.READ), ("bearer  operator ", Role.OPERATE), ("BEARER operator", Role.OPERATE), ("Bearer operato", None),
        ("Bearer operators", None), ("Bearer", None), ("Bearer ", None), ("", None), ("Basic operator", None), ("operator", None),
        ("Bearer reader operator", None), ("Bearer \udcff", None),
    ],
)  # fmt: skip
def test_a_token_has_the_role_of_its_file(tokens, header, role):
    assert tokens.role_of(header) is role


def test_one_token_for_both_roles_operates(tmp_path):
    (tmp_path / "both").write_text("t")
    assert Tokens(tmp_path / "both", tmp_path / "both").role_of("Bearer t") is Role.OPERATE


@pytest.mark.parametrize("content", [b"", b"\n", b" \t\r\n"])
def test_an_empty_file_is_nobodys_token(tmp_path, content):
    (tmp_path / "read").write_bytes(content)
    tokens = Tokens(tmp_path / "read", tmp_path / "none")
    assert [tokens.role_of(f"Bearer {sent}") for sent in ("", " ", "\n")] == [None, None, None]


def test_a_directory_in_the_place_of_a_file_is_nobodys_token(tmp_path):
    assert Tokens(tmp_path, None).role_of("Bearer x") is None


def test_both_files_are_read_whichever_fits(tokens):
    read = []

    class Watched(type(tokens.read)):
        def read_bytes(self):
            read.append(self.name)
            return super().read_bytes()

    watched = Tokens(Watched(tokens.read), Watched(tokens.operate))
    for sent in ("operator", "reader", "nobody"):
        read.clear()
        watched.role_of(f"Bearer {sent}")
        assert sorted(read) == ["operate", "read"]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True), ("LOCALHOST", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("", False),
        ("10.0.0.1", False), ("::", False), ("localhost.evil.example", False),
    ],
)  # fmt: skip
def test_only_what_cannot_be_reached_from_elsewhere_is_loopback(host, expected):
    assert is_loopback(host) is expected
