"""The fleet: how long a program takes to saturate and a large state to merge, what nine agents in one process take, and how many
messages convergence costs.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from controller.fleet.crdt import Replica
from controller.fleet.rules import built_in
from controller.fleet.saturate import compiled, saturate
from controller.fleet.terms import Term, grow, seq
from controller.fleet.topology import Topology, sierpinski
from controller.fleet.wire import Changes, packed, unpacked
from tests.controller.fleet.simulated import Faults, Fleet

SATURATE_MS = 50.0
MERGE_S, MERGE_MB = 2.0, 500.0
START_MS, SYNC_MS, ASKED_MS, LIVING_MB, MESSAGES = 500.0, 500.0, 100.0, 200.0, 1000.0
"""Of nine agents in one process."""


def chain(moves: int) -> Term:
    """Moves of as many workloads on nodes of their own, one after the other: nothing fuses, everything associates."""
    steps = [grow(f"rack-{i}/golem", "cpu", 1, 2) for i in range(moves)]
    whole = steps[-1]
    for step in reversed(steps[:-1]):
        whole = seq(step, whole)
    return whole


def saturation(report: Report, rounds: int) -> None:
    rules, program, taken = compiled(built_in()), chain(20), []
    for _ in range(rounds):
        before = time.process_time()
        found = saturate([program], [], rules)
        taken.append((time.process_time() - before) * 1000)
    said = f"{min(taken):.0f} ms of {SATURATE_MS:.0f}, ended by {found.ended.value}"
    report.add("saturating 20 moves, over the aim", min(taken) / SATURATE_MS, 1.0, detail=said)
    report.figures["saturation_ms"] = taken


def merge(count: int) -> tuple[float, float]:
    """(seconds to read, check and join so many terms, MB of this process at its most)."""
    one, other = Replica(), Replica()
    for i in range(count):
        one.add(grow(f"rack-{i % 50}/golem-{i}", "cpu", float(i % 9), float(i % 9 + 1)), "a.1", 1)
    body = packed(one.delta({})).model_dump_json().encode()
    before = time.process_time()
    other.absorb(unpacked(Changes.model_validate_json(body)))
    seconds = time.process_time() - before
    if other.digest != one.digest:
        raise RuntimeError("what was merged is not what was sent")
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def merging(report: Report, count: int) -> None:
    """In a process of its own, whose memory is nobody else's."""
    argv = [sys.executable, __file__, "--merge", str(count)]
    seconds, megabytes = map(float, subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split())
    report.add(f"merging {count} terms, over the aim", seconds / MERGE_S, 1.0, detail=f"{seconds:.2f} s of {MERGE_S:g}")
    detail = f"{megabytes:.0f} MB of {MERGE_MB:.0f}, both copies and the message included"
    report.add("memory for it, over the aim", megabytes / MERGE_MB, 1.0, detail=detail)
    report.figures["merge"] = {"terms": count, "seconds": seconds, "megabytes": megabytes}


def living(report: Report, terms: int, rounds: int) -> None:
    """Nine agents in one process, over a switchboard, with a state on a disk."""
    script = str(Path(__file__).with_name("_fleet_living.py"))
    argv = [sys.executable, script, str(terms), str(rounds)]
    found = json.loads(subprocess.run(argv, capture_output=True, text=True, check=True).stdout)
    slowest = max(found["start_ms"])
    detail = f"{slowest:.0f} ms of {START_MS:.0f}, the slowest of nine, with {found['terms']} terms on its disk"
    report.add("starting an agent, over the aim", slowest / START_MS, 1.0, detail=detail)
    whole, libraries = found["whole_mb"], found["libraries_mb"]
    detail = f"{whole:.0f} MB of {LIVING_MB:.0f}, {libraries:.0f} of them libraries"
    report.add("memory of nine agents, over the aim", whole / LIVING_MB, 1.0, detail=detail)
    best = min(found["sync_ms"])
    detail = f"{best:.0f} ms of {SYNC_MS:.0f} until nine know of 90 new terms, each saved nine times"
    report.add("a sync round, over the aim", best / SYNC_MS, 1.0, detail=detail)
    rate = found["messages_per_s"]
    detail = f"{rate:.0f}/s in memory with a disk beneath; over NATS: bench_fleet_nats.py"
    report.add("messages a second, over the aim over NATS", rate / MESSAGES, detail=detail)
    for path, taken in found["asked_ms"].items():
        p95 = sorted(taken)[int(len(taken) * 0.95)]
        report.add(f"{path}, over the aim", p95 / ASKED_MS, 1.0, detail=f"p95 {p95:.1f} ms of {ASKED_MS:.0f}")
    report.figures["living"] = found


def random_graph(size: int, seed: int) -> Topology:
    """A connected graph of about two edges an agent: a random tree, and as many edges again."""
    chance = random.Random(seed)
    edges = {(chance.randrange(i), i) for i in range(1, size)}
    while len(edges) < 2 * size:
        one, other = sorted(chance.sample(range(size), 2))
        edges.add((one, other))
    return Topology("random", size, frozenset(edges))


def convergence(report: Report, graph: Topology, seed: int, loss: float) -> None:
    """Every agent proposes; then sync rounds until all know the same. What is compared is messages that carry state, over
    edges x rounds: it must not grow with the fleet.
    """
    fleet = Fleet(seed, graph, Faults(loss=loss))
    fleet.run(12)
    before, rounds = fleet.states, 0
    for name in fleet.names:
        fleet.propose(name)
    while len(fleet.digests) > 1 and rounds < 20:
        fleet.run(fleet.pace.sync)
        rounds += 1
    sent = fleet.states - before
    name = f"{graph.name}, {graph.size} agents, {loss:.0%} lost"
    detail = f"{rounds} rounds, {sent} messages with state on {len(graph.edges)} edges, diameter {graph.diameter}"
    report.add(f"{name}: rounds over two diameters", rounds / (2 * graph.diameter), 1.0, detail=detail)
    report.add(
        f"{name}: messages over edges x rounds x agents", sent / (len(graph.edges) * max(rounds, 1) * graph.size)
    )
    report.figures[name] = {"rounds": rounds, "messages": sent, "edges": len(graph.edges), "agents": graph.size}


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--merge", type=int, help="only that, with so many terms; prints seconds and MB")
    options = parser.parse_args()
    if options.merge:
        sys.stdout.write("{} {}\n".format(*merge(options.merge)))
        return
    report = Report("fleet")
    saturation(report, 3 if options.quick else 10)
    merging(report, 10_000 if options.quick else 100_000)
    living(report, 90 if options.quick else 900, 3 if options.quick else 5)
    for graph in (sierpinski(2), sierpinski(3), *(() if options.quick else (sierpinski(4), random_graph(100, 1)))):
        for loss in (0.0, 0.3):
            convergence(report, graph, 1, loss)
    finish(report, options)


if __name__ == "__main__":
    main()
