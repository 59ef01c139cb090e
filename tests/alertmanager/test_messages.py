"""What arrives: a real Alertmanager, with the receivers that we ship, tells servers of ours of an alert with nasty labels."""

from __future__ import annotations

import re
import socket
import urllib.parse
from collections.abc import Iterator

import pytest

from tests.alertmanager.messages import NASTY, RUNBOOK, SAID, SECRETS, Read, Told, telling
from tests.e2e.alerting import matchers_of
from tests.e2e.programs import until

pytestmark = [pytest.mark.tool("prometheus"), pytest.mark.xdist_group("alertmanager-messages")]

PLACE = f"{NASTY['node']}/{NASTY['workload']}"
TITLE = f"🔴 Critical: {PLACE}: {SAID['summary']}"
OVER = f"✅ Resolved: {PLACE}: {SAID['summary']}"
DASHBOARD = "http://grafana.example/d/orcha-protocol?var-node=rack+%221%22+%3Cb%3E&var-workload=a%20b%22%3Cc%3E"
DESCRIPTION = SAID["description"].replace("\n", " ")
CLOCK = r"\d{1,2} [A-Z][a-z]{2} \d\d:\d\d \S+"
LONGEST = "n" * 63
MANY = [
    {"alertname": "OrchaNodeDown", "severity": "critical", "node": f"rack-{k:02}", "site": "oslo"} for k in range(60)
]


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> Iterator[Told]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with telling(tmp_path_factory.mktemp("told"), port) as started:
        yield started


@pytest.fixture(scope="module")
def stories(told) -> dict[str, dict]:
    """One alert that fires and is over, then sixty nodes that die and of which one is back."""
    found = {}
    told.manager.post(NASTY, annotations=SAID)
    found["firing"] = told.newest(1, 0)
    told.manager.post(NASTY, annotations=SAID, over=True)
    found["resolved"] = told.newest(0, 1)
    told.manager.post(*MANY, annotations=SAID | {"description": "It does not answer."})
    found["many"] = told.newest(60, 0)
    told.manager.post(*MANY[1:], annotations=SAID, over=True)
    found["one-left"] = told.newest(1, 59)
    assert told.manager.count("alertmanager_notifications_failed_total") == 0
    return found


@pytest.fixture(scope="module")
def firing(stories) -> dict:
    return stories["firing"]


@pytest.fixture(scope="module")
def resolved(stories) -> dict:
    return stories["resolved"]


def text_of(mail) -> str:
    return mail.get_body(("plain",)).get_content()


def html_of(mail) -> str:
    return mail.get_body(("html",)).get_content()


def pushed(call) -> dict[str, str]:
    """Pushover's figures travel in the address."""
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(call.path).query, strict_parsing=True))


def from_slack(text: str) -> str:
    """As Slack shows it; what it would take for a link or a call is none of ours."""
    shown = re.sub(r"<(https?://[^>|\s]+)\|([^<>]*)>", r"\2", text)
    assert not re.search(r"[<>]", shown), text
    return shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def test_mail_says_as_text_what_where_since_when_and_what_to_do(firing):
    lines = text_of(firing["email"]).splitlines()
    assert firing["email"]["Subject"] == TITLE
    assert lines[0] == TITLE
    assert re.fullmatch(rf"• {re.escape(PLACE)}, since {CLOCK}", lines[2])
    assert lines[3] == f"  {DESCRIPTION}"
    assert lines[5:7] == [f"What to do: {RUNBOOK}", f"Dashboard: {DASHBOARD}"]
    assert matchers_of(lines[7].removeprefix("Acknowledge: ")) == NASTY


def test_mail_as_html_shows_the_same_and_nothing_in_a_label_becomes_a_tag(firing):
    page = Read(html_of(firing["email"]))
    assert page.tags == {"html", "head", "meta", "title", "body", "h1", "p", "a", "b", "br"}
    assert page.text.count(TITLE) == 2  # its title and its heading
    assert DESCRIPTION in page.text
    assert re.search(rf"{re.escape(PLACE)}, since {CLOCK}", page.text)
    assert page.links["What to do"] == RUNBOOK
    assert page.links[PLACE] == page.links["Dashboard"]
    assert urllib.parse.unquote(page.links["Dashboard"]) == urllib.parse.unquote(DASHBOARD)
    assert matchers_of(re.sub("%..", lambda found: found[0].upper(), page.links["Acknowledge"])) == NASTY
    assert "ZgotmplZ" not in html_of(firing["email"])  # what Go puts where it finds a value unsafe


def test_mail_is_sent_with_the_password_of_the_file(told, firing):
    assert set(told.box.logins) == {f"\0orcha@example.com\0{SECRETS['smtp-password']}"}
    assert (firing["email"]["From"], firing["email"]["To"]) == ("orcha@example.com", "you@example.com")


def test_slack_shows_the_same_and_takes_no_label_for_a_call(firing):
    shown = firing["slack"].json()["attachments"][0]
    assert from_slack(shown["title"]) == from_slack(shown["fallback"]) == TITLE
    first, second = from_slack(shown["text"]).splitlines()
    assert re.fullmatch(rf"• {re.escape(PLACE)}, since {CLOCK}", first)
    assert second == DESCRIPTION
    assert shown["title_link"] == DASHBOARD
    assert f"<{DASHBOARD.replace('&', '&amp;')}|" in shown["text"]
    links = {action["text"]: action["url"] for action in shown["actions"]}
    assert matchers_of(links.pop("Acknowledge")) == NASTY
    assert links == {"What to do": RUNBOOK, "Dashboard": DASHBOARD}


def test_telegram_shows_the_same_and_nothing_in_a_label_becomes_a_tag(firing):
    assert firing["telegram"].path == f"/bot{SECRETS['telegram-bot-token']}/sendMessage"
    sent = firing["telegram"].json()
    assert (sent["chat_id"], sent["parse_mode"]) == ("123456789", "HTML")
    page = Read(sent["text"])
    assert page.tags == {"a", "b"}
    lines = page.text.splitlines()
    assert lines[0] == TITLE
    assert re.fullmatch(rf"• {re.escape(PLACE)}, since {CLOCK}", lines[2])
    assert lines[3] == DESCRIPTION
    assert page.links["What to do"] == RUNBOOK
    assert urllib.parse.unquote(page.links[PLACE]) == urllib.parse.unquote(DASHBOARD)
    assert matchers_of(re.sub("%..", lambda found: found[0].upper(), page.links["Acknowledge"])) == NASTY


def test_pushover_shows_the_same_and_its_link_acknowledges(firing):
    sent = pushed(firing["pushover"])
    assert (sent["user"], sent["token"]) == (SECRETS["pushover-user-key"], SECRETS["pushover-app-token"])
    assert sent["title"] == TITLE
    first, second, third = sent["message"].splitlines()
    assert re.fullmatch(rf"• {re.escape(PLACE)}, since {CLOCK}", first)
    assert (second, third) == (DESCRIPTION, f"What to do: {RUNBOOK}")
    assert sent["url_title"] == "Acknowledge"
    assert matchers_of(sent["url"]) == NASTY
    assert sent["priority"] == "1"


def test_pagerduty_gets_one_incident_with_its_links(firing):
    sent = firing["pagerduty"].json()
    assert sent["routing_key"] == SECRETS["pagerduty-routing-key"]
    assert sent["event_action"] == "trigger"
    payload = sent["payload"]
    assert payload["summary"] == TITLE
    assert (payload["severity"], payload["class"], payload["component"], payload["group"]) == (
        "critical", "OrchaLowEarnings", PLACE, "storj",
    )  # fmt: skip
    assert DESCRIPTION in payload["custom_details"]["alerts"]
    links = {link["text"]: link["href"] for link in sent["links"]}
    assert links["What to do"] == RUNBOOK
    assert matchers_of(links["Acknowledge"]) == NASTY
    assert sent["client_url"] == DASHBOARD


def test_a_webhook_gets_what_alertmanager_knows_and_the_secret_that_shows_who_asks(firing):
    sent = firing["webhook"].json()
    assert firing["webhook"].headers["Authorization"] == f"Bearer {SECRETS['alert-webhook-token']}"
    assert [alert["labels"] for alert in sent["alerts"]] == [NASTY]
    assert sent["groupLabels"] == {"alertname": "OrchaLowEarnings", "protocol": "storj"}


def test_that_it_is_over_is_told_to_all_with_how_long_it_lasted_and_nothing_to_acknowledge(resolved):
    over = rf"✓ {re.escape(PLACE)}: over after 59m5\ds \(since {CLOCK}\)"
    slack, pushover = resolved["slack"].json()["attachments"][0], pushed(resolved["pushover"])
    texts = {
        "mail": text_of(resolved["email"]),
        "html": Read(html_of(resolved["email"])).text,
        "slack": f"{from_slack(slack['title'])}\n{from_slack(slack['text'])}",
        "telegram": Read(resolved["telegram"].json()["text"]).text,
        "pushover": f"{pushover['title']}\n{pushover['message']}",
        "pagerduty": "{summary}\n{custom_details[alerts]}".format(**resolved["pagerduty"].json()["payload"]),
    }
    for name, text in texts.items():
        assert OVER in text, name
        assert re.search(over, text), name
        assert "Acknowledge" not in text, name
        assert DESCRIPTION not in text, name
    assert [action["text"] for action in slack["actions"]] == ["Alertmanager", "What to do", "Dashboard"]
    assert (pushover["url_title"], pushover["priority"]) == ("Alertmanager", "-1")
    assert resolved["pagerduty"].json()["event_action"] == "resolve"


def test_sixty_nodes_are_one_message_that_counts_them(stories):
    many = stories["many"]
    title = f"🔴 Critical (60): rack-00, rack-01, rack-02, … @ oslo: {SAID['summary']}"
    assert many["email"]["Subject"] == title
    assert text_of(many["email"]).count("since") == 10
    assert "• and others, 60 in all" in text_of(many["email"])
    assert html_of(many["email"]).count(", since") == 50
    assert from_slack(many["slack"].json()["attachments"][0]["title"]) == title
    assert many["slack"].json()["attachments"][0]["text"].count("since") == 10
    telegram = Read(many["telegram"].json()["text"]).text
    assert (telegram.splitlines()[0], telegram.count("since")) == (title, 5)
    assert pushed(many["pushover"])["message"].count("since") == 3
    assert matchers_of(pushed(many["pushover"])["url"]) == {
        "alertname": "OrchaNodeDown", "severity": "critical", "site": "oslo",
    }  # fmt: skip


def test_what_still_fires_and_what_is_over_stand_in_one_message(stories):
    text = text_of(stories["one-left"]["email"])
    assert text.splitlines()[0] == f"🔴 Critical: rack-00 @ oslo: {SAID['summary']}"
    assert "• rack-00 @ oslo, since" in text
    assert "✓ rack-01 @ oslo: over after" in text
    assert "✓ and others, 59 over in all" in text


def test_the_longest_names_and_texts_fit_where_a_message_is_bounded(told, stories):
    """Alertmanager cuts what is too long, and a link or a tag that was cut is none: Telegram would refuse the message."""
    url = f"https://grafana.example/d/orcha-protocol?var-node={LONGEST}&var-protocol=streamr&var-workload="
    for k in range(6):
        place = {"node": f"{k}{LONGEST[1:]}", "workload": f"{LONGEST[:-1]}{k}", "protocol": "streamr"}
        labels = {"alertname": "OrchaStreamrEarningsNearLimit", "severity": "critical", **place}
        said = SAID | {"description": "Many words. " * 100, "dashboard_url": url + place["workload"]}
        told.manager.post(labels, annotations=said)
    messages = told.newest(6, 0)
    text = messages["telegram"].json()["text"]
    assert len(text) <= 4096
    assert Read(text).links["What to do"] == RUNBOOK
    sent = pushed(messages["pushover"])
    assert sent["message"].endswith(f"What to do: {RUNBOOK}")
    assert matchers_of(sent["url"]) == {
        "alertname": "OrchaStreamrEarningsNearLimit", "severity": "critical", "protocol": "streamr",
    }  # fmt: skip
    assert len(sent["title"]) <= 250
    one = {"alertname": "OrchaStreamrSponsorshipEnding", "severity": "critical", "protocol": "streamr"}
    one |= {"node": LONGEST, "workload": LONGEST, "cluster": LONGEST}
    told.manager.post(one, annotations=SAID)
    assert matchers_of(pushed(told.newest(1, 0)["pushover"])["url"]) == one


def test_the_link_silences_exactly_what_its_message_was_about(told, stories):
    """Acknowledging is a silence (R2): its matchers are those that the link brings to Alertmanager's form."""
    twin = NASTY | {"node": "rack-2"}
    told.manager.post(NASTY, twin, annotations=SAID)
    told.newest(2, 0)
    link = text_of(stories["firing"]["email"]).rpartition("Acknowledge: ")[2].strip()
    number = told.manager.silence(matchers_of(link))

    def silenced() -> dict[str, list[str]]:
        found = [one for one in told.manager.alerts() if one["labels"]["alertname"] == NASTY["alertname"]]
        return {one["labels"]["node"]: one["status"]["silencedBy"] for one in found}

    until(lambda: silenced() == {NASTY["node"]: [number], "rack-2": []}, "the one alert to be silenced")


def test_the_watchdog_calls_the_dead_mans_switch_and_says_nothing_when_it_is_over(told, stories):
    labels = {"alertname": "OrchaWatchdog", "severity": "info"}
    told.manager.post(labels)
    until(lambda: told.sink.at("/ping"), "a sign of life")
    calls = len(told.sink.at("/webhook"))
    told.manager.post(labels, over=True)
    told.manager.post({"alertname": "OrchaDown", "severity": "critical"})
    until(lambda: len(told.sink.at("/webhook")) > calls, "another alert to be told after it")
    assert len(told.sink.at("/ping")) == 1


def test_no_secret_is_written_to_the_log(told, stories):
    said = told.log.read_text()
    assert [name for name, secret in SECRETS.items() if secret in said] == []
