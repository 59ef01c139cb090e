"""The image's health check, against real servers."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

CHECK = Path(__file__).resolve().parent.parent.parent / "deploy" / "image" / "healthz.py"


def check(address: str) -> subprocess.CompletedProcess[str]:
    proxy = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    environment = {"ORCHA_HEALTH": address, **proxy}
    return subprocess.run(
        [sys.executable, "-I", CHECK], env=environment, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def answering():
    """A server whose /healthz answers a status; everything else is 404."""
    servers = []

    def serve(status: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_healthy_is_silent_and_asks_no_proxy(answering):
    done = check(answering(200))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_another_status_than_200_is_unhealthy_and_said(answering):
    address = answering(503)
    done = check(address)
    assert done.returncode == 1
    assert done.stderr == f"unhealthy: {address}/healthz answers 503\n"


def test_where_nobody_listens_it_is_unhealthy_and_said(free_port):
    port = free_port()
    done = check(f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"unhealthy: 127.0.0.1:{port}/healthz does not answer (")
    assert done.stderr.count("\n") == 1


def test_one_that_never_answers_is_unhealthy_before_the_engine_loses_patience():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        done = check(f"127.0.0.1:{deaf.getsockname()[1]}")
    assert done.returncode == 1
    assert "does not answer" in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:http"])
def test_an_address_without_a_port_is_one_line_and_no_traceback(address):
    done = check(address)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
