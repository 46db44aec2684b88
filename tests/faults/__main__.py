"""``make faults``: every case in its full form, five times, and docs/explanation/reliability.md from the worst of each.

``ARGS="--runs 1 --case R12"`` runs less, and then prints the table instead of writing the page.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.faults.cases import CASES, ELSEWHERE
from tests.faults.harness.scoreboard import RESULTS_VARIABLE, Finding, worst

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "explanation" / "reliability.md"
BEGIN, END = "<!-- begin of what `make faults` writes -->", "<!-- end of what `make faults` writes -->"


def run(case: str, results: Path) -> bool:
    """Run a case once in its full form; gives whether it passed."""
    passed = True
    if file := CASES[case][1]:
        passed = run_here(case, file, results)
    if case in ELSEWHERE:
        passed &= run_elsewhere(case, results)
    return passed


def run_elsewhere(case: str, results: Path) -> bool:
    """Run the tests of the suite that belong to a case, and record whether they passed."""
    criterion, path = ELSEWHERE[case]
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", path, "-p", "no:cacheprovider"]
    passed = subprocess.run(command, env={**os.environ, "FAULTS": "full", "CI": "true"}).returncode == 0
    said = f"{path} passes" if passed else f"{path} fails"
    with results.open("a") as out:
        out.write(json.dumps(asdict(Finding(case, criterion, passed, said, 0.0 if passed else 1.0))) + "\n")
    return passed


def run_here(case: str, file: str, results: Path) -> bool:
    """Run a case's module."""
    prefix = "test_" if case == "rolling" else f"test_{case.lower()}_"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        str(HERE / file),
        "-k",
        prefix,
        "-p",
        "no:cacheprovider",
    ]
    environment = {**os.environ, "FAULTS": "full", "CI": "true", RESULTS_VARIABLE: str(results)}
    return subprocess.run(command, env=environment).returncode == 0


def findings_in(results: Path) -> list[Finding]:
    """What the runs recorded."""
    if not results.exists():
        return []
    return [Finding(**json.loads(line)) for line in results.read_text().splitlines()]


def rows(found: list[Finding]) -> list[str]:
    """The table: a line for each criterion, with the worst of all runs."""
    lines = ["| case | criterion | worst result | met |", "|---|---|---|---|"]
    for case, (what, _file) in CASES.items():
        criteria: dict[str, list[Finding]] = {}
        for finding in found:
            if finding.case == case:
                criteria.setdefault(finding.criterion, []).append(finding)
        if not criteria:
            lines.append(f"| **{case}** {what} | | not run | |")
        for number, (criterion, findings) in enumerate(criteria.items()):
            bad = worst(findings)
            name = f"**{case}** {what}" if number == 0 else ""
            result = bad.result.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {name} | {criterion} | {result} | {'yes' if bad.met else '**no**'} |")
    return lines


def text(found: list[Finding], runs: int) -> str:
    """The part of the page that the runs write."""
    missed = [finding for finding in found if not finding.met]
    today = datetime.datetime.now(datetime.UTC).date()
    machine = f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
    verdict = (
        "Nothing was run yet."
        if not found
        else "Every criterion was met in every run."
        if not missed
        else f"{len({(f.case, f.criterion) for f in missed})} criteria were missed at least once."
    )
    again = ["| case | run it again |", "|---|---|"]
    again += [f'| {case} | `make faults ARGS="--case {case} --runs 1"` ({where(case)}) |' for case in CASES]
    said = f"{runs} runs of every case, {today}; {machine}. Of each criterion the worst run is shown. {verdict}"
    return "\n".join([BEGIN, "", said, "", *rows(found), "", "## Run it again", "", *again, "", END])


def where(case: str) -> str:
    """The files of a case."""
    files = [f"tests/faults/{CASES[case][1]}"] if CASES[case][1] else []
    files += [ELSEWHERE[case][1]] if case in ELSEWHERE else []
    return ", ".join(f"`{file}`" for file in files)


def write(new: str) -> None:
    """Replace that part of the page."""
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + new + after)


def main() -> None:
    """Run, print or write, and end with 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="make faults")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--case", action="append", choices=list(CASES), help="only this one; may be given again")
    parser.add_argument("--results", type=Path, help="keep what is measured in this file, and add to what is there")
    parser.add_argument("--write", action="store_true", help="write the page after a part of the cases, too")
    options = parser.parse_args()
    results = options.results or Path(tempfile.mkdtemp(prefix="kh-faults-")) / "results.jsonl"
    passed = True
    for number in range(options.runs):
        for case in options.case or CASES:
            print(f"\n=== {case}, run {number + 1} of {options.runs}", flush=True)
            passed &= run(case, results)
    new = text(findings_in(results), options.runs)
    if options.write or (not options.case and options.runs >= 1):
        write(new)
        print(f"\nwritten: {PAGE.relative_to(PAGE.parent.parent.parent)}")
    else:
        print(f"\n{new}")
    raise SystemExit(0 if passed else 1)


if __name__ == "__main__":
    main()
