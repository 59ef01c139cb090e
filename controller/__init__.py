"""DECIDE AND ACT: Readings -> a safe plan. docs/design.md has the map."""
