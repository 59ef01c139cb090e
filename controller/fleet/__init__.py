"""FLEET: many sites, no leader. What agents share, how it merges, and what follows from it.

    terms ──▶ forms (one form per program) ──▶ egraph ◀── rules (YAML, compiled)
      │                                           │
      └──▶ crdt (what agents exchange)            └──▶ saturate ──▶ extract (the cheapest program)

All of these are pure; a transport knows them, and they know none.
"""
