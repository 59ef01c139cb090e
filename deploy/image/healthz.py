"""The image's health check: exit 0 where /healthz says 200, else 1 with one line.

Asks the controller on 127.0.0.1:9872; where something else runs in the container, ORCHA_HEALTH names it as HOST:PORT, as in
ORCHA_HEALTH=127.0.0.1:9871 for orcha-exporter. Takes 4 s at most, and needs nothing but Python's own library.
"""

from __future__ import annotations

import http.client
import os
import sys

# ruff: noqa: INP001 the image gets this file alone


def main() -> int:
    host, _, port = os.environ.get("ORCHA_HEALTH", "127.0.0.1:9872").rpartition(":")
    try:
        connection = http.client.HTTPConnection(host, int(port), timeout=4)  # no proxy of the environment is asked
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as exc:
        sys.stderr.write(f"unhealthy: {host}:{port}/healthz does not answer ({exc})\n")
        return 1
    if status != http.client.OK:
        sys.stderr.write(f"unhealthy: {host}:{port}/healthz answers {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
