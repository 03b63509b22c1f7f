"""Findings as text for people, and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from edge_fer.doctor import exit_code
from edge_fer.doctor.finding import LEVELS, Finding


def to_text(findings: Sequence[Finding]) -> str:
    """One line for each finding, below it what to type where something needs repair; then a count."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.level:4}  {finding.subject:11}  {finding.found}")
        if finding.mend is not None:
            lines.append(f"{'':4}  {'':11}  -> {finding.mend}")
    counts = ", ".join(f"{sum(finding.level == level for finding in findings)} {level}" for level in LEVELS)
    return "\n".join([*lines, counts])


def to_json(findings: Sequence[Finding]) -> str:
    """The record `edge-fer/doctor/1`; later versions only add fields."""
    record = {
        "schema": "edge-fer/doctor/1",
        "worst": LEVELS[exit_code(findings)],
        "findings": [{"subject": finding.subject, **asdict(finding)} for finding in findings],
    }
    return json.dumps(record, indent=2, ensure_ascii=False)
