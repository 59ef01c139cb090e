"""A real Alertmanager, and what its messages arrive at: an HTTP server and a mail server of ours on 127.0.0.1."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import json
import re
import shutil
import socketserver
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scripts._alertmanager import runnable
from tests.e2e.programs import ROOT, get, until

SOURCE = ROOT / "alertmanager"


def programs() -> Path:
    """The folder of Alertmanager and amtool, which is also the working directory that they need."""
    return runnable(Path(json.loads((ROOT / ".cache" / "tools.json").read_text())["prometheus"]["where"]))


def made_quick(config: str, wait: str = "0s") -> str:
    """The same configuration, which waits for nothing (or for `wait`) before a message and a second between two."""
    config = re.sub(r"group_wait: \S+", f"group_wait: {wait}", config)
    config = re.sub(r"group_interval: \S+", "group_interval: 1s", config)
    return config.replace("- templates/", f"- {SOURCE}/templates/")


@dataclass(frozen=True)
class Call:
    """One request that arrived."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    """When, in monotonic seconds."""

    def json(self) -> Any:
        return json.loads(self.body)

    def form(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(self.body.decode(), keep_blank_values=True, strict_parsing=True))


@dataclass
class Sink:
    """Everything that was posted to it, in order. It says yes in the ways that Telegram, Slack and the others do."""

    url: str
    calls: list[Call] = field(default_factory=list)

    def at(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path.startswith(path)]

    def alerts(self, path: str = "/") -> list[tuple[str, str, str, str]]:
        """Of the messages of `webhook_configs`: (status, alert, node, workload), in the order in which they came."""
        told = [alert for call in self.at(path) for alert in call.json()["alerts"]]
        return [
            (alert["status"], *(alert["labels"].get(name, "") for name in ("alertname", "node", "workload")))
            for alert in told
        ]


_YES = json.dumps({"ok": True, "result": {"message_id": 1, "chat": {"id": 1}}, "status": 1}).encode()


@contextlib.contextmanager
def listening(certificate: Path | None = None) -> Iterator[Sink]:
    """An HTTP server; with a certificate (key and certificate in one file) also a proxy that is every host by itself."""
    sink = Sink("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.calls.append(Call(self.path, dict(self.headers), body, time.monotonic()))
            self.send_response(200)
            self.send_header("Content-Length", str(len(_YES)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(_YES)

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(str(certificate))
            self.connection = context.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
            self.close_connection = False

        def finish(self) -> None:
            super().finish()
            self.connection.close()  # the one inside TLS; the server closes the other

        def log_message(self, *_args) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = False  # closing waits for them: whoever asked is gone by then
        sink.url = f"http://127.0.0.1:{server.server_address[1]}"
        with _serving(server):
            yield sink


@dataclass
class Mailbox:
    """Every mail that was handed in, and with which login."""

    address: str
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


class _Post(socketserver.ThreadingTCPServer):
    """As much of SMTP as a polite client needs."""

    box: Mailbox


class _Letter(socketserver.StreamRequestHandler):
    server: _Post
    timeout = 10

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        self.say("220 localhost")
        answers = {
            "EHLO": "250-localhost\r\n250 AUTH PLAIN",
            "AUTH": "235 welcome",
            "DATA": "354 go on",
            "QUIT": "221 bye",
        }
        for line in self.rfile:
            word, *others = line.decode().split()
            self.say(answers.get(word.upper(), "250 fine"))
            if word == "AUTH":
                self.server.box.logins.append(base64.b64decode(others[1]).decode())
            elif word == "DATA":
                self.server.box.mails.append(self.letter())
                self.say("250 taken")
            elif word == "QUIT":
                return

    def letter(self) -> EmailMessage:
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return mail


@contextlib.contextmanager
def receiving_mail() -> Iterator[Mailbox]:
    """A mail server that takes everything."""
    with _Post(("127.0.0.1", 0), _Letter) as server:
        server.box = Mailbox(f"127.0.0.1:{server.server_address[1]}")
        with _serving(server):
            yield server.box


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


def call(url: str, body=None, method: str | None = None):
    """What an API answers, read as JSON."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        found = answer.read()
        return json.loads(found) if found else None


@dataclass
class Alertmanager:
    """A running one, over its API."""

    url: str

    def post(self, *alerts: dict[str, str], over: bool = False, annotations: dict[str, str] | None = None) -> None:
        """Labels of alerts that fire, or are over."""
        ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + (-1 if over else 3600)))
        begins = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600))
        call(f"{self.url}/api/v2/alerts", [
            {"labels": labels, "annotations": annotations or {}, "startsAt": begins, "endsAt": ends} for labels in alerts
        ])  # fmt: skip

    def alerts(self) -> list[dict]:
        return call(f"{self.url}/api/v2/alerts")

    def states(self) -> dict[str, str]:
        """What is true of each alert, by what tells it apart: "active", "suppressed" or "unprocessed"."""
        names = ("alertname", "node", "workload", "site", "kind")
        return {
            " ".join(filter(None, (alert["labels"].get(name) for name in names))): alert["status"]["state"]
            for alert in self.alerts()
        }

    def groups(self) -> list[dict]:
        return call(f"{self.url}/api/v2/alerts/groups")

    def count(self, family: str) -> float:
        """The sum of one of its own counters."""
        page = get(f"{self.url}/metrics")[1]
        lines = [line.split() for line in page.splitlines() if line.partition("{")[0] == family]
        assert lines, f"Alertmanager does not show {family}"
        return sum(float(line[-1]) for line in lines)

    def silence(self, matchers: dict[str, str]) -> str:
        """Acknowledge: what Alertmanager's form does with the matchers that a link brought."""
        stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + s)) for s in (0, 7200)]
        made = call(f"{self.url}/api/v2/silences", {
            "matchers": [{"name": name, "value": value, "isRegex": False} for name, value in matchers.items()],
            "startsAt": stamps[0], "endsAt": stamps[1], "createdBy": "a test", "comment": "seen",
        })  # fmt: skip
        return made["silenceID"]


@contextlib.contextmanager
def alerting(folder: Path, config: str, port: int, where: Path | None = None) -> Iterator[Alertmanager]:
    """Alertmanager with this configuration, its state and its log under `folder`. `where`: its program, if not as fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "alertmanager.yml").write_text(config, encoding="utf-8")
    url, where = f"http://127.0.0.1:{port}", where or programs()
    argv = [
        str(where / "prometheus-alertmanager"), f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/state",
        f"--web.listen-address=127.0.0.1:{port}", f"--web.external-url={url}", "--cluster.listen-address=", "--log.level=debug",
    ]  # fmt: skip
    with (folder / "alertmanager.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=where, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        until(lambda: process.poll() is not None or _ready(url), "Alertmanager to be ready")
        assert process.poll() is None, (folder / "alertmanager.log").read_text()
        yield Alertmanager(url)
    finally:
        process.kill()
        process.wait()


def _ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def matchers_of(link: str) -> dict[str, str]:
    """What Alertmanager's page reads from a link to a new silence: `{name="value",...}`, values as JSON writes them."""
    _, _, fragment = link.partition("#")
    path, _, query = fragment.partition("?")
    assert path == "/silences/new"
    name, _, value = query.partition("=")  # its parser drops what holds another "=" or "&"
    assert name == "filter"
    assert re.fullmatch(r"(?:[A-Za-z0-9_.~-]|%[0-9A-F]{2})+", value), f"not encoded whole: {value}"
    text = urllib.parse.unquote(value, errors="strict")
    pair = r'\w+="(?:[^"\\]|\\.)*"'
    assert re.fullmatch(rf"\{{{pair}(?:,{pair})*\}}", text), f"not a filter: {text}"
    return {found[1]: json.loads(found[2]) for found in re.finditer(r'(\w+)=("(?:[^"\\]|\\.)*")', text)}


def to_webhook(folder: Path, sink: Sink) -> str:
    """Our configuration with one receiver for all, as our script writes it: /alerts of the sink, and /watchdog."""
    shutil.copytree(SOURCE, folder)
    (folder / "token").write_text("made-up")
    text = (folder / "receivers/webhook.yml").read_text(encoding="utf-8")
    text = text.replace("/etc/orcha/secrets/alert-webhook-token", str(folder / "token"))
    for name, path in (("webhook", "/alerts"), ("dead-mans-switch", "/watchdog")):
        (folder / "receivers" / f"{name}.yml").write_text(text.replace("http://127.0.0.1:9099/alerts", sink.url + path))
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/receivers.py"), "webhook", "watchdog=dead-mans-switch", "--from", str(folder)],
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    return done.stdout
