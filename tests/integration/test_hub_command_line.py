"""The command line as administrators use it: while the hub is stopped, and while it runs."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hub.cli import main
from tests.harness.accounts import PASSWORD
from tests.harness.client import HubClient
from tests.harness.plain_http import ask
from tests.harness.running import RunningHub, eventually, running_hub

TOKEN = r"hub_[A-Za-z0-9_-]{43}[0-9a-f]{8}"


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its whole name."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, (*path, name))


COMMANDS = dict(leaves(main))
REMOTE = {"attach", "run"}
"""They speak to a hub from anywhere, by its address and a token; they have no data folder."""
LOCAL = [name for name in COMMANDS if name not in REMOTE]


def run(data_dir: Path | None, *arguments: str, input: str | None = None, **environment: str) -> Result:
    """Run a command in this process, with its streams apart."""
    flags = ["--data-dir", str(data_dir)] if data_dir is not None else []
    return CliRunner().invoke(main, [*arguments, *flags], input=input, env=environment, prog_name="kernelhub")


def succeed(data_dir: Path, *arguments: str, input: str | None = None) -> str:
    """Run a command that must succeed; its standard output."""
    done = run(data_dir, *arguments, input=input)
    assert done.exit_code == 0, (arguments, done.output)
    return done.stdout


@pytest.fixture(params=["stopped", "running"])
def data_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The data folder of a hub that does not run, and of one that does."""
    if request.param == "running":
        hub: RunningHub = request.getfixturevalue("hub")
        return hub.data_dir
    return tmp_path


@pytest.fixture(scope="module")
def hub() -> Iterator[RunningHub]:
    with running_hub("process") as hub:
        yield hub


# ---- the tree of commands


def test_all_promised_commands_exist() -> None:
    promised = "serve hub proxy doctor|db upgrade|db current|user add|user list|user passwd|user disable|user enable"
    promised += "|user delete|user restore|user import|token create|token list|token revoke|image build|kernelspec list"
    names = {
        name
        for part in promised.split("|")
        for name in ([part] if " " in part and "serve" not in part else part.split())
    }
    assert names <= set(COMMANDS)


@pytest.mark.parametrize("name", LOCAL)
def test_every_command_takes_a_data_folder_and_a_configuration_file_and_explains_itself(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--data-dir", "--config"} <= options
    done = run(None, *name.split(), "--help")
    assert done.exit_code == 0 and len(done.stdout.splitlines()) > 4


@pytest.mark.parametrize(
    ("name", "flags"), [("serve", {"--host", "--port", "--spawner"}), ("proxy", {"--host", "--port"})]
)
def test_what_listens_takes_its_address_as_flags(name: str, flags: set[str]) -> None:
    assert flags <= {option for parameter in COMMANDS[name].params for option in parameter.opts}


WITHOUT_DATABASE = ("doctor", "db current", "kernelspec list", "secrets check", "lti invite")


def samples(name: str) -> list[str]:
    """A value for each argument of a command and each option that it cannot do without."""
    values = []
    for parameter in COMMANDS[name].params:
        kind = parameter.type
        value = "1" if isinstance(kind, click.types.FloatParamType | click.types.IntParamType) else "x"
        value = (
            "-" if isinstance(kind, click.File) else str(kind.choices[0]) if isinstance(kind, click.Choice) else value
        )
        if isinstance(parameter, click.Argument):
            values.append(value)
        elif parameter.required:
            values += [parameter.opts[0], "https://x.example" if "url" in str(parameter.name) else value]
        elif "--yes" in parameter.opts:
            values.append("--yes")
    return values


@pytest.mark.parametrize(
    "name", [name for name in LOCAL if name not in ("serve", "hub", "proxy", "spawner", "image build")]
)
def test_a_command_works_in_the_data_folder_that_it_is_given_and_nowhere_else(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, given = tmp_path / "elsewhere", tmp_path / "given"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    flags = ["--password-stdin"] if "passwd" in name else []
    done = run(given, *name.split(), *samples(name), *flags, input=PASSWORD, KERNELHUB_SPAWNER="process")
    assert "Traceback" not in done.output and not isinstance(done.exception, TypeError)
    assert not list(elsewhere.iterdir())
    assert (given / "kernelhub.db").exists() == (name not in WITHOUT_DATABASE), done.output


@pytest.mark.parametrize("name", sorted(REMOTE))
def test_a_remote_command_takes_an_address_and_a_token_and_explains_itself(name: str) -> None:
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {"--token", "--token-file"} <= options and ({"--url", "url"} & options)
    assert run(None, name, "--help").exit_code == 0


@pytest.mark.parametrize("name", LOCAL)
def test_a_wrong_configuration_is_a_sentence_and_not_a_traceback(name: str, tmp_path: Path) -> None:
    done = run(tmp_path, *name.split(), *samples(name), input=PASSWORD, KERNELHUB_PORT="many")
    assert done.exit_code == 1 and "port:" in done.stderr and "Traceback" not in done.output
    assert not list(tmp_path.iterdir()), "nothing is made before the configuration is right"


# ---- the database


def test_db_upgrade_makes_the_database_and_db_current_says_where_it_stands(tmp_path: Path) -> None:
    done = run(tmp_path / "new", "db", "current")
    assert done.exit_code == 0 and re.search(r"current: nothing\nneeded:  \w+\n", done.stdout), done.output
    assert re.fullmatch(r"database: upgraded from nothing to \w+\n", succeed(tmp_path / "new", "db", "upgrade"))
    assert succeed(tmp_path / "new", "db", "upgrade") == ""
    current, needed = re.findall(r": +(\w+)", succeed(tmp_path / "new", "db", "current"))
    assert current == needed


def test_a_database_that_does_not_answer_is_a_sentence(tmp_path: Path) -> None:
    url = f"postgresql://hub:secret@/hub?host={tmp_path}"
    for command in (["user", "list"], ["db", "current"], ["db", "upgrade"]):
        done = run(tmp_path, *command, KERNELHUB_DATABASE_URL=url)
        assert done.exit_code == 1 and "Traceback" not in done.output, done.output
        assert "secret" not in done.output


# ---- users


def test_a_users_whole_life(data_dir: Path) -> None:
    run(data_dir, "user", "add", "boss", "--admin", "--password-stdin", input=PASSWORD)  # or eve were the last one
    assert (
        succeed(data_dir, "user", "add", "eve", "--password-stdin", "--admin", input=PASSWORD + "\n") == "added eve\n"
    )
    assert re.search(r"^eve +admin +active +never", succeed(data_dir, "user", "list"), re.M)
    assert "eve is signed out everywhere" in succeed(
        data_dir, "user", "passwd", "eve", "--password-stdin", input="another fine password"
    )
    assert succeed(data_dir, "user", "disable", "eve") == "disabled eve\n"
    assert re.search(r"^eve +admin +disabled", succeed(data_dir, "user", "list", "--prefix", "e"), re.M)
    assert succeed(data_dir, "user", "enable", "eve") == "enabled eve\n"
    refused = run(data_dir, "user", "delete", "eve", input="n\n")
    assert refused.exit_code == 1 and "\neve " in succeed(data_dir, "user", "list")
    assert succeed(data_dir, "user", "delete", "eve", "--yes").startswith("deleted eve; until ")
    assert "\neve " not in succeed(data_dir, "user", "list")


@pytest.mark.parametrize("name", ["a/b", "a%2fb", "\u0430da", "ada\u200b", "x" * 5000, "", "..", "hub", "a b", "a\nb"])
def test_a_user_with_an_impossible_name_is_not_added(data_dir: Path, name: str) -> None:
    done = run(data_dir, "user", "add", name, "--password-stdin", input=PASSWORD)
    assert done.exit_code == 1 and "name" in done.stderr and "Traceback" not in done.output
    assert len(done.stderr) < 500
    if name.isascii() and name.isprintable() and name and name not in ("hub", ".."):
        assert name[:60] not in succeed(data_dir, "user", "list")


def test_a_user_is_added_once_however_the_name_is_spelt(data_dir: Path) -> None:
    succeed(data_dir, "user", "add", "zoe", "--password-stdin", input=PASSWORD)
    for name in ("zoe", "ZOE", "ｚｏｅ"):
        done = run(data_dir, "user", "add", name, "--password-stdin", input=PASSWORD)
        assert done.exit_code == 1 and "already" in done.stderr
    assert succeed(data_dir, "user", "list").count("zoe") == 1


@pytest.mark.parametrize("password", ["", "\n", "\r\n", "x" * 5000])
def test_a_bad_password_leaves_no_user_behind(data_dir: Path, password: str) -> None:
    done = run(data_dir, "user", "add", "quentin", "--password-stdin", input=password)
    assert done.exit_code == 1 and "assword" in done.stderr, done.output
    assert password.strip() == "" or password not in done.output
    assert "quentin" not in succeed(data_dir, "user", "list")


def test_an_administrator_is_warned_of_a_poor_password_on_the_stream_that_scripts_do_not_read(tmp_path: Path) -> None:
    done = run(tmp_path, "user", "add", "quentin", "--password-stdin", input="password1234")
    assert done.exit_code == 0 and done.stdout == "added quentin\n" and "warning: " in done.stderr


@pytest.mark.parametrize("command", ["passwd", "disable", "enable", "delete"])
def test_a_user_who_is_not_there_is_said_not_to_be(data_dir: Path, command: str) -> None:
    flags = {"passwd": ["--password-stdin"], "delete": ["--yes"]}.get(command, [])
    done = run(data_dir, "user", command, "nobody", *flags, input=PASSWORD)
    assert done.exit_code == 1 and "There is no user 'nobody'" in done.stderr


def test_the_last_administrator_cannot_be_disabled_or_deleted_by_mistake_without_a_way_back(tmp_path: Path) -> None:
    succeed(tmp_path, "user", "add", "only", "--admin", "--password-stdin", input=PASSWORD)
    for command in (["disable", "only"], ["delete", "only", "--yes"]):
        done = run(tmp_path, "user", *command)
        assert done.exit_code == 1 and "administrator" in done.stderr, done.output
    assert re.search(r"^only +admin +active", succeed(tmp_path, "user", "list"), re.M)


async def test_a_user_added_while_the_hub_runs_signs_in_at_once_and_is_kept_out_at_once(hub: RunningHub) -> None:
    hub.cli("user", "add", "now", "--password-stdin", input=PASSWORD)
    async with HubClient(hub.address, "now") as client:
        assert await client.sign_in(PASSWORD) == 200
        assert (await client.request("GET", "api/contents"))[0] == 200
        hub.cli("user", "disable", "now")
        eventually(lambda: agents_gone(hub), what="the end of the user's processes")
        async with asyncio.timeout(5):
            while (await client.request("GET", "api/contents"))[0] != 403:
                await asyncio.sleep(0.05)


def agents_gone(hub: RunningHub) -> bool:
    """Whether nobody's kernels run any more."""
    return not list(hub.data_dir.glob("run/*/process.json"))


def test_an_invitation_by_command_leads_to_the_hub(hub: RunningHub) -> None:
    link = re.search(r"(/hub/invitation/\S+)", hub.cli("user", "add", "invited"))
    assert link is not None
    assert ask(hub.address, link[1]).status == 200


# ---- tokens


def test_a_tokens_whole_life(data_dir: Path) -> None:
    succeed(data_dir, "user", "add", "tom", "--password-stdin", input=PASSWORD)
    done = run(data_dir, "token", "create", "tom", "--expires", "30d")
    assert re.fullmatch(TOKEN + "\n", done.stdout) and done.stderr == "", "only the token, for scripts"
    listed = succeed(data_dir, "token", "list", "tom")
    found = re.search(r"^([0-9a-f]{26}) +command line +inherit +\d{4}-\d\d-\d\d +never +valid", listed, re.M)
    assert found is not None, listed
    assert done.stdout.strip() not in listed
    assert succeed(data_dir, "token", "revoke", found[1]) == "revoked\n"
    assert not re.search(rf"{found[1]}.*valid", succeed(data_dir, "token", "list", "tom"))


@pytest.mark.parametrize("expires", ["", "x", "30", "-1d", "0s", "91d", "99999999d", "30 d", "1e3d"])
def test_a_token_with_an_impossible_end_is_not_made(tmp_path: Path, expires: str) -> None:
    succeed(tmp_path, "user", "add", "tom", "--password-stdin", input=PASSWORD)
    done = run(tmp_path, "token", "create", "tom", f"--expires={expires}")
    assert done.exit_code == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "valid" not in succeed(tmp_path, "token", "list", "tom")


def test_a_token_opens_the_running_hub_until_it_is_revoked(hub: RunningHub) -> None:
    succeed(hub.data_dir, "user", "add", "prog", "--password-stdin", input=PASSWORD)
    value = succeed(hub.data_dir, "token", "create", "prog", "--expires", "1h", "--label", "a script").strip()
    assert ask(hub.address, "/user/prog/api/contents", token=value).status == 200
    found = re.search(r"^([0-9a-f]{26}) +a script", succeed(hub.data_dir, "token", "list", "prog"), re.M)
    assert found is not None
    succeed(hub.data_dir, "token", "revoke", found[1])
    eventually(lambda: ask(hub.address, "/user/prog/api/contents", token=value).status == 403, 5.0)


def test_a_token_that_is_not_there_is_said_not_to_be(data_dir: Path) -> None:
    done = run(data_dir, "token", "revoke", "0" * 26)
    assert done.exit_code == 1 and "There is no token" in done.stderr


# ---- doctor


def test_doctor_says_what_is_well_and_what_to_do_about_the_rest(data_dir: Path) -> None:
    done = run(data_dir, "doctor", KERNELHUB_SPAWNER="process")
    lines = done.stdout.splitlines()
    names = {match[1] for line in lines if (match := re.match(r"(?:ok  |warn|FAIL) ([^:]+): ", line))}
    assert {"kernel", "open files", "account", "spawner", "database", "disk", "address"} <= names, done.output
    assert done.exit_code == (1 if any(line.startswith("FAIL") for line in lines) else 0)
    assert all(line.startswith(("ok  ", "warn", "FAIL", "     → ")) for line in lines), done.output


def test_doctor_fails_where_the_configured_engine_is_away_and_says_what_to_do(tmp_path: Path) -> None:
    dead = f"unix://{tmp_path}/none.sock"
    done = run(tmp_path, "doctor", KERNELHUB_SPAWNER="docker", KERNELHUB_DOCKER_URL=dead)
    assert done.exit_code == 1
    assert re.search(r"^FAIL engine: no container engine answers", done.stdout, re.M)
    assert "→ Install Docker Engine" in done.stdout
    assert not list(tmp_path.iterdir()), "nothing is changed or made"


# ---- configuration


def test_flags_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    config, folders = tmp_path / "hub.toml", {name: tmp_path / name for name in ("file", "environment", "flag")}
    config.write_text(f'data_dir = "{folders["file"]}"\n')

    def used(*flags: str, **environment: str) -> set[str]:
        for folder in folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        done = run(None, "db", "upgrade", "--config", str(config), *flags, **environment)
        assert done.exit_code == 0, done.output
        return {name for name, folder in folders.items() if folder.exists()}

    from_environment = {"KERNELHUB_DATA_DIR": str(folders["environment"])}
    assert used() == {"file"}
    assert used(**from_environment) == {"environment"}
    assert used("--data-dir", str(folders["flag"]), **from_environment) == {"flag"}


def test_all_mistakes_are_reported_at_once_with_their_paths_and_what_was_expected(tmp_path: Path) -> None:
    config = tmp_path / "hub.toml"
    config.write_text(
        'port = "many"\nspawner = "kubernetes"\ncolour = "blue"\n'
        '[culling]\nkernel_idle = "soon"\nintervall = 3\n[profiles.datascience]\nmemory_bytes = 5\nimages = "x"\n'
    )
    done = run(tmp_path, "db", "current", "--config", str(config), KERNELHUB_SIGN_IN_IDLE="often")
    assert done.exit_code == 1
    paths = set(re.findall(r"^  ([\w.]+): ", done.stderr, re.M))
    expected = {"port", "spawner", "colour", "culling.kernel_idle", "culling.intervall", "sign_in_idle"}
    assert expected | {"profiles.datascience.memory_bytes", "profiles.datascience.images"} <= paths, done.stderr
    assert str(config) in done.stderr and "'docker'" in done.stderr


@pytest.mark.parametrize("content", ["port = ", "\xff", "[[["])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: str) -> None:
    config = tmp_path / "hub.toml"
    config.write_bytes(content.encode("latin-1"))
    done = run(tmp_path, "db", "current", "--config", str(config))
    assert done.exit_code == 1 and str(config) in done.stderr and "Traceback" not in done.output


def test_a_configuration_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "db", "current", "--config", str(tmp_path / "none.toml"))
    assert done.exit_code == 1 and "none.toml does not exist" in done.stderr


def test_secrets_show_in_no_message(tmp_path: Path) -> None:
    done = run(tmp_path, "db", "current", KERNELHUB_DATABASE_URL="mysql://root:tops3cret@db/x")
    assert done.exit_code == 1 and "tops3cret" not in done.output and "Traceback" not in done.output, done.output


def test_spans_are_written_as_people_write_them(tmp_path: Path) -> None:
    for good in ("2", "0.3", "90s", "15m", "4h", "7d", "", "PT15M"):
        done = run(tmp_path, "db", "current", KERNELHUB_CULLING__KERNEL_IDLE=good)
        assert done.exit_code == 0, (good, done.output)
    for bad in ("soon", "-1", "-PT1H", "4 hours ago"):
        done = run(tmp_path, "db", "current", KERNELHUB_CULLING__KERNEL_IDLE=bad)
        assert done.exit_code == 1 and "culling.kernel_idle" in done.stderr, (bad, done.output)


# ---- what runs


def test_a_port_that_is_taken_is_a_sentence_and_an_exit_status(hub: RunningHub, tmp_path: Path) -> None:
    port = hub.address.rsplit(":", 1)[1]
    command = [sys.executable, "-m", "hub.cli", "proxy", "--port", port, "--data-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert port in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr, done.stderr


def test_hub_and_proxy_run_on_their_own_and_find_each_other_by_the_data_folder(hub: RunningHub) -> None:
    hub_port = next(c.laddr.port for c in hub.child("hub").net_connections("inet") if c.status == "LISTEN")
    command = [sys.executable, "-m", "hub.cli", "proxy", "--host", "127.0.0.1", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--data-dir", str(hub.data_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**hub.environment, "KERNELHUB_HUB_PORT": str(hub_port)},
    )
    try:
        assert process.stdout is not None
        second = next(match[1] for line in process.stdout if (match := re.search(r"listens on ([\d.:]+)", line)))
        eventually(lambda: ask(f"http://{second}", "/health/ready").status == 200)
        assert ask(f"http://{second}", "/hub/login").status == 200
    finally:
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_a_list_is_followed_after_a_look_and_says_what_it_did(tmp_path: Path) -> None:
    listed = "username,email,group,role\nms,ms@x.org,physics,teacher\nbob,,physics,\nb/ob,,,\n"
    refused = run(tmp_path, "user", "import", "-", input=listed)  # what is left of standard input says no
    assert refused.exit_code == 1
    assert "bob" not in succeed(tmp_path, "user", "list")
    done = run(tmp_path, "user", "import", "-", "--yes", "--links", input=listed)
    assert done.exit_code == 0
    assert "line 4 is left out" in done.stderr
    header, *links = done.stdout.splitlines()
    assert header == "username,email,link"
    assert [line.split(",")[:2] for line in links] == [["ms", "ms@x.org"], ["bob", ""]]
    again = run(tmp_path, "user", "import", "-", "--yes", input=listed)
    assert "0 changes; 2 people are as the list says" in again.stderr
    assert run(tmp_path, "user", "import", "-", "--yes", input="").exit_code == 1


def test_who_was_deleted_is_restored_or_gone_for_good(tmp_path: Path) -> None:
    succeed(tmp_path, "user", "add", "bob")
    assert "`kernelhub user restore bob` brings them back" in succeed(tmp_path, "user", "delete", "bob", "--yes")
    assert "bob  " not in succeed(tmp_path, "user", "list")
    succeed(tmp_path, "user", "add", "bob")
    assert run(tmp_path, "user", "restore", "bob").exit_code == 1
    assert succeed(tmp_path, "user", "restore", "bob", "--as", "bob2") == "restored bob2\n"
    assert "for good" in succeed(tmp_path, "user", "delete", "bob2", "--yes", "--now")
    assert run(tmp_path, "user", "restore", "bob2").exit_code == 1
