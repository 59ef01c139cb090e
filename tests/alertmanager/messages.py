"""Every receiver that we ship, set up as a user would, but for servers of ours on 127.0.0.1."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from tests.e2e.alerting import SOURCE, Alertmanager, Mailbox, Sink, alerting, listening, made_quick, receiving_mail
from tests.e2e.programs import ROOT, until

RUNBOOK = "https://runbooks.example/OrchaLowEarnings.md"
NASTY = {
    "alertname": "OrchaLowEarnings",
    "severity": "critical",
    "protocol": "storj",
    "node": 'rack "1" <b>&amp; Ωü',
    "workload": "a&b=c #1 + 100%?|\\x",
    "note": "it's {{ .ExternalURL }} `, }",
}
SAID = {
    "summary": "A workload earns much less than usual at this hour.",
    "description": 'It earns 0.5 < 1 USD/h & "falls"; <script>alert(1)</script>\n<!channel> Ω.',
    "runbook_url": RUNBOOK,
    "dashboard_url": 'http://grafana.example/d/orcha-protocol?var-node=rack+%221%22+%3Cb%3E&var-workload=a b"<c>',
}
SECRETS = {
    "smtp-password": "mail-secret",
    "telegram-bot-token": "12345:telegram-secret",
    "pushover-user-key": "pushover-user-secret",
    "pushover-app-token": "pushover-app-secret",
    "pagerduty-routing-key": "pagerduty-secret",
    "alert-webhook-token": "webhook-secret",
}


@dataclass
class Told:
    """Alertmanager, and where each receiver's messages arrive."""

    manager: Alertmanager
    sink: Sink
    secure: Sink
    box: Mailbox
    log: Path

    def messages(self) -> dict[str, list]:
        return {
            "webhook": self.sink.at("/webhook"),
            "slack": self.sink.at("/slack"),
            "telegram": self.sink.at("/bot"),
            "pagerduty": self.sink.at("/pagerduty"),
            "pushover": self.secure.calls,
            "email": self.box.mails,
        }

    def newest(self, firing: int, over: int) -> dict:
        """The newest message of each, once all have one about so many alerts that fire and so many that are over."""

        def arrived() -> bool:
            calls = self.sink.at("/webhook")
            found = [alert["status"] for alert in calls[-1].json()["alerts"]] if calls else []
            numbers = {len(messages) for messages in self.messages().values()}
            return (found.count("firing"), found.count("resolved"), len(numbers)) == (firing, over, 1)

        until(arrived, f"{firing} firing and {over} over to be told by all")
        return {name: found[-1] for name, found in self.messages().items()}


def replaced(path: Path, *pairs: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert text.count(old) == 1, f"{old} stands {text.count(old)} times in {path}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def certificate(folder: Path, host: str) -> Path:
    """Key and certificate of a host, in one file."""
    key, found = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(found)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    found.write_text(found.read_text() + key.read_text())
    return found


def set_up(folder: Path, sink: Sink, secure: Sink, box: Mailbox) -> str:
    """The configuration for all receivers at once, written by the script from files that were edited as a user edits them."""
    own, secrets = folder / "own", folder / "secrets"
    shutil.copytree(SOURCE, own)
    secrets.mkdir()
    contents = SECRETS | {"slack-webhook-url": f"{sink.url}/slack", "dead-mans-switch-url": f"{sink.url}/ping"}
    for name, content in contents.items():
        # Alertmanager 0.25 sends the file of the mail password as it is; the others' it strips.
        (secrets / name).write_text(content if name == "smtp-password" else f"{content}\n")
    receivers = own / "receivers"
    for path in receivers.glob("*.yml"):
        path.write_text(path.read_text(encoding="utf-8").replace("/etc/orcha/secrets", str(secrets)), encoding="utf-8")
    replaced(receivers / "webhook.yml", ("http://127.0.0.1:9099/alerts", f"{sink.url}/webhook"))
    replaced(
        receivers / "email.yml", ("smtp.example.com:587", box.address), ("require_tls: true", "require_tls: false")
    )
    replaced(receivers / "telegram.yml", ("api_url: https://api.telegram.org", f"api_url: {sink.url}"))
    replaced(receivers / "pagerduty.yml", ("https://events.pagerduty.com/v2/enqueue", f"{sink.url}/pagerduty"))
    proxy = f"http_config: {{proxy_url: '{secure.url}', tls_config: {{ca_file: '{folder}/certificate.pem'}}}}"
    replaced(receivers / "pushover.yml", ("retry: 1m", f"retry: 1m\n        {proxy}"))
    names = [f"critical={name}" for name in ("webhook", "email", "slack", "telegram", "pagerduty", "pushover")]
    subprocess.run(
        [sys.executable, str(ROOT / "scripts/receivers.py"), *names, "watchdog=dead-mans-switch", "--from", str(own),
         "--output", str(folder / "written.yml")],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return (folder / "written.yml").read_text(encoding="utf-8")


@contextlib.contextmanager
def telling(folder: Path, port: int) -> Iterator[Told]:
    """Alertmanager that tells every receiver what is critical, and a dead man's switch that it lives."""
    with listening() as sink, listening(certificate(folder, "api.pushover.net")) as secure, receiving_mail() as box:
        config = made_quick(set_up(folder, sink, secure, box), wait="300ms")
        with alerting(folder / "am", config, port) as manager:
            yield Told(manager, sink, secure, box, folder / "am/alertmanager.log")


class Read(HTMLParser):
    """What a reader of HTML sees: tags, the addresses of links by their text, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.links: dict[str, str] = {}
        self.text = ""
        self._href: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.add(tag)
        self._href = dict(attrs)["href"] if tag == "a" else self._href

    def handle_endtag(self, tag) -> None:
        self._href = None if tag == "a" else self._href

    def handle_data(self, data) -> None:
        self.text += data
        if self._href is not None:
            self.links[data] = self._href
