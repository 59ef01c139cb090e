"""`orcha doctor`: what is reachable, readable and permitted, before or beside a running controller. Changes nothing anywhere.

    examine ──▶ here, files, nodes, prices, state, web, drivers, fleet, listening ──▶ findings ──▶ commands/doctor

Each room looks at one thing and gives Findings; judging what was seen is apart from the looking wherever both are long.
"""
