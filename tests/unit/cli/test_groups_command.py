"""``kernelhub group``, as an administrator types it."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from hub.cli import main


def run(data_dir: Path, *arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(main, [*arguments, "--data-dir", str(data_dir)], prog_name="kernelhub")
    assert result.exit_code == status, result.output
    return result.output


def test_groups_are_kept_from_the_command_line(tmp_path: Path) -> None:
    for name in ("ada", "ben"):
        run(tmp_path, "user", "add", name)
    assert run(tmp_path, "group", "add", "physics", "--display-name", "Physics 101") == "added physics\n"
    assert run(tmp_path, "group", "add-member", "physics", "ada", "ben") == "added ada, ben to physics\n"
    assert run(tmp_path, "group", "add-member", "physics", "ada") == "added nobody to physics\n"
    assert run(tmp_path, "group", "owner", "physics", "ben") == "ben owns physics\n"
    listed = run(tmp_path, "group", "list").split()
    assert listed[-6:] == ["physics", "Physics", "101", "2", "1", "hub"]
    assert "ben   owner" in run(tmp_path, "group", "list", "physics")
    assert run(tmp_path, "group", "owner", "physics", "ben", "--remove") == "ben no longer owns physics\n"
    assert run(tmp_path, "group", "remove-member", "physics", "ada", "ben") == "removed ada, ben from physics\n"
    assert run(tmp_path, "group", "delete", "physics", "--yes") == "deleted physics\n"
    assert "There is no such group." in run(tmp_path, "group", "list", "physics", status=1)
    assert "There is no user 'nobody'" in run(tmp_path, "group", "add", "x") + run(
        tmp_path, "group", "add-member", "x", "nobody", status=1
    )
