"""The guard: one row for every reason, what becomes of companions, and that it fails closed."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from controller.guard import _groups, guard, guard_each
from controller.model import Learned, Move, Plan, Reason, Verdict
from controller.plan.limits import is_lasting
from controller.plan.standing import stand
from exporters.reading import Connection, Native
from exporters.traits import CurveKind, Traits
from tests.controller import worlds
from tests.controller.worlds import HOUR, NOW, allocation, always, line, policy, reading, state, workload


def move(key, from_, to, gain=0.05, cost=0.0, resource="cpu"):
    return Move(key, key.split("/")[0], resource, from_, to, gain, cost)


def plan(*moves):
    return Plan(
        policy="default",
        at=NOW,
        solver="WaterFilling",
        why="",
        targets={m.key: m.to for m in moves},
        current={m.key: m.from_ for m in moves},
        moves=moves,
        rate_now=1.0,
        gain=None,
        cost_usd=0.0,
        net_benefit_usd=None,
        roi=None,
        confidence=None,
        gap=0.0,
        rounding_loss=0.0,
        opportunities=(),
        horizon=2 * HOUR,
    )


GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def a_world(spec=None, *, golem=None, akash=None, nodes=None, more=(), **facts):
    """Golem and akash have 6 of 12 cores each."""
    pair = [
        worlds.changed(workload(GOLEM, 6.0, always(6.0, full=True), protocol="golem"), **(golem or {})),
        worlds.changed(workload(AKASH, 6.0, always(2.0), used=2.0), **(akash or {})),
    ]
    return state([*pair, *more], nodes, spec=policy() if spec is None else spec, **facts)


CURVES = {
    GOLEM: line(GOLEM, [0, 6, 12], [0.0, 0.2, 0.4]),
    AKASH: line(AKASH, [0, 2, 12], [0.0, 0.06, 0.06]),
}
TRANSFER = plan(move(AKASH, 6.0, 4.0, 0.0), move(GOLEM, 6.0, 8.0, 0.0667))


def judged(world, proposed=TRANSFER, curves=None):
    return {v.move.key: v for v in guard(world, proposed, CURVES if curves is None else curves)}


def said(**changes):
    """The reading of golem, otherwise."""
    return {"reading": worlds.changed(reading(GOLEM, 6.0, used=6.0, protocol="golem"), **changes)}


DOWN = {"reading": worlds.changed(reading(GOLEM, 6.0), up=False, failure="timeout")}
NOWHERE = {"reading": None, "last_good": None}
NAMELESS = {"reading": reading(GOLEM, 6.0, net=None, native=Native({"GLM": 1.0}))}
UNTOLD = {"reading": worlds.changed(reading(GOLEM, 6.0), allocated={})}
FREEZE = [{"cron": "0 7 * * *", "duration": "3h"}]  # NOW is 08:00 UTC
STORED = Traits(curve=CurveKind.DEMAND, resource="cpu", irreversible=True)


CASES = [
        (a_world(), Reason.ALLOWED, "6 → 8 cpu: +0.06667 USD/h"),
        (a_world(paused=True), Reason.PAUSED, "policy default is paused"),
        (a_world(policy(mode="Off")), Reason.MODE_OFF, "policy default is in mode Off"),
        (a_world(golem={"mode": "Off"}), Reason.MODE_OFF, "rack-1/golem is in mode Off"),
        (a_world(policy(mode="Suggest")), Reason.MODE_SUGGEST, "mode Suggest only shows it"),
        (a_world(policy(mode="Approve"), golem={"mode": "Suggest"}), Reason.MODE_SUGGEST, "mode Suggest only shows it"),
        (a_world(policy(mode="Approve")), Reason.ALLOWED, "98% sure"),
        (a_world(golem=DOWN, akash=DOWN), Reason.CIRCUIT_OPEN, "2 of 2 workloads are unhealthy or unread, more than 50%"),
        (a_world(policy(maxUnhealthyShare=0.1), golem=said(healthy=False)), Reason.CIRCUIT_OPEN, "1 of 2 workloads"),
        (a_world(blocked="ALERTS fires"), Reason.BLOCKED, "blockWhile of policy default holds: ALERTS fires"),
        (a_world(policy(freezeWindows=FREEZE)), Reason.FREEZE_WINDOW, "open until 2027-01-15 10:00 UTC"),
        (a_world(programs_last_hour=4), Reason.RATE_LIMIT, "4 programs ran in the last hour, of 4 allowed"),
        (a_world(policy(objective={"strategy": "Interval"}), last_program_at=NOW - HOUR), Reason.RATE_LIMIT, "moves every 1d"),
        (a_world(golem=DOWN), Reason.DISCONNECTED, "cannot be read (timeout)"),
        (a_world(golem=NOWHERE), Reason.DISCONNECTED, "was not read yet"),
        (a_world(golem=said(connection=Connection.FAILED)), Reason.DISCONNECTED, "is failed"),
        (a_world(golem=said(at=NOW - 301)), Reason.STALE, "was last read 5m1s ago; a reading counts for 5m"),
        (a_world(golem=said(at=NOW + 4e9)), Reason.STALE, "ahead of now"),
        (a_world(golem=said(at=float("nan"))), Reason.STALE, "at an unknown time"),
        (a_world(golem=said(healthy=False, state="suspended")), Reason.UNHEALTHY, "not well (state suspended)"),
        (a_world(golem=said(earning_stalled=True)), Reason.UNHEALTHY, "runs but earns nothing"),
        (a_world(golem=UNTOLD), Reason.UNKNOWN_ALLOCATION, "does not say how much cpu it has now"),
        (a_world(golem=said(allocated={"cpu": float("nan")})), Reason.UNKNOWN_ALLOCATION, "does not say how much"),
        (a_world(golem=NAMELESS), Reason.UNPRICED, "no known worth in USD (it counts in GLM)"),
        (a_world(golem={"blocks": None}), Reason.NO_HISTORY, "observed for 0s of the 2h"),
        (a_world(golem={"blocks": always(6.0, hours=1)}), Reason.NO_HISTORY, "observed for 1h of the 2h"),
        (a_world(golem=said(autonomous="an autostaker")), Reason.OTHER_CONTROLLER, "another controller: an autostaker"),
        (a_world(golem={"manual_change_at": NOW - 60}), Reason.MANUAL_CHANGE, "was changed by hand at 2027-01-15 07:59 UTC"),
        (
            a_world(golem={"allocation": allocation(protect_until=datetime(2027, 1, 16, tzinfo=UTC))}),
            Reason.PROTECTED, "is protected until 2027-01-16 00:00 UTC",
        ),
        (a_world(golem={"last_moved": NOW - 600}), Reason.HOLD, "was moved 10m ago; it is held for 1h"),
        (a_world(golem={"last_moved": NOW + 600}), Reason.HOLD, "was moved 0s ago"),
        (a_world(golem=said(allocated={"cpu": 5.0})), Reason.STALE, "made when rack-1/golem had 6 cpu; it has 5"),
        (a_world(golem={"allocation": allocation(freeze="grow")}), Reason.DIRECTION_FROZEN, "freeze: grow"),
        (a_world(policy(maxStepPercent=10)), Reason.STEP_LIMIT, "by 2 cpu is more than the 1.2 allowed at once"),
        (a_world(golem={"allocation": allocation(high=7)}), Reason.BOUNDS, "to 8 cpu is outside 0 to 7"),
        (a_world(golem={"allocation": allocation(low=0.5)}), Reason.BOUNDS, "is off its step grid"),
        (a_world(golem={"traits": Traits(curve=CurveKind.DEMAND, min_allocation=9)}), Reason.BOUNDS, "outside 9 to 12"),
        (a_world(golem={"allocation": None}), Reason.BOUNDS, "declares no allocation"),
        (a_world(nodes=[worlds.node(cpu=11)]), Reason.CAPACITY, "12 of 11 cpu would be held on rack-1"),
        (a_world(nodes=[worlds.node(memory=11)]), Reason.STEP_LIMIT, "more than the 1 allowed"),
        (
            a_world(policy(constraints=[{"protocol": "golem", "maxShare": 0.6}])),
            Reason.INFEASIBLE, "constraint golem maxShare of cpu would be broken by 800m",
        ),
        (a_world(policy(minImprovement={"percent": 50})), Reason.LOW_GAIN, "less than the 0.13 that a change must bring"),
        (a_world(policy(minImprovement={"usdPerHour": 0.25})), Reason.LOW_GAIN, "less than the 0.25"),
        (a_world(learned=Learned(penalty={"golem": 0.01})), Reason.LOW_GAIN, "of which 0.0006667 counts"),
        (a_world(learned=Learned(fallback="it lost 2 USD")), Reason.MODE_SUGGEST, "default only suggests for now: it lost 2 USD"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("world", "reason", "words"), CASES, ids=[f"{reason.value}: {words}" for _, reason, words in CASES]
)
def test_every_reason_has_its_case(world, reason, words):
    verdict = judged(world)[GOLEM]
    assert verdict.reason is reason, verdict.sentence
    assert words in verdict.sentence
    assert verdict.allowed is (reason is Reason.ALLOWED)


@pytest.mark.parametrize(
    ("akash", "to", "reason", "words"),
    [
        ({"allocation": allocation(freeze="shrink")}, 4.0, Reason.DIRECTION_FROZEN, "freeze: shrink"),
        (
            {"reading": worlds.changed(reading(AKASH, 6.0), irreversible={"cpu": 5.0})},
            4.0,
            Reason.IRREVERSIBLE,
            "uses 5 cpu that cannot",
        ),
        (
            {"reading": worlds.changed(reading(AKASH, 6.0), irreversible={"cpu": float("nan")})},
            4.0,
            Reason.IRREVERSIBLE,
            "uses 6 cpu",
        ),
        ({"traits": STORED, "reading": reading(AKASH, 6.0, used=5.0)}, 4.0, Reason.IRREVERSIBLE, "may not shrink to 4"),
        ({"traits": STORED, "reading": reading(AKASH, 6.0)}, 4.0, Reason.IRREVERSIBLE, "uses 6 cpu"),
        ({}, float("nan"), Reason.BOUNDS, "an unknown amount"),
        ({}, -1.0, Reason.BOUNDS, "outside"),
    ],
    ids=[
        "frozen",
        "in use for good",
        "use for good not a number",
        "used for good by trait",
        "use unknown",
        "not a number",
        "negative",
    ],
)
def test_a_shrink_has_reasons_of_its_own(akash, to, reason, words):
    verdict = judged(a_world(akash=akash), plan(move(AKASH, 6.0, to, 0.0)))[AKASH]
    assert verdict.reason is reason, verdict.sentence
    assert words in verdict.sentence


def test_a_move_that_does_not_pay_back_within_the_horizon_is_refused():
    dear = plan(move(AKASH, 6.0, 4.0, 0.0), move(GOLEM, 6.0, 8.0, 0.0667, cost=0.125))
    verdict = judged(a_world(), dear)[GOLEM]
    assert verdict.reason is Reason.NO_PAYBACK
    assert "would earn 0.1333 USD within 2h and cost 0.125" in verdict.sentence


def test_a_gain_that_holds_in_too_few_replicates_is_refused():
    rows = np.array([[0, 0.2, 0.4]] * 6 + [[0, 0.2, 0.1]] * 4)
    verdict = judged(a_world(), curves=CURVES | {GOLEM: line(GOLEM, [0, 6, 12], [0, 0.2, 0.4], replicates=rows)})[GOLEM]
    assert verdict.reason is Reason.LOW_CONFIDENCE
    assert "60% sure that it pays, of 70% asked for" in verdict.sentence


def test_a_loss_is_a_low_gain():
    assert judged(a_world(), plan(move(GOLEM, 6.0, 5.0, -0.03)))[GOLEM].reason is Reason.LOW_GAIN


def test_a_move_without_a_curve_is_refused():
    assert judged(a_world(), curves={AKASH: CURVES[AKASH]})[GOLEM].reason is Reason.NO_HISTORY


def test_a_workload_that_is_gone_is_infeasible():
    gone = judged(a_world(), plan(move("rack-1/gone", 1.0, 2.0)))["rack-1/gone"]
    assert gone.reason is Reason.INFEASIBLE


def test_a_move_of_a_resource_that_is_not_allocated_any_more_is_out_of_bounds():
    assert judged(a_world(), plan(move(GOLEM, 6.0, 8.0, resource="memory")))[GOLEM].reason is Reason.BOUNDS


# --- companions


def test_a_grow_is_refused_with_the_shrink_that_was_to_make_room_for_it():
    verdicts = judged(a_world(akash={"last_moved": NOW - 60}))
    assert verdicts[AKASH].reason is Reason.HOLD
    assert verdicts[GOLEM].reason is Reason.COMPANION_REFUSED
    assert "14 of 12 cpu would be held on rack-1 without the move of rack-1/akash" in verdicts[GOLEM].sentence


def test_a_shrink_is_refused_with_the_grow_that_it_was_to_make_room_for():
    verdicts = judged(a_world(golem={"last_moved": NOW - 60}))
    assert verdicts[GOLEM].reason is Reason.HOLD
    assert verdicts[AKASH].reason is Reason.COMPANION_REFUSED
    assert "would make room for rack-1/golem" in verdicts[AKASH].sentence


def test_a_grow_that_fits_without_the_refused_shrink_goes_on():
    roomy = a_world(nodes=[worlds.node(cpu=20)], akash={"last_moved": NOW - 60})
    assert judged(roomy)[GOLEM].reason is Reason.ALLOWED


def test_of_two_grows_the_one_that_earns_less_gives_way():
    third = workload("rack-1/third", 0.0, always(1.0), used=0.0)
    curves = CURVES | {"rack-1/third": line("rack-1/third", [0, 12], [0, 0.6])}
    moves = plan(move(AKASH, 6.0, 4.0, 0.0), move(GOLEM, 6.0, 7.0, 0.033), move("rack-1/third", 0.0, 1.0, 0.05))
    held = a_world(nodes=[worlds.node(cpu=13)], akash={"last_moved": NOW - 60}, more=[third])
    verdicts = judged(held, moves, curves)
    assert verdicts["rack-1/third"].reason is Reason.ALLOWED
    assert verdicts[GOLEM].reason is Reason.COMPANION_REFUSED


def test_a_grow_does_without_a_shrink_that_is_only_shown():
    verdicts = judged(a_world(akash={"mode": "Suggest"}))
    assert verdicts[AKASH].reason is Reason.MODE_SUGGEST
    assert verdicts[GOLEM].reason is Reason.COMPANION_REFUSED


def test_a_grow_that_fits_goes_on_beside_a_shrink_that_is_only_shown():
    verdicts = judged(a_world(akash={"mode": "Suggest"}, nodes=[worlds.node(cpu=20)]))
    assert verdicts[AKASH].reason is Reason.MODE_SUGGEST
    assert verdicts[GOLEM].reason is Reason.ALLOWED


def test_moves_that_share_nothing_do_not_depend_on_each_other():
    disk = workload(
        "rack-1/storj",
        2.0,
        always(2.0),
        traits=worlds.FILL,
        bounds=allocation("storage", 1, 10, 1),
        used=2.0,
    )
    curves = CURVES | {"rack-1/storj": line("rack-1/storj", [2, 10], [0.1, 0.9], resource="storage")}
    world = a_world(akash={"last_moved": NOW - 60}, more=[disk], nodes=[worlds.node(cpu=12, storage=10)])
    moves = plan(*TRANSFER.moves, move("rack-1/storj", 2.0, 4.0, 0.2, resource="storage"))
    verdicts = judged(world, moves, curves)
    assert verdicts[GOLEM].reason is Reason.COMPANION_REFUSED
    assert verdicts["rack-1/storj"].reason is Reason.ALLOWED


def test_companions_share_what_goes_along_with_their_resource():
    # golem takes memory with its cores; there is room for the cores and not for the memory
    greedy = {"allocation": allocation(**{"with": {"memory": 2.0}})}
    verdicts = judged(a_world(golem=greedy, nodes=[worlds.node(cpu=20, memory=13)]))
    assert verdicts[GOLEM].reason is Reason.CAPACITY
    assert "16 of 13 memory" in verdicts[GOLEM].sentence


def test_somebody_who_does_not_say_what_it_holds_blocks_its_resource_for_all():
    silent = workload("rack-1/silent", 1.0, read=worlds.changed(reading("rack-1/silent", 1.0), allocated={}))
    verdict = judged(a_world(more=[silent]))[GOLEM]
    assert verdict.reason is Reason.UNKNOWN_ALLOCATION
    assert "how much cpu rack-1/silent holds" in verdict.sentence


def test_a_constraint_that_is_broken_already_may_be_mended_but_not_broken_further():
    spec = policy(constraints=[{"protocol": "golem", "maxShare": 0.4}])
    worse = judged(a_world(spec))
    assert worse[GOLEM].reason is Reason.INFEASIBLE
    curves = CURVES | {GOLEM: line(GOLEM, [0, 6, 12], [0.3, 0.2, 0.1])}
    better = judged(a_world(spec), plan(move(GOLEM, 6.0, 5.0, 0.0167)), curves)
    assert better[GOLEM].reason is Reason.ALLOWED


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ({"maxTotal": 7}, "maxTotal of cpu would be broken by 1"),
        ({"maxShare": 0.5}, "maxShare of cpu would be broken by 2"),
    ],
)
def test_constraints_hold_over_all_nodes_of_the_policy(constraint, words):
    verdict = judged(a_world(policy(constraints=[{"protocol": "golem"} | constraint])))[GOLEM]
    assert (verdict.reason, words in verdict.sentence) == (Reason.INFEASIBLE, True)


def test_a_protocol_may_not_start_more_often_than_allowed():
    idle = worlds.changed(workload("rack-1/idle", 0.0, always(0.0), protocol="golem", used=0.0))
    world = a_world(
        policy(constraints=[{"protocol": "golem", "maxCount": 1}]), more=[idle], nodes=[worlds.node(cpu=20)]
    )
    curves = CURVES | {"rack-1/idle": line("rack-1/idle", [0, 12], [0, 1])}
    verdict = judged(world, plan(move("rack-1/idle", 0.0, 1.0)), curves)["rack-1/idle"]
    assert (verdict.reason, "maxCount" in verdict.sentence) == (Reason.INFEASIBLE, True)


def test_a_constraint_of_one_resource_asks_nothing_of_another():
    spec = policy(constraints=[{"protocol": "golem", "resource": "storage", "maxTotal": 1}])
    assert judged(a_world(spec))[GOLEM].allowed
    spec = policy(constraints=[{"protocol": "golem", "resource": "cpu", "maxTotal": 7}])
    assert judged(a_world(spec))[GOLEM].reason is Reason.INFEASIBLE


def golems(constraint, *, idle=()):
    """Golem on two nodes, where one's core is worth more than the other's."""
    nodes = [worlds.node("n1", cpu=12), worlds.node("n2", cpu=12)]
    those = [workload(f"{name}/golem", 6.0, always(6.0, full=True), protocol="golem") for name in ("n1", "n2")]
    spec = policy(constraints=[{"protocol": "golem"} | constraint])
    return state([*those, *idle], nodes, spec=spec)


TRADED = {"n1/golem": line("n1/golem", [0, 12], [0.0, 0.4]), "n2/golem": line("n2/golem", [0, 12], [0.2, 0.0])}
TRADE = plan(move("n2/golem", 6.0, 4.0, 0.0333), move("n1/golem", 6.0, 8.0, 0.0667))
"""One is better off with less, the other with more."""


@pytest.mark.parametrize(("constraint", "refused"), [({"maxTotal": 12}, "n1/golem"), ({"minTotal": 12}, "n2/golem")])
def test_what_must_hold_throughout_counts_nothing_as_done_that_another_node_may_not_have_done_yet(constraint, refused):
    """Nodes change beside one another, in any order."""
    assert all(verdict.allowed for verdict in judged(golems(constraint), TRADE, TRADED).values())
    found = judged(golems(constraint | {"throughout": True}), TRADE, TRADED)
    assert [key for key, verdict in found.items() if not verdict.allowed] == [refused]
    assert found[refused].reason is Reason.INFEASIBLE
    assert found[refused].sentence.endswith("would be broken by 2 half way")


def test_a_share_that_holds_throughout_is_as_large_as_it_may_be_half_way():
    other = workload("n1/other", 4.0, always(4.0, full=True))
    curves = TRADED | {"n1/other": line("n1/other", [0, 12], [0.0, 0.1])}
    for throughout in (False, True):
        world = golems({"maxShare": 0.75, "throughout": throughout}, idle=[other])
        assert judged(world, TRADE, curves)["n1/golem"].allowed is not throughout


def test_a_count_that_holds_throughout_has_no_place_before_another_has_left_it():
    idle = workload("n3/golem", 0.0, always(0.0), protocol="golem", used=0.0)
    curves = TRADED | {"n3/golem": line("n3/golem", [0, 12], [0.0, 2.0])}
    swap = plan(move("n2/golem", 6.0, 0.0, 0.1), move("n3/golem", 0.0, 1.0, 0.1667))
    for throughout in (False, True):
        limit = {"protocol": "golem", "maxCount": 2, "throughout": throughout}
        world = golems({}, idle=[idle])
        nodes = (*world.nodes, worlds.node("n3", cpu=12))
        world = worlds.changed(world, nodes=nodes, spec=policy(maxStepPercent=50, constraints=[limit]))
        assert judged(world, swap, curves)["n3/golem"].allowed is not throughout


def test_a_refusal_says_of_which_limit_of_the_fleet_a_constraint_is_this_sites_part():
    own, part = {"protocol": "golem", "maxTotal": 20}, {"protocol": "golem", "maxTotal": 12, "throughout": True}
    for constraints in ([own, part], [part, own]):
        world = worlds.changed(golems({}), spec=policy(constraints=constraints))
        for number, each in enumerate(constraints):
            whose = ", this site's part of the fleet's limit cores," if each is part else ""
            found = judged(worlds.changed(world, parts={number: "cores"}), TRADE, TRADED)["n1/golem"]
            assert found.sentence == f"constraint golem maxTotal of cpu{whose} would be broken by 2 half way"


def test_one_constraint_that_is_broken_hides_no_other_of_the_same_kind():
    broken = [{"protocol": "golem", "maxTotal": 1}, {"protocol": "golem", "maxTotal": 6, "throughout": True}]
    assert judged(a_world(policy(constraints=broken)))[GOLEM].reason is Reason.INFEASIBLE
    trade = plan(move(GOLEM, 6.0, 5.0, 0.0167))
    curves = CURVES | {GOLEM: line(GOLEM, [0, 6, 12], [0.3, 0.2, 0.1])}
    assert judged(a_world(policy(constraints=broken)), trade, curves)[GOLEM].allowed


# --- what cannot be taken back

ROOM = Traits(curve=CurveKind.DEMAND, resource="cpu", irreversible=True)


def rooms(permits, **more):
    nodes = [worlds.node("n1", cpu=12), worlds.node("n2", cpu=12)]
    those = [workload(f"{name}/golem", 6.0, always(6.0, full=True), traits=ROOM, **more) for name in ("n1", "n2")]
    return state(those, nodes, spec=policy(), permits=permits)


ROOMS = {
    "n1/golem": line("n1/golem", [0, 12], [0.0, 0.4]),
    "n2/golem": line("n2/golem", [0, 12], [0.0, 0.1]),
}
GROWTH = plan(move("n1/golem", 6.0, 8.0, 0.0667), move("n2/golem", 6.0, 8.0, 0.0167))


@pytest.mark.parametrize(("permits", "allowed"), [(None, 2), (2, 2), (1, 1), (0, 0)])
def test_of_moves_that_cannot_be_taken_back_only_so_many_begin_those_that_earn_most(permits, allowed):
    found = judged(rooms(permits), GROWTH, ROOMS)
    assert [found[key].allowed for key in ("n1/golem", "n2/golem")] == [allowed > 0, allowed > 1]
    for verdict in found.values():
        if not verdict.allowed:
            assert verdict.reason is Reason.INFEASIBLE
            assert f"(irreversibleAtOnce) lets {permits} begin here now" in verdict.sentence


IN_USE = worlds.changed(reading(GOLEM, 6.0), irreversible={"cpu": 1.0})


@pytest.mark.parametrize(
    ("facts", "grows", "shrinks"),
    [
        ({}, False, False),
        ({"traits": ROOM}, True, False),
        ({"traits": worlds.FILL}, True, False),
        ({"reading": IN_USE}, True, False),
        ({"reading": None, "last_good": IN_USE}, True, False),
        ({"driver": "handout"}, True, True),
        ({"traits": ROOM, "allocation": None}, False, False),
    ],
    ids=["most", "by its protocol", "filled", "as it says", "as it said", "signed", "watched only"],
)
def test_which_moves_cannot_be_taken_back(facts, grows, shrinks):
    found = worlds.changed(workload(GOLEM, 6.0), **facts)
    assert (is_lasting(found, grows=True), is_lasting(found, grows=False)) == (grows, shrinks)


def test_who_makes_room_for_one_that_may_not_begin_stays():
    world = worlds.changed(a_world(golem={"traits": ROOM}), permits=0)
    found = judged(world)
    assert (found[GOLEM].reason, found[AKASH].reason) == (Reason.INFEASIBLE, Reason.COMPANION_REFUSED)


def test_what_is_only_shown_takes_no_permit():
    world = rooms(1)
    shown = worlds.changed(world.workloads[0], mode="Suggest")
    found = judged(worlds.changed(world, workloads=(shown, world.workloads[1])), GROWTH, ROOMS)
    assert (found["n1/golem"].reason, found["n2/golem"].allowed) == (Reason.MODE_SUGGEST, True)


# --- failing sources


def test_the_last_good_reading_counts_as_long_as_the_policy_says():
    good = reading(GOLEM, 6.0, used=6.0, now=NOW - 500)
    down = {"reading": worlds.changed(reading(GOLEM, 6.0), up=False, failure="timeout"), "last_good": good}
    assert judged(a_world(golem=down))[GOLEM].reason is Reason.DISCONNECTED
    assert judged(a_world(policy(onSourceFailure={"lastGood": "15m"}), golem=down))[GOLEM].reason is Reason.ALLOWED
    assert judged(a_world(policy(onSourceFailure={"lastGood": "5m"}), golem=down))[GOLEM].reason is Reason.DISCONNECTED


def test_one_unhealthy_workload_of_two_does_not_open_the_circuit():
    assert judged(a_world(golem=said(healthy=False)))[GOLEM].reason is Reason.UNHEALTHY


def test_an_unknown_health_is_no_sickness():
    assert judged(a_world(golem=said(healthy=None)))[GOLEM].reason is Reason.ALLOWED


def test_verdicts_come_in_the_order_of_the_moves_and_an_empty_plan_has_none():
    assert [v.move for v in guard(a_world(), TRANSFER, CURVES)] == list(TRANSFER.moves)
    assert guard(a_world(), plan(), CURVES) == ()


def test_every_sentence_has_no_line_break_and_ends_without_a_stop():
    for verdict in guard(a_world(), TRANSFER, CURVES):
        assert isinstance(verdict, Verdict)
        assert "\n" not in verdict.sentence
        assert not verdict.sentence.endswith(".")


def test_moves_that_share_a_resource_through_a_third_are_one_group_in_the_plans_order():
    world = state(
        [
            workload("rack-1/a", bounds=allocation("cpu")),
            workload("rack-1/b", bounds=allocation("memory")),
            workload("rack-1/c", bounds=allocation("cpu", with_={"memory": 1.0})),
            workload("rack-2/a", bounds=allocation("cpu")),
        ],
        [worlds.node(cpu=12, memory=12), worlds.node("rack-2", cpu=12)],
    )
    keys = ["rack-1/b", "rack-2/a", "rack-1/a", "rack-1/c"]
    groups = _groups(
        stand(world), [move(key, 6.0, 7.0, resource="memory" if key == keys[0] else "cpu") for key in keys]
    )
    assert [[each.key for each in group] for group in groups] == [["rack-1/b", "rack-1/a", "rack-1/c"], ["rack-2/a"]]


# --- what earlier programs taught


@pytest.mark.parametrize("mode", ["Auto", "Approve"])
def test_a_policy_that_fell_back_allows_nothing_in_any_mode_that_acts(mode):
    world = a_world(policy(mode=mode), learned=Learned(fallback="its gain of 7 days is below zero, 95% sure"))
    for verdict in judged(world).values():
        assert (verdict.allowed, verdict.reason) == (False, Reason.MODE_SUGGEST)
        assert verdict.sentence.endswith(
            "policy default only suggests for now: its gain of 7 days is below zero, 95% sure"
        )


def test_a_policy_that_only_suggests_anyway_says_so_as_ever():
    verdict = judged(a_world(policy(mode="Suggest"), learned=Learned(fallback="it lost")))[GOLEM]
    assert verdict.sentence.endswith("mode Suggest only shows it")


def test_what_is_not_worth_doing_is_refused_for_that_after_a_fall_back_too():
    world = a_world(policy(minImprovement={"percent": 50}), learned=Learned(fallback="it lost"))
    assert judged(world)[GOLEM].reason is Reason.LOW_GAIN


# --- rises must last


RISING = CURVES | {AKASH: line(AKASH, [0, 12], [0.0, 0.12])}
"""What akash would give up still earns."""


@pytest.mark.parametrize(("rises", "reason"), [(0, Reason.RISE_PENDING), (1, Reason.RISE_PENDING), (2, Reason.ALLOWED)])
def test_a_rise_counts_when_it_showed_in_so_many_analyses_in_a_row(rises, reason):
    world = a_world(policy(objective={"riseAnalyses": 3}), rises=rises)
    verdict = judged(world, curves=RISING)[GOLEM]
    assert verdict.reason is reason
    assert verdict.allowed or f"{rises + 1} of 3 analyses" in verdict.sentence


def test_a_fall_counts_at_once():
    assert judged(a_world(policy(objective={"riseAnalyses": 3})))[GOLEM].reason is Reason.ALLOWED


# --- RiskAware


WILD = CURVES | {GOLEM: line(GOLEM, [0, 6, 12], [0.0, 0.2, 0.4], replicates=[[0, 0.1, 0.2], [0, 0.3, 0.6]])}
"""6 of golem sway by 0.1 USD/h, 8 by 0.133."""


def risk_aware(tolerance):
    return policy(objective={"strategy": "RiskAware", "riskTolerance": tolerance}, minConfidence=0)


@pytest.mark.parametrize(
    ("tolerance", "reason"),
    [(0.14, Reason.ALLOWED), (0.13, Reason.INFEASIBLE), (0.05, Reason.INFEASIBLE), (None, Reason.ALLOWED)],
    ids=["within", "above", "above already and higher", "no tolerance"],
)
def test_a_plan_may_not_take_the_total_out_of_its_tolerance(tolerance, reason):
    verdict = judged(a_world(risk_aware(tolerance)), curves=WILD)[GOLEM]
    assert verdict.reason is reason
    if reason is Reason.INFEASIBLE:
        assert f"standard deviation of 0.133 USD/h; riskTolerance is {tolerance}" in verdict.sentence


def test_above_its_tolerance_it_may_still_become_surer():
    back = plan(move(AKASH, 6.0, 8.0, 0.0), move(GOLEM, 6.0, 4.0, -0.0667))
    surer = WILD | {AKASH: line(AKASH, [0, 12], [0.0, 0.6])}
    assert judged(a_world(risk_aware(0.05)), back, surer)[GOLEM].reason is Reason.ALLOWED


def test_the_group_that_adds_most_gives_way_and_the_others_go_on():
    disk = workload(
        "rack-1/storj", 2.0, always(2.0), traits=worlds.FILL, bounds=allocation("storage", 1, 10, 1), used=2.0
    )
    curves = WILD | {
        "rack-1/storj": line(
            "rack-1/storj", [2, 10], [0.1, 0.9], resource="storage", replicates=[[0.1, 0.85], [0.1, 0.95]]
        )
    }
    world = a_world(risk_aware(0.12), more=[disk], nodes=[worlds.node(cpu=12, storage=10)])
    moves = plan(*TRANSFER.moves, move("rack-1/storj", 2.0, 4.0, 0.2, resource="storage"))
    verdicts = judged(world, moves, curves)
    assert verdicts[GOLEM].reason is Reason.INFEASIBLE
    assert verdicts["rack-1/storj"].reason is Reason.ALLOWED


# --- several at once


def test_sets_that_are_judged_together_are_judged_as_if_each_were_alone():
    sets = [TRANSFER.moves, (), (move(GOLEM, 6.0, 5.0, -0.03),), (move("rack-1/gone", 1.0, 2.0),), TRANSFER.moves[1:]]
    world = a_world(nodes=[worlds.node(cpu=13)])
    alone = [guard(world, plan(*moves), CURVES) for moves in sets]
    assert guard_each(world, sets, CURVES, stand(world)) == alone


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["curve", "replicates", "influence"])
def test_figures_that_are_no_numbers_allow_nothing(where, bad):
    curve, rows = line(GOLEM, [0, 6, 12], [0, 0.2, 0.4]), np.array([[0, 0.2, bad]] * 2)
    odd = {
        "curve": line(GOLEM, [0, 6, 12], [0, 0.2, bad]),
        "replicates": worlds.changed(curve, replicates=rows),
        "influence": worlds.changed(curve, influence=rows, columns=np.arange(2)),
    }[where]
    assert not any(verdict.allowed for verdict in judged(a_world(), curves=CURVES | {GOLEM: odd}).values())


# --- freeze windows over a change of the clocks, and what acting adds (G1-G9)


def berlin(text, fold=0):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("Europe/Berlin"), fold=fold).timestamp()


NIGHT = policy(freezeWindows=[{"cron": "30 2 * * *", "duration": "1h", "timezone": "Europe/Berlin"}])


@pytest.mark.parametrize(
    ("at", "frozen"),
    [
        (berlin("2027-03-27T02:29:59"), False),
        (berlin("2027-03-27T02:30:00"), True),
        (berlin("2027-03-28T01:59:59"), False),  # spring forward: 02:30 does not exist, so it opens at 03:00
        (berlin("2027-03-28T03:00:00"), True),
        (berlin("2027-03-28T03:59:59"), True),
        (berlin("2027-03-28T04:00:00"), False),
        (berlin("2027-10-31T02:30:00"), True),  # fall back: 02:30 comes twice, and it opens the first time
        (berlin("2027-10-31T02:29:59", fold=1), True),
        (berlin("2027-10-31T02:30:00", fold=1), False),
        (berlin("2027-10-31T03:00:00"), False),
    ],
)
def test_a_freeze_window_holds_on_the_nights_on_which_the_clocks_change(at, frozen):
    shift = at - NOW
    world = a_world(NIGHT)
    moved = tuple(
        worlds.changed(w, reading=worlds.changed(w.reading, at=w.reading.at + shift), blocks=worlds.changed(w.blocks, start=w.blocks.start + shift))
        for w in world.workloads
    )  # fmt: skip
    verdict = judged(worlds.changed(world, now=at, workloads=moved))[GOLEM]
    assert verdict.reason is (Reason.FREEZE_WINDOW if frozen else Reason.ALLOWED), verdict.sentence


@pytest.mark.parametrize(
    ("golem", "reason", "words"),
    [
        ({"in_flight": 6.0, "program": "is being changed by program p-1"}, Reason.PROGRAM_RUNNING, "is being changed by program p-1"),
        ({"in_flight": 0.0, "program": "waits"}, Reason.PROGRAM_RUNNING, "rack-1/golem waits"),
        ({"infeasible": "moving it failed; it is tried again later"}, Reason.INFEASIBLE, "tried again later"),
        ({"driver": "none"}, Reason.MODE_SUGGEST, "no actuator is declared for it, so it is only shown"),
        ({"in_flight": 6.0, "program": "p", **DOWN}, Reason.PROGRAM_RUNNING, ""),
    ],
    ids=["in flight", "in flight with nothing", "failed before", "no actuator", "in flight and down"],
)  # fmt: skip
def test_what_acting_adds_to_the_reasons(golem, reason, words):
    verdict = judged(a_world(policy(maxUnhealthyShare=1.0), golem=golem))[GOLEM]
    assert verdict.reason is reason, verdict.sentence
    assert words in verdict.sentence


def test_the_room_that_something_in_flight_may_take_is_not_free():
    """Golem has 6 and may come to have 8: of 12 cores akash's 6 leave none."""
    third = workload("rack-1/myst", 0.0, always(6.0, full=True), used=0.0)
    world = a_world(nodes=[worlds.node(cpu=14)], golem={"in_flight": 8.0, "program": "p-1"}, more=(third,))
    curves = CURVES | {"rack-1/myst": line("rack-1/myst", [0, 12], [0.0, 0.4])}
    grows = plan(move("rack-1/myst", 0.0, 1.0, 0.03))
    assert guard(world, grows, curves)[0].reason is Reason.CAPACITY
    free = a_world(nodes=[worlds.node(cpu=14)], more=(third,))
    assert guard(free, grows, curves)[0].reason is Reason.ALLOWED


def test_a_fall_back_to_suggest_outweighs_any_mode_of_a_workload():
    world = a_world(golem={"mode": "Auto"}, learned=Learned(fallback="it lost 2 USD"))
    assert judged(world)[GOLEM].reason is Reason.MODE_SUGGEST
