"""Settings of what watches the run and its machine: the sections `monitor` and `health`."""

from __future__ import annotations

from pydantic import Field

from edge_fer.settings.section import Section


class MonitorSettings(Section):
    """Measuring rate and latency."""

    window_s: float = Field(
        5.0, gt=0, le=600, description="frame rate and percentiles are those of the last so many seconds"
    )


class HealthSettings(Section):
    """Watching temperature and supply, and reading fewer labels while the machine is too hot."""

    enabled: bool = Field(
        True, description="read one label in two, then one in four, while the machine is hot; false: always all"
    )
    every_ms: float = Field(
        2000.0, ge=100, le=600_000, description="time between two readings of the sensors, milliseconds"
    )
    margin_c: float = Field(
        5.0, ge=0, le=50, description="the machine has cooled once it is this far below its trip point, degrees Celsius"
    )
    cool_s: float = Field(
        10.0, ge=0, le=3600, description="once cooled for this long, twice as many labels are read again, seconds"
    )
