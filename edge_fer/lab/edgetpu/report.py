"""The report of `edge-fer lab edgetpu-check`, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from edge_fer.lab.edgetpu.check import SRAM_BYTES, Verdict
from edge_fer.lab.edgetpu.latency_model import Errors, Prediction
from edge_fer.lab.edgetpu.rules import Finding

SCHEMA = "edge-fer/edgetpu-check/1"
_LISTED = 12


def as_text(name: str, verdict: Verdict, predictions: Sequence[Prediction]) -> str:
    """The verdict for people.

    Args:
        name: name of the model.
        verdict: the verdict of `check`.
        predictions: predicted times of its part on the Edge TPU; empty where there is no such part.
    """
    return "\n".join(
        (*_where(name, verdict), *_known_issues(verdict), *_memory(verdict), *_times(verdict, predictions))
    )


def as_record(name: str, verdict: Verdict, predictions: Sequence[Prediction]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "schema": SCHEMA,
        "model": name,
        "clean": verdict.on_cpu == 0,
        "operators": verdict.operators,
        "edgetpu": verdict.mapped,
        "cpu": verdict.on_cpu,
        "refused": bool(verdict.refused),
        "ends": [str(finding) for finding in verdict.ends],
        "findings": [asdict(finding) for finding in verdict.findings],
        "cost": {**asdict(verdict.cost), "sram_bytes": SRAM_BYTES},
        "predicted": [asdict(prediction) for prediction in predictions],
    }


def _where(name: str, verdict: Verdict) -> Iterator[str]:
    if verdict.refused:
        yield f"{name}: the compiler would refuse the file; all {verdict.operators} operators stay on the CPU"
        yield from _listed(verdict.refused)
    elif verdict.on_cpu == 0:
        yield f"{name}: clean, all {verdict.operators} operators on the Edge TPU"
    else:
        yield (
            f"{name}: {verdict.mapped} of {verdict.operators} operators on the Edge TPU, {verdict.on_cpu} on the CPU"
        )
    if verdict.ends:
        first = verdict.ends[0]
        yield f"  {first.operator} #{first.node} ends the Edge TPU's part, and all after it runs on the CPU:"
        yield from _listed(verdict.ends)


def _known_issues(verdict: Verdict) -> Iterator[str]:
    if verdict.known_issues:
        yield "  confirm in the compiler's log, since these are allowed and have failed for others:"
        yield from _listed(verdict.known_issues)


def _listed(findings: Sequence[Finding]) -> Iterator[str]:
    """Findings; equal ones about the same operator are put together."""
    together: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        together.setdefault((finding.operator, finding.problem), []).append(finding)
    for first, *others in list(together.values())[:_LISTED]:
        yield f"    {first}" + (f" (and {len(others)} more)" if others else "")
    if len(together) > _LISTED:
        yield f"    and {len(together) - _LISTED} more"


def _memory(verdict: Verdict) -> Iterator[str]:
    cost = verdict.cost
    if verdict.mapped == 0:
        return
    yield (
        f"  parameters {_mib(cost.parameter_bytes)}, of which the chip keeps {_mib(SRAM_BYTES)} at most: "
        f"{_mib(cost.streamed_bytes)} streamed at each inference"
    )
    yield f"  input and output {cost.image_bytes / 1024:.0f} KiB, {cost.macs / 1e9:.2f} GMAC an inference"


def _times(verdict: Verdict, predictions: Sequence[Prediction]) -> Iterator[str]:
    if not predictions:
        return
    yield "  predicted, not measured:" + (" (without the operators on the CPU)" if verdict.on_cpu else "")
    kind = "most" if verdict.cost.mostly_streamed else "less than half"
    for prediction in predictions:
        yield f"    {prediction.board}: {prediction.milliseconds:.1f} ms"
        if prediction.why is not None:
            yield f"      {prediction.why}; errors of the column it is like:"
        yield f"      each published model from the others: {_errors(prediction.errors)}"
        yield f"      those that stream {kind} of their parameters: {_errors(prediction.alike)}"


def _errors(errors: Errors) -> str:
    return f"{errors.models} models, median error {errors.median:.0%}, worst {errors.worst:.0%} ({errors.worst_model})"


def _mib(count: int) -> str:
    return f"{count / 2**20:.2f} MiB"
