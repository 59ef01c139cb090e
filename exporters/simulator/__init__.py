"""Simulated nodes that speak each protocol's real API, from a seeded model of demand: for the demo, tests and backtests.

    demand ──▶ models ──▶ sites ──▶ server (HTTP, real time) or inprocess (a Session, fast clock)
    pure       the truth   what the real thing would answer, traps included

- demand: `demand.py`, pure functions of (seed, time): rhythm, bursts, regimes, fill, dilution
- models: `provider.py` (Golem), `disk.py` (Storj), `chain.py` (Streamr), `account.py` (Grass), `cluster.py` (a compute
  market); `model.py` has what they share
- sites, each `answer(request, now) -> Response` (`response.py`): `golem.py` with `bills.py`; `storj.py` with
  `storj_months.py` and `storj_payouts.py`; `streamr.py` with `contracts.py`, `abi.py` and `subgraph.py`; `grass.py`;
  `compute.py`; `prices.py`
- together: `world.py` (one time for all, and the truth to compare with), `faults.py` (what a site can be told to do wrong)
- reached by `server.py` or `inprocess.py`; changed by `apply.py` (control port), `files.py` and `tool.py` (the nodes' own
  files and commands)
- the demonstration: `demo.py`, `manifests.py`, `history.py`, `__main__.py`

The state at a time is a function of (seed, origin, what was done to it), never of how often it was asked: a server that
starts later continues where a history ended.
"""
