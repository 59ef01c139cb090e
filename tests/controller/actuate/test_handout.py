"""The driver `handout`: what it writes, when it takes it away again, and what it never does."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.actuate.driver import Driver, NotNow, Refused
from controller.actuate.handout import Handout, _not_written, _safe
from controller.programs import Order
from exporters.errors import Malformed, RateLimited, TimedOut, Unauthorized, Unreachable
from exporters.instructions import Action, Hindrance, Instructions, Problem, plain

KEY, STAKE = "treasury/weather", "stake/DATA"
FORWARD = Order(KEY, {STAKE: 60_000.0}, f"p-1/{KEY}/forward", "DATA pays more there")
BACKWARD = Order(KEY, {STAKE: 50_000.0}, f"p-1/{KEY}/backward", "DATA pays more there")
QUEUE = Problem("delegators wait", Hindrance.WAITS)
AUTOSTAKER = Problem("the autostaker is on", Hindrance.REFUSES)
LITTLE_POL = Problem("little POL")


class World:
    """A chain with one stake, and the instructions that lead elsewhere."""

    def __init__(self, stake: float = 50_000.0) -> None:
        self.stake = stake
        self.problems: tuple[Problem, ...] = ()
        self.fails: Exception | None = None
        self.asked: list[dict[str, float]] = []

    async def instruct(self, amounts):
        self.asked.append(dict(amounts))
        if self.fails:
            raise self.fails
        wanted = amounts.get(STAKE, self.stake)
        stands = {STAKE: self.stake}
        if wanted == self.stake:
            return Instructions(KEY, "nothing to sign", problems=self.problems, stands=stands, done=True)
        title = f"change the stake from {self.stake:g} to {wanted:g}"
        action = Action(title, "0xTo", f"0x{int(wanted):x}", "0xFrom", 137, 750_000, "would succeed", succeeds=True)
        return Instructions(KEY, title, "Sign this.", (action,), self.problems, stands, at=1_795_162_802.0)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def world():
    return World()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def driver(world, clock, tmp_path):
    return Handout(KEY, tmp_path / "handouts", world.instruct, every=30.0, clock=clock)


def papers(tmp_path):
    return sorted(path for path in (tmp_path / "handouts").rglob("*") if path.is_file())


# --- handing out


async def test_what_is_to_be_signed_lies_in_a_page_and_in_a_document(driver, tmp_path):
    await driver.apply(FORWARD)
    document, page = papers(tmp_path)
    assert page == driver.paper
    assert page.parent == tmp_path / "handouts" / "treasury" / "weather"
    text = page.read_text()
    assert "Change the stake from 50000 to 60000" in text
    assert "Why: DATA pays more there" in text
    assert "0xea60" in text
    said = json.loads(document.read_text())
    assert (said["token"], said["amounts"]) == (FORWARD.token, {STAKE: 60_000.0})
    assert said["actions"][0]["transaction"]["data"] == "0xea60"
    assert driver.pending.title in text.replace("Change", "change")


async def test_only_the_one_who_runs_orcha_may_read_it(driver, tmp_path):
    await driver.apply(FORWARD)
    assert [stat.S_IMODE(path.stat().st_mode) for path in papers(tmp_path)] == [0o600, 0o600]
    assert stat.S_IMODE((tmp_path / "handouts" / "treasury" / "weather").stat().st_mode) == 0o700


async def test_the_same_order_twice_is_the_same_paper(driver, tmp_path):
    await driver.apply(FORWARD)
    before = [(path, path.read_text()) for path in papers(tmp_path)]
    await driver.apply(FORWARD)
    assert [(path, path.read_text()) for path in papers(tmp_path)] == before


async def test_after_a_kill_the_same_order_writes_the_same_files_and_clears_what_was_left_half_written(
    driver, world, tmp_path
):
    await driver.apply(FORWARD)
    before = papers(tmp_path)
    before[0].write_text("{ half")
    (before[0].parent / ".half-x1").write_text("{")
    restarted = Handout(KEY, tmp_path / "handouts", world.instruct)
    assert restarted.pending is None
    await restarted.apply(FORWARD)
    assert papers(tmp_path) == before
    assert json.loads(before[0].read_text())["token"] == FORWARD.token


async def test_a_newer_order_leaves_no_older_paper_also_after_a_restart(driver, world, tmp_path):
    await driver.apply(FORWARD)
    later = replace(FORWARD, amounts={STAKE: 70_000.0}, token=f"p-2/{KEY}/forward")
    await Handout(KEY, tmp_path / "handouts", world.instruct).apply(later)
    assert [json.loads(path.read_text())["token"] for path in papers(tmp_path) if path.suffix == ".json"] == [
        later.token
    ]
    assert len(papers(tmp_path)) == 2


async def test_papers_of_another_workload_stay(driver, world, tmp_path):
    other = Handout("treasury/weather2", tmp_path / "handouts", world.instruct)
    await other.apply(replace(FORWARD, key="treasury/weather2", token="p-0/treasury/weather2/forward"))
    await driver.apply(FORWARD)
    driver.withdraw()
    assert [path.parent.name for path in papers(tmp_path)] == ["weather2", "weather2"]


async def test_what_is_in_force_needs_no_paper(driver, world, tmp_path):
    world.stake = 60_000.0
    await driver.apply(FORWARD)
    assert papers(tmp_path) == []
    assert (driver.pending, driver.paper) == (None, None)


async def test_a_remark_is_on_the_paper_and_stops_nobody(driver, world):
    world.problems = (LITTLE_POL,)
    await driver.apply(FORWARD)
    assert "- little POL" in driver.paper.read_text()


@pytest.mark.parametrize(
    ("problems", "error", "words"),
    [
        ((LITTLE_POL, QUEUE), NotNow, "delegators wait"),
        ((QUEUE, AUTOSTAKER), Refused, "the autostaker is on"),
    ],
    ids=["may pass", "does not pass"],
)
async def test_what_would_be_refused_is_not_handed_out_and_an_older_paper_goes(
    driver, world, tmp_path, problems, error, words
):
    await driver.apply(FORWARD)
    world.problems = problems
    with pytest.raises(error, match=f"change the stake from 50000 to 60000: {words}"):
        await driver.apply(FORWARD)
    assert papers(tmp_path) == []
    assert driver.pending is None


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Unreachable("nothing listens there"), NotNow),
        (TimedOut("no answer"), NotNow),
        (RateLimited("asked too often", 60.0), NotNow),
        (Malformed("another chain"), Refused),
        (Unauthorized("no key"), Refused),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_a_chain_that_cannot_be_asked_is_waited_for_and_a_wrong_one_is_not(driver, world, failure, error):
    world.fails = failure
    for work in (driver.apply(FORWARD), driver.read()):
        with pytest.raises(error, match=str(failure)):
            await work


# --- waiting


async def test_it_waits_for_a_person_until_the_chain_shows_it_and_then_takes_the_paper_away(
    driver, world, clock, tmp_path
):
    await driver.apply(FORWARD)
    assert await driver.verify(FORWARD) == (
        f"waits for a person: change the stake from 50000 to 60000, see {driver.paper}"
    )
    world.stake = 60_000.0
    clock.now += 30
    assert await driver.verify(FORWARD) is None
    assert papers(tmp_path) == []
    assert driver.pending is None


async def test_the_chain_is_asked_no_oftener_than_every_so_many_seconds(driver, world, clock):
    await driver.apply(FORWARD)
    asked = len(world.asked)
    for _ in range(29):
        clock.now += 1
        assert await driver.verify(FORWARD)
    assert len(world.asked) == asked
    clock.now += 1
    await driver.verify(FORWARD)
    assert len(world.asked) == asked + 1


async def test_a_stake_that_somebody_changed_meanwhile_gets_a_new_paper_under_the_same_name(
    driver, world, clock, tmp_path
):
    await driver.apply(FORWARD)
    before = papers(tmp_path)
    world.stake = 55_000.0
    clock.now += 30
    assert "from 55000 to 60000" in await driver.verify(FORWARD)
    assert papers(tmp_path) == before
    assert "from 55000" in driver.paper.read_text()


async def test_a_paper_that_somebody_removed_is_written_again(driver, clock, tmp_path):
    await driver.apply(FORWARD)
    driver.paper.unlink()
    clock.now += 30
    await driver.verify(FORWARD)
    assert len(papers(tmp_path)) == 2


async def test_after_a_restart_it_waits_with_the_paper_there(driver, world, tmp_path):
    await driver.apply(FORWARD)
    driver.paper.unlink()
    restarted = Handout(KEY, tmp_path / "handouts", world.instruct)
    assert "waits for a person" in await restarted.verify(FORWARD)
    assert restarted.pending.actions
    assert len(papers(tmp_path)) == 2


async def test_what_would_fail_just_now_is_said_on_the_paper_that_is_out(driver, world, clock):
    await driver.apply(FORWARD)
    world.problems = (QUEUE,)
    clock.now += 30
    assert (await driver.verify(FORWARD)).endswith("; it would fail now: delegators wait")
    assert "- delegators wait" in driver.paper.read_text()


async def test_what_became_impossible_is_not_waited_for(driver, world, clock, tmp_path):
    await driver.apply(FORWARD)
    world.problems = (AUTOSTAKER,)
    clock.now += 30
    with pytest.raises(Refused, match="autostaker"):
        await driver.verify(FORWARD)
    assert papers(tmp_path) == []


@pytest.mark.parametrize(
    "failure", [Unreachable("gone"), Malformed("a web page"), Unauthorized("the key expired")], ids=str
)
async def test_a_chain_that_cannot_be_asked_while_a_signature_is_waited_for_decides_nothing(
    driver, world, clock, tmp_path, failure
):
    await driver.apply(FORWARD)
    world.fails = failure
    clock.now += 30
    with pytest.raises(NotNow, match="cannot tell whether it was done"):
        await driver.verify(FORWARD)
    assert len(papers(tmp_path)) == 2


# --- going back


async def test_to_undo_what_nobody_signed_is_to_withdraw_the_paper(driver, tmp_path):
    await driver.apply(FORWARD)
    await driver.undo(BACKWARD, {STAKE: 50_000.0})
    assert papers(tmp_path) == []
    assert await driver.verify(BACKWARD) is None


async def test_to_undo_what_was_signed_a_person_signs_again(driver, world, tmp_path):
    await driver.apply(FORWARD)
    world.stake = 60_000.0
    await driver.undo(BACKWARD, {STAKE: 50_000.0})
    assert "from 60000 to 50000" in driver.paper.read_text()
    assert len(papers(tmp_path)) == 2
    assert "from 60000 to 50000" in await driver.verify(BACKWARD)


async def test_a_paper_is_withdrawn_even_where_the_chain_cannot_be_asked(driver, world, tmp_path):
    await driver.apply(FORWARD)
    world.fails = Unreachable("gone")
    with pytest.raises(NotNow):
        await driver.undo(BACKWARD, {})
    assert papers(tmp_path) == []


async def test_papers_survive_the_end_of_the_process(driver, tmp_path):
    await driver.apply(FORWARD)
    await driver.close()
    assert len(papers(tmp_path)) == 2


async def test_to_withdraw_what_is_not_there_is_nothing(driver, tmp_path):
    driver.withdraw()
    assert papers(tmp_path) == []


# --- before


async def test_the_check_says_what_hinders_every_change_and_changes_nothing(driver, world, tmp_path):
    world.problems = (AUTOSTAKER, QUEUE, LITTLE_POL)
    assert await driver.check() == ("the autostaker is on", "delegators wait")
    assert world.asked == [{}]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [Unreachable("gone"), Malformed("another chain"), Unauthorized("no key")], ids=str)
async def test_the_check_says_why_the_chain_cannot_be_asked_and_raises_nothing(driver, world, failure):
    world.fails = failure
    assert await driver.check() == (str(failure),)


async def test_the_check_says_where_nothing_can_be_written(world, tmp_path):
    (tmp_path / "handouts").write_text("a file")
    (sentence,) = await Handout(KEY, tmp_path / "handouts", world.instruct).check()
    assert "no directory that orcha may write to" in sentence


async def test_where_nothing_can_be_written_it_is_said_and_nothing_is_pending(world, tmp_path):
    (tmp_path / "handouts").write_text("a file")
    driver = Handout(KEY, tmp_path / "handouts", world.instruct)
    with pytest.raises(NotNow, match="cannot write"):
        await driver.apply(FORWARD)
    assert driver.pending is None


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (errno.EACCES, Refused),
        (errno.EPERM, Refused),
        (errno.EROFS, Refused),
        (errno.ENOSPC, NotNow),
        (errno.EIO, NotNow),
    ],
    ids=errno.errorcode.get,
)
def test_a_right_that_is_missing_is_refused_and_a_full_disk_is_waited_for(number, error):
    said = _not_written(Path("/handouts/a.txt"), OSError(number, os.strerror(number)))
    assert type(said) is error
    assert f"cannot write /handouts/a.txt ({os.strerror(number)})" in str(said)


async def test_what_stands_there_is_what_the_chain_says(driver):
    stood = await driver.read()
    assert stood == {STAKE: 50_000.0}
    assert json.loads(json.dumps(stood)) == stood


def test_it_has_what_every_driver_has(driver):
    given: Driver = driver
    assert (given.name, given.conclusive, given.reversible) == ("handout", True, False)


# --- a protocol with nothing to sign


async def test_without_a_protocols_word_it_is_told_in_words_and_the_node_alone_can_tell(tmp_path):
    driver = Handout("rack-1/storj", tmp_path / "handouts")
    order = Order("rack-1/storj", {"storage": 6e12}, "p-1/rack-1/storj/forward")
    assert (driver.conclusive, driver.reversible) == (False, False)
    assert await driver.check() == ()
    assert await driver.read() == {}
    await driver.apply(order)
    assert driver.paper.read_text().startswith("Set rack-1/storj to storage 6T (6000000000000 bytes)\n")
    assert await driver.verify(order) is None
    assert len(papers(tmp_path)) == 2
    back = Order("rack-1/storj", {"storage": 5e12}, "p-1/rack-1/storj/backward")
    await driver.undo(back, {})
    assert "storage 5T" in driver.paper.read_text()
    assert len(papers(tmp_path)) == 2


async def test_with_the_nodes_own_report_a_paper_in_words_goes_once_it_is_followed(tmp_path):
    reported = {"storage": 5e12}

    async def instruct(amounts):
        return plain("rack-1/storj", amounts, reported)

    driver = Handout("rack-1/storj", tmp_path / "handouts", instruct, every=0.0)
    order = Order("rack-1/storj", {"storage": 6e12}, "p-1/rack-1/storj/forward")
    await driver.apply(order)
    assert "set rack-1/storj to storage 6T" in await driver.verify(order)
    assert await driver.read() == {"storage": 5e12}
    reported["storage"] = 6e12
    assert await driver.verify(order) is None
    assert papers(tmp_path) == []


# --- names of files


@given(st.text(max_size=300), st.text(max_size=300))
def test_a_papers_file_stays_in_its_folder_whatever_the_token_and_no_two_tokens_share_one(one, other):
    driver = Handout(KEY, Path("/handouts"))
    path = driver._path(one, ".txt")
    assert path.parent == Path("/handouts/treasury/weather")
    assert len(path.name) <= 255
    assert path.name.isascii()
    assert not path.name.startswith(".")
    assert (path == driver._path(other, ".txt")) == (one == other)


@given(st.text(max_size=100))
def test_a_part_of_a_path_leads_nowhere_else(name):
    assert _safe(name) not in {"", ".", ".."}
    assert "/" not in _safe(name)
