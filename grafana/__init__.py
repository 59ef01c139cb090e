"""Grafana dashboards as code: `python -m grafana` writes grafana/dashboards/*.json, `--check` only compares.

    boards/      one file per dashboard: what it asks and how it is laid out
    queries.py   PromQL with the filters of the dashboard's variables, and nothing counted twice
    figures.py   how a number is shown: unit, decimals, thresholds, words; one colour per protocol
    panels.py    the six core panels
    tables.py    the table among them, which has columns
    special.py   the two panels that only the fleet has: its topology, and a value for each edge
    board.py     a dashboard from rows of panels: grid, ids, variables, links, annotations
    sdk.py       the models of grafana-foundation-sdk, and a dashboard as plain JSON

No part of the wheel: Grafana reads the JSON alone.
"""
