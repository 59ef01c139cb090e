"""The election of the one writer, against a server that keeps Leases: in virtual time, and with processes that freeze."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from controller.leader import Elected, Leader, Sole, elect, since_boot
from controller.lease import LeaseRefused
from exporters.clock import SystemClock
from exporters.settings import Lease
from exporters.simulator.inprocess import FastClock
from tests.controller.lease_server import Fault, LeaseServer, serving


def wanted(duration: str = "15s", namespace: str = "depin") -> Lease:
    return Lease.model_validate({"namespace": namespace, "name": "orcha", "duration": duration})


WANTED = wanted()
STEP = 60.0
LOOK = 2.0 * 2.2  # the longest pause between two looks of a stand-by


@dataclass
class Stage:
    """Candidates on one clock that stands still while they speak with the server."""

    server: LeaseServer
    clock: FastClock = field(default_factory=lambda: FastClock(1_700_000_000.0, auto=False))
    lives: dict[Elected, asyncio.Task[None]] = field(default_factory=dict)

    def enter(self, name: str) -> Elected:
        """A candidate that stands by from now on, and renews once it holds."""
        candidate = Elected(WANTED, self.clock, STEP, identity=name, elapsed=self.clock.monotonic)
        self.lives[candidate] = asyncio.create_task(self._live(candidate))
        return candidate

    async def _live(self, candidate: Elected) -> None:
        await candidate.acquire()
        await candidate.keep()

    async def _end(self, candidate: Elected) -> None:
        task = self.lives.pop(candidate)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def kill(self, candidate: Elected) -> None:
        await self._end(candidate)
        if candidate._lease:
            await candidate._lease.close()

    async def stop(self, candidate: Elected) -> None:
        """As a process ends that was asked to."""
        await self._end(candidate)
        await candidate.release()

    async def quiet(self) -> None:
        """Until everybody sleeps or is through."""
        async with asyncio.timeout(20):
            while len(self.clock._sleepers) < sum(not task.done() for task in self.lives.values()):  # noqa: ASYNC110 sockets
                await asyncio.sleep(0.001)

    async def go(self, seconds: float) -> None:
        """Let time pass; at no moment may two hold."""
        end = self.clock.time() + seconds
        await self.quiet()
        while self.clock.time() < end:
            self.clock.advance(min([end, *(at for at, _, _ in self.clock._sleepers)]))
            self.check()
            await self.quiet()
            self.check()

    def check(self) -> None:
        holding = [candidate.identity for candidate in self.lives if candidate.holds]
        assert len(holding) <= 1, f"{holding} hold at once"


@asynccontextmanager
async def staged():
    async with serving() as server:
        stage = Stage(server)
        try:
            yield stage
        finally:
            for candidate in list(stage.lives):
                await stage.kill(candidate)


@pytest.fixture
async def stage(tmp_path, monkeypatch):
    async with staged() as made:
        monkeypatch.setenv("KUBECONFIG", str(made.server.kubeconfig(tmp_path)))
        yield made


@pytest.fixture
async def real(stage):
    """A candidate on the real clock, of a lease of 1.5 s: sure for 1 s."""
    candidate = Elected(wanted("1.5s"), SystemClock(), 1.0, identity="a")
    yield candidate
    await candidate.release()


# who holds


async def test_a_lease_that_nobody_ever_held_is_taken_at_once_and_waits_for_nothing(stage):
    first = stage.enter("a")
    await stage.quiet()
    assert first.holds
    assert first.waits_until is None
    assert (stage.server.spec["holderIdentity"], stage.server.spec["leaseTransitions"]) == ("a", 0)
    assert stage.server.spec["leaseDurationSeconds"] == 15
    assert stage.server.spec["acquireTime"] == stage.server.spec["renewTime"]


async def test_of_two_candidates_one_holds_and_the_other_stands_by(stage):
    first, second = stage.enter("a"), stage.enter("b")
    await stage.go(300)
    assert first.holds != second.holds
    assert first.holder == second.holder == stage.server.holder
    assert stage.server.spec["leaseTransitions"] == 0


async def test_a_holder_renews_every_two_seconds_and_reads_nothing_for_it(stage):
    stage.enter("a")
    await stage.go(20)
    assert stage.server.asked == ["GET", "POST", *["PUT"] * 10]


async def test_a_dead_holder_is_succeeded_after_the_duration_and_two_looks_at_most(stage):
    first = stage.enter("a")
    await stage.go(100)
    second = stage.enter("b")
    await stage.go(60)
    died = stage.clock.monotonic()
    await stage.kill(first)
    while not second.holds:
        await stage.go(0.1)
    took = stage.clock.monotonic() - died
    assert 13 - 0.1 <= took <= 15 + 2 * LOOK + 0.1  # the last renewal was up to 2 s before it died
    assert stage.server.spec["leaseTransitions"] == 1
    assert stage.server.spec["acquireTime"] == stage.server.spec["renewTime"]


async def test_a_successor_waits_until_no_effect_of_the_one_before_can_be_under_way(stage):
    stage.server.write("dead")
    second = stage.enter("b")
    await stage.quiet()
    began = stage.clock.monotonic()
    while not second.holds:
        await stage.go(0.5)
    assert second.waits_until == pytest.approx(began + 15 + STEP)


async def test_a_holder_that_stops_hands_over_at_the_next_look_and_nobody_waits(stage):
    first = stage.enter("a")
    await stage.go(10)
    second = stage.enter("b")
    await stage.go(10)
    await stage.stop(first)
    assert not first.holds
    assert stage.server.holder == ""
    await stage.go(LOOK)
    assert second.holds
    assert second.waits_until is None
    assert stage.server.spec["leaseTransitions"] == 1
    assert (first.transitions, second.transitions) == (0, 1)


async def test_a_holder_that_still_waits_for_its_predecessor_lets_the_lease_run_out(stage):
    stage.server.write("dead")
    second = stage.enter("b")
    while not second.holds:
        await stage.go(1)
    await stage.stop(second)
    assert not second.holds
    assert stage.server.holder == "b"


async def test_a_holder_with_an_effect_under_way_lets_the_lease_run_out(stage):
    first = stage.enter("a")
    await stage.go(10)
    await stage._end(first)
    await first.release(hand_over=False)
    assert not first.holds
    assert stage.server.holder == "a"


async def test_a_holder_that_stops_while_it_renews_hands_over_all_the_same(stage):
    first = stage.enter("a")
    await stage.go(10)
    asked = len(stage.server.asked)
    stage.server.fault = Fault(status=500, written=True, delay=0.3, methods=("PUT",))
    stage.clock.advance(stage.clock.time() + 2)
    await until(lambda: len(stage.server.asked) > asked)
    task = stage.lives.pop(first)
    task.cancel()
    await asyncio.wait([task])
    stage.server.write("a")  # as if that renewal had come through
    stage.server.fault = None
    await first.release()
    assert stage.server.holder == ""


async def test_a_renewal_that_comes_through_in_the_midst_of_a_hand_over_does_not_undo_it(stage):
    first = stage.enter("a")
    await stage.go(10)
    await stage._end(first)
    first._current = False
    late = ["a"]

    def come_through() -> None:
        if late:
            stage.server.write(late.pop())

    stage.server.fault = Fault(before=come_through, methods=("PUT",))
    await first.release()
    assert stage.server.holder == ""


async def test_a_candidate_that_never_held_leaves_the_lease_alone_when_it_stops(stage):
    stage.server.write("other")
    second = stage.enter("b")
    await stage.quiet()
    await stage.stop(second)
    assert stage.server.holder == "other"
    assert set(stage.server.asked) == {"GET"}


async def test_a_lease_made_by_hand_without_content_is_taken(stage):
    stage.server._keep("depin/orcha", {"metadata": {"name": "orcha", "namespace": "depin"}})
    first = stage.enter("a")
    await stage.quiet()
    assert first.holds
    assert "POST" not in stage.server.asked


# clocks


@pytest.mark.parametrize("year", ["1971", "2999"])
async def test_a_holder_whose_clock_is_wrong_by_years_keeps_the_lease_while_it_renews(stage, year):
    second = stage.enter("b")
    stage.server.write("other", f"{year}-01-01T00:00:00.000000Z")
    for second_of_day in range(40):
        await stage.go(3)
        assert not second.holds
        stage.server.write("other", f"{year}-01-01T00:00:{second_of_day:02}.000001Z")


@pytest.mark.parametrize("year", ["1971", "2999"])
async def test_a_holder_whose_clock_is_wrong_by_years_loses_the_lease_when_it_does_not_renew(stage, year):
    stage.server.write("other", f"{year}-01-01T00:00:00.000000Z")
    second = stage.enter("b")
    await stage.go(14.9)
    assert not second.holds
    await stage.go(0.1 + LOOK)
    assert second.holds


async def test_the_longer_duration_of_another_holder_is_honoured(stage):
    stage.server.write("other", lasts=60)
    second = stage.enter("b")
    await stage.go(59.9)
    assert not second.holds
    await stage.go(0.1 + LOOK)
    assert second.holds


async def test_the_time_counts_from_before_the_renewal_was_sent(stage):
    stage.server.fault = Fault(before=lambda: stage.clock.advance(stage.clock.time() + 4), methods=("POST",))
    first = stage.enter("a")
    await stage.quiet()
    assert first.holds
    stage.clock.advance(stage.clock.time() + 5.9)
    assert first.holds
    stage.clock.advance(stage.clock.time() + 0.2)
    assert not first.holds


async def test_a_lease_that_was_won_too_long_ago_is_not_held(stage):
    stage.server.fault = Fault(before=lambda: stage.clock.advance(stage.clock.time() + 12), methods=("POST",))
    first = stage.enter("a")
    await stage.quiet()
    assert stage.server.holder == "a"
    assert not first.holds
    stage.server.fault = None
    await stage.go(LOOK)
    assert first.holds


async def test_a_frozen_holder_that_wakes_does_not_hold_and_writes_nothing(stage):
    first = stage.enter("a")
    await stage.go(100)
    asked = list(stage.server.asked)
    stage.clock.advance(stage.clock.time() + 60)
    assert not first.holds
    await stage.quiet()
    assert first.lost.is_set()
    assert "this process did not get to it" in first.why
    assert stage.server.asked == asked


async def test_a_holder_that_freezes_while_it_renews_does_not_write_over_its_successor(stage):
    def froze() -> None:
        stage.clock.advance(stage.clock.time() + 60)
        stage.server.write("successor")

    first = stage.enter("a")
    await stage.go(100)
    stage.server.fault = Fault(before=froze, methods=("PUT",))
    await stage.go(3)
    assert not first.holds
    assert first.lost.is_set()
    assert stage.server.holder == "successor"


async def test_a_machine_that_was_suspended_does_not_hold_when_it_wakes(stage):
    suspended = 0.0
    first = Elected(WANTED, stage.clock, STEP, elapsed=lambda: stage.clock.monotonic() + suspended)
    stage.lives[first] = asyncio.create_task(stage._live(first))
    await stage.go(100)
    assert first.holds
    suspended = 3600.0
    assert not first.holds


def test_the_clock_of_the_lease_runs_on():
    before = since_boot()
    assert before <= since_boot()
    assert since_boot() >= time.monotonic() - 1


# what the API does wrong


BROKEN = {
    "500": Fault(status=500),
    "500 after it wrote": Fault(status=500, written=True),
    "429": Fault(status=429),
    "a proxy's 502": Fault(status=502, plain=True),
    "a right that is gone": Fault(status=403),
    "credentials that are not known for a while": Fault(status=401),
}


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_an_api_that_is_broken_for_less_than_the_renew_deadline_loses_nothing(stage, fault):
    first = stage.enter("a")
    await stage.go(100)
    stage.server.fault = fault
    await stage.go(7.9)
    stage.server.fault = None
    await stage.go(2)
    assert first.holds
    await stage.go(100)
    assert first.holds
    assert stage.server.spec["leaseTransitions"] == 0


@pytest.mark.parametrize("fault", BROKEN.values(), ids=BROKEN)
async def test_an_api_that_is_broken_for_longer_loses_the_lease_and_says_why(stage, fault):
    first = stage.enter("a")
    await stage.go(100)
    stage.server.fault = fault
    await stage.go(7.9)
    assert first.holds
    await stage.go(2.2)
    assert not first.holds
    assert first.lost.is_set()
    assert "the Lease depin/orcha was not renewed within 10 s (" in first.why
    assert "made-up" not in first.why


async def test_a_stand_by_waits_for_an_api_that_is_gone(stage):
    stage.server.fault = Fault(status=500)
    first = stage.enter("a")
    await stage.go(1000)
    assert not first.lost.is_set()
    stage.server.fault = None
    await stage.go(LOOK)
    assert first.holds


@pytest.mark.parametrize("status", [401, 403])
async def test_a_stand_by_outlives_rights_that_are_gone_for_a_while(stage, status):
    stage.server.write("other")
    second = stage.enter("b")
    await stage.quiet()
    stage.server.fault = Fault(status=status)
    await stage.go(100)
    stage.server.fault = None
    await stage.go(LOOK)
    assert second.holds


async def test_an_answer_that_got_lost_is_found_at_the_next_look(stage):
    stage.server.fault = Fault(status=500, written=True, methods=("POST",))
    first = stage.enter("a")
    await stage.quiet()
    assert not first.holds
    assert stage.server.holder == "a"
    stage.server.fault = None
    await stage.go(LOOK)
    assert first.holds
    assert first.waits_until is None


async def test_a_holder_whose_lease_was_taken_stops_at_its_next_renewal(stage):
    first = stage.enter("a")
    await stage.go(100)
    stage.server.write("usurper")
    await stage.go(2)
    assert not first.holds
    assert first.lost.is_set()
    assert first.why == "the Lease depin/orcha was taken over by usurper"
    assert stage.server.holder == "usurper"


async def test_a_deleted_lease_is_made_again_by_its_holder_before_a_stand_by_takes_it(stage):
    first = stage.enter("a")
    await stage.go(10)
    second = stage.enter("b")
    await stage.go(10)
    for _ in range(20):
        del stage.server.leases["depin/orcha"]
        await stage.go(5)
        assert stage.server.holder == "a"
    assert first.holds
    assert not second.holds


async def test_a_holder_that_may_not_make_its_deleted_lease_again_loses_it_and_says_why(stage):
    stage.server.write("")
    first = stage.enter("a")
    await stage.go(10)
    del stage.server.leases["depin/orcha"]
    stage.server.fault = Fault(status=403, methods=("POST",))
    await stage.go(10.1)
    assert first.lost.is_set()
    assert "lacks create on leases" in first.why


async def test_an_annotation_by_somebody_else_disturbs_nothing(stage):
    first = stage.enter("a")
    await stage.go(10)
    for _ in range(5):
        lease = stage.server.leases["depin/orcha"]
        stage.server._keep("depin/orcha", {**lease, "metadata": {**lease["metadata"], "annotations": {"by": "me"}}})
        await stage.go(10)
    assert first.holds
    assert stage.server.leases["depin/orcha"]["metadata"]["annotations"] == {"by": "me"}


@pytest.mark.parametrize("seed", range(5))
async def test_never_two_hold_whatever_fails_and_whoever_dies(stage, seed):
    rng = random.Random(seed)
    held = set()
    for turn in range(40):
        while len(stage.lives) < 3:
            stage.enter(f"candidate-{turn}-{len(stage.lives)}")
        chance = rng.random()
        written, status = rng.random() < 0.5, rng.choice([500, 503, 409, 429])
        stage.server.fault = Fault(status=status, written=written) if chance < 0.4 else None
        if chance > 0.8:
            victim = rng.choice(list(stage.lives))
            await rng.choice([stage.kill, stage.stop])(victim)
        if chance < 0.05:
            stage.clock.advance(stage.clock.time() + 40)  # everybody was frozen
            stage.check()
        await stage.go(rng.choice([0.5, 3, 9, 30]))
        for candidate in [each for each in stage.lives if each.lost.is_set()]:
            await stage.kill(candidate)
        held |= {candidate.identity for candidate in stage.lives if candidate.holds}
    assert len(held) > 3


async def test_an_api_that_hangs_costs_the_lease_when_its_time_is_over(stage, real):
    async with asyncio.timeout(20):
        await real.acquire()
        stage.server.fault = Fault(hangs=True)
        await real.keep()
    assert not real.holds
    assert "did not answer in time" in real.why


async def test_a_stand_by_outlives_an_api_that_hangs(stage, real):
    stage.server.fault = Fault(hangs=True)
    async with asyncio.timeout(20):
        waiting = asyncio.create_task(real.acquire())
        await until(lambda: len(stage.server.asked) >= 2)
        stage.server.fault = None
        await waiting
    assert real.holds


# what the owner has to put right


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(status=401), "does not accept orcha's credentials"),
        (Fault(status=403, methods=("GET",)), "lacks get on leases with the resourceName orcha"),
        (Fault(status=403, methods=("POST",)), "lacks create on leases, apiGroup coordination.k8s.io"),
    ],
    ids=["credentials", "get", "create"],
)
async def test_a_right_that_is_missing_from_the_start_is_named(stage, fault, sentence):
    stage.server.fault = fault
    candidate = Elected(WANTED, stage.clock, STEP)
    with pytest.raises(LeaseRefused, match=sentence) as found:
        await bounded(candidate.acquire())
    assert "depin/orcha" in str(found.value)
    assert "made-up" not in str(found.value)
    await candidate.release()


async def test_the_right_to_update_is_named_too(stage):
    stage.server.write("")
    stage.server.fault = Fault(status=403, methods=("PUT",))
    candidate = Elected(WANTED, stage.clock, STEP)
    with pytest.raises(LeaseRefused, match="lacks update on leases with the resourceName orcha"):
        await bounded(candidate.acquire())
    await candidate.release()


async def test_a_namespace_that_is_not_there_is_named(stage):
    candidate = Elected(wanted(namespace="nowhere"), stage.clock, STEP)
    with pytest.raises(LeaseRefused, match="create the namespace nowhere, or name another"):
        await bounded(candidate.acquire())
    await candidate.release()


async def test_without_a_kubernetes_to_ask_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(LeaseRefused, match="there is no Kubernetes API to ask"):
        await Elected(WANTED, SystemClock(), STEP).acquire()


def test_without_the_extra_its_name_is_said():
    program = (
        "import asyncio, sys; sys.modules['lightkube'] = None\n"
        "from controller.leader import elect\n"
        "from exporters.clock import SystemClock\n"
        "from exporters.settings import Lease\n"
        "asyncio.run(elect(Lease(namespace='depin', name='orcha'), SystemClock(), 60.0).acquire())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "LeaseRefused" in done.stderr
    assert "pip install lightkube" in done.stderr


# alone


async def test_without_a_lease_the_one_controller_always_holds():
    leader: Leader = elect(None, SystemClock(), STEP)
    assert isinstance(leader, Sole)
    await leader.acquire()
    keeping = asyncio.create_task(leader.keep())
    await asyncio.sleep(0)
    assert leader.holds
    assert leader.waits_until is None
    assert not keeping.done()
    keeping.cancel()
    await leader.release()


def test_a_process_that_starts_again_is_somebody_else():
    names = {Elected(WANTED, SystemClock(), STEP).identity for _ in range(10)}
    assert len(names) == 10


# processes that freeze

CANDIDATE = """
import asyncio, sys, time
from controller.leader import Elected
from exporters.clock import SystemClock
from exporters.settings import Lease

async def main(path, name):
    wanted = Lease.model_validate({"namespace": "depin", "name": "orcha", "duration": "3s"})
    leader = Elected(wanted, SystemClock(), 1.0, identity=name)
    with open(path, "a", buffering=1) as told:
        async def tell():
            while not leader.lost.is_set():
                before = time.monotonic()
                told.write(f"{before} {int(leader.holds)}\\n")
                await asyncio.sleep(0.005)
            told.write(f"{time.monotonic()} {int(leader.holds)}\\n")
        telling = asyncio.create_task(tell())
        await leader.acquire()
        await leader.keep()
        await telling
        await leader.release()

asyncio.run(main(*sys.argv[1:]))
"""


def samples(path: Path) -> list[tuple[float, bool]]:
    """(CLOCK_MONOTONIC before it was asked, what `holds` said), of whole lines."""
    text = path.read_text() if path.exists() else ""
    lines = [line.split() for line in text.split("\n")[:-1]]
    return [(float(at), holds == "1") for at, holds in lines]


async def bounded(work):
    async with asyncio.timeout(20):
        return await work


async def until(holds):
    """Wait for what another process, or the other side of a socket, does."""
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 nothing tells of a change in a file
            await asyncio.sleep(0.02)


@asynccontextmanager
async def candidate(path: Path):
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", CANDIDATE, str(path), path.stem)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_process_that_was_frozen_beyond_its_lease_never_holds_again_when_it_wakes(stage, tmp_path):
    """CLOCK_MONOTONIC is one for all processes of a machine, so that their samples can be laid side by side."""
    one, two = tmp_path / "one", tmp_path / "two"
    async with candidate(one) as frozen:
        await until(lambda: any(holds for _, holds in samples(one)))
        async with candidate(two):
            await until(lambda: samples(two))
            os.kill(frozen.pid, signal.SIGSTOP)
            await until(lambda: any(holds for _, holds in samples(two)))
            taken = next(at for at, holds in samples(two) if holds)
            woken = time.monotonic()
            os.kill(frozen.pid, signal.SIGCONT)
            async with asyncio.timeout(60):
                assert await frozen.wait() == 0
    after = [holds for at, holds in samples(one) if at >= woken]
    assert after
    assert not any(after)
    assert all(at < taken for at, holds in samples(one) if holds)
    assert stage.server.holder == "two"
    assert any(later - sooner > 2.0 for (sooner, _), (later, _) in pairwise(samples(one)))
