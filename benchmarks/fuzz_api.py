"""10 000 made-up requests to the API: a real server on loopback, made-up programs, schemathesis in front of it.

Half of the requests are such as the OpenAPI document allows, half such as it forbids; every answer is checked against the
document (status, headers, body). The test suite makes 50 an operation (tests/controller/api/test_fuzz.py).
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from tests.controller.api import desk
from tests.controller.api.fleets import AGENTS, some_face
from tests.controller.api.fuzzing import fuzz, serving

REQUESTS = 10_000
OPERATIONS_WITH_PARAMETERS = 18


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wanted = REQUESTS // 10 if options.quick else REQUESTS
    programs = desk.some_programs()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        manifests = desk.read_manifests(Path(folder))
        faces = desk.faces(operations=desk.Desk(*programs), manifests=lambda: manifests, fleet=some_face())
        with serving(faces) as address:
            ids = [*(each.id for each in programs), *AGENTS]
            found = fuzz(address, wanted // OPERATIONS_WITH_PARAMETERS + 2, ids, derandomize=False)
    took = time.monotonic() - began
    report = Report("made-up requests to the API")
    statuses = ", ".join(f"{status}: {count}" for status, count in sorted(found.statuses.items()))
    report.add("server errors", found.server_errors, 0.0, detail=f"of {found.requests} requests in {took:.0f} s")
    report.add("requests", found.requests, float(wanted), at_least=True, detail=statuses)
    report.figures = {
        "statuses": {str(k): v for k, v in found.statuses.items()},
        "operations": dict(found.by_operation),
    }
    finish(report, options)


if __name__ == "__main__":
    main()
