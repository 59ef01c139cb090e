"""BACKTEST. The pure decisions over recorded or simulated time, side by side with what else could have been done.

    case.py          what is replayed: nodes, workloads, a policy, and the truth that no controller sees
    trace.py         CSV -> Case
    scenarios.py     name, seed, days -> Case
    recorded.py      the state of a running controller -> Case, as far as it can be known
    world.py         allocations over time -> what was used and earned: the nodes themselves
    baselines.py     static, equal, greedy, winner takes all
    clairvoyant.py   the most that could have been earned by somebody who knows all demand
    run.py           orcha itself, in virtual time
    result.py        all of them side by side
    report.py        a Result as a table, JSON or HTML

Definitions: economics.md 7, interfaces.md (traces, baselines).
"""
