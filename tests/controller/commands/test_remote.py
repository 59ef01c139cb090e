"""Whoever asks a controller is told in one sentence what is wrong with the address, the token or the answer."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from controller.commands.remote import sentence_of
from exporters.doors import Tokens
from tests.controller.commands.desk import orcha, served


def refused(*argv, code=2):
    result = orcha(*argv)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("orcha: ")
    return " ".join(result.stderr.split())


def answers(**what):
    """A controller that gives the same answer to everything."""

    async def handler(_request):
        return web.Response(**what)

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", handler)
    return served(made)


def test_where_nobody_answers_the_sentence_says_what_to_do(nobody):
    said = refused("programs", "--api", nobody)
    assert f"no controller answers at {nobody}" in said
    assert "start one with orcha run, or name its address with --api, or the state that it wrote with --state" in said


def test_where_nobody_answers_a_state_that_is_named_is_read_and_that_is_said(nobody, state):
    result = orcha("programs", "--api", nobody, "--state", state, "-o", "json")
    assert result.exit_code == 0
    assert len(json.loads(result.stdout)["programs"]) == 3 or json.loads(result.stdout)["programs"]
    assert "this is what was last written into the state" in result.stderr


def test_a_change_is_never_made_in_a_state(nobody):
    assert "no controller answers" in refused("programs", "approve", "p-1f2e", "--api", nobody)
    assert "No such option" in orcha("pause", "--state", "sqlite:///orcha.db").stderr


@pytest.mark.parametrize("api", ["127.0.0.1:9872", "ftp://rack-1", "http://", "http://rack-1:port"])
def test_an_address_that_is_none_is_refused(api):
    assert refused("programs", "--api", api).endswith("is not an address; write it like http://127.0.0.1:9872")


def test_a_token_is_sent_from_its_file_and_never_shown(desk, tmp_path):
    for name, token in (("operate", "s3cret"), ("read", "0nly"), ("wrong", "0ther")):
        (tmp_path / name).write_text(f"{token}\n")
    desk.tokens = Tokens(tmp_path / "read", tmp_path / "operate")
    approve = ("programs", "approve", "p-1f2e", "--by", "anna", "--api")
    with served(desk.application()) as api:
        for more in ((), ("--token-file", tmp_path / "wrong")):
            said = refused(*approve, api, *more)
            assert f"{api} wants a token (no valid token came with this; send Authorization: Bearer TOKEN)" in said
            assert said.endswith("name its file with --token-file")
            assert "0ther" not in said
        said = refused(*approve, api, "--token-file", tmp_path / "read")
        assert (
            "refuses this: the token of the role read may look and change nothing; use the token of the file that"
            in said
        )
        assert desk.told == []
        assert orcha("programs", "--api", api, "--token-file", tmp_path / "read").exit_code == 0
        assert orcha(*approve, api, "--token-file", tmp_path / "operate").exit_code == 0
    assert desk.told == [("approve", "p-1f2e3d4c", "anna (operate token)", "")]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "cannot be read (No such file or directory)"), (b"", "holds no token"), (b"a\nb", "holds no token"), (b"\xff\xfe", "cannot be read")],
    ids=["missing", "empty", "two lines", "binary"],
)  # fmt: skip
def test_a_token_file_that_holds_none_is_said_so(api, tmp_path, content, sentence):
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    assert sentence in refused("programs", "--api", api, "--token-file", path)


def test_a_redirection_is_not_followed_with_the_token(api, tmp_path):
    (tmp_path / "token").write_text("s3cret")
    with answers(status=302, headers={"Location": f"{api}/api/v1/programs"}) as elsewhere:
        assert "answered HTTP 302" in refused("programs", "--api", elsewhere, "--token-file", tmp_path / "token")


@pytest.mark.parametrize(
    ("answer", "sentence", "code"),
    [
        ({"text": "hello"}, "something else than JSON", 2),
        ({"text": '{"programs": [{"id": 1}]}'}, "something else than a program", 2),
        ({"text": '{"programs": [1]}'}, "something else than programs", 2),
        ({"text": '{"a": 1}'}, "something else than programs", 2),
        ({"status": 502, "text": "<html>Bad Gateway</html>"}, "answered HTTP 502; is this an orcha controller", 2),
        ({"status": 404, "text": "404: Not Found"}, "answered HTTP 404; is this an orcha controller", 2),
        ({"status": 503, "text": '{"error": {"what": "the disk is full", "right": "see to it"}}'}, "now: the disk is full; see to it", 2),
        ({"status": 409, "text": '{"error": {"what": "not now", "right": "later"}}'}, "orcha: not now", 1),
        ({"status": 422, "text": "by is too long"}, "orcha: by is too long", 1),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_or_is_not_understood_is_one_sentence(answer, sentence, code):
    with answers(**answer) as address:
        assert sentence in refused("programs", "--api", address, code=code)


async def _hangs_up(reader, writer):
    """After it has read what it was told."""
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


def test_where_a_change_gets_no_answer_it_is_not_claimed_to_be_undone():
    with served(_hangs_up) as address:
        said = refused("pause", "--api", address)
    assert "whether it was done is not known; `orcha programs` shows it" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"error": "no such program"}', "no such program"),
        ('{"error": {"what": "no body", "where": "body", "right": "send {}"}}', "no body; send {}"),
        ('{"error": {"what": 1}}', ""),
        ('"just text"', "just text"),
        ("plain\n  words\n", "plain words"),
        ("\x1b[2Jgone\x07", "[2Jgone"),
        ("<html>a proxy</html>", ""),
        ('{"errors": [1]}', ""),
        ("x" * 9999, "x" * 500),
    ],
)  # fmt: skip
def test_the_words_of_an_answer_are_found_and_harmless(text, sentence):
    assert sentence_of(text) == sentence
