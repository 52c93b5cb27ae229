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

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from diffbev_engine.core.bilingual import Language, language_of_the_shell
from diffbev_engine.core.errors import DiffBEVError, UsageError
from diffbev_engine.core.toml import WORKSPACE_FILE, read_toml
from diffbev_engine.runs.alerts import Alert, AlertKind, alert_words

DEFAULT_EVENTS = tuple(
    kind for kind in AlertKind if kind not in (AlertKind.INTERRUPTED, AlertKind.CONTINUES, AlertKind.NEW_BEST)
)
_NEEDS_APPRISE = (
    'notifications need Apprise: pip install "diffbev[notify]" in the environment of the training.'
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
    known = {kind.value: kind for kind in AlertKind}
    events = _texts(workspace_file, table, "events") if "events" in table else None
    wrong = [name for name in events or () if name not in known]
    if wrong:
        raise UsageError(f"{workspace_file}: notify.events: {wrong[0]!r} is none of {', '.join(known)}.")
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


def send(settings: NotifySettings, title: str, body: str) -> None:
    """Send one notification to every service, now.

    Raises:
        DiffBEVError: Apprise is not installed, or a service did not take it; the message names services only.
    """
    try:
        import apprise
    except ImportError:
        raise DiffBEVError(_NEEDS_APPRISE) from None
    failed = []
    for url in settings.urls:
        service = apprise.Apprise()
        if not service.add(url) or not service.notify(title=title, body=body):
            failed.append(service_of(url))
    if failed:
        raise DiffBEVError(f"not accepted by {', '.join(failed)}: check the URL and the network.")


class Notifier:
    """Sends what is worth it from a thread, so that a slow service delays nothing."""

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings
        self._waiting: queue.SimpleQueue[tuple[str, str] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="notify", daemon=True)
        if settings.urls:
            self._thread.start()

    def tell(self, run: str, alert: Alert) -> None:
        """Send an alert of ``run``, if it is one of the events asked for."""
        if self._settings.urls and alert.kind in self._settings.events:
            self._waiting.put((f"DiffBEV: {run}", alert_words(alert)[self._settings.language]))

    def close(self) -> None:
        """Let what waits be sent, within a minute."""
        if self._settings.urls:
            self._waiting.put(None)
            self._thread.join(_END_WITHIN_S)

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            _send_patiently(self._settings, *message)


def _send_patiently(
    settings: NotifySettings, title: str, body: str, pauses: Sequence[float] = _ATTEMPTS
) -> None:
    import time

    for pause in pauses:
        time.sleep(pause)
        try:
            send(settings, title, body)
        except Exception:  # whatever a service does, the run and its other alerts go on
            continue
        return


def notify_problem(run_dir: Path) -> str:
    """Why nobody will be notified of this run although its workspace asks for it; "" if all is well."""
    file = workspace_file_of(run_dir.resolve())
    try:
        settings = notify_settings(file) if file else NotifySettings()
    except (DiffBEVError, OSError) as error:
        return str(error)
    return _NEEDS_APPRISE if settings.urls and find_spec("apprise") is None else ""


def notifier_for(run_dir: Path) -> Notifier:
    """Of the workspace that the run lies in; it tells nobody without one, or where the table is wrong."""
    file = workspace_file_of(run_dir)
    try:
        return Notifier(notify_settings(file) if file else NotifySettings())
    except (DiffBEVError, OSError):
        return Notifier(NotifySettings())
