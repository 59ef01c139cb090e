"""FLEET: many sites, no leader. What agents share, how it merges, and what follows from it.

    agent (disk before wire) ──▶ peer (what is said, and heard) ──▶ crdt (what is known) ──▶ escrow (who may hold what)
      │  ▲                                                            │                        │
    transport/ stored                               proposals ──▶ joint (who goes first)     limits
                                                                      └────▶ site (the controller's part) ◀┘

    terms ──▶ forms (one form per program) ──▶ egraph ◀── rules (YAML, compiled)
      │                                           │
      └──▶ crdt (what agents exchange)            └──▶ saturate ──▶ extract (the cheapest program)

Effects are in agent, stored, transport/, site, hosting and playground; the rest is pure, and knows no transport.
"""
