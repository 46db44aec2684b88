"""Rosters: lists of people as schools and teams keep them (CSV), and what following one would change. Pure."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hub.domain.groups import InvalidGroup, normalise_group_name
from hub.domain.users import InvalidUsername, MemberRole, normalise_username

MAX_ROWS = 5000
MAX_ROSTER_BYTES = 1024 * 1024
MAX_GROUPS_OF_ROW = 20
MAX_TEXT_CHARS = 200

_NAMES = {
    "name": ("username", "user name", "user", "login", "login id", "sis login id", "account", "user id", "userid"),
    "email": ("email", "e-mail", "mail", "email address", "e-mail address"),
    "display_name": ("display name", "displayname", "full name", "fullname", "name", "student", "student name"),
    "first": ("first name", "firstname", "given name", "first"),
    "last": ("last name", "lastname", "surname", "family name", "last"),
    "groups": ("groups", "group", "section", "sections", "course"),
    "role": ("role", "group role", "role in group"),
}
"""What columns are called, as learning platforms and people write them."""
_OWNERS = frozenset({"owner", "teacher", "instructor", "lead", "team lead", "editingteacher", "ta"})
_MEMBERS = frozenset({"", "member", "student", "learner"})
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\Z")


class UnreadableRoster(ValueError):
    """The file is no roster at all; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """One person of a roster, in `line` of the file: a normalised user name, and what else is said of them."""

    line: int
    name: str
    display_name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    role: MemberRole = MemberRole.MEMBER


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that cannot be followed, and why; the other lines are not concerned."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Roster:
    """The people of a file, each once, and what is wrong with it."""

    rows: tuple[Row, ...]
    problems: tuple[Problem, ...] = ()


class Change(StrEnum):
    """What following a roster does to somebody."""

    ADD = "add"
    ENTER = "enter"
    LEAVE = "leave"
    OWN = "own"
    DESCRIBE = "describe"


@dataclass(frozen=True, slots=True)
class Step:
    """One change: `name` is added, described as `text`, or put into, taken out of or made an owner of `group`."""

    change: Change
    name: str
    group: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change, in the order in which it is done. `unchanged`: how many people it leaves as they are."""

    steps: tuple[Step, ...] = ()
    problems: tuple[Problem, ...] = ()
    unchanged: int = 0
    rows: Mapping[str, Row] = field(default_factory=dict)

    def of(self, change: Change) -> list[Step]:
        """The steps of one kind."""
        return [step for step in self.steps if step.change is change]

    @property
    def digest(self) -> str:
        """What tells this plan from any other: if it is another when it is carried out, things have changed."""
        steps = [(step.change, step.name, step.group, step.text) for step in self.steps]
        rows = [(r.line, r.name, r.display_name, r.email, r.groups, r.role) for r in self.rows.values()]
        return hashlib.sha256(json.dumps([steps, rows]).encode()).hexdigest()


class Described(Protocol):
    """What of a user a roster is compared with."""

    @property
    def display_name(self) -> str | None:
        """Their full name."""

    @property
    def email(self) -> str | None:
        """Their e-mail address."""

    @property
    def removed_at(self) -> datetime | None:
        """Since when they are marked for deletion."""


@dataclass(frozen=True, slots=True)
class Known:
    """What there is: users by name, and the members of the groups concerned by group and name.

    `provided`: those whom a provider put into a group, which no roster takes out again.
    """

    users: Mapping[str, Described]
    members: Mapping[str, Mapping[str, MemberRole]]
    provided: Mapping[str, Collection[str]] = field(default_factory=dict)


def read_roster(data: bytes) -> Roster:
    """The roster in a file: CSV with commas, semicolons or tabs, UTF-8 or Windows' Latin-1, with or without a header.

    Without a header the columns are user name (or e-mail address), full name, groups. Who has no user name is called by
    their e-mail address. Several groups in a field are separated by ``;`` or ``|``. Raises UnreadableRoster.
    """
    if len(data) > MAX_ROSTER_BYTES:
        raise UnreadableRoster(f"The file is larger than {MAX_ROSTER_BYTES // 1024} kB.")
    text = _decoded(data)
    table = [(number, cells) for number, cells in _cells(text) if any(cell.strip() for cell in cells)]
    if not table:
        raise UnreadableRoster("The file is empty.")
    columns = _header(table[0][1])
    if columns is not None:
        table = table[1:]
    else:
        columns = {"name": 0, "display_name": 1, "groups": 2}
    if len(table) > MAX_ROWS:
        raise UnreadableRoster(f"The file has {len(table)} people; at most {MAX_ROWS} go at once.")
    return _collected(_row(number, cells, columns) for number, cells in table)


def plan(roster: Roster, known: Known, *, group: str = "", exact: bool = False, may_add: bool = True) -> Plan:
    """What following the roster changes.

    `group`: one more group for everybody. `exact`: who is in that group by hand and not in the roster leaves it.
    `may_add` False: people who are not users yet are problems.
    """
    steps: list[Step] = []
    problems = list(roster.problems)
    unchanged, rows = 0, {row.name: row for row in roster.rows}
    for row in roster.rows:
        user = known.users.get(row.name)
        if user is None and not may_add:
            problems.append(Problem(row.line, f"There is no user {row.name}; an administrator has to add them first."))
            continue
        if user is not None and user.removed_at is not None:
            problems.append(Problem(row.line, f"{row.name} is about to be deleted; restore them first."))
            continue
        found = [*_describing(row, user), *_joining(row, group, known)]
        steps += found
        unchanged += not found
    if exact and group:
        provided = known.provided.get(group, ())
        gone = [name for name in known.members.get(group, {}) if name not in rows and name not in provided]
        steps += [Step(Change.LEAVE, name, group) for name in sorted(gone)]
    order = list(Change)
    steps.sort(key=lambda step: order.index(step.change))
    return Plan(tuple(steps), tuple(sorted(problems, key=lambda problem: problem.line)), unchanged, rows)


def groups_of(roster: Roster, group: str = "") -> set[str]:
    """The names of all groups that the roster, or the wish for one more group, speaks of."""
    return {name for row in roster.rows for name in row.groups} | ({group} if group else set())


def _describing(row: Row, user: Described | None) -> list[Step]:
    if user is None:
        return [Step(Change.ADD, row.name, text=row.display_name or row.email)]
    new = [
        said for said, now in ((row.display_name, user.display_name), (row.email, user.email)) if said and said != now
    ]
    return [Step(Change.DESCRIBE, row.name, text=", ".join(new))] if new else []


def _joining(row: Row, group: str, known: Known) -> list[Step]:
    steps = []
    for name in dict.fromkeys((*((group,) if group else ()), *row.groups)):
        now = known.members.get(name, {}).get(row.name)
        if now is None:
            steps.append(Step(Change.ENTER, row.name, name))
        if row.role is MemberRole.OWNER and now is not MemberRole.OWNER:
            steps.append(Step(Change.OWN, row.name, name))
    return steps


def _decoded(data: bytes) -> str:
    if b"\0" in data:
        raise UnreadableRoster("This is no text file. Save it as CSV in the spreadsheet program first.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _cells(text: str) -> Iterable[tuple[int, list[str]]]:
    first = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise UnreadableRoster(f"Line {reader.line_num} is no CSV: {error}.") from error


def _header(cells: list[str]) -> dict[str, int] | None:
    """Which column is what, by the names in the first line; None if that is a person already."""
    named: dict[str, int] = {}
    for number, cell in enumerate(cells):
        label = cell.strip().casefold().replace("_", " ")
        for column, names in _NAMES.items():
            if label in names:
                named.setdefault(column, number)
    if not named.keys() & {"name", "email", "display_name"}:
        return None
    if not named.keys() & {"name", "email"}:
        # Only "name": then that is what people are called here.
        named["name"] = named.pop("display_name")
    return named


def _row(line: int, cells: list[str], columns: Mapping[str, int]) -> Row | Problem:
    def cell(column: str) -> str:
        number = columns.get(column)
        return cells[number].strip() if number is not None and number < len(cells) else ""

    email = cell("email")
    called = cell("name") or email
    if not called:
        return Problem(line, "There is no user name in this line.")
    if not email and _ADDRESS.match(called):
        email = called
    shown = cell("display_name") or " ".join(filter(None, (cell("first"), cell("last"))))
    role = cell("role").casefold()
    groups = [name for name in re.split(r"[;|]", cell("groups")) if name.strip()]
    if max(len(shown), len(email)) > MAX_TEXT_CHARS or not (shown + email).isprintable():
        return Problem(line, f"A name or an address is longer than {MAX_TEXT_CHARS} characters, or cannot be shown.")
    if role not in _OWNERS | _MEMBERS:
        return Problem(line, f"The role {role[:40]!r} is none of member, student, owner, teacher.")
    if len(groups) > MAX_GROUPS_OF_ROW:
        return Problem(line, f"There are more than {MAX_GROUPS_OF_ROW} groups in this line.")
    try:
        named = tuple(dict.fromkeys(normalise_group_name(name) for name in groups))
        owner = MemberRole.OWNER if role in _OWNERS else MemberRole.MEMBER
        return Row(line, normalise_username(called), shown, email, named, owner)
    except (InvalidUsername, InvalidGroup) as error:
        return Problem(line, f"{called[:64]!r}: {error}")


def _collected(found: Iterable[Row | Problem]) -> Roster:
    rows: dict[str, Row] = {}
    problems: list[Problem] = []
    for one in found:
        if isinstance(one, Problem):
            problems.append(one)
        elif (before := rows.get(one.name)) is not None:
            problems.append(Problem(one.line, f"{one.name} is in line {before.line} already."))
        else:
            rows[one.name] = one
    return Roster(tuple(rows.values()), tuple(problems))
