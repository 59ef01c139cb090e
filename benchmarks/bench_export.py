"""Export: how much memory ten million rows take, how many rows a second are written, and that nothing is lost on the way.

The state is a real SQLite file: the looks of a day at 500 workloads (or as many as --rows says) and 30 days of blocks.
Each export runs in a process of its own; its memory is what the kernel says it held at most (VmHWM), and the ratio is
against the same export of a tenth of the time.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._report import Report, arguments, finish
from controller.blocks import FIGURES
from controller.store import Store

START = 1_767_225_600
DAY = 86_400
WORKLOADS = 500
MEMORY = 1.25
"""Of the whole against a tenth of it."""

PROGRAM = """
import sys
from controller.__main__ import main
try:
    main()
finally:
    sys.stderr.write(open('/proc/self/status').read())
"""


def made(path: Path, rows: int) -> None:
    """A state with so many looks of one day, each workload's evenly spread, and an hour's block for each of 30 days."""
    asyncio.run(_empty(path))
    interval = DAY * WORKLOADS / rows
    connection = sqlite3.connect(path)
    with connection:
        keys = [(i + 1, f"node-{i // 4:03}/{('storj', 'golem', 'akash', 'streamr')[i % 4]}") for i in range(WORKLOADS)]
        connection.executemany("INSERT INTO workloads (id, key) VALUES (?, ?)", keys)
        looks = (
            (i, START + n * interval + i / 1000, 1, 8.0, 0.25 * (n % 32), None if n % 50 == 0 else 0.001 * (n % 97))
            for i in range(1, WORKLOADS + 1)
            for n in range(rows // WORKLOADS)
        )
        connection.executemany(
            "INSERT INTO readings (workload_id, at, up, allocated, used, net_usd_per_hour) VALUES (?, ?, ?, ?, ?, ?)",
            looks,
        )
        columns = ("workload_id", "start", "span", "resource", "quantum", *FIGURES, "levels")
        blocks = (
            (i, START // 60 - 60 * hour, 3600, "cpu", 0.25, *(0.5 for _ in FIGURES), b"")
            for i in range(1, WORKLOADS + 1)
            for hour in range(1, 24 * 30)
        )
        marks = ", ".join("?" for _ in columns)
        connection.executemany(f"INSERT INTO blocks ({', '.join(columns)}) VALUES ({marks})", blocks)  # noqa: S608 names of ours
    connection.close()


async def _empty(path: Path) -> None:
    await (await Store.open(f"sqlite:///{path}")).close()


def exported(state: Path, file: Path, format_: str, since: float, until: float) -> tuple[int, int, float]:
    """Rows, bytes of memory at most, seconds."""
    argv = ["export", "--what", "readings", "--format", format_, "--state", f"sqlite:///{state}", "--output", str(file)]
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv, "--from", str(since), "--to", str(until), "--force"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    held = re.search(r"VmHWM:\s+(\d+) kB", done.stderr)
    rows = re.search(r"orcha: (\d+) rows", done.stderr)
    assert held, done.stderr
    assert rows, done.stderr
    return int(rows[1]), int(held[1]) * 1024, seconds


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rows", type=int, help="looks in the state; default 10 million, with --quick 500 000")
    parser.add_argument("--formats", nargs="*", default=["csv", "json", "parquet"], help="default all three")
    options = parser.parse_args()
    rows = options.rows or (500_000 if options.quick else 10_000_000)
    report = Report(f"export of {rows:,} looks")
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "orcha.db"
        made(state, rows)
        report.figures["state_bytes"] = state.stat().st_size
        for format_ in options.formats:
            file = Path(folder) / f"all.{format_}"
            few, small, _ = exported(state, Path(folder) / "few", format_, START, START + DAY / 10)
            found, large, seconds = exported(state, file, format_, START - 40 * DAY, START + DAY)
            assert found == rows // WORKLOADS * WORKLOADS + WORKLOADS * (24 * 30 - 1), found
            report.figures[format_] = {
                "rows": found, "seconds": seconds, "rows_per_second": found / seconds, "memory_bytes": large,
                "memory_bytes_of_few": small, "few": few, "file_bytes": file.stat().st_size,
            }  # fmt: skip
            detail = f"{large / 1e6:.0f} MB for {found:,} rows, {small / 1e6:.0f} MB for {few:,}; {found / seconds:,.0f} rows/s"
            print(f"{format_}: {detail}", file=sys.stderr)
            report.add(f"{format_}: memory of the whole / of a tenth", large / small, MEMORY, detail=detail)
            file.unlink()
    finish(report, options)


if __name__ == "__main__":
    main()
