"""A PostgreSQL server of a test's own, on a socket in a temporary directory."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def program(name: str) -> str:
    """Where Debian keeps it, if it is not in the PATH."""
    return shutil.which(name) or next(str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))


@contextmanager
def serving() -> Iterator[str]:
    """The URL of an empty database. The server refuses to run as root, so there it runs as nobody."""
    user: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as where:
        if user:
            os.chown(where, 65534, 65534)

        def run(name: str, *argv: str) -> None:
            quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            command = [program(name), "-D", f"{where}/data", *argv]
            subprocess.run(command, check=True, timeout=60, cwd=where, **quiet, **user)

        run("initdb", "-U", "orcha", "-A", "trust", "--no-sync")
        run("pg_ctl", "-w", "-l", f"{where}/log", "-o", f"-k {where} -c listen_addresses='' -c fsync=off", "start")
        try:
            yield f"postgresql://orcha@/postgres?host={where}"
        finally:
            run("pg_ctl", "-m", "immediate", "stop")
