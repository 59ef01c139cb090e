#!/usr/bin/env python3
"""Run a program of a fetched tool: scripts/tool.py prometheus promtool check config FILE.

Where the tool is missing: one line, and success; a failure with ORCHA_REQUIRE_TOOLS=1.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NOTE = Path(__file__).resolve().parent.parent / ".cache" / "tools.json"


def main() -> int:
    name, program, *argv = sys.argv[1:]
    found = json.loads(NOTE.read_text()).get(name, {}) if NOTE.exists() else {}
    if not found.get("where"):
        print(
            f"not checked by {program}: {found.get('why') or f'{name} was not fetched (make tools)'}", file=sys.stderr
        )
        return 1 if os.environ.get("ORCHA_REQUIRE_TOOLS") == "1" else 0
    done = subprocess.run([str(Path(found["where"]) / program), *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
