"""Changes of manifests are seen however they come about, once, and when the files have come to rest."""

from __future__ import annotations

import asyncio

import pytest

from exporters.settings import read_listen
from exporters.watching import EVERY, MOST_LOOKS, changes, fingerprint


class Ticks:
    """A clock whose every sleep lets the next thing happen."""

    def __init__(self, *happenings) -> None:
        self.happenings = list(happenings)
        self.slept = 0.0

    def time(self) -> float:
        return self.slept

    def monotonic(self) -> float:
        return self.slept

    async def sleep(self, seconds: float) -> None:
        self.slept += seconds
        if not self.happenings:
            raise asyncio.CancelledError
        self.happenings.pop(0)()


async def seen(path, *happenings) -> int:
    count = 0
    try:
        async for _ in changes([path], fingerprint([path]), Ticks(*happenings)):
            count += 1
    except asyncio.CancelledError:
        return count
    return count


def nothing() -> None:
    pass


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a.yaml").write_text("a: 1")
    return tmp_path / "m"


def renamed_over(path):
    (path / ".new").write_text("a: 2")
    (path / ".new").replace(path / "a.yaml")


HAPPENINGS = {
    "written in place": lambda path: (path / "a.yaml").write_text("a: 22"),
    "renamed over": renamed_over,
    "made unreadable": lambda path: (path / "a.yaml").chmod(0),
    "a file more": lambda path: (path / "b.yml").write_text("b: 1"),
    "a file less": lambda path: (path / "a.yaml").unlink(),
    "the directory gone": lambda path: path.rename(path.with_name("away")),
    "a dangling link": lambda path: (path / "c.yaml").symlink_to("..data/c.yaml"),
}


@pytest.mark.parametrize("happening", HAPPENINGS.values(), ids=HAPPENINGS.keys())
async def test_a_change_is_told_once_when_it_has_come_to_rest(directory, happening):
    assert await seen(directory, nothing, lambda: happening(directory), nothing, nothing, nothing) == 1


async def test_what_is_no_manifest_is_not_looked_at(directory):
    def write():
        (directory / "orcha.db-wal").write_text("x")
        (directory / ".a.yaml.swp").write_text("x")

    assert await seen(directory, write, nothing, nothing) == 0


async def test_a_directory_that_comes_back_as_it_was_is_told_twice(directory):
    away = directory.with_name("away")
    there_and_back = (
        lambda: directory.rename(away),
        nothing,
        nothing,
        lambda: away.rename(directory),
        nothing,
        nothing,
    )
    assert await seen(directory, *there_and_back) == 2


async def test_files_that_never_rest_are_told_all_the_same(directory):
    sizes = iter(range(100))
    restless = [lambda: (directory / "a.yaml").write_text("x" * next(sizes))] * (2 * MOST_LOOKS)
    assert 1 <= await seen(directory, *restless) <= 2
    assert EVERY <= 1


@pytest.mark.parametrize(
    ("words", "read"),
    [("127.0.0.1:9872", ("127.0.0.1", 9872)), ("[::1]:0", ("::1", 0)), (":9872", ("", 9872)), ("orcha.local:80", ("orcha.local", 80))],
)  # fmt: skip
def test_an_address_to_listen_on_is_read(words, read):
    assert read_listen(words) == read


@pytest.mark.parametrize(
    "words", ["", "x", "x:", "x:y", "x:65536", "::1", "::1:80", "http://x:80", "x:-1", "x:8 0", "[::1]", "a@b:80"]
)
def test_what_is_no_address_to_listen_on_is_told_with_what_would_be(words):
    with pytest.raises(ValueError, match=r"is no address to listen on; write "):
        read_listen(words)
