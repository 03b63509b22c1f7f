"""Recordings of other jobs in the folder, and what tells their tables from those of a job."""

from __future__ import annotations

from collections.abc import Container

from edge_fer.archive.job import Job
from edge_fer.archive.layout import Layout
from edge_fer.archive.record import RecordingRecord, read_record

_TOLD = frozenset({"version", "model", "sampling", "segment"})
"""Facts that a person can read as they are; of the others only the names are told."""

ADVICE = (
    "rows of other settings should not be counted together with these: read all recordings by one command, or give "
    "each job its own --out"
)


def find_others(layout: Layout, job: Job, own: Container[str]) -> dict[str, str]:
    """Recordings that have tables in the folder which are not of this job.

    Args:
        layout: the folder.
        job: the job.
        own: names of the recordings that are its own.

    Returns:
        By name, in what their tables differ; empty where an equal job has made them.
    """
    names = sorted(name for name in layout.recordings() if name not in own)
    return {name: _difference(layout, job, name) for name in names}


def _difference(layout: Layout, job: Job, name: str) -> str:
    record = read_record(layout.record(name))
    if record is None:
        return "its record cannot be read"
    told = [_fact(record, key) for key, value in job.facts.items() if record.facts.get(key) != value]
    if not all(path.exists() for path in layout.tables(name).values()):
        told.append(f"no tables in {job.form}")
    return ", ".join(told)


def _fact(record: RecordingRecord, key: str) -> str:
    return f"{key}: {record.facts.get(key, 'unknown')}" if key in _TOLD else key
