"""ESTIMATE. History and newest readings -> Curves: what the *next* unit of each workload would earn, and how sure that is.

    weights.py    which past counts, and the replicates of it (one draw per hour, the same for every workload)
    demand.py     what is used is min(allocation, demand)
    fill.py       room that fills slowly
    dilution.py   a pool of money shared by stake
    prices.py     past earnings at today's price of their token
    cost.py       energy of running, money of moving
    readings.py   which reading counts, and who stays out of a plan
    belief.py     use that its earnings belie
    curves.py     composes them: `curve` for one workload

Pure. Formulas and their worked examples: economics.md, sections 1, 2 and 4.
"""
