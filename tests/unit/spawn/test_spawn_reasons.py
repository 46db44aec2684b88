"""hub.spawn.reasons: why a container ended, in words."""

from __future__ import annotations

from typing import Any

import pytest

from hub.spawn.reasons import container_reason, event_reason, exit_reason, lacks_kernels, last_sentence


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"OOMKilled": True, "ExitCode": 137}, "out of memory (limit 2 GB)"),
        ({"OOMKilled": True, "ExitCode": 0}, "ended by itself"),
        ({"ExitCode": 137}, "killed from outside"),
        ({"ExitCode": 143}, "told to end from outside"),
        ({"ExitCode": 139}, "SIGSEGV (last line)"),
        ({"ExitCode": 3}, "exit code 3 (last line)"),
        ({"ExitCode": 128, "Error": "no such device"}, "the engine could not run it (no such device)"),
        ({"Status": "created", "Error": "cannot mount"}, "never started (cannot mount)"),
    ],
)
def test_the_engines_state_is_said_in_words(state: dict[str, object], words: str) -> None:
    assert words in container_reason(state, 2 * 1024**3, "first line\nlast line\n\n")


def test_a_child_ended_by_a_signal_has_a_negative_code() -> None:
    assert "SIGSEGV" in exit_reason(-11)
    assert "killed from outside" in exit_reason(-9)


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        ("ModuleNotFoundError: No module named 'zmq'", True),
        ('exec: "python3": executable file not found in $PATH: unknown', True),
        ('exec: "/opt/python": stat /opt/python: no such file or directory', True),
        ("ValueError: out of luck", False),
        ("", False),
    ],
)
def test_an_image_without_python_or_pyzmq_is_recognised(words: str, lacks: bool) -> None:
    assert lacks_kernels(words) is lacks


def test_the_last_sentence_is_short_and_printable() -> None:
    assert last_sentence("a\n\x1b[31mred\x1b[0m\n") == "[31mred[0m"
    assert len(last_sentence("x" * 10_000)) == 300
    assert last_sentence("") == ""


def test_what_the_agent_notes_of_requests_is_no_reason() -> None:
    note = '{"time": "2026-01-01T00:00:00.000000+00:00", "level": "info", "message": "kernel.start"}'
    assert last_sentence(f"no space left on device\n{note}\n") == "no space left on device"


def event(action: str, **attributes: str) -> dict[str, Any]:
    return {"Action": action, "Actor": {"Attributes": attributes}}


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([event("start"), event("kill", signal="9"), event("die", exitCode="137")], "docker kill`, SIGKILL"),
        ([event("kill", signal="15"), event("kill", signal="9"), event("die", exitCode="137")], "docker stop"),
        ([event("kill", signal="9"), event("die", exitCode="137"), event("destroy")], "docker rm"),
        ([event("oom"), event("die", exitCode="137")], "it ran out of memory (limit 256 MB)"),
        ([event("oom"), event("kill", signal="9"), event("die", exitCode="137")], "docker kill"),
    ],
    ids=["killed", "stopped", "removed", "out of memory", "killed after a process was out of memory"],
)
def test_the_engines_events_say_who_ended_a_container(events: list[dict[str, Any]], words: str) -> None:
    assert words in str(event_reason(events, 256 * 1024**2))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("die", exitCode="3")],
        [event("oom"), event("die", exitCode="1")],
        [event("kill", signal="9"), event("die", exitCode="137"), event("start"), event("die", exitCode="0")],
    ],
    ids=["none", "by itself", "a process was out of memory long ago", "another life"],
)
def test_events_that_say_nothing_leave_it_to_the_exit_status(events: list[dict[str, Any]]) -> None:
    assert event_reason(events) is None
