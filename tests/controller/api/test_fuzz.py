"""Whatever is asked, the answer is what the document says, and never a failure of orcha's own."""

from __future__ import annotations

from controller.api.routes import OPERATIONS
from tests.controller.api import desk
from tests.controller.api.fleets import AGENTS, some_face
from tests.controller.api.fuzzing import fuzz, serving

EXAMPLES = 50
"""Of each operation; benchmarks/fuzz_api.py makes thousands."""


def test_made_up_requests_of_every_operation_are_answered_as_the_document_says(tmp_path):
    manifests = desk.read_manifests(tmp_path)
    programs = desk.some_programs()
    faces = desk.faces(operations=desk.Desk(*programs), manifests=lambda: manifests, fleet=some_face())
    with serving(faces) as address:
        found = fuzz(address, EXAMPLES, [*(each.id for each in programs), *AGENTS])
    assert found.server_errors == 0, found.statuses
    assert len(found.by_operation) == len(OPERATIONS)
    assert {200, 400, 404, 409} <= set(found.statuses)
