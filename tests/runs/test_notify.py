"""Notifications, to a real receiver on this machine; what is secret stays secret."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from diffbev_engine.cli.main import cli
from diffbev_engine.core.errors import UsageError
from diffbev_engine.runs import notify
from diffbev_engine.runs.alerts import Alert, AlertKind, alert_words, append_alerts, read_alerts
from diffbev_engine.runs.notify import Notifier, NotifySettings, notify_settings, send_test


@pytest.fixture
def receiver():
    """A web hook: its URL for Apprise, and what it was told."""
    told: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if "refuse" not in self.path else 500)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}", told
    server.shutdown()
    server.server_close()


def _workspace(tmp_path, text):
    (tmp_path / "workspace.toml").write_text(f'nuscenes_root = "/data"\n{text}', encoding="utf-8")
    return tmp_path / "workspace.toml"


def test_the_events_asked_for_are_sent_in_the_language_asked_for(receiver):
    url, told = receiver
    notifier = Notifier(NotifySettings((url,), (AlertKind.FINISHED,), "zh"))
    notifier.tell("baseline", Alert(1.0, AlertKind.FINISHED, 300))
    notifier.tell("baseline", Alert(1.0, AlertKind.STALLED, 200))
    notifier.close()
    [message] = told
    assert (message["title"], message["message"]) == ("DiffBEV: baseline", "训练完成，第 300 次迭代")


def test_a_notification_that_no_attempt_delivers_is_recorded_without_its_secret(receiver, monkeypatch):
    url, told = receiver
    monkeypatch.setattr(notify, "_ATTEMPTS", (0.0, 0.0, 0.0))
    lost = []
    notifier = Notifier(NotifySettings((f"{url}/refuse/token-123", f"{url}/taken")), lost.append)
    notifier.tell("baseline", Alert(1.0, AlertKind.OOM, 300))
    notifier.close()
    assert len(told) == 4, "three times to one that refuses, once to one that accepts"
    [alert] = lost
    assert (alert.kind, alert.about, alert.message) == (AlertKind.NOT_NOTIFIED, AlertKind.OOM, "json")
    assert alert.time > 1e9
    assert alert_words(alert).en == "notification of oom was not delivered: json"


def test_what_a_slow_service_keeps_waiting_at_the_end_is_recorded_too(monkeypatch, tmp_path):
    monkeypatch.setattr(notify, "_END_WITHIN_S", 0.05)
    blocked = threading.Event()
    monkeypatch.setattr(notify, "send", lambda *_: blocked.wait(10) and ())
    notifier = Notifier(NotifySettings(("ntfy://x",)), lambda one: append_alerts(tmp_path / "a", [one]))
    for kind in (AlertKind.OOM, AlertKind.DISK_LOW):
        notifier.tell("baseline", Alert(1.0, kind, 300))
    notifier.close()
    blocked.set()
    assert [alert.about for alert in read_alerts(tmp_path / "a")] == [AlertKind.OOM, AlertKind.DISK_LOW]


def test_the_test_command_sends_one_and_shows_no_url(receiver, tmp_path):
    url, told = receiver
    _workspace(tmp_path, f'[notify]\nurls = ["{url}/token-123"]\nlanguage = "en"\n')
    result = CliRunner().invoke(cli, ["runs", "notify-test", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert result.output == "sent to json\n"
    assert "token-123" not in result.output
    assert told[0]["message"] == "test notification"


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ("notify = 3", "must be a table"),
        ("[notify]\nurl = []", "notify.url is unknown"),
        ('[notify]\nurls = "ntfy://x"', "must be a list"),
        ('[notify]\nurls = ["secret-topic"]', "needs URLs of Apprise"),
        ('[notify]\nevents = ["explodes"]', "'explodes' is none of stalled"),
        ('[notify]\nlanguage = "fr"', '"zh" or "en"'),
    ],
)
def test_a_wrong_table_names_its_key_and_never_a_url(table, why, tmp_path):
    with pytest.raises(UsageError, match=why) as said:
        notify_settings(_workspace(tmp_path, table + "\n"))
    assert "secret-topic" not in str(said.value)


def test_the_test_tells_which_service_refused(receiver, tmp_path):
    url, _ = receiver
    _workspace(tmp_path, f'[notify]\nurls = ["{url}/ok", "{url}/refuse/token-123"]\n')
    result = CliRunner().invoke(cli, ["runs", "notify-test", str(tmp_path), "--json"])
    assert result.exit_code == 1
    told = json.loads(result.output)
    assert (told["ok"], told["accepted"], told["refused"]) == (False, ["json"], ["json"])
    assert told["message"]["en"].startswith("sent to json; not accepted by json: check")
    assert "token-123" not in result.output


def test_the_test_tells_what_to_install(tmp_path, monkeypatch):
    _workspace(tmp_path, '[notify]\nurls = ["ntfy://token-123"]\n')
    monkeypatch.setitem(sys.modules, "apprise", None)
    sent = send_test(tmp_path)
    assert 'pip install "diffbev[notify]"' in sent.words.en
    assert 'pip install "diffbev[notify]"' in sent.words.zh
    assert not sent.to_json()["ok"]


def test_nobody_is_told_without_a_table_and_the_command_says_how(tmp_path):
    assert notify_settings(_workspace(tmp_path, "")).urls == ()
    result = CliRunner().invoke(cli, ["runs", "notify-test", str(tmp_path)])
    assert isinstance(result.exception, UsageError)
    assert "[notify]" in str(result.exception)


def test_a_training_is_told_why_nobody_will_be_notified(tmp_path, monkeypatch):
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    assert notify.notify_problem(run) == ""
    (tmp_path / "workspace.toml").write_text('[notify]\nurl = "json://secret"\n')
    assert "notify.url is unknown" in notify.notify_problem(run)
    (tmp_path / "workspace.toml").write_text('[notify]\nurls = ["json://secret"]\n')
    assert notify.notify_problem(run) == ""
    monkeypatch.setattr(notify, "find_spec", lambda _: None)
    assert "pip install" in notify.notify_problem(run)
    assert "secret" not in notify.notify_problem(run)
