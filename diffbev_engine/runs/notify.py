"""Notifications of a run's alerts: ``[notify]`` in ``workspace.toml``, sent with Apprise.

```toml
[notify]
urls = ["ntfy://ntfy.sh/my-topic"]            # see https://github.com/caronc/apprise/wiki
events = ["finished", "failed", "oom", "diverged", "dead", "stalled", "new_best", "disk_low"]
language = "zh"
```

URLs hold secrets: they are never logged, shown or put into reports; a service is named by its scheme.
Needs ``pip install "diffbev[notify]"``.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from diffbev_engine.core.bilingual import EMPTY, Bilingual, Language, language_of_the_shell
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.extras import pip_command
from diffbev_engine.core.toml import WORKSPACE_FILE, read_toml
from diffbev_engine.runs.alerts import Alert, AlertKind, alert_words

_OF_OTHERS = (AlertKind.NOT_NOTIFIED, AlertKind.NOT_TRACKED)  # not found by the process that notifies
EVENTS = tuple(kind for kind in AlertKind if kind not in _OF_OTHERS)
"""What can be notified of."""
DEFAULT_EVENTS = tuple(
    kind for kind in EVENTS if kind not in (AlertKind.INTERRUPTED, AlertKind.CONTINUES, AlertKind.NEW_BEST)
)
_NEEDS_APPRISE = Bilingual(
    f"发送通知需要 Apprise：请在训练所用环境中执行 {pip_command('notify')}",
    f"notifications need Apprise: {pip_command('notify')} in the environment of the training.",
)
_ATTEMPTS = (0.0, 5.0, 30.0)
"""Seconds before each attempt."""
_END_WITHIN_S = 60.0


@dataclass(frozen=True)
class NotifySettings:
    """Whom to tell, of what, in which language."""

    urls: tuple[str, ...] = ()
    events: tuple[AlertKind, ...] = DEFAULT_EVENTS
    language: Language = "en"

    @property
    def services(self) -> str:
        """The services by scheme, without what is secret: ``ntfy, mailtos``."""
        return ", ".join(service_of(url) for url in self.urls)


def service_of(url: str) -> str:
    """The scheme of a URL, which is all of it that may be shown."""
    scheme = url.partition(":")[0]
    return scheme if scheme.isalnum() and len(scheme) < 20 else "?"


def notify_settings(workspace_file: Path) -> NotifySettings:
    """``[notify]`` of a workspace; nobody is told without it.

    Raises:
        UsageError: it holds something else than it should; the message names the key, never a URL.
    """
    table = read_toml(workspace_file).get("notify", {})
    if not isinstance(table, dict):
        raise UsageError(f"{workspace_file}: notify must be a table: [notify].")
    unknown = sorted(set(table) - {"urls", "events", "language"})
    if unknown:
        raise UsageError(
            f"{workspace_file}: notify.{unknown[0]} is unknown; known are urls, events, language."
        )
    urls = _texts(workspace_file, table, "urls")
    if any("://" not in url for url in urls):
        raise UsageError(
            f"{workspace_file}: notify.urls needs URLs of Apprise, such as ntfy://ntfy.sh/TOPIC."
        )
    known = {kind.value: kind for kind in EVENTS}
    events = _texts(workspace_file, table, "events") if "events" in table else None
    wrong = [name for name in events or () if name not in known]
    if wrong:
        named = "a URL" if "://" in wrong[0] else repr(wrong[0])
        raise UsageError(f"{workspace_file}: notify.events: {named} is none of {', '.join(known)}.")
    language = table.get("language", language_of_the_shell())
    if language not in ("zh", "en"):
        raise UsageError(f'{workspace_file}: notify.language must be "zh" or "en".')
    kinds = DEFAULT_EVENTS if events is None else tuple(known[name] for name in events)
    return NotifySettings(urls, kinds, language)


def _texts(file: Path, table: dict[str, object], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{file}: notify.{key} must be a list of texts in quotes.")
    return tuple(value)


def workspace_file_of(path: Path) -> Path | None:
    """``workspace.toml`` of the workspace that a run directory lies in."""
    return next(
        (folder / WORKSPACE_FILE for folder in (path, *path.parents) if (folder / WORKSPACE_FILE).is_file()),
        None,
    )


def send(settings: NotifySettings, title: str, body: str) -> tuple[str, ...]:
    """Send one notification to every service, now.

    Returns:
        The URLs of services that did not accept it.

    Raises:
        DiffBEVError: Apprise is not installed.
    """
    try:
        import apprise
    except ImportError:
        raise DiffBEVError(_NEEDS_APPRISE.en) from None
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)  # its warnings quote URLs
    refused = []
    for url in settings.urls:
        service = apprise.Apprise()
        if not service.add(url) or not service.notify(title=title, body=body):
            refused.append(url)
    return tuple(refused)


@dataclass(frozen=True)
class TestNotification:
    """What became of a test notification; services are named by their schemes."""

    __test__ = False  # for pytest
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    problem: Bilingual = EMPTY
    """Why nothing was sent, and what to do."""

    @property
    def words(self) -> Bilingual:
        """One or two sentences."""
        zh = [f"已发送到 {', '.join(self.accepted)}"] if self.accepted else []
        en = [f"sent to {', '.join(self.accepted)}"] if self.accepted else []
        if self.refused:
            services = ", ".join(self.refused)
            zh.append(f"{services} 未接受：请检查 URL 和网络")
            en.append(f"not accepted by {services}: check the URL and the network")
        return self.problem or Bilingual("；".join(zh), "; ".join(en))

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        listed = {"accepted": list(self.accepted), "refused": list(self.refused)}
        return {"ok": bool(self.accepted) and not self.refused, **listed, "message": self.words.to_json()}


def send_test(workspace: Path) -> TestNotification:
    """Send a test notification to every service of the workspace.

    Raises:
        UsageError: ``[notify]`` holds something else than it should.
    """
    file = workspace_file_of(workspace.resolve())
    settings = notify_settings(file) if file else NotifySettings()
    if not settings.urls:
        return TestNotification(problem=_nobody(file or workspace / WORKSPACE_FILE))
    try:
        body = "测试通知" if settings.language == "zh" else "test notification"
        refused = send(settings, "DiffBEV", body)
    except DiffBEVError:
        return TestNotification(problem=_NEEDS_APPRISE)
    accepted = (url for url in settings.urls if url not in refused)
    return TestNotification(tuple(map(service_of, accepted)), tuple(map(service_of, refused)))


def _nobody(file: Path) -> Bilingual:
    example = '\n[notify]\nurls = ["ntfy://ntfy.sh/TOPIC"]'
    return Bilingual(
        f"{file} 中没有通知对象，请添加，例如：{example}",
        f"{file} names nobody to notify. Add, for example:{example}",
    )


class Notifier:
    """Sends what is worth it from a thread, so that a slow service delays nothing."""

    def __init__(
        self, settings: NotifySettings, record: Callable[[Alert], None] = lambda _alert: None
    ) -> None:
        """Start the thread.

        Args:
            settings: whom to tell, of what.
            record: takes an alert about each notification that was not delivered.
        """
        self._settings, self._record = settings, record
        self._waiting: queue.SimpleQueue[tuple[str, Alert] | None] = queue.SimpleQueue()
        self._sending: Alert | None = None
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        if settings.urls:
            self._thread.start()

    def tell(self, run: str, alert: Alert) -> None:
        """Send an alert of ``run``, if it is one of the events asked for."""
        if self._settings.urls and alert.kind in self._settings.events:
            self._waiting.put((run, alert))

    def close(self) -> None:
        """Let what waits be sent, within a minute; what is not is recorded."""
        if not self._settings.urls:
            return
        self._waiting.put(None)
        self._thread.join(_END_WITHIN_S)
        late = [self._sending] if self._sending else []
        while self._thread.is_alive() and not self._waiting.empty():
            message = self._waiting.get()
            late += [message[1]] if message else []
        for alert in late:
            self._record(_not_delivered(alert, self._settings.services))

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            run, self._sending = message
            body = alert_words(self._sending)[self._settings.language]
            left = _send_patiently(self._settings, f"DiffBEV: {run}", body)
            if left.urls:
                self._record(_not_delivered(self._sending, left.services))
            self._sending = None


def _not_delivered(alert: Alert, services: str) -> Alert:
    why = "" if find_spec("apprise") else f" ({_NEEDS_APPRISE.en})"
    return Alert(time.time(), AlertKind.NOT_NOTIFIED, alert.step, message=services + why, about=alert.kind)


def _send_patiently(
    settings: NotifySettings, title: str, body: str, pauses: Sequence[float] | None = None
) -> NotifySettings:
    """With the services that did not accept it in any attempt; one that did is not told again."""
    for pause in pauses or _ATTEMPTS:
        time.sleep(pause)
        # Whatever a service does, the run and its other alerts continue.
        with suppress(Exception):
            settings = replace(settings, urls=send(settings, title, body))
        if not settings.urls:
            break
    return settings


def notify_problem(run_dir: Path) -> str:
    """Why nobody will be notified of this run although its workspace asks for it; "" if all is well."""
    file = workspace_file_of(run_dir.resolve())
    try:
        settings = notify_settings(file) if file else NotifySettings()
    except (DiffBEVError, OSError) as error:
        return str(error)
    return _NEEDS_APPRISE.en if settings.urls and find_spec("apprise") is None else ""


def notifier_for(run_dir: Path, record: Callable[[Alert], None]) -> Notifier:
    """Of the workspace that the run lies in; it tells nobody without one, or where the table is wrong."""
    file = workspace_file_of(run_dir)
    try:
        return Notifier(notify_settings(file) if file else NotifySettings(), record)
    except (DiffBEVError, OSError):
        return Notifier(NotifySettings())
