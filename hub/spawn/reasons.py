"""Why a container or an agent ended, in words for its user. Pure."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

LOG_LINES = 20
MAX_WORDS = 300
_AGENTS_NOTE = '{"time": "'


def container_reason(state: Mapping[str, Any], memory_bytes: int, last_words: str) -> str:
    """Why a container is not running, from the engine's ``State``.

    `memory_bytes` is its limit, 0 without one. `last_words` is the end of its log, the agent's own.
    """
    if state.get("Status") == "created":
        return "it was made but never started" + _said(str(state.get("Error") or ""))
    code = int(state.get("ExitCode") or 0)
    if state.get("OOMKilled") and code != 0:
        limit = f" (limit {_size(memory_bytes)})" if memory_bytes else ""
        return f"it ran out of memory{limit}"
    if error := str(state.get("Error") or ""):
        return f"the engine could not run it{_said(error)}"
    return exit_reason(code, last_words)


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
