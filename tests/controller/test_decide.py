"""decide: State -> Decision. What is planned on, what stays out and why, and that the order of the input never matters."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.decide import decide
from controller.estimate.recall import remember
from controller.model import Reason
from controller.plan.feasible import allocations, shortfalls
from exporters.reading import Native, Pool
from tests.controller import worlds
from tests.controller.worlds import HOUR, NOW, allocation, always, competing, policy, reading, state, varying, workload

GOLEM, AKASH = "rack-1/golem", "rack-1/akash"


def with_(world, key, **changes):
    return replace(world, workloads=tuple(replace(w, **changes) if w.key == key else w for w in world.workloads))


def saying(world, key, **changes):
    return with_(world, key, reading=replace(next(w for w in world.workloads if w.key == key).reading, **changes))


# --- the plan


def test_idle_room_goes_to_what_is_always_full():
    found = decide(competing(spec=policy()))
    assert found.plan.targets == {AKASH: 4.0, GOLEM: 8.0}
    assert found.reason is Reason.ALLOWED
    assert all(v.allowed for v in found.verdicts)
    assert found.sentence.startswith("move: rack-1/golem 6 → 8 cpu, rack-1/akash 6 → 4 cpu: +0.03793 USD/h")


def test_suggest_is_the_default_and_allows_nothing():
    found = decide(competing())
    assert found.reason is Reason.MODE_SUGGEST
    assert not any(v.allowed for v in found.verdicts)
    assert found.sentence.startswith("suggest: ")


def test_the_plan_carries_its_figures():
    plan = decide(competing()).plan
    assert plan.rate_now == pytest.approx(6 * 0.03 + 2 * 0.03)
    assert plan.gain.low <= plan.gain.expected <= plan.gain.high
    assert plan.net_benefit_usd == pytest.approx(plan.gain.expected * 2)
    assert (plan.cost_usd, plan.roi, plan.confidence, plan.horizon) == (0.0, None, 49 / 50, 7200.0)
    assert plan.solver == "WaterFilling"


def test_the_cost_of_moving_is_charged_and_the_return_on_it_told():
    slow = replace(worlds.DEMAND, offline_minutes=10.0)
    found = decide(with_(competing(), GOLEM, traits=slow))
    assert found.plan.cost_usd == pytest.approx(10 / 60 * 0.18)
    assert found.plan.roi == pytest.approx((found.plan.gain.expected * 2 - 0.03) / 0.03)


def test_a_best_split_is_left_alone_and_says_what_the_next_best_transfer_would_bring():
    world = state([workload(GOLEM, 8.0, always(6.0), used=6.0), workload(AKASH, 4.0, always(2.0), used=2.0)])
    found = decide(world)
    assert found.reason is Reason.ALREADY_BEST
    assert (found.plan.moves, found.verdicts) == ((), ())
    assert found.sentence.startswith("stay: 0.24 USD/h over 2 workloads is the best within limits; the best transfer")


def test_after_moving_again_and_again_on_unchanged_truth_nothing_is_left_to_move():
    world = competing(spec=policy())
    for _ in range(12):
        moved = {v.move.key: v.move.to for v in decide(world).verdicts if v.allowed}
        if not moved:
            return
        for key, to in moved.items():
            world = saying(world, key, allocated={"cpu": to})
    pytest.fail("it still moves after twelve turns")


# --- opportunities


def test_every_ordered_pair_and_free_capacity_is_weighed_with_its_reason():
    world = replace(competing(), nodes=(worlds.node(cpu=13),))
    found = {(o.source, o.target): o for o in decide(world).plan.opportunities}
    assert set(found) == {(AKASH, GOLEM), (GOLEM, AKASH), (None, GOLEM), (None, AKASH)}
    assert found[AKASH, GOLEM].reason is Reason.MODE_SUGGEST
    assert found[GOLEM, AKASH].reason is Reason.ALREADY_BEST
    assert found[None, GOLEM].amount == 1.0
    assert found[None, GOLEM].steps == 1


def test_opportunities_are_ranked_by_what_is_left_after_their_cost():
    ranked = decide(competing()).plan.opportunities
    left = [o.gain.expected - o.cost_usd for o in ranked]
    assert left == sorted(left, reverse=True)


def test_an_opportunity_that_the_guard_would_refuse_says_why():
    held = decide(with_(competing(spec=policy()), GOLEM, last_moved=NOW - 60))
    best = next(o for o in held.plan.opportunities if o.target == GOLEM)
    assert best.reason is Reason.HOLD
    assert "refused: rack-1/golem was moved 1m ago" in best.sentence


# --- who stays out


def test_when_everybody_is_on_hold_nothing_is_estimated():
    world = with_(with_(competing(), GOLEM, last_moved=NOW - 60), AKASH, last_moved=NOW - 90)
    found = decide(world)
    assert found.reason is Reason.HOLD
    assert found.curves == {}
    assert "all 2 workloads that could move" in found.sentence


def test_with_too_little_history_it_stays_and_says_when_it_will_be_ready():
    young = always(6.0, hours=1, full=True)
    world = with_(with_(competing(), GOLEM, blocks=young), AKASH, blocks=None)
    found = decide(world)
    assert found.reason is Reason.NO_HISTORY
    assert found.ready_at == NOW + 2 * HOUR
    assert found.plan.gain is None
    assert "a plan will be ready at 2027-01-15 10:00 UTC" in found.sentence


def test_one_newcomer_does_not_keep_the_others_from_moving():
    newcomer = workload("rack-1/new", 1.0, always(1.0, hours=1))
    world = competing(spec=policy())
    found = decide(replace(world, nodes=(worlds.node(cpu=13),), workloads=(*world.workloads, newcomer)))
    assert found.plan.targets == {AKASH: 4.0, GOLEM: 8.0}
    assert found.not_considered["rack-1/new"][0] is Reason.NO_HISTORY
    assert found.ready_at == NOW + HOUR
    assert "not considered: 1 NoHistory (rack-1/new)" in found.sentence


def test_use_that_is_never_told_has_no_date_at_which_it_will_be_known():
    seen = always(6.0)
    blind = replace(seen, exact=seen.exact * 0, censored=seen.censored * 0)
    found = decide(with_(with_(competing(), GOLEM, blocks=blind), AKASH, blocks=blind))
    assert (found.reason, found.ready_at) == (Reason.NO_HISTORY, None)
    assert "was never seen" in found.sentence


DOWN = replace(reading(AKASH, 6.0), up=False, failure="unreachable")
NAMELESS = reading(AKASH, 6.0, net=None, used=2.0, native=Native({"AKT": 1.0}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"reading": DOWN}, Reason.DISCONNECTED),
        ({"reading": reading(AKASH, 6.0, now=NOW - 900)}, Reason.STALE),
        ({"reading": reading(AKASH, 6.0, healthy=False)}, Reason.UNHEALTHY),
        ({"reading": NAMELESS}, Reason.UNPRICED),
        ({"blocks": None}, Reason.NO_HISTORY),
        ({"manual_change_at": NOW - 60}, Reason.MANUAL_CHANGE),
        ({"last_moved": NOW - 60}, Reason.HOLD),
        ({"mode": "Off"}, Reason.MODE_OFF),
        ({"mode": "Suggest"}, None),
    ],
    ids=["down", "stale", "unhealthy", "unpriced", "no history", "changed by hand", "on hold", "off", "only shown"],
)
def test_who_cannot_be_planned_on_keeps_what_it_has_and_the_others_move_around_it(changes, reason):
    priced = reading("rack-1/third", 2.0, used=0.0, price_usd_per_unit_hour={"cpu": 0.01})
    third = workload("rack-1/third", 2.0, always(0.0), read=priced)
    world = competing(spec=policy(maxUnhealthyShare=0.9))
    world = with_(replace(world, nodes=(worlds.node(cpu=14),), workloads=(*world.workloads, third)), AKASH, **changes)
    found = decide(world)
    assert found.plan.targets[GOLEM] == 8.0
    assert found.plan.targets.get(AKASH, 6.0) == 6.0
    assert found.plan.targets["rack-1/third"] == 0.0
    if reason is not None:
        assert found.not_considered[AKASH][0] is reason


def test_who_never_earned_keeps_a_step_so_that_it_is_seen_when_it_does():
    third = workload("rack-1/third", 2.0, always(0.0), used=0.0)
    world = competing(spec=policy())
    found = decide(replace(world, nodes=(worlds.node(cpu=14),), workloads=(*world.workloads, third)))
    assert found.plan.targets == {AKASH: 5.0, GOLEM: 8.0, "rack-1/third": 1.0}


def test_where_nobody_may_act_the_suggestion_is_still_made():
    world = with_(with_(competing(spec=policy()), GOLEM, mode="Suggest"), AKASH, mode="Suggest")
    found = decide(world)
    assert found.reason is Reason.MODE_SUGGEST
    assert found.plan.targets == {AKASH: 4.0, GOLEM: 8.0}


def test_an_unknown_allocation_keeps_its_node_from_planning_that_resource():
    world = saying(competing(spec=policy()), AKASH, allocated={})
    found = decide(world)
    assert found.plan.moves == ()
    assert found.not_considered[AKASH][0] is Reason.UNKNOWN_ALLOCATION
    assert found.not_considered[GOLEM] == (
        Reason.UNKNOWN_ALLOCATION,
        "nothing that needs cpu on rack-1 is planned: how much rack-1/akash holds is not known",
    )
    assert found.reason is Reason.UNKNOWN_ALLOCATION
    assert "rack-1/akash does not say how much cpu it has now" in found.sentence


def test_a_node_that_holds_more_than_it_has_is_left_alone():
    found = decide(replace(competing(spec=policy()), nodes=(worlds.node(cpu=10),)))
    assert found.reason is Reason.CAPACITY
    assert found.sentence == (
        "stay: all 2 workloads that could move: 12 cpu are held on rack-1, which has 10 to hand out; shrink one by hand or correct the capacity"
    )


def test_a_resource_without_a_declared_capacity_is_not_planned():
    found = decide(replace(competing(spec=policy()), nodes=(worlds.node(memory=10),)))
    assert found.reason is Reason.CAPACITY
    assert "declares no capacity" in found.sentence


def test_what_is_watched_only_needs_no_reason():
    world = competing(spec=policy())
    grass = workload("rack-1/grass", 1.0, allocation=None, protocol="grass")
    found = decide(replace(world, workloads=(*world.workloads, grass)))
    assert "rack-1/grass" not in found.not_considered
    assert found.reason is Reason.ALLOWED


def test_without_anything_to_split_it_says_so():
    world = state([workload("rack-1/grass", 1.0, allocation=None, protocol="grass")])
    found = decide(world)
    assert found.sentence == "stay: none of 1 workloads declares an allocation; there is nothing to split"
    assert decide(state([])).reason is Reason.ALREADY_BEST


def test_a_workload_on_a_node_that_is_not_there_stays_out():
    found = decide(replace(competing(), nodes=()))
    assert {why[0] for why in found.not_considered.values()} == {Reason.INFEASIBLE}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"paused": True}, Reason.PAUSED),
        ({"blocked": "an alert"}, Reason.BLOCKED),
        ({"programs_last_hour": 9}, Reason.RATE_LIMIT),
    ],
)
def test_what_forbids_everything_still_shows_the_plan(facts, reason):
    found = decide(replace(competing(spec=policy()), **facts))
    assert found.reason is reason
    assert len(found.plan.moves) == 2
    assert found.sentence.startswith("stay: ")


def test_an_open_circuit_is_told():
    world = competing(spec=policy(maxUnhealthyShare=0.4))
    found = decide(saying(world, AKASH, healthy=False))
    assert found.circuit_open
    assert found.reason is Reason.CIRCUIT_OPEN


def test_a_policy_that_is_off_estimates_nothing():
    found = decide(competing(spec=policy(mode="Off")))
    assert (found.reason, found.curves) == (Reason.MODE_OFF, {})


def test_strategy_risk_aware_without_a_risk_tolerance_is_threshold_and_says_so():
    plan = decide(competing(spec=policy(objective={"strategy": "RiskAware"}))).plan
    assert plan.strategy == "Threshold"
    assert plan.why.endswith("strategy RiskAware without a riskTolerance is Threshold")


# --- the three kinds together


def two_stores():
    """One that is full and grows, one with room that does not."""

    def store(key, allocated, used, growth, full):
        history = worlds.blocks([used] * 100, [full] * 100, value=0.002, room_growth=[growth] * 100)
        read = reading(key, allocated, resource="storage", used=used, protocol="storj", growth_per_hour=growth)
        return workload(key, traits=worlds.FILL, history=history, bounds=allocation("storage", 1, 12, 1), read=read)

    stores = [store("rack-1/full", 4.0, 4.0, 0.2, True), store("rack-1/idle", 8.0, 3.0, 0.0, False)]
    return state(stores, [worlds.node(storage=12)], spec=policy())


def two_stakes():
    """In two pools, of which one pays five times as much."""

    def sponsorship(key, stake, payout, others):
        read = reading(
            key, stake, resource="stake/DATA", pool=Pool({"DATA": 1.0}, others), pool_payout_usd_per_hour=payout
        )
        return workload(
            key,
            traits=worlds.DILUTION,
            history=always(stake),
            bounds=allocation("stake/DATA", 0, 10_000, 500),
            read=read,
        )

    stakes = [sponsorship("chain/a", 5000.0, 0.10, 10_000.0), sponsorship("chain/b", 5000.0, 0.02, 10_000.0)]
    return state(stakes, [worlds.node("chain", stake_DATA=10_000)], spec=policy())


def test_two_stores_share_a_disk_by_what_fills():
    assert decide(two_stores()).plan.targets == {"rack-1/full": 6.0, "rack-1/idle": 6.0}


def test_no_store_shrinks_below_what_it_holds():
    history = worlds.blocks([5.4] * 100, [False] * 100, value=0.0, room_growth=[0.0] * 100)
    idle = workload(
        "rack-1/idle",
        traits=worlds.FILL,
        history=history,
        bounds=allocation("storage", 1, 12, 1),
        read=reading("rack-1/idle", 6.0, resource="storage", used=5.4),
    )
    full = workload(
        "rack-1/full",
        traits=worlds.FILL,
        bounds=allocation("storage", 1, 12, 1),
        history=worlds.blocks([6.0] * 100, [True] * 100, value=0.002),
        read=reading("rack-1/full", 6.0, resource="storage", used=6.0, growth_per_hour=0.5),
    )
    assert decide(state([idle, full], [worlds.node(storage=12)], spec=policy())).plan.moves == ()


def test_stake_moves_to_the_pool_that_pays_more_for_the_next_token():
    assert decide(two_stakes()).plan.targets == {"chain/a": 7000.0, "chain/b": 3000.0}


# --- bad input, and order


NONSENSE = [float("nan"), float("inf"), -1.0, 1e308]


@pytest.mark.parametrize("bad", NONSENSE)
@pytest.mark.parametrize(
    "figure", ["net_usd_per_hour", "rate_usd_per_hour", "growth_per_hour", "pool_payout_usd_per_hour", "at"]
)
def test_no_figure_of_a_reading_can_break_it(figure, bad):
    for traits in (worlds.DEMAND, worlds.FILL, worlds.DILUTION):
        world = with_(competing(spec=policy()), AKASH, traits=replace(traits, resource="cpu"))
        found = decide(saying(world, AKASH, **{figure: bad}))
        assert found.sentence


@pytest.mark.parametrize("bad", NONSENSE)
@pytest.mark.parametrize("figure", ["used", "allocated", "irreversible", "price_usd_per_unit_hour"])
def test_no_amount_of_a_reading_can_break_it(figure, bad):
    for traits in (worlds.DEMAND, worlds.FILL, worlds.DILUTION):
        world = with_(competing(spec=policy()), AKASH, traits=replace(traits, resource="cpu"))
        assert decide(saying(world, AKASH, **{figure: {"cpu": bad}})).sentence


@pytest.mark.parametrize("figure", ["usd", "unit_hours", "hours", "used", "room_growth", "exact", "censored"])
def test_no_hole_in_the_history_can_break_it(figure):
    seen = always(2.0)
    holes = np.full_like(getattr(seen, figure), np.nan)
    found = decide(with_(competing(spec=policy()), AKASH, blocks=replace(seen, **{figure: holes})))
    assert found.sentence


def test_an_empty_history_is_no_history():
    seen = always(2.0)
    empty = replace(seen, **{name: getattr(seen, name)[:0] for name in type(seen).__slots__ if name != "levels"})
    found = decide(with_(competing(), AKASH, blocks=empty))
    assert found.not_considered[AKASH][0] is Reason.NO_HISTORY


def remembered(world, *, played=0.0):
    """With what is remembered of every workload, as a running controller has it; forecasts scored for so many seconds."""
    those = [w for w in world.workloads if w.allocation is not None]
    steps, largest = [w.allocation.step for w in those], [w.allocation.max for w in those]
    memory = remember([w.key for w in those], steps, largest, [w.blocks for w in those], world.now, played=played)
    return replace(world, memory=memory)


STRICT = {"minConfidence": 0, "minImprovement": {"percent": 0}}


@st.composite
def worlds_of_chance(draw, limits=STRICT):
    """A node or two with a few competing workloads of any standing, whose present allocations fit."""
    workloads, held = [], {}
    for number in range(draw(st.integers(1, 5))):
        node = draw(st.sampled_from(["rack-1", "rack-2"]))
        step = draw(st.sampled_from([0.5, 1.0, 2.0]))
        low = step * draw(st.integers(0, 1))
        has = low + step * draw(st.integers(0, 6)) + draw(st.sampled_from([0.0, 0.0, 0.25]))
        history = varying(
            draw(st.floats(0, 10)), capacity=max(has, 0.25), seed=number, hours=draw(st.sampled_from([1, 12, 60]))
        )
        companions = {"memory": draw(st.sampled_from([0.0, 0.5, 4.0]))}
        key = f"{node}/w{number}"
        read = reading(key, has, used=min(has, 1.0), irreversible=draw(st.sampled_from([{}, {}, {"cpu": has / 2}])))
        workloads.append(
            workload(
                key,
                has,
                history,
                read=read,
                bounds=allocation("cpu", low, low + 8 * step, step, **{"with": companions}),
                last_moved=draw(st.sampled_from([None, None, NOW - 60])),
                mode=draw(st.sampled_from([None, None, "Off", "Suggest"])),
            )
        )
        for resource, amount in (("cpu", has), ("memory", has / step * companions["memory"])):
            held[node, resource] = held.get((node, resource), 0.0) + amount
    spare = draw(st.sampled_from([0.0, 1.0, 20.0]))
    nodes = [
        worlds.node(name, cpu=held.get((name, "cpu"), 0) + spare, memory=held.get((name, "memory"), 0) + spare)
        for name in ("rack-1", "rack-2")
    ]
    spec = policy(maxStepPercent=draw(st.sampled_from([10, 100])), **limits)
    world = state(workloads, nodes, spec=spec, seed=draw(st.integers(0, 3)))
    return remembered(world, played=draw(st.sampled_from([0.0, 0.0, 8 * HOUR])))


OFTEN = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@OFTEN
@given(worlds_of_chance())
def test_every_target_fits_and_keeps_to_bounds_grid_steps_and_what_cannot_be_taken_back(world):
    found = decide(world)
    capacity = {node.name: node for node in world.nodes}
    for node in world.nodes:
        after = allocations(world.workloads) | dict(found.plan.targets)
        assert not shortfalls(node, [w for w in world.workloads if w.node == node.name], after)
    for move in found.plan.moves:
        it = next(w for w in world.workloads if w.key == move.key)
        bounds = it.allocation
        assert bounds.min <= move.to <= bounds.max
        assert (move.to - bounds.min) / bounds.step == pytest.approx(round((move.to - bounds.min) / bounds.step))
        limit = max(bounds.step, world.spec.limits.max_step_percent / 100 * capacity[it.node].capacity["cpu"])
        assert abs(move.to - move.from_) <= limit * (1 + 1e-9)
        assert move.grows or move.to >= it.reading.irreversible.get("cpu", 0.0)
        assert it.last_moved is None
        assert it.mode != "Off"


@OFTEN
@given(worlds_of_chance())
def test_the_guard_finds_nothing_structural_to_refuse_in_a_fresh_plan(world):
    economic = {
        Reason.ALLOWED,
        Reason.MODE_SUGGEST,
        Reason.LOW_GAIN,
        Reason.NO_PAYBACK,
        Reason.LOW_CONFIDENCE,
        Reason.CIRCUIT_OPEN,
    }
    for verdict in decide(world).verdicts:
        assert verdict.reason in economic, verdict.sentence


@OFTEN
@given(worlds_of_chance(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(world, chance):
    workloads, nodes = list(world.workloads), list(world.nodes)
    chance.shuffle(workloads)
    chance.shuffle(nodes)
    one, other = decide(world), decide(replace(world, workloads=tuple(workloads), nodes=tuple(nodes)))
    assert one.plan.moves == other.plan.moves
    assert one.plan.opportunities == other.plan.opportunities
    assert one.verdicts == other.verdicts
    assert one.sentence == other.sentence


def in_another_currency(world, rate):
    """The same world with all its money counted in something worth 1 / rate dollars."""

    def paid(w):
        read = replace(w.reading, net_usd_per_hour=w.reading.net_usd_per_hour * rate)
        return replace(w, reading=read, last_good=read, blocks=replace(w.blocks, usd=w.blocks.usd * rate))

    memory = replace(world.memory, money=world.memory.money * [rate, 1.0, 1.0, rate])
    return replace(world, workloads=tuple(paid(w) for w in world.workloads), memory=memory)


@settings(OFTEN, max_examples=30)
@given(worlds_of_chance(), st.sampled_from([2.0**-10, 8.0]))
def test_counting_all_money_in_another_currency_changes_the_gain_and_nothing_else(world, rate):
    one, other = decide(world).plan, decide(in_another_currency(world, rate)).plan
    assert other.targets == one.targets
    if one.gain is not None:
        assert other.gain.expected == pytest.approx(one.gain.expected * rate)


@settings(OFTEN, max_examples=20)
@given(worlds_of_chance())
def test_the_same_state_and_seed_give_the_same_decision(world):
    one, other = decide(world), decide(world)
    assert one.plan.moves == other.plan.moves
    assert one.plan.gain == other.plan.gain
    assert one.verdicts == other.verdicts


# --- without what only people look at


@st.composite
def asking(draw):
    """A world whose policy asks for more or less of a change, and where moving costs more or less."""
    percent, confidence = draw(st.sampled_from([0, 1, 10, 40])), draw(st.sampled_from([0, 0.6, 0.9]))
    world = draw(worlds_of_chance({"minConfidence": confidence, "minImprovement": {"percent": percent}}))
    minutes, fees = draw(st.sampled_from([0.0, 5.0, 60.0])), draw(st.sampled_from([0.0, 0.0, 0.01]))
    traits = replace(worlds.DEMAND, offline_minutes=minutes, fees_usd=fees)
    return replace(world, workloads=tuple(replace(w, traits=traits) for w in world.workloads))


def allowed(found):
    return [(v.move.key, v.move.from_, v.move.to) for v in found.verdicts if v.allowed]


@settings(OFTEN, max_examples=100)
@given(asking())
def test_a_brief_decision_allows_the_same_moves(world):
    assert allowed(decide(world, brief=True, replicates=40)) == allowed(decide(world, replicates=40))


@pytest.mark.parametrize("world", [two_stores(), two_stakes()], ids=["stores", "stakes"])
def test_a_brief_decision_allows_the_same_moves_of_other_kinds(world):
    assert allowed(decide(world)) == allowed(decide(world, brief=True)) != []


def test_a_brief_decision_looks_for_no_plan_where_none_could_bring_enough():
    world = competing(spec=policy(minImprovement={"percent": 90}))
    assert decide(world).reason is decide(world, brief=True).reason is Reason.LOW_GAIN
    assert decide(world, brief=True).curves == {}
