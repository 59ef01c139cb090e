"""Small worlds of which is known by hand what is right, and that must not be got wrong: never harm, then be right."""

from dataclasses import replace

import numpy as np
import pytest

from controller.decide import decide
from controller.guard import guard
from controller.model import Move, Reason
from controller.plan.standing import stand
from controller.report.views import policy as policy_view
from exporters.nodes import Power, TariffWindow, Watts
from exporters.reading import Pool
from exporters.traits import CurveKind, Traits
from tests.controller import worlds
from tests.controller.worlds import HOUR, NOW, allocation, always, blocks, competing, policy, reading, state, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def sponsorship(key, stake, payout, others, *, earned=None, **said):
    """`earned`: what the stake earned in each hour of the past."""
    read = reading(
        key, stake, resource="stake/DATA", pool=Pool({"DATA": 1.0}, others), pool_payout_usd_per_hour=payout,
        irreversible={"stake/DATA": 0.0}, **said,
    )  # fmt: skip
    hours = 48 if earned is None else len(earned)
    past = blocks([stake] * hours, [True] * hours, usd=[1.0] * hours if earned is None else earned)
    bounds = allocation("stake/DATA", 0, 10_000, 500)
    traits = replace(worlds.DILUTION, horizon=72 * HOUR, fees_usd=0.05)
    return workload(key, traits=traits, history=past, bounds=bounds, read=read)


CHAIN = [worlds.node("chain", stake_DATA=10_000)]


# --- what is only supposed is said, and is as uncertain as it is


def test_what_nobody_saw_may_come_to_nothing_or_to_all_of_it():
    """Golem was always full on 6: of 2 cores more it may use none, or both. Akash never used more than 2 of its 6."""
    plan = decide(competing(spec=policy())).plan
    assert plan.gain.low == pytest.approx(0.0, abs=1e-12)
    assert plan.gain.high == pytest.approx(2 * 0.03)
    assert 0.0 < plan.gain.expected < plan.gain.high


def test_the_sentence_says_what_it_supposes():
    found = decide(competing(spec=policy()))
    assert found.sentence.endswith("98% sure if rack-1/golem uses more than 6 cpu (never seen so far)")


def test_a_gain_within_what_was_seen_supposes_nothing():
    golem = workload(GOLEM, 4.0, blocks([8.0] * 24 + [4.0] * 24, [False] * 24 + [True] * 24), used=4.0)
    found = decide(state([golem], [worlds.node(cpu=12)], spec=policy()))
    assert found.plan.targets == {GOLEM: 6.0}
    assert " if " not in found.sentence


@pytest.mark.parametrize(("hours", "sure"), [(2, 3 / 4), (3, 4 / 5), (48, 49 / 50)])
def test_nobody_is_surer_than_the_hours_seen_allow(hours, sure):
    world = competing(spec=policy())
    past = {GOLEM: always(6.0, full=True, hours=hours), AKASH: always(2.0, levels=[0, 2, 6], hours=hours)}
    world = replace(world, workloads=tuple(replace(w, blocks=past[w.key]) for w in world.workloads))
    assert decide(world).plan.confidence == pytest.approx(sure)


def test_a_stake_is_as_uncertain_as_what_it_earned_wandered():
    calm = [sponsorship("chain/a", 5000.0, 0.1, 1e4), sponsorship("chain/b", 5000.0, 0.02, 1e4)]
    wild = [sponsorship("chain/a", 5000.0, 0.1, 1e4, earned=[0.2, 1.8] * 24), calm[1]]
    quiet, rough = (decide(state(those, CHAIN, spec=policy())).plan for those in (calm, wild))
    assert quiet.targets == rough.targets == {"chain/a": 7000.0, "chain/b": 3000.0}
    assert rough.gain.expected == pytest.approx(quiet.gain.expected)
    assert quiet.gain.high - quiet.gain.low == pytest.approx(0.0, abs=1e-12)
    assert rough.gain.high - rough.gain.low > 0.1 * rough.gain.expected


def test_of_a_stake_without_a_past_the_curve_says_that_its_interval_has_no_width():
    known = sponsorship("chain/a", 5000.0, 0.1, 1e4)
    blind = replace(known, blocks=replace(known.blocks, unit_hours=known.blocks.unit_hours * 0))
    found = decide(state([blind, sponsorship("chain/b", 5000.0, 0.02, 1e4)], CHAIN, spec=policy()))
    assert "its interval has no width" in found.curves["chain/a"].why
    assert "how others answer a move is not in its interval" in found.curves["chain/b"].why


def test_a_plan_of_stakes_says_that_it_counts_on_nobody_answering():
    world = state([sponsorship("chain/a", 5000.0, 0.1, 1e4), sponsorship("chain/b", 5000.0, 0.02, 1e4)], CHAIN)
    assert "sure if the other stakers leave theirs as they are; moving costs 0.1 USD once" in decide(world).sentence


def test_alone_in_a_pool_a_small_stake_takes_it_all_and_the_rest_goes_elsewhere_while_that_pays_its_fees():
    """From 9 000 to 9 500 the other pool would pay 0.1 x (9500/19500 - 9000/19000) = 0.00135 USD/h more, 0.097 in 72 h,
    and the two moves cost 0.10.
    """
    world = state(
        [sponsorship("chain/a", 5000.0, 0.1, 1e4), sponsorship("chain/b", 3000.0, 0.02, 0.0)], CHAIN, spec=policy()
    )
    for _ in range(5):
        moves = {v.move.key: v.move.to for v in decide(world).verdicts if v.allowed}
        world = replace(world, workloads=tuple(_given(w, moves.get(w.key)) for w in world.workloads))
    assert {w.key: w.reading.allocated["stake/DATA"] for w in world.workloads} == {"chain/a": 9000.0, "chain/b": 1000.0}


def _given(item, amount):
    if amount is None:
        return item
    read = replace(item.reading, allocated={item.allocation.resource: amount})
    return replace(item, reading=read, last_good=read)


# --- old history


def test_who_was_away_for_weeks_begins_again():
    old = always(2.0)
    gone = replace(old, start=old.start - 20 * 86400)
    late = blocks([2.0], [False], span=600.0)
    names = [name for name in type(gone).__slots__ if name != "levels"]
    both = replace(gone, **{name: np.concatenate([getattr(gone, name), getattr(late, name)]) for name in names})
    world = state([workload(GOLEM, 6.0, both, used=2.0), workload(AKASH, 6.0, always(6.0, full=True))], spec=policy())
    found = decide(world)
    assert found.not_considered[GOLEM] == (
        Reason.NO_HISTORY,
        "rack-1/golem was observed for 10m of the 2h that a plan needs; what is older than 3d does not count",
    )
    assert found.ready_at == NOW + 2 * HOUR - 600
    assert found.plan.moves == ()


def test_a_minimum_of_history_that_is_longer_than_the_kernel_can_be_met():
    seen = always(6.0, full=True, hours=24 * 8)
    found = decide(state([workload(GOLEM, 6.0, seen)], spec=policy(minHistory="7d")))
    assert found.not_considered == {}


# --- energy


def test_who_earns_less_than_its_energy_shrinks_step_by_step_to_its_minimum_and_says_why():
    """100 W a core at 0.50 USD/kWh are 0.05 USD/h; a core earns 0.01."""
    golem = workload(
        GOLEM, 6.0, always(6.0, full=True, value=0.01), watts=Watts(per_step=100), bounds=allocation(low=1)
    )
    world = state([golem], [worlds.node(power=Power(usd_per_kwh=0.5), cpu=12)], spec=policy())
    found = decide(world)
    assert found.plan.targets == {GOLEM: 4.0}
    assert found.sentence.endswith("what is given up costs more energy than it earns")
    for _ in range(3):
        moves = {v.move.key: v.move.to for v in decide(world).verdicts if v.allowed}
        world = replace(world, workloads=tuple(_given(w, moves.get(w.key)) for w in world.workloads))
    assert decide(world).plan.targets == {GOLEM: 1.0}
    assert decide(world).plan.moves == ()


def test_a_dear_hour_ahead_counts_before_it_comes():
    dear = TariffWindow(cron="0 9 * * *", duration="3h", usd_per_kwh=5.0)  # NOW is 08:00
    golem = workload(GOLEM, 6.0, always(6.0, full=True), watts=Watts(per_step=20))
    power = Power(usd_per_kwh=0.1, windows=[dear])
    found = decide(state([golem], [worlds.node(power=power, cpu=6)], spec=policy()))
    assert found.plan.targets == {GOLEM: 5.0}
    assert found.plan.gain.expected == pytest.approx(20 / 1000 * (0.1 + 5.0) / 2 - 0.03)


# --- units


@pytest.mark.parametrize("step", [1.0, 1000.0, 2.0**20, 2.0**37], ids=["a byte", "a kB", "a MiB", "128 GiB"])
def test_a_disk_is_split_whatever_the_step_is_written_in(step):
    tib = 2.0**40

    def store(key, used, growth):
        past = blocks([used] * 48, [False] * 48, value=2e-15, room_growth=[growth] * 48)
        read = reading(key, 6 * tib, resource="storage", used=used)
        return workload(
            key, traits=worlds.FILL, history=past, bounds=allocation("storage", 0, 12 * tib, step), read=read
        )

    world = state(
        [store("rack-1/fast", 6 * tib - 2.0**30, 2.0**34), store("rack-1/idle", 2 * tib, 0.0)],
        [worlds.node(storage=12 * tib)], spec=policy(minImprovement={"percent": 0}),
    )  # fmt: skip
    found = decide(world)
    grown = found.plan.targets["rack-1/fast"] - 6 * tib
    assert 72 * 2.0**34 * 0.9 < grown <= 0.2 * 12 * tib
    assert sum(found.plan.targets.values()) <= 12 * tib
    assert all(v.allowed for v in found.verdicts)


# --- horizons


def one_disk(*, growth):
    """A store that fills is judged over a week, a market for the same disk over 2 h."""
    tib = 2.0**40
    past = blocks([5 * tib] * 48, [False] * 48, value=2e-15, room_growth=[growth * tib] * 48)
    held = reading("rack-1/fill", 6 * tib, resource="storage", used=5 * tib)
    bounds = allocation("storage", 0, 12 * tib, tib / 8)
    fill = workload("rack-1/fill", traits=worlds.FILL, history=past, bounds=bounds, read=held)
    market = workload(
        "rack-1/market", 6 * tib, blocks([6 * tib] * 48, [True] * 48, value=2.2e-15),
        traits=replace(worlds.DEMAND, resource="storage"), bounds=bounds,
    )  # fmt: skip
    return state([fill, market], [worlds.node(storage=12 * tib)], spec=policy(maxStepPercent=8))


def test_two_hours_of_gain_do_not_pay_for_a_week_of_loss():
    found = decide(one_disk(growth=0.0129))
    assert {v.reason for v in found.verdicts} == {Reason.NO_PAYBACK}
    assert "within 2h to 7d, each workload over its own horizon, and cost 0" in found.sentence


def test_nobody_is_sure_of_a_transfer_that_lowers_the_rate():
    found = {(o.source, o.target): o for o in decide(one_disk(growth=0.0129)).plan.opportunities}
    back = found["rack-1/market", "rack-1/fill"]
    assert back.gain.expected < 0
    assert back.confidence == 0.0


# --- several nodes


def two_nodes(**limits):
    """On rack-1 there is something to gain, on rack-2 next to nothing."""
    return state(
        [
            workload("rack-1/a", 6.0, always(6.0, full=True)),
            workload("rack-1/b", 6.0, always(2.0, levels=[0, 2, 6]), used=2.0),
            workload("rack-2/a", 6.0, always(6.0, full=True, value=1e-5)),
            workload("rack-2/b", 6.0, always(5.0, levels=[0, 5, 6], value=0.1), used=5.0),
        ],
        [worlds.node("rack-1", cpu=12), worlds.node("rack-2", cpu=12)],
        spec=policy(**limits),
    )


def test_the_cycles_sentence_counts_only_the_moves_that_it_names():
    found = decide(two_nodes(minImprovement={"percent": 0, "usdPerHour": 0.03}))
    assert {v.move.key for v in found.verdicts if v.allowed} == {"rack-1/a", "rack-1/b"}
    assert ": +0.03793 USD/h (0 to 0.06) on" in found.sentence
    assert "rack-2" not in found.sentence


def test_a_refusal_names_the_limit_that_refused():
    found = decide(two_nodes(minImprovement={"percent": 0, "usdPerHour": 0.5}))
    assert "less than the 0.5 that a change must bring (minImprovement.usdPerHour)" in found.sentence


def shares(*held):
    """Golem on several nodes, 6 cores each, all worth growing."""
    named = [
        (f"rack-{i}/golem", worlds.node(f"rack-{i}", cpu=20), workload(f"rack-{i}/golem", has, always(has, full=True), protocol="golem", used=has))
        for i, has in enumerate(held)
    ]  # fmt: skip
    return [item for *_, item in named], [node for _, node, _ in named]


def moved(key, from_, to, gain):
    return Move(key, key.split("/")[0], "cpu", from_, to, gain, 0.0)


def judged(world, *moves):
    plan = replace(decide(world).plan, moves=moves)
    return {v.move.key: v for v in guard(world, plan, decide(world).curves, stand(world))}


def test_what_two_nodes_may_do_alone_they_may_not_do_both():
    items, nodes = shares(6.0, 6.0)
    world = state(items, nodes, spec=policy(constraints=[{"protocol": "golem", "maxTotal": 14}]))
    found = judged(world, moved("rack-0/golem", 6.0, 8.0, 0.03), moved("rack-1/golem", 6.0, 8.0, 0.04))
    assert found["rack-1/golem"].allowed
    assert found["rack-0/golem"].reason is Reason.INFEASIBLE
    assert "golem maxTotal of cpu would be broken by 2" in found["rack-0/golem"].sentence


def test_what_one_node_gives_up_lets_another_grow_under_a_fleet_wide_total():
    """Golem idles on rack-1, where akash could use its cores, and is full on rack-0."""
    idle = workload("rack-1/golem", 6.0, always(2.0, levels=[0, 2, 6]), protocol="golem", used=2.0)
    akash = workload("rack-1/akash", 6.0, always(6.0, full=True))
    full = workload("rack-0/golem", 6.0, always(6.0, full=True), protocol="golem")
    nodes = [worlds.node("rack-0", cpu=20), worlds.node("rack-1", cpu=12)]
    spec = policy(constraints=[{"protocol": "golem", "maxTotal": 12}])
    found = decide(state([full, akash, idle], nodes, spec=spec))
    assert found.plan.targets == {"rack-0/golem": 8.0, "rack-1/akash": 8.0, "rack-1/golem": 4.0}
    assert all(v.allowed for v in found.verdicts), [v.sentence for v in found.verdicts]


def test_throughout_a_plan_goes_as_far_as_there_is_room_while_others_still_hold_theirs():
    """As above, but half way both may hold it: with no room at all nothing moves, with one core one does, and so on."""
    idle = workload("rack-1/golem", 6.0, always(2.0, levels=[0, 2, 6]), protocol="golem", used=2.0)
    full = workload("rack-0/golem", 6.0, always(6.0, full=True), protocol="golem")
    nodes = [worlds.node("rack-0", cpu=20), worlds.node("rack-1", cpu=12)]
    for most, grows in ((12, 6.0), (13, 7.0), (14, 8.0)):
        spec = policy(constraints=[{"protocol": "golem", "maxTotal": most, "throughout": True}])
        found = decide(state([full, idle], nodes, spec=spec))
        assert found.plan.targets["rack-0/golem"] == grows
        assert all(v.allowed for v in found.verdicts), [v.sentence for v in found.verdicts]


def test_the_places_under_a_max_count_go_to_those_that_earn_most():
    def off(key, price):
        read = reading(key, 0.0, used=0.0, price_usd_per_unit_hour={"cpu": price}, protocol="golem")
        return workload(key, history=always(0.0, full=True, value=0.0), protocol="golem", read=read)

    world = state(
        [off("rack-1/a", 0.01), off("rack-1/b", 1.0)], spec=policy(constraints=[{"protocol": "golem", "maxCount": 1}])
    )
    assert decide(world).plan.targets == {"rack-1/a": 0.0, "rack-1/b": 2.0}


def test_a_max_count_counts_those_above_their_minimum():
    items, nodes = shares(2.0, 2.0)
    at_least = [replace(item, allocation=allocation(low=2)) for item in items]
    spec = policy(constraints=[{"protocol": "golem", "maxCount": 1}])
    found = decide(state(at_least, nodes, spec=spec))
    assert sum(1 for target in found.plan.targets.values() if target > 2.0) == 1
    assert all(v.allowed for v in found.verdicts)


def test_a_best_transfer_that_is_not_allowed_says_so():
    found = decide(competing(spec=policy(constraints=[{"protocol": "golem", "maxTotal": 6}])))
    assert found.reason is Reason.ALREADY_BEST
    assert found.sentence.endswith("+0.0379 USD/h, but constraint golem maxTotal of cpu would be broken by 2")


@pytest.mark.parametrize(
    ("constraint", "named"),
    [
        ({"protocol": "golem", "maxTotal": 6}, "golem maxTotal"),
        ({"protocol": "mapped", "minTotal": 6}, "mapped minTotal"),
        ({"protocol": "golem", "maxShare": 0.5}, "golem maxShare"),
    ],
    ids=["most", "least", "share"],
)
def test_what_only_the_fleet_keeps_out_of_the_plan_is_said_with_the_name_of_its_limit(constraint, named):
    spec = policy(constraints=[constraint | {"resource": "cpu", "throughout": True}])
    found = decide(competing(spec=spec, parts={0: "cores (not all sites keep this limit yet)"}))
    assert (found.reason, found.plan.moves) == (Reason.ALREADY_BEST, ())
    assert found.sentence.endswith(
        f"the best transfer, rack-1/akash to rack-1/golem, would bring +0.0379 USD/h, but constraint {named} of cpu, this site's "
        "part of the fleet's limit cores (not all sites keep this limit yet), would be broken by 2 half way"
    )


def test_what_cannot_be_taken_back_and_may_not_begin_is_shown_with_the_fleets_word():
    kind = Traits(curve=CurveKind.DEMAND, resource="cpu", irreversible=True)
    world = competing(spec=policy(), permits=0)
    found = decide(replace(world, workloads=tuple(replace(each, traits=kind) for each in world.workloads)))
    assert found.plan.moves == ()
    assert "the fleet's limit (irreversibleAtOnce) lets 0 begin here now" in found.sentence


# --- figures


def test_no_sentence_has_an_exponent():
    world = two_nodes()
    tiny = replace(
        world, workloads=tuple(replace(w, blocks=replace(w.blocks, usd=w.blocks.usd * 1e-5)) for w in world.workloads)
    )
    for found in (decide(world), decide(tiny)):
        view = policy_view(found)
        said = [view["sentence"], *(v["sentence"] for v in view["verdicts"])]
        said += [o["sentence"] for o in view["plan"]["opportunities"]]
        assert not any("e-" in word and word[0].isdigit() for words in said for word in words.split())


def test_at_its_maximum_the_next_step_is_worth_nothing_known():
    found = decide(state([workload(GOLEM, 12.0, always(12.0, full=True))], spec=policy()))
    assert found.curves[GOLEM].slope(12.0, step=1.0) is None
    assert found.curves[GOLEM].slope(11.0, step=1.0) == pytest.approx(0.03)


def test_deciding_changes_nothing_of_what_it_is_given():
    world = two_nodes()
    arrays = [getattr(w.blocks, name) for w in world.workloads for name in type(w.blocks).__slots__]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    decide(world)
    assert all(np.array_equal(one, other, equal_nan=True) for one, other in zip(arrays, before, strict=True))
