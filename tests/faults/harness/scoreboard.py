"""What a case must reach, and what it did: every number is kept, also of a run that fails.

With ``FAULTS_RESULTS=<file>`` each case appends what it measured there, a line of JSON per criterion; ``make faults``
makes docs/explanation/reliability.md of them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.harness.sizes import sized

RESULTS_VARIABLE = "FAULTS_RESULTS"
PATIENCE = 10
"""The limits of `make faults`, which runs alone, times this much hold beside other tests."""


@dataclass(frozen=True)
class Finding:
    """One criterion of one run. `badness` orders findings: the worst of several runs has the largest."""

    case: str
    criterion: str
    met: bool
    result: str
    badness: float = 0.0


@dataclass
class Case:
    """A run of a case. Used as a context: leaving it fails when a criterion was not met."""

    name: str
    findings: list[Finding] = field(default_factory=list)

    def __enter__(self) -> Case:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is not None:
            self.holds("it ran to its end", False, f"{type(error).__name__}: {str(error)[:300]}")
        self._write()
        missed = [f"{finding.criterion}: {finding.result}" for finding in self.findings if not finding.met]
        if missed and error is None:
            raise AssertionError(f"{self.name}: " + "; ".join(missed))

    def holds(self, criterion: str, met: bool, result: str) -> None:
        """Record whether something is so; `result` says what was seen."""
        self.findings.append(Finding(self.name, criterion, bool(met), result, 0.0 if met else 1.0))

    def at_most(self, criterion: str, value: float, limit: float, unit: str) -> None:
        """Record a number that must not be larger than `limit`; the short form, on a busy machine, is patient."""
        text = f"{value:.0f}" if value == int(value) else f"{value:.2f}"
        self.findings.append(
            Finding(self.name, criterion, value <= limit * sized(PATIENCE, 1), f"{text} {unit}", value)
        )

    def _write(self) -> None:
        if file := os.environ.get(RESULTS_VARIABLE):
            with Path(file).open("a") as out:
                out.writelines(json.dumps(asdict(finding)) + "\n" for finding in self.findings)


def worst(findings: list[Finding]) -> Finding:
    """Of the same criterion in several runs: the one that was missed, else the one with the largest number."""
    return max(findings, key=lambda finding: (not finding.met, finding.badness))
