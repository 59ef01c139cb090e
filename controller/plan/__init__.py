"""PLAN. Curves, capacities and limits -> a Plan: target allocation, what it is worth, the Moves that lead there.

    standing.py       who may move at all now: what pins workloads, and the guard's first checks
    limits.py         how far one workload may go in one program
    problem.py        what may be chosen, and what must hold: choices on the step grid, rows of capacity and constraints
    waterfilling.py   exact where one row binds
    linear.py         exact for the relaxation, with HiGHS
    solve.py          splits into parts that share nothing and gives each to the cheapest exact solver
    grid.py           a continuous solution -> whole steps, never infeasible
    payback.py        gives back moves that do not pay for themselves
    worth.py          gain with its interval, confidence, cost
    opportunities.py  the best transfer for every ordered pair
    propose.py        composes them into a Plan
    feasible.py       whether a set of allocations may stand, from the State alone: for the guard, and for tests

Pure. Formulas: economics.md, sections 3 and 4. Everything is sorted by name first, so that the order of the input
cannot matter.
"""
