"""`orcha fleet demo` as a person meets it: on a terminal with keys, in a pipe, and as lines of JSON."""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controller.commands.fleet import fleet

ROOT = Path(__file__).resolve().parent.parent.parent.parent
PATIENCE = 40.0
DEMO = [sys.executable, "-m", "controller", "fleet", "demo"]
AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes the terminal the one whose Ctrl-C reaches the program."""
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
LAST = 30_000
"""Of what was shown, a few screens, is looked at."""
LINE = "\u2824"
"""A part of a link, as braille."""
HIDDEN, SEEN = "\x1b[?25l", "\x1b[?25h"
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass
class Terminal:
    """A program at a terminal of its own, and what it shows."""

    process: subprocess.Popen[bytes]
    end: int
    theirs: int
    before: list
    raw: str = ""
    mark: int = 0
    signs: codecs.IncrementalDecoder = field(default_factory=codecs.getincrementaldecoder("utf-8"))

    def read(self, seconds: float) -> bool:
        """More of what it shows; whether there was any."""
        if not select.select([self.end], [], [], seconds)[0]:
            return False
        self.raw += self.signs.decode(os.read(self.end, 65536))
        return True

    def until(self, pattern: str) -> str:
        """Until the screen shows this, after the last key: the match."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, ESCAPES.sub("", self.raw[max(self.mark, len(self.raw) - LAST) :]))):
            assert time.monotonic() < deadline, f"the end was {self.plain()[-3000:]}\n{pattern!r} was not shown"
            assert self.process.poll() is None, f"it ended: {self.plain()[-3000:]}"
            self.read(0.5)
        return found[0]

    def press(self, key: str) -> None:
        self.mark = len(self.raw)
        os.write(self.end, key.encode())

    def plain(self) -> str:
        return ESCAPES.sub("", self.raw)

    def ended(self) -> int:
        """Its exit code; all that it showed is read."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.plain()[-2000:]
            self.read(0.1)
        while self.read(0.1):
            pass
        return self.process.returncode

    def as_before(self) -> bool:
        """Whether the terminal is as it was: echo and lines, a cursor, and the screen of before."""
        modes = termios.tcgetattr(self.theirs)[:4] == self.before[:4]
        shown = self.raw.rfind(SEEN) > self.raw.rfind(HIDDEN) and self.raw.rfind(LEFT) > self.raw.rfind(ENTERED) >= 0
        return modes and shown


@contextlib.contextmanager
def terminal(*options: str, columns: int = 100, rows: int = 34, **environment: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    left = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, *DEMO, "--speed", "2", *options],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=ROOT,
        env=left | {"TERM": "xterm-256color", "LANG": "C.UTF-8"} | environment,
    )  # fmt: skip
    try:
        yield Terminal(process, ours, theirs, termios.tcgetattr(theirs))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)
        os.close(theirs)


def fits(shown: Terminal, columns: int, rows: int) -> None:
    screens = shown.raw.partition(ENTERED)[2].rpartition(LEFT)[0].split("\x1b[H")
    assert len(screens) > 1
    for lines in (ESCAPES.sub("", each).replace("\r", "").rstrip("\n").split("\n") for each in screens):
        assert max(map(len, lines)) <= columns, max(lines, key=len)
        assert len(lines) <= rows


def run(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *options], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100, check=False
    )


# --- with keys --------------------------------------------------------------------------------------------------------


def test_every_key_does_what_the_screen_says_and_the_limit_holds_all_the_while():
    with terminal("--seed", "3") as shown:
        keys = shown.until(r"p partition .* q quit")
        assert all(key in keys for key in ("h heal", "k kill", "l lose", "w word", "space pause"))
        assert "[0]" in shown.until(r"\[0\][\s\S]*all +\d+ +\d+ +of 36")
        shown.press("p")
        shown.until(r"\d+ links are cut: [\d ]+ on one side")
        assert shown.until(r"\[\da\][\s\S]*\[\db\]")
        shown.until(r"[2-9] states on 2 sides")
        cut = shown.until(r"links are cut: [\d ]+ on one")
        shown.press("p")
        shown.until(r"links are cut: (?!" + re.escape(cut.split(": ")[1]) + ")")
        shown.press("h")
        shown.until(r"all links are mended")
        shown.until(r"all know what any of them knew, after [\d.]+ s")
        shown.until(r"state +one state")
        shown.press("k")
        number = shown.until(r"site-\d is killed")[5]
        shown.until(rf"\({number}\) site-{number}[^\n]* dead")
        shown.press("k")
        shown.until(rf"site-{number} is started again")
        shown.until(rf"\[{number}\] site-{number}")
        shown.press("l")
        shown.until(r"30% are lost")
        shown.press("l")
        shown.until(r"messages arrive again")
        shown.press("w")
        shown.until(r"a new wording: 18 cores in all")
        shown.until(r"\d+ of 18 cores")
        shown.press(" ")
        shown.until("PAUSED")
        shown.press(" ")
        shown.until(r"orcha fleet demo +\d+ s[^P]*\n")
        shown.press("q")
        assert shown.ended() == 0
        assert shown.as_before()
        assert "NOT KEPT" not in shown.plain()
        assert int(re.findall(r"kept at each of (\d+) moments", shown.plain())[-1]) > 20


@pytest.mark.parametrize(
    ("end", "code", "columns", "rows"), [("key", 130, 60, 20), ("signal", 0, 80, 24)], ids=["ctrl-c", "sigterm"]
)
def test_however_it_ends_the_terminal_is_as_it_was_and_a_small_one_is_enough(end, code, columns, rows):
    with terminal(columns=columns, rows=rows) as shown:
        shown.until(r"site-8[\s\S]* q quit")
        assert termios.tcgetattr(shown.theirs)[3] & (termios.ECHO | termios.ICANON) == 0
        if end == "key":
            shown.press("\x03")
        if end == "signal":
            shown.process.send_signal(signal.SIGTERM)
        assert shown.ended() == code
        assert shown.as_before()
        assert "Traceback" not in shown.plain()
        fits(shown, columns, rows)
        assert (LINE in shown.plain()) is (rows > 20), "the picture is there where there is room"


def test_an_error_leaves_the_terminal_as_it_was_too():
    broken = (
        "import controller.report.fleet_demo as drawn\n"
        "seen = []\n"
        "def screen(*_, **__):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 3: raise RuntimeError('the picture fails')\n"
        "    return 'a picture'\n"
        "drawn.screen = screen\n"
        "import sys; sys.argv = ['orcha', 'fleet', 'demo']\n"
        "from controller.__main__ import main; main()\n"
    )
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, "-c", broken], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, cwd=ROOT,
        env=os.environ | {"TERM": "xterm"},
    )  # fmt: skip
    shown = Terminal(process, ours, theirs, before)
    try:
        assert shown.ended() == 1
        assert "the picture fails" in shown.plain()
        assert shown.as_before()
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_without_colour_all_is_said_by_signs_also_on_a_narrow_screen():
    with terminal("--seconds", "4", columns=60, rows=40, NO_COLOR="1") as shown:
        shown.until(r"site-8[\s\S]* q quit")
        shown.press("p")
        shown.until(r"\[\db\]")
        shown.press("k")
        shown.until(r"\(\d\) site")
        shown.ended()
        fits(shown, 60, 40)
        assert LINE in shown.plain()
        colours = [code for code in re.findall(r"\x1b\[([\d;]+)m", shown.raw) for code in code.split(";")]
        assert not {"31", "32", "33", "35", "36", "38", "48"} & set(colours)


# --- without ----------------------------------------------------------------------------------------------------------


def test_in_a_pipe_it_tells_a_line_a_second_cuts_and_mends_by_itself_and_ends():
    began = time.monotonic()
    done = run("--seconds", "7", "--speed", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert time.monotonic() - began < 60
    assert "\x1b" not in done.stdout
    lines = [line for line in done.stdout.splitlines() if " agents, " in line]
    assert 4 <= len(lines) <= 9
    assert any("on 2 sides" in line for line in lines)
    happened = done.stdout.index("links are cut"), done.stdout.index("all links are mended")
    assert happened[0] < happened[1] < done.stdout.index("all know what any of them knew", happened[1])


def test_as_json_it_is_one_object_a_second_and_the_limit_holds_in_each():
    done = run("--seconds", "6", "--speed", "3", "-o", "json", "--agents", "5", "--topology", "ring")
    assert done.returncode == 0, done.stderr
    moments = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(moments) >= 4
    for moment in moments:
        assert (moment["alive"], len(moment["edges"]), moment["topology"], moment["broken"]) == (5, 5, "ring", "")
        assert moment["bound"] in {None, 20}
        assert moment["held"] == sum(site["held"] for site in moment["sites"]) <= 20
    assert {moment["sides"] for moment in moments} == {1, 2}
    assert moments[-1]["took"] is not None, "all knew the same again"
    assert moments[-1]["bound"] == 20
    assert moments[-1]["checks"] > 20
    assert max(moment["messages_per_second"] for moment in moments) > 10


def test_one_agent_alone_is_a_fleet_too():
    done = run("--seconds", "3.5", "--agents", "1")
    assert done.returncode == 0, done.stderr
    assert "one agent alone cannot be cut off" in done.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--agents", "0"], "--agents 0: write a number from 1 to 100"),
        (["--output", "xml"], "--output 'xml' is not known"),
        (["--seconds", "0"], "--seconds 0: write a number above 0"),
        (["--speed", "99"], "--speed 99: write a number from 0.1 to 5"),
        (["--topology", "star"], "--topology 'star' is not known; write auto, sierpinski9,"),
    ],
    ids=["agents", "output", "seconds", "speed", "topology"],
)
def test_what_makes_no_sense_is_one_sentence(options, sentence):
    done = CliRunner().invoke(fleet, ["demo", *options])
    assert done.exit_code == 2
    assert sentence in done.stderr.replace("\n", " ")
    assert done.stdout == ""


def test_a_size_that_a_topology_has_not_is_one_sentence():
    done = run("--agents", "8", "--topology", "sierpinski9")
    assert done.returncode == 2
    assert "sierpinski9 has 9 agents, not 8" in done.stderr
    assert len(done.stderr.splitlines()) == 1
