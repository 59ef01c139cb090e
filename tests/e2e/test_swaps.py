"""Under running programs a set of manifests is swapped by a link, as kubelet and git-sync do: what is good is in force soon,
what is bad changes nothing, and a link that is gone ends nobody.
"""

from __future__ import annotations

import json

import pytest

from controller.manifests import load
from exporters.collector import discover
from tests.e2e.programs import get, until
from tests.exporters.swapped import LAYOUTS, manifests

WORKLOAD = """\
apiVersion: orcha.dev/v1alpha1
kind: Node
metadata: {name: rack-9}
spec: {workloads: {storj: {protocol: storj, endpoint: "http://127.0.0.1:1"}}}
"""
SETTINGS = "apiVersion: orcha.dev/v1alpha1\nkind: Settings\nspec: {prices: {sources: []}}\n"


def files(generation, *nodes):
    return {**manifests(generation, nodes), "settings.yaml": SETTINGS, "polled.yaml": WORKLOAD}


@pytest.fixture(params=sorted(LAYOUTS))
def swapped(request, tmp_path):
    return LAYOUTS[request.param](tmp_path / "mounted", files("old", "rack-1", "rack-2"))


def in_force(address):
    """(digest of the set, problems) that the controller tells."""
    code, body = get(f"{address}/api/v1/status")
    if code != 200:
        return None
    view = json.loads(body)
    return view["manifests"]["sha256"], view["manifests"]["problems"]


def test_a_running_controller_takes_over_what_is_good_and_keeps_it_from_what_is_bad(
    swapped, start, free_port, tmp_path
):
    port = free_port()
    program = start(
        "-m", "controller", "run", "-m", str(swapped.read), "--listen", f"127.0.0.1:{port}",
        "--state", f"sqlite:///{tmp_path}/orcha.db",
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    until(lambda: in_force(address) or program.process.poll() is not None, "the controller to serve")

    swapped.swap(files("new", "rack-2", "rack-3"))
    new = load([swapped.read], discover()).sha256
    until(lambda: in_force(address) == (new, []), "the new set in force")

    bad = files("bad", "rack-2")
    swapped.swap({**bad, "rack-2.yaml": bad["rack-2.yaml"].replace("cpu: 8", "cpu: eight")})
    until(lambda: in_force(address)[1], "the bad set to be refused")
    sha, problems = in_force(address)
    assert (sha, len(problems)) == (new, 1)
    assert "'eight' is not a quantity" in problems[0]

    swapped.lose()
    until(lambda: "quantity" not in str(in_force(address)[1]), "the lost link to be seen")
    assert in_force(address)[0] == new
    swapped.swap(files("last", "rack-4"))
    last = load([swapped.read], discover()).sha256
    until(lambda: in_force(address) == (last, []), "the last set in force")
    assert program.stop() == 0, program.said()


def test_a_running_exporter_does_the_same(swapped, start, free_port):
    port = free_port()
    program = start("-m", "exporters", "-m", str(swapped.read), "--listen", f"127.0.0.1:{port}")

    def reloads(good):
        return f"orcha_manifest_reload_success {good}" in get(f"http://127.0.0.1:{port}/metrics")[1]

    until(lambda: get(f"http://127.0.0.1:{port}/healthz")[0] == 200, "the exporter to serve")
    swapped.swap({**files("bad"), "rack-1.yaml": "kind: Nodes"})
    until(lambda: reloads("0.0"), "the bad set to be refused")
    swapped.swap({**files("new"), "polled.yaml": WORKLOAD.replace("rack-9", "rack-10")})
    until(lambda: 'node="rack-10"' in get(f"http://127.0.0.1:{port}/metrics")[1], "the new set in force")
    assert program.stop() == 0, program.said()
