"""hub.agent.programs.git_pull as the agent runs it: a process with the real git, and a repository served over HTTP."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.agent.programs.git_command import COMPLAINTS, Failed, Git, without_credentials
from tests.harness.course import ENVIRONMENT, LESSON, Course, git, published


@pytest.fixture
def course(tmp_path: Path) -> Iterator[Course]:
    with published(tmp_path) as course:
        yield course


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """A course for links that bring nothing: its student's home holds what may be in the way."""
    base = tmp_path_factory.mktemp("shared")
    with published(base) as course:
        (course.home / "away").symlink_to(base)
        (course.home / "full").mkdir()
        (course.home / "full" / "x").write_text("mine")
        (course.home / "other").mkdir()
        git(course.home / "other", "init", "-q")
        git(course.home / "other", "remote", "add", "origin", "https://user:secret@example.org/other")
        yield course
        assert sorted(path.name for path in course.home.iterdir()) == ["away", "full", "other"]


def test_a_repository_is_cloned_and_git_finds_nothing_changed(course: Course) -> None:
    (course.work / "run.sh").write_text("#!/bin/sh\n")
    (course.work / "run.sh").chmod(0o755)
    (course.work / "link").symlink_to("notes.md")
    (course.work / "bin").write_bytes(bytes(range(256)) * 1000)
    course.publish({})
    events = course.told()
    assert events[-1]["is_new"] and events[-1]["branch"] == "main" and events[-1]["taken"] == 6
    assert any(event.get("percent") == 100 for event in events)
    assert course.read("lesson.txt") == LESSON and course.read("data/table.csv") == "a,b\n1,2\n"
    assert os.access(course.clone / "run.sh", os.X_OK) and (course.clone / "link").readlink() == Path("notes.md")
    assert course.changed() == [] and git(course.clone, "branch", "--show-current") == "main"
    assert git(course.clone, "rev-parse", "HEAD") == git(course.work, "rev-parse", "HEAD")
    assert list((course.clone / ".git").glob("kernelhub-*")) == []


def test_what_the_teacher_changed_and_added_arrives_and_what_was_removed_goes(course: Course) -> None:
    course.follow()
    course.publish({"notes.md": "# New notes\n", "week2/task.txt": "do\n", "data/table.csv": None})
    done = course.follow()
    assert (done["is_new"], done["taken"], done["removed"]) == (False, 2, 1)
    assert course.read("notes.md") == "# New notes\n" and course.read("week2/task.txt") == "do\n"
    assert not (course.clone / "data").exists() and course.changed() == []
    assert course.follow()["taken"] == 0


def test_changes_in_other_lines_are_put_together(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text(LESSON.replace("line 2\n", "my line 2\n"))
    course.publish({"lesson.txt": LESSON.replace("line 19\n", "new line 19\n")})
    assert course.follow()["merged"] == ["lesson.txt"]
    assert course.read("lesson.txt") == LESSON.replace("line 2\n", "my line 2\n").replace("line 19\n", "new line 19\n")
    assert course.changed() == ["M lesson.txt"]


def test_where_both_changed_the_same_line_the_students_stays_and_no_conflict_is_left(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text(LESSON.replace("line 10\n", "my answer\n"))
    course.publish({"lesson.txt": LESSON.replace("line 10\n", "the solution\n").replace("line 1\n", "first\n")})
    course.follow()
    mine = course.read("lesson.txt")
    assert "my answer" in mine and "solution" not in mine and "<<<<" not in mine and mine.startswith("first\n")
    for number in range(3):
        course.publish({"notes.md": f"{number}"})
        course.follow()
    assert course.read("lesson.txt") == mine


def test_a_file_that_the_student_deleted_comes_back_fresh_even_after_changes_were_kept(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text("all mine\n")
    course.publish({"notes.md": "x"})
    course.follow()
    assert course.read("lesson.txt") == "all mine\n"
    (course.clone / "lesson.txt").unlink()
    git(course.clone, "rm", "-q", "--cached", "notes.md")
    (course.clone / "notes.md").unlink()
    assert course.follow()["taken"] == 2
    assert course.read("lesson.txt") == LESSON and course.changed() == []


def test_an_untracked_file_in_the_way_is_renamed_with_the_time(course: Course) -> None:
    course.follow()
    (course.clone / "Untitled1.ipynb").write_text("mine")
    (course.clone / "same.txt").write_text("same")
    (course.clone / "week2").write_text("a file where a folder will be")
    (course.clone / "task").mkdir()
    (course.clone / "task" / "x").write_text("a folder where a file will be")
    course.publish({"Untitled1.ipynb": "theirs", "same.txt": "same", "week2/a.txt": "a", "task": "t"})
    done = course.follow()
    assert len(done["moved"]) == 3 and course.read("Untitled1.ipynb") == "theirs" and course.read("week2/a.txt") == "a"
    kept = [path.name for path in course.clone.iterdir() if re.fullmatch(r"Untitled1_\d{14}\.ipynb", path.name)]
    assert [course.read(name) for name in kept] == ["mine"]
    assert next(course.clone.glob("task_*/x")).read_text() == "a folder where a file will be"


def test_a_link_in_place_of_a_folder_leads_nothing_out_of_the_clone(course: Course) -> None:
    course.follow()
    outside = course.home / "outside"
    outside.mkdir()
    (course.clone / "week2").symlink_to(outside)
    course.publish({"week2/a.txt": "a"})
    course.follow()
    assert list(outside.iterdir()) == [] and course.read("week2/a.txt") == "a"


def test_a_file_renamed_by_the_teacher_and_changed_by_the_student_is_there_twice(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text("mine\n")
    git(course.work, "mv", "lesson.txt", "lesson1.txt")
    course.publish({})
    assert course.follow()["kept"] == ["lesson.txt"]
    assert (course.read("lesson.txt"), course.read("lesson1.txt")) == ("mine\n", LESSON)
    course.publish({"lesson.txt": "back again\n"})
    done = course.follow()
    assert course.read("lesson.txt") == "back again\n" and len(done["moved"]) == 1


def test_rewritten_history_is_followed_and_the_students_changes_stay(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text(LESSON.replace("line 2\n", "my line 2\n"))
    git(course.work, "checkout", "-q", "--orphan", "anew")
    (course.work / "notes.md").write_text("anew\n")
    (course.work / "lesson.txt").write_text(LESSON.replace("line 19\n", "l\n"))
    git(course.work, "add", "-A")
    git(course.work, "commit", "-q", "-m", "history is gone")
    git(course.work, "branch", "-M", "main")
    course.push("--force")
    course.follow()
    assert course.read("notes.md") == "anew\n"
    assert course.read("lesson.txt") == LESSON.replace("line 2\n", "my line 2\n").replace("line 19\n", "l\n")
    assert git(course.clone, "rev-parse", "HEAD") == git(course.work, "rev-parse", "HEAD")


def test_commits_of_the_student_are_merged_and_not_lost(course: Course) -> None:
    course.follow()
    (course.clone / "mine.txt").write_text("committed\n")
    (course.clone / "lesson.txt").write_text(LESSON.replace("line 2\n", "my line 2\n"))
    git(course.clone, "add", "-A")
    git(course.clone, "commit", "-q", "-m", "my work")
    own = git(course.clone, "rev-parse", "HEAD")
    (course.clone / "notes.md").write_text("not committed\n")
    course.publish({"lesson.txt": LESSON.replace("line 19\n", "l\n"), "notes.md": "theirs\n"})
    course.follow()
    assert course.read("lesson.txt") == LESSON.replace("line 2\n", "my line 2\n").replace("line 19\n", "l\n")
    assert course.read("notes.md") == "not committed\n" and course.read("mine.txt") == "committed\n"
    assert own in git(course.clone, "log", "--format=%H").splitlines() and course.changed() == []
    course.publish({"week2.txt": "2"})
    course.follow()
    assert course.read("mine.txt") == "committed\n" and course.read("week2.txt") == "2"
    assert course.changed() == []


def test_another_branch_takes_the_place_and_changes_stay(course: Course) -> None:
    course.follow()
    (course.clone / "lesson.txt").write_text("mine\n")
    git(course.work, "checkout", "-q", "-b", "winter/2026")
    course.publish({"notes.md": "winter\n"})
    assert course.follow(branch="winter/2026")["branch"] == "winter/2026"
    assert course.read("notes.md") == "winter\n" and course.read("lesson.txt") == "mine\n"
    assert git(course.clone, "branch", "--show-current") == "winter/2026"
    course.follow(branch="main")
    assert course.read("notes.md") == "# Notes\n" and course.read("lesson.txt") == "mine\n"


def test_a_shallow_clone_stays_shallow_and_is_brought_up_to_date(course: Course) -> None:
    for number in range(5):
        course.publish({"notes.md": f"{number}"})
    smart = f"{course.address}/smart/course.git"
    assert course.follow(repo=smart, depth=1)["done"]
    assert git(course.clone, "rev-list", "--count", "HEAD") == "1" and course.read("notes.md") == "4"
    (course.clone / "lesson.txt").write_text(LESSON.replace("line 2\n", "my line 2\n"))
    course.publish({"lesson.txt": LESSON.replace("line 19\n", "l\n")})
    assert course.follow(repo=smart, depth=1)["merged"] == ["lesson.txt"]
    assert git(course.clone, "rev-list", "--count", "HEAD") == "1" and course.changed() == ["M lesson.txt"]


def test_a_merged_notebook_that_would_be_no_notebook_stays_the_students(course: Course) -> None:
    cells = '{"cells": [\n' + ",\n".join(f'{{"source": "{n}"}}' for n in range(6)) + "\n]}\n"
    course.publish({"a.ipynb": cells})
    course.follow()
    mine = cells.replace('{"source": "5"}', '{"source": "5"},\n{"source": "mine"}')
    (course.clone / "a.ipynb").write_text(mine)
    course.publish({"a.ipynb": cells.replace('{"cells": [', '{"x": {"cells": [').replace("]}", "]}}")})
    course.follow()
    assert json.loads(course.read("a.ipynb"))["cells"]


def test_a_link_with_another_password_is_asked_with_it(course: Course) -> None:
    host = course.address.partition("//")[2]
    course.follow(repo=f"http://me:old@{host}/course.git")
    assert course.follow(repo=f"http://me:new@{host}/course.git")["done"]
    assert git(course.clone, "config", "remote.origin.url") == f"http://me:new@{host}/course.git"
    course.follow(repo=f"http://evil:x@{host.partition(':')[0]}:1/course.git")
    assert git(course.clone, "config", "remote.origin.url") == f"http://me:new@{host}/course.git"


def test_a_stale_lock_is_removed_and_a_fresh_one_respected(course: Course) -> None:
    course.follow()
    lock = course.clone / ".git/index.lock"
    lock.touch()
    assert course.follow()["failed"] == "locked"
    os.utime(lock, (time.time() - 3600,) * 2)
    assert course.follow()["done"]


def test_a_merge_that_the_student_began_is_left_alone(course: Course) -> None:
    course.follow()
    (course.clone / ".git/MERGE_HEAD").write_text(git(course.clone, "rev-parse", "HEAD"))
    assert course.follow()["failed"] == "unfinished"


def test_hooks_and_settings_of_the_home_run_nothing(course: Course) -> None:
    course.follow()
    hook = course.clone / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    for name in ("post-checkout", "post-merge", "reference-transaction", "post-index-change"):
        path = hook.with_name(name)
        path.write_text("#!/bin/sh\ntouch $HOME/ran\n")
        path.chmod(0o755)
    course.publish({"notes.md": "x"})
    course.follow()
    assert not (course.home / "ran").exists()


@pytest.mark.parametrize(
    "arguments, code",
    [
        ({"repo": "file:///etc"}, "not_allowed"),
        ({"repo": "ssh://host/x"}, "not_allowed"),
        ({"repo": "git@host:x/y"}, "not_allowed"),
        ({"repo": "ext::sh -c touch% /tmp/x"}, "not_allowed"),
        ({"repo": "--upload-pack=x"}, "not_allowed"),
        ({"repo": "/etc"}, "not_allowed"),
        ({"branch": "--upload-pack=x"}, "no_branch"),
        ({"branch": "a..b"}, "no_branch"),
        ({"branch": "no-such"}, "no_branch"),
        ({"target": "../x"}, "not_allowed"),
        ({"target": "/tmp/x"}, "not_allowed"),
        ({"target": "."}, "not_allowed"),
        ({"target": "a/.git"}, "not_allowed"),
        ({"target": ".ipython/profile_default/startup"}, "not_allowed"),
        ({"target": "away/x"}, "not_allowed"),
        ({"target": "full"}, "in_the_way"),
        ({"target": "other"}, "in_the_way"),
    ],
)
def test_what_may_not_be_is_refused_and_leaves_nothing_behind(
    shared: Course, arguments: dict[str, str], code: str
) -> None:
    told = shared.follow(**arguments)
    assert told["failed"] == code and told["message"].endswith(".") and "secret" not in told["message"]
    assert not shared.clone.exists()


def test_why_nothing_came_is_told_in_a_sentence(shared: Course) -> None:
    for repo, code in (
        (f"{shared.address}/nothing.git", "no_repository"),
        (f"{shared.address}/private/course.git", "needs_sign_in"),
        ("http://127.0.0.1:1/course.git", "no_network"),
        ("http://no-such-host.invalid/course.git", "no_network"),
    ):
        told = shared.follow(repo=repo)
        assert told["failed"] == code, told
        assert not shared.clone.exists()


def test_an_image_without_git_says_so(shared: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "PATH", "/nonexistent")
    assert shared.follow()["failed"] == "no_git"
    assert not shared.clone.exists()


def test_a_repository_with_a_forbidden_name_is_not_taken(course: Course) -> None:
    blob = git(course.work, "hash-object", "-w", "notes.md")
    inner = subprocess.run(
        ["git", "mktree"], cwd=course.work, input=f"100644 blob {blob}\tx\n".encode(), capture_output=True, check=True
    ).stdout.strip()
    outer = subprocess.run(
        ["git", "mktree"], cwd=course.work, input=b"040000 tree " + inner + b"\t..\n", capture_output=True, check=True
    ).stdout.decode().strip()  # fmt: skip
    commit = git(course.work, "commit-tree", outer, "-m", "hostile")
    git(course.work, "update-ref", "refs/heads/main", commit)
    git(course.work, "push", "-q", "--force", "origin", "main")
    git(course.bare, "update-server-info")
    assert course.follow()["failed"] == "hostile"
    assert not (course.home / "x").exists()


def test_every_complaint_has_a_sentence_and_addresses_lose_their_passwords() -> None:
    for _, _, sentence in COMPLAINTS:
        assert sentence.format(host="h", branch="b").endswith(".")
    assert without_credentials("fatal: 'https://me:pw@host/x' no") == "fatal: 'https://host/x' no"


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    silent = tmp_path / "git"
    silent.write_text("#!/bin/sh\nexec sleep 1000\n")
    silent.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(Failed, match=r"h\.example cannot be reached"):
        Git(str(tmp_path), "h.example", "").run("ls-remote", "origin", seconds=0.1)
