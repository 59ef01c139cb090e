"""The driver that runs a program: its arguments, its environment, its end, and what is said of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from pathlib import Path

import pytest

from controller.actuate import command
from controller.actuate.command import Command
from controller.actuate.driver import NotNow, Refused
from controller.programs import Order
from exporters.nodes import Command as Spec
from exporters.nodes import Verify

GIB = 2**30
ORDER = Order("rack-1/golem", {"cpu": 6.0, "memory": 9.0 * GIB}, "p-1/rack-1/golem/forward")


@pytest.fixture
def script(tmp_path):
    """Write a Python program that may be run; gives its path. `here` is a directory for it to write into."""

    def write(body: str, name: str = "tool") -> str:
        path = tmp_path / name
        head = f"#!{sys.executable} -I\nimport os, sys, signal, subprocess, time\nfrom pathlib import Path\n"
        path.write_text(f"{head}here = Path({str(tmp_path)!r})\n{textwrap.dedent(body)}")
        path.chmod(0o755)
        return str(path)

    return write


def driver(*argv: str, verify: list[str] | None = None, timeout: float = 30.0, grace: float = 5.0) -> Command:
    spec = Spec(argv=list(argv), verify=Verify(argv=verify) if verify else None, timeout=f"{timeout}s")
    return Command("rack-1/golem", spec, {"cpu", "memory"}, grace)


async def appears(path: Path) -> str:
    """The content of a file as soon as somebody has written one."""
    async with asyncio.timeout(20):
        while not (path.exists() and (text := path.read_text())):  # noqa: ASYNC110 another process writes it
            await asyncio.sleep(0.01)
    return text


async def ends(pid: int) -> None:
    """Returns once no such process runs (a zombie that nobody reaps counts as ended)."""
    async with asyncio.timeout(20):
        while _runs(pid):  # noqa: ASYNC110 no event of ours tells it
            await asyncio.sleep(0.01)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- what it runs ------------------------------------------------------------------------------------------------------


async def test_each_argument_is_filled_on_its_own_and_no_shell_sees_it(script, tmp_path):
    tool = script("(here / 'argv').write_text(repr(sys.argv[1:]))")
    await driver(tool, "--cpu={cpu}", "{memory:GiB}", "$HOME; echo {{x}} > y", "").apply(ORDER)
    assert (tmp_path / "argv").read_text() == repr(["--cpu=6", "9", "$HOME; echo {x} > y", ""])


async def test_it_gets_three_variables_the_root_directory_no_input_and_a_session_of_its_own(
    script, tmp_path, monkeypatch
):
    monkeypatch.setenv("ORCHA_SECRET", "hunter2")
    monkeypatch.setenv("PATH", "relative:.:/usr/bin:/bin")
    tool = script("""
        said = [sorted(set(os.environ) - {"LC_CTYPE"}), os.environ["PATH"], os.getcwd(), sys.stdin.read(), os.getsid(0) == os.getpid()]
        (here / "said").write_text(repr(said))
    """)
    await driver(tool, "{cpu}").apply(ORDER)
    expected = [["HOME", "LANG", "PATH"], "/usr/bin:/bin", "/", "", True]
    assert (tmp_path / "said").read_text() == repr(expected)


async def test_the_old_amounts_undo_it(script, tmp_path):
    tool = script("(here / 'argv').write_text(sys.argv[1])")
    d = driver(tool, "{cpu}")
    assert await d.read() == {}
    await d.apply(ORDER)
    await d.undo(Order("rack-1/golem", {"cpu": 4.0}, "p-1/rack-1/golem/back"), {})
    assert (tmp_path / "argv").read_text() == "4"


# --- how it ends -------------------------------------------------------------------------------------------------------


async def test_an_exit_code_refuses_with_the_last_line_that_it_wrote(script):
    tool = script("print('out'); print('one\\nno such profile\\n', file=sys.stderr); sys.exit(3)")
    d = driver(tool, "{cpu}")
    with pytest.raises(Refused, match=r"tool ended with exit code 3: no such profile$"):
        await d.apply(ORDER)
    assert d.last is not None
    assert d.last.output.strip() == "out"
    assert d.last.errors.splitlines()[0] == "one"


async def test_without_errors_the_last_line_of_its_output_is_shown(script):
    with pytest.raises(Refused, match=r"exit code 1: it is locked$"):
        await driver(script("print('it is locked'); sys.exit(1)"), "{cpu}").apply(ORDER)
    with pytest.raises(Refused, match=r"exit code 1 and said nothing$"):
        await driver(script("sys.exit(1)"), "{cpu}").apply(ORDER)


async def test_exit_code_75_asks_to_try_again(script):
    with pytest.raises(NotNow, match="exit code 75: the daemon starts"):
        await driver(script("print('the daemon starts'); sys.exit(75)"), "{cpu}").apply(ORDER)


async def test_a_signal_is_named(script):
    with pytest.raises(Refused, match="was ended by SIGKILL and said nothing"):
        await driver(script("os.kill(os.getpid(), 9)"), "{cpu}").apply(ORDER)


async def test_output_is_capped_and_cannot_command_a_terminal(script):
    tool = script("""
        sys.stdout.write("x" * 3_000_000)
        sys.stderr.buffer.write(b"\\x1b[31mred\\x1b[0m \\x1b]0;title\\x07b\\xe4d \\x00\\x07end" + "\\u202e".encode() + b"\\r\\n")
        sys.exit(1)
    """)
    d = driver(tool, "{cpu}")
    with pytest.raises(Refused) as told:
        await d.apply(ORDER)
    assert str(told.value).isprintable()
    assert str(told.value).endswith("red b\ufffdd   end")
    assert d.last is not None
    assert len(d.last.output) == command.KEPT


async def test_a_long_last_line_is_cut(script):
    with pytest.raises(Refused) as told:
        await driver(script("print('y' * 2000); sys.exit(1)"), "{cpu}").apply(ORDER)
    assert len(str(told.value)) < 500
    assert str(told.value).endswith("y…")


async def test_what_it_leaves_in_the_background_is_not_waited_for_and_lives_on(script, tmp_path):
    tool = script("""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        (here / "pid").write_text(str(child.pid))
    """)
    async with asyncio.timeout(20):
        await driver(tool, "{cpu}", timeout=60).apply(ORDER)
    pid = int((tmp_path / "pid").read_text())
    assert _runs(pid)
    os.kill(pid, signal.SIGKILL)


# --- what does not end -------------------------------------------------------------------------------------------------

KINDS = {"obedient": False, "stubborn": True}


@pytest.fixture
def hanging(tmp_path):
    """A script that starts another process, writes both numbers into `pids`, and waits; deaf to TERM if it is stubborn."""

    def write(stubborn: bool) -> str:
        path = tmp_path / "tool"
        deaf = "trap '' TERM\n" if stubborn else ""
        path.write_text(f"#!/bin/sh\n{deaf}sleep 60 &\necho $$ $! > {tmp_path}/pids\nwait\n")
        path.chmod(0o755)
        return str(path)

    return write


@pytest.mark.parametrize("stubborn", KINDS.values(), ids=KINDS.keys())
async def test_what_takes_too_long_is_ended_with_all_it_started(hanging, tmp_path, stubborn):
    with pytest.raises(NotNow, match="tool ran for more than 2s and was ended; let it return sooner"):
        await driver(hanging(stubborn), "{cpu}", timeout=2, grace=0.2).apply(ORDER)
    for pid in (await appears(tmp_path / "pids")).split():
        await ends(int(pid))


@pytest.mark.parametrize("stubborn", KINDS.values(), ids=KINDS.keys())
async def test_a_stop_of_orcha_ends_what_runs(hanging, tmp_path, stubborn):
    task = asyncio.create_task(driver(hanging(stubborn), "{cpu}", grace=0.2).apply(ORDER))
    pids = (await appears(tmp_path / "pids")).split()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids:
        await ends(int(pid))


async def test_two_stops_end_it_at_once(hanging, tmp_path):
    task = asyncio.create_task(driver(hanging(stubborn=True), "{cpu}").apply(ORDER))
    pids = (await appears(tmp_path / "pids")).split()
    for _ in range(2):
        task.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    for pid in pids:
        await ends(int(pid))


# --- what cannot be started --------------------------------------------------------------------------------------------


async def test_what_is_not_there_is_refused_and_the_check_says_so_before(tmp_path):
    for program, expected in {
        "ya-no-such-provider": "ya-no-such-provider is not on the PATH of user ",
        str(tmp_path / "nothing"): "nothing is not there, or user ",
    }.items():
        d = driver(program, "{cpu}")
        assert expected in (await d.check())[0]
        with pytest.raises(Refused, match=expected):
            await d.apply(ORDER)


async def test_what_may_not_be_run_is_refused_and_the_check_says_so_before(tmp_path):
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    d = driver(str(tmp_path / "plain"), "{cpu}")
    assert "is no program that user " in (await d.check())[0]
    with pytest.raises(Refused, match="chmod"):
        await d.apply(ORDER)


async def test_a_script_without_a_first_line_is_refused(tmp_path):
    (tmp_path / "text").write_text("echo hello\n")
    (tmp_path / "text").chmod(0o755)
    with pytest.raises(Refused, match="look at the #! of its first line"):
        await driver(str(tmp_path / "text"), "{cpu}").apply(ORDER)


async def test_a_placeholder_without_an_amount_starts_nothing(script, tmp_path):
    tool = script("(here / 'ran').write_text('yes')")
    with pytest.raises(Refused, match=r"\{storage:TB\} has no amount"):
        await driver(tool, "{storage:TB}").apply(ORDER)
    with pytest.raises(Refused, match="zero byte"):
        await driver(tool, "a\0b").apply(ORDER)
    assert not (tmp_path / "ran").exists()


async def test_the_check_changes_nothing_and_names_every_problem(script, tmp_path):
    tool = script("(here / 'ran').write_text('yes')")
    assert await driver(tool, "{cpu}", "{memory:MB}").check() == ()
    problems = await driver(tool, "{storage:TB}", "{cpu:x}", verify=["no-such-program", "{cpu}"]).check()
    for part in (
        "asks for storage, which this workload is not told",
        "{cpu:x} has no unit",
        "no-such-program is not on",
    ):
        assert any(part in problem for problem in problems), problems
    assert not (tmp_path / "ran").exists()


# --- verify ------------------------------------------------------------------------------------------------------------


async def test_without_a_look_of_its_own_it_has_nothing_to_say():
    d = driver("true", "{cpu}")
    assert not d.conclusive
    assert await d.verify(ORDER) is None


async def test_a_look_of_the_owners_tells_what_is_missing(script):
    look = script("if sys.argv[1] != '6': print('restart needed'); sys.exit(1)", "look")
    d = driver("true", "{cpu}", verify=[look, "{cpu}"])
    assert d.conclusive
    assert await d.verify(ORDER) is None
    assert (
        await d.verify(Order("rack-1/golem", {"cpu": 7.0}, "t"))
    ) == f"{look} ended with exit code 1: restart needed"


async def test_closing_is_always_possible():
    await driver("true", "{cpu}").close()
