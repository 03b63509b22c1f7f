"""Benchmark records made to order."""

from __future__ import annotations

from edge_fer.bench.records import (
    Comparison,
    Crowd,
    Growth,
    Live,
    Percentiles,
    Prediction,
    Report,
    Resources,
    Result,
    Simulation,
    WarmUp,
)
from edge_fer.common.machine import PROFILES
from edge_fer.schema import StageTime

STAGES = {"follow": StageTime(300, 0.9, 1.4, 2.0), "classify": StageTime(300, 14.0, 16.0, 20.0)}
LIVE = Live(
    source="synthetic:1",
    seconds=10.0,
    readings=300,
    fps=30.0,
    captured_fps=30.0,
    longest_gap_ms=34.0,
    dropped=0,
    faces=1.0,
    labels_per_s=30.0,
    latency_ms=Percentiles(18.0, 22.0, 30.0),
    jitter_ms=4.0,
    label_age_ms=Percentiles(18.0, 22.0, 30.0),
    find_ms=2.5,
    stages=STAGES,
    warm_up=WarmUp(60, 2.1, 60.0),
    resources=Resources(60.0, 220.0, 0.0, {"0:cpu": 48.0}),
)
COMPARISON = Comparison(
    60, (600, 600), 5, 5, (Result("edge-fer", 40, 60, 15.8, 25.8, 30.0, 59.1, (57.4, 59.1), 1.0, (1.0, 1.0)),), STAGES
)
CROWDS = tuple(Crowd(faces, faces, 5 + 15 * faces, (4 + 15 * faces, 7 + 15 * faces), LIVE) for faces in (1, 4, 16))
GROWTH = Growth(15.0, 5.0, 0.0, 14.0, 1.0)
MEASURED = Report(
    "A Board, 4 cores",
    {"processor": "A Board"},
    "synthetic:1",
    ("mtcnn_pnet",),
    live=LIVE,
    comparison=COMPARISON,
    crowds=CROWDS,
    growth=GROWTH,
)
PREDICTED = Report(
    "A Board, 4 cores",
    {"processor": "A Board"},
    "synthetic:1",
    ("mtcnn_pnet",),
    simulation=Simulation(PROFILES["pi4"], (Prediction(LIVE, "camera", 30.0, 30.0, 1.0, 12.5, 400.0),)),
)
