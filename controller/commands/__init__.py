"""COMMANDS. One module for each command of `orcha` that does more than hand a result through; controller/__main__.py
registers them.
"""
