"""States and times in words for people, beside a tone that a page colours them by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from hub.domain.health import Health, HealthState
from hub.domain.sizes import size as size
from hub.domain.workspace import Workspace, WorkspaceState


@dataclass(frozen=True, slots=True)
class Words:
    """A state in a word or two, a sentence about it (may be empty), and its tone: good, warn, bad or empty."""

    short: str
    sentence: str
    tone: str


_WORKSPACE = {
    WorkspaceState.STARTING: Words("starting", "Your container is starting.", "warn"),
    WorkspaceState.RUNNING: Words("running", "", "good"),
    WorkspaceState.STOPPING: Words("stopping", "Your container is being stopped.", "warn"),
    WorkspaceState.UNKNOWN: Words(
        "unknown", "The container engine does not answer. Nothing was stopped; this will be looked at again.", "bad"
    ),
}
_HEALTH = {
    HealthState.STARTING: ("starting", "warn"),
    HealthState.RESTARTING: ("restarting", "warn"),
    HealthState.IDLE: ("idle", ""),
    HealthState.BUSY: ("busy", "good"),
    HealthState.BUSY_NOT_RESPONDING: ("busy, does not respond", "warn"),
    HealthState.STUCK: ("stuck", "bad"),
    HealthState.NOT_RESPONDING: ("does not respond", "bad"),
    HealthState.PAUSED: ("paused", ""),
    HealthState.GONE: ("dead", "bad"),
    HealthState.UNKNOWN: ("unknown", "warn"),
}
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))
_AGE_OF_A_PAGE = timedelta(seconds=30)  # what was set a moment ago to end in 30 days ends in 30 days, not in 29
_BROWSERS = (
    ("Edg/", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
    ("Code/", "VS Code"),
    ("curl/", "curl"),
    ("python-", "Python"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def workspace(value: Workspace | None) -> Words:
    """A workspace's state; None: the user never had one."""
    if value is None or value.state is WorkspaceState.STOPPED:
        why = f" It ended because: {value.stop_reason}." if value is not None and value.stop_reason else ""
        return Words("not running", f"It starts by itself when you open a notebook.{why}", "")
    if value.state is WorkspaceState.RUNNING and value.paused_at is not None:
        return Words("paused", "", "")
    return _WORKSPACE[value.state]


def health(value: Health) -> Words:
    """How a kernel is, and what would help it."""
    short, tone = _HEALTH[value.state]
    return Words(short, value.words, tone)


def span(value: timedelta) -> str:
    """A time span in its largest unit: ``3 hours``."""
    seconds = max(0, int(value.total_seconds()))
    for name, length in _UNITS:
        if seconds >= length:
            count = seconds // length
            return f"{count} {name}" if count == 1 else f"{count} {name}s"
    return "0 seconds"


def cores(value: float) -> str:
    """Processors in use: ``0.04``, ``0.4``, ``2``."""
    digits = 2 if value < 0.095 else 1 if value < 9.95 else 0
    text = f"{value:.{digits}f}"
    return text.rstrip("0").rstrip(".") or "0" if "." in text else text


def ago(value: timedelta) -> str:
    """How long ago: ``just now``, ``3 hours ago``, and ``in 3 days`` for what lies ahead."""
    if value < timedelta(0):
        return f"in {span(-value + _AGE_OF_A_PAGE)}"
    return "just now" if value < timedelta(seconds=45) else f"{span(value)} ago"


def browser(user_agent: str) -> str:
    """Browser and system out of a User-Agent header, as far as people care."""
    name = next((shown for mark, shown in _BROWSERS if mark in user_agent), "A browser")
    system = next((shown for mark, shown in _SYSTEMS if mark in user_agent), "")
    return f"{name} on {system}" if system else name
