"""hub.domain.roster: files of schools in, plans of changes out."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.ids import UserId
from hub.domain.roster import Change, Known, Problem, Row, Step, UnreadableRoster, groups_of, plan, read_roster
from hub.domain.users import MemberRole, Role, User

NOW = datetime(2026, 9, 1, tzinfo=UTC)
NOTHING = Known({}, {})


def user(name: str, **more: object) -> User:
    return User(UserId(f"id-{name}"), 1, name, Role.USER, NOW, **more)  # type: ignore[arg-type]


def names(data: bytes) -> list[str]:
    return [row.name for row in read_roster(data).rows]


@pytest.mark.parametrize(
    "data",
    [
        b"username,e-mail\nada,ada@x.org\nbob,bob@x.org\n",
        b"\xef\xbb\xbfUser Name;E-Mail\r\nada;ada@x.org\r\nbob;bob@x.org\r\n",
        b"Login\tMail\nada\tada@x.org\nbob\tbob@x.org",
        b"ada\nbob\n",
        b"\n\nada\n\nbob\n\n",
        b"name\nada\nbob\n",
    ],
)
def test_files_as_programs_write_them_are_read(data: bytes) -> None:
    assert names(data) == ["ada", "bob"]
    assert read_roster(data).problems == ()


def test_a_moodle_export_gives_names_by_e_mail_address_full_names_and_groups() -> None:
    data = b'"First name","Last name","Email address","Groups"\n"Ada","Lovelace","Ada@X.org","lab 1;lab 2"\n'
    [row] = read_roster(data).rows
    assert row == Row(2, "ada@x.org", "Ada Lovelace", "Ada@X.org", ("lab 1", "lab 2"))


def test_a_canvas_gradebook_gives_logins_and_sections() -> None:
    data = b'Student,ID,SIS User ID,SIS Login ID,Section\n"Lovelace, Ada",12,900,ada,Physics 1\n'
    [row] = read_roster(data).rows
    assert (row.name, row.display_name, row.groups) == ("ada", "Lovelace, Ada", ("Physics 1",))


def test_a_file_of_windows_keeps_its_umlauts() -> None:
    [row] = read_roster("username,name\nzoe,Zoë Müller\n".encode("cp1252")).rows
    assert row.display_name == "Zoë Müller"


def test_lines_that_cannot_be_followed_are_named_and_the_others_are_read() -> None:
    roster = read_roster(b"username,role\nada,\nb/ob,\nADA,\n,\ncy,boss\ndan,teacher\n")
    assert [row.name for row in roster.rows] == ["ada", "dan"]
    assert roster.rows[1].role is MemberRole.OWNER
    assert [problem.line for problem in roster.problems] == [3, 4, 6]
    assert "in line 2 already" in roster.problems[1].text


@pytest.mark.parametrize("data", [b"", b"\n\n", b"PK\x03\x04\0\0", b"a\n" * 5001, b"x" * (1024 * 1024 + 1)])
def test_what_is_no_roster_is_refused(data: bytes) -> None:
    with pytest.raises(UnreadableRoster):
        read_roster(data)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    try:
        roster = read_roster(data)
    except UnreadableRoster:
        return
    assert len({row.name for row in roster.rows}) == len(roster.rows)


def test_new_people_are_added_then_put_into_groups_and_made_owners() -> None:
    roster = read_roster(b"username,groups,role\nada,lab,teacher\nbob,,\n")
    found = plan(roster, NOTHING, group="physics")
    assert found.steps == (
        Step(Change.ADD, "ada"),
        Step(Change.ADD, "bob"),
        Step(Change.ENTER, "ada", "physics"),
        Step(Change.ENTER, "ada", "lab"),
        Step(Change.ENTER, "bob", "physics"),
        Step(Change.OWN, "ada", "physics"),
        Step(Change.OWN, "ada", "lab"),
    )
    assert groups_of(roster, "physics") == {"physics", "lab"}


def test_who_is_as_the_roster_says_is_left_alone() -> None:
    known = Known({"ada": user("ada", display_name="Ada")}, {"lab": {"ada": MemberRole.MEMBER}})
    found = plan(read_roster(b"username,full name,group\nada,Ada,lab\n"), known)
    assert (found.steps, found.unchanged) == ((), 1)


def test_exactly_means_that_others_leave_but_not_those_whom_a_provider_put_there() -> None:
    members = {"lab": dict.fromkeys(("ada", "bob", "cy"), MemberRole.MEMBER)}
    known = Known({name: user(name) for name in ("ada", "bob", "cy")}, members, {"lab": {"cy"}})
    roster = read_roster(b"ada\n")
    assert plan(roster, known, group="lab").steps == ()
    assert plan(roster, known, group="lab", exact=True).steps == (Step(Change.LEAVE, "bob", "lab"),)


def test_a_new_name_or_address_is_a_change_and_an_empty_one_is_none() -> None:
    known = Known({"ada": user("ada", display_name="Ada", email="a@x.org")}, {})
    assert plan(read_roster(b"username,email\nada,b@x.org\n"), known).steps == (
        Step(Change.DESCRIBE, "ada", text="b@x.org"),
    )
    assert plan(read_roster(b"username,email,name\nada,,\n"), known).steps == ()


def test_who_may_not_add_users_is_told_line_by_line() -> None:
    found = plan(read_roster(b"ada\nbob\n"), Known({"ada": user("ada")}, {}), group="lab", may_add=False)
    assert found.steps == (Step(Change.ENTER, "ada", "lab"),)
    assert [problem.line for problem in found.problems] == [2]


def test_who_is_about_to_be_deleted_is_a_problem() -> None:
    found = plan(read_roster(b"ada\n"), Known({"ada": user("ada", removed_at=NOW)}, {}))
    assert found.problems == (Problem(1, "ada is about to be deleted; restore them first."),)


def test_the_digest_tells_when_things_have_changed_meanwhile() -> None:
    roster = read_roster(b"ada\n")
    before = plan(roster, NOTHING, group="lab")
    assert before.digest == plan(roster, NOTHING, group="lab").digest
    assert before.digest != plan(roster, Known({"ada": user("ada")}, {}), group="lab").digest
    assert before.digest != plan(read_roster(b"ada,Ada L\n"), NOTHING, group="lab").digest
