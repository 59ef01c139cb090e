"""PLAN. Curves, capacities and limits -> a Plan: target allocation, what it is worth, the Moves that lead there.

    standing.py       who may move at all now: what pins workloads, and the guard's first checks
    limits.py         how far one workload may go in one program
    problem.py        what may be chosen, and what must hold: choices on the step grid, rows of capacity and constraints
    solve.py          splits into parts that share nothing, or takes many nodes at once; Auto, and the sentence why
    part.py           one part: the cheapest exact solver, a proof that its whole steps are the best, or MILP
    waterfilling.py   exact where one row binds
    linear.py         exact for the relaxation, with HiGHS
    items.py          a problem as a multiple-choice knapsack: steps, minimum stakes, fixed costs, counts, any curve
    milp.py           the best on the step grid: the dynamic programme of dynamic.py, or HiGHS up to a stated gap
    greedy.py         the rule of the first specification, corrected for bounds
    genetic.py, annealing.py, searching.py   searches for objectives of any shape
    flat.py           a problem as flat arrays, for many nodes
    decomposition.py  many nodes under few constraints: prices, with pouring.py (segments) and stepping.py (whole steps)
    grid.py           a continuous solution -> whole steps, never infeasible
    payback.py        gives back moves that do not pay for themselves
    worth.py          gain with its interval, confidence, cost; what was learned of earlier promises
    risk.py           RiskAware: the total's standard deviation within a tolerance
    score.py          the move score, by which is ranked
    strategy.py       when a plan is worth doing: the gates of every strategy, for the guard
    opportunities.py  the best transfer for every ordered pair
    propose.py        composes them into a Plan, and further ones on request
    feasible.py       whether a set of allocations may stand, from the State alone: for the guard, and for tests

Pure. Formulas: economics.md, sections 3 and 4. Everything is sorted by name first, so that the order of the input
cannot matter.
"""
