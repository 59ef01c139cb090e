"""A set of manifests that is swapped by a link is read once, and whole: the old one or the new one, never half of each."""

from __future__ import annotations

import os
import threading
from itertools import cycle

import pytest

from controller.manifests import load
from exporters.documents import CannotRead, files_of, read_files, read_text
from exporters.manifests import load_nodes
from exporters.watching import MOST_READS, at_rest, fingerprint
from tests.exporters.swapped import LAYOUTS, NODES, manifests
from tests.exporters.test_watching import nothing, seen


@pytest.fixture(params=sorted(LAYOUTS))
def swapped(request, tmp_path):
    """A directory with the set "old"."""
    return LAYOUTS[request.param](tmp_path / "mounted", manifests("old"))


def sets_of(nodes):
    return [node.metadata.labels["set"] for node in nodes]


def test_each_document_is_read_once(swapped):
    documents, problems = read_files([swapped.read])
    assert [document.data["metadata"]["name"] for document in documents] == list(NODES)
    assert problems == []
    assert load([swapped.read], {}).problems == ()


def test_a_swap_between_two_files_gives_the_new_set_whole(swapped):
    looks = []

    def look():
        looks.append(0)
        found = []
        for file in files_of([swapped.read]):
            found += read_text(file.read_text(), str(file))[0]
            if len(looks) == 1 and len(found) == 2:
                swapped.swap(manifests("new"))
        return [document.data["metadata"]["labels"]["set"] for document in found]

    found, files = at_rest([swapped.read], look)
    assert (found, len(looks)) == (["new"] * len(NODES), 2)
    assert files == fingerprint([swapped.read])


def test_a_file_that_a_swap_took_away_is_not_missed(swapped):
    looks = []

    def look():
        looks.append(0)
        if len(looks) == 1:
            swapped.swap(manifests("new", NODES[:2]))
            raise CannotRead("rack-3.yaml cannot be read (No such file or directory)")
        return len(read_files([swapped.read])[0])

    assert at_rest([swapped.read], look)[0] == 2


def test_a_file_that_is_not_there_is_said_at_once(swapped):
    looks = []

    def look():
        looks.append(0)
        raise CannotRead("rack-3.yaml cannot be read")

    with pytest.raises(CannotRead, match="rack-3"):
        at_rest([swapped.read], look)
    assert len(looks) == 1


def test_files_that_change_at_every_look_are_refused(swapped):
    sizes = iter(range(100))

    def look():
        (swapped.read / "rack-9.yaml").write_text("x" * next(sizes))

    with pytest.raises(CannotRead, match="change while they are read"):
        at_rest([swapped.read], look)
    assert next(sizes) == MOST_READS


@pytest.mark.parametrize(
    "nodes_of",
    [lambda path: load([path], {}).nodes, lambda path: load_nodes([path], {})[0]],
    ids=["the controller", "the exporter"],
)
def test_while_sets_are_swapped_all_the_time_no_reader_sees_two(swapped, nodes_of):
    done = threading.Event()

    def swap():
        generations = cycle(["old", "new"])
        while not done.wait(0.01):
            swapped.swap(manifests(next(generations)))

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        found = [sets_of(nodes) for _ in range(40) if (nodes := _nodes(nodes_of, swapped.read))]
    finally:
        done.set()
        swapping.join(10)
    assert found
    assert all(len(each) == len(NODES) and len(set(each)) == 1 for each in found), found


def _nodes(nodes_of, path):
    """None where it was said that the set changes all the time: then nothing is taken over either."""
    try:
        return nodes_of(path)
    except CannotRead as exc:
        assert "change while they are read" in str(exc)  # noqa: PT017 the sentence is one of two outcomes
        return None


async def test_a_swap_is_told_once(swapped):
    assert await seen(swapped.read, nothing, lambda: swapped.swap(manifests("new")), nothing, nothing, nothing) == 1


async def test_a_lost_link_is_told_and_so_is_its_return(swapped):
    lost_and_back = (swapped.lose, nothing, nothing, lambda: swapped.swap(manifests("new")), nothing, nothing)
    assert await seen(swapped.read, *lost_and_back) == 2


def test_a_pipe_is_read_once(tmp_path):
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing, "w") as pipe:
        pipe.write(manifests("old", ["rack-1"])["rack-1.yaml"])
        pipe.close()
        assert sets_of(load([f"/dev/fd/{reading}"], {}).nodes) == ["old"]
