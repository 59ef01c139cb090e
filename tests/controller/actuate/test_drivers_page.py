"""What docs/drivers.md tells operators to write does what it says."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from aiohttp import web

from controller.actuate.command import Command
from controller.actuate.driver import Refused
from controller.actuate.webhook import Webhook
from controller.programs import Order
from exporters.actuator_rules import actuator_rules
from exporters.clock import SystemClock
from exporters.nodes import Actuator, Allocation
from exporters.nodes import Command as CommandSpec
from exporters.nodes import Webhook as WebhookSpec

PAGE = (Path(__file__).parents[3] / "docs/drivers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
YAML = [text for kind, text in BLOCKS if kind == "yaml"]
SCRIPTS = {re.search(r"bin/([a-z-]+) BYTES", text)[1]: text for kind, text in BLOCKS if kind == "sh"}
KEY = "rack-1/storj"


def order(size: float) -> Order:
    return Order(KEY, {"storage": size}, "t")


@pytest.mark.parametrize("text", YAML)
def test_every_actuator_of_the_page_is_valid(text):
    actuator = Actuator.model_validate(yaml.safe_load(text)["actuator"], by_name=False)
    allocations: list[dict[str, Any]] = [
        {"resource": "cpu", "min": "1", "max": "8", "step": "1", "with": {"memory": "1Gi"}},
        {"resource": "cpu", "min": "1", "max": "8", "step": "1"},
        {"resource": "storage", "min": "1T", "max": "8T", "step": "1T"},
    ]
    told = [
        list(actuator_rules((), SimpleNamespace(actuator=actuator, allocation=Allocation.model_validate(allocation))))
        for allocation in allocations
    ]
    assert [] in told, told


@pytest.fixture
def storj(tmp_path, monkeypatch):
    """The scripts of the page in a directory of their own, with a systemctl and a docker that write down what they are told."""
    for tool in ("systemctl", "docker"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "{tool} $*" >> {tmp_path}/called\n')
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def driver(name: str) -> Command:
        text = SCRIPTS[name].replace("/etc/storagenode", str(tmp_path)).replace("/srv/storagenode", str(tmp_path))
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
        return Command(KEY, CommandSpec(argv=[str(tmp_path / name), "{storage:B}"]), {"storage"})

    return driver


async def test_the_script_for_systemd_sets_one_line_and_restarts_also_the_second_time(storj, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("# about\n# storage.allocated-disk-space: 1.00 TB\nstorage2.x: 1\n")
    driver = storj("storj-resize")
    for _ in range(2):
        await driver.apply(order(2e12))
    assert config.read_text() == "# about\nstorage.allocated-disk-space: 2000000000000B\nstorage2.x: 1\n"
    assert (tmp_path / "called").read_text() == "systemctl restart storagenode.service\n" * 2
    await driver.undo(order(1e12), {})
    assert "storage.allocated-disk-space: 1000000000000B\n" in config.read_text()


async def test_the_script_for_systemd_changes_nothing_where_there_is_no_such_line(storj, tmp_path):
    (tmp_path / "config.yaml").write_text("storage2.x: 1\n")
    with pytest.raises(Refused, match=r"no storage\.allocated-disk-space in "):
        await storj("storj-resize").apply(order(2e12))
    assert (tmp_path / "config.yaml").read_text() == "storage2.x: 1\n"
    assert not (tmp_path / "called").exists()


async def test_the_script_for_docker_sets_the_variable_and_lets_compose_do_the_rest(storj, tmp_path):
    for _ in range(2):
        await storj("storj-compose").apply(order(2e12))
    assert (tmp_path / ".env").read_text() == "STORAGE=2000000000000B\n"
    assert (tmp_path / "called").read_text() == "docker compose up --detach --timeout 300\n" * 2


async def test_the_function_of_the_page_knows_a_call_of_orcha(aiohttp_server, tmp_path):
    (tmp_path / "secret").write_text("correct horse battery staple")
    page: dict[str, Any] = {}
    exec(next(text for kind, text in BLOCKS if kind == "python"), page)  # noqa: S102 our own page
    heard = []

    async def hear(request: web.Request) -> web.Response:
        heard.append((request.headers.copy(), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/", hear)
    server = await aiohttp_server(app)
    spec = WebhookSpec(url=str(server.make_url("/")), secret_file=str(tmp_path / "secret"))
    driver = Webhook(KEY, spec, SystemClock())
    await driver.apply(order(2e12))
    await driver.close()
    ((headers, body),) = heard
    is_authentic = page["is_authentic"]
    assert is_authentic(b"correct horse battery staple", headers, body)
    assert not is_authentic(b"another", headers, body)
    assert not is_authentic(b"correct horse battery staple", headers, body + b" ")
    headers["X-Orcha-Timestamp"] = str(int(time.time()) - 1000)
    assert not is_authentic(b"correct horse battery staple", headers, body)
