"""Why a container or an agent ended, in words for its user. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import Any

LOG_LINES = 20
MAX_WORDS = 300
_AGENTS_NOTE = '{"time": "'


ENGINE_BEGAN_ANEW = "the container engine was stopped or restarted, and its containers with it"


def container_reason(
    state: Mapping[str, Any], memory_bytes: int, last_words: str, events: Sequence[Mapping[str, Any]] = ()
) -> str:
    """Why a container is not running, from the engine's ``State``.

    `memory_bytes` is its limit, 0 without one. `last_words` is the end of its log, the agent's own. `events` are what
    the engine remembers of it, the oldest first: they tell who ended it where its exit status alone does not.
    """
    if state.get("Status") == "created":
        return "it was made but never started" + _said(str(state.get("Error") or ""))
    code = int(state.get("ExitCode") or 0)
    if said := event_reason(events, memory_bytes):
        return said
    if state.get("OOMKilled") and code != 0:
        limit = f" (limit {_size(memory_bytes)})" if memory_bytes else ""
        return f"it ran out of memory{limit}"
    if error := str(state.get("Error") or ""):
        return f"the engine could not run it{_said(error)}"
    return exit_reason(code, last_words)


def event_reason(events: Sequence[Mapping[str, Any]], memory_bytes: int = 0) -> str | None:
    """Who ended a container, from the engine's events about it; None where they do not say.

    A ``kill`` is what somebody asked of the engine, a signal from elsewhere leaves none; an ``oom`` before it was of
    one process, not of the container. Source: Docker Engine API 1.41, ``GET /events``.
    """
    asked: str | None = None
    oom = removed = False
    for event in events:
        match event.get("Action"):
            case "start":
                asked, oom, removed = None, False, False
            case "oom":
                oom = True
            case "kill" if asked is None:
                asked = str(((event.get("Actor") or {}).get("Attributes") or {}).get("signal") or "")
            case "destroy":
                removed = True
            case "die" if asked is None and oom and _exit_code(event) == 128 + signal.SIGKILL:
                limit = f" (limit {_size(memory_bytes)})" if memory_bytes else ""
                return f"it ran out of memory{limit}"
    if removed:
        return "it was removed through the container engine (as by `docker rm`), not by the hub"
    if asked == str(int(signal.SIGTERM)):
        return "it was stopped through the container engine (as by `docker stop`), not by the hub"
    if asked is not None:
        name = _signal_name(int(asked)) if asked.isdigit() else f"signal {asked[:16]}"
        return f"it was killed through the container engine (as by `docker kill`, {name}), not by the hub"
    return None


def _exit_code(event: Mapping[str, Any]) -> int:
    text = str(((event.get("Actor") or {}).get("Attributes") or {}).get("exitCode") or "")
    return int(text) if text.isdigit() else 0


def exit_reason(code: int, last_words: str = "") -> str:
    """Why a program ended, from its exit code: 128 + n, or -n, where signal n ended it."""
    number = -code if code < 0 else code - 128
    if code == 0:
        return "it ended by itself"
    if number == signal.SIGKILL:
        return "it was killed from outside (SIGKILL): by an administrator, or a machine out of memory"
    if number == signal.SIGTERM:
        return "it was told to end from outside (SIGTERM): by an administrator or the machine's shutdown"
    if 0 < number <= signal.SIGRTMAX:
        return f"it was ended by {_signal_name(number)}{_said(last_words)}"
    return f"it failed with exit code {code}{_said(last_words)}"


def lacks_kernels(words: str) -> bool:
    """Whether the words of an engine or an agent say that the image has no Python with pyzmq."""
    words = words.lower()
    missing_module = "no module named" in words and "zmq" in words
    missing_program = "executable file not found" in words or "no such file or directory" in words
    return missing_module or "pyzmq" in words or ("python" in words and missing_program)


def last_sentence(log: str) -> str:
    """The last line of a log that says something, in at most 300 printable characters.

    What the agent notes of requests (a JSON object a line) is no reason for an end.
    """
    lines = [line for line in map(str.strip, log.splitlines()) if line and not line.startswith(_AGENTS_NOTE)]
    last = lines[-1] if lines else ""
    return "".join(character for character in last if character.isprintable())[:MAX_WORDS]


def _said(words: str) -> str:
    last = last_sentence(words)
    return f" ({last})" if last else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _size(size_bytes: int) -> str:
    gib = size_bytes / 1024**3
    return f"{gib:.3g} GB" if gib >= 1 else f"{size_bytes / 1024**2:.3g} MB"
