"""The verdict on a model: what the routes answered, what the graph holds, the diagnosis, the cost of client skew.

Stored as `skew.json` in the SkewGate's blessing, and as the entry `skew` of `run.json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from serving.graph.checks import Finding
from serving.parity.client_skew import ClientSkewCost
from serving.parity.compare import Comparison

Stage = Literal["decode", "resize", "channel order", "scale", "label order", "thresholds", "model", "unknown"]

EMBEDDED = "the embedded one"
"""`SkewReport.server` of the embedded server."""

JSON_KEYS = {"synthetic": "made", "client_skew": "avoided"}  # keys of files that exist; other fields keep their names


@dataclass(frozen=True)
class Diagnosis:
    """The cause of a skew.

    Attributes:
      stage: First stage that differs from training.
      skew: The cause in one phrase: "nearest instead of bilinear".
      record: Index of the record that shows it best.
      detail: One more line: how much of the difference the cause explains; names of ops, weights or files.
      route: Route on which it was found; may be empty.
      why: Why that record is in the sample; may be empty.
      source: File that the record was made from; may be empty.
    """

    stage: Stage
    skew: str
    record: int
    detail: str
    route: str = ""
    why: str = ""
    source: str = ""


@dataclass
class SkewReport:
    """The verdict on a model.

    Attributes:
      records: Number of records sent down every route.
      server: The live server: path of its program, or a phrase for the embedded one.
      reference: Route with which the others were compared.
      tolerance: Largest difference of a score that counts as equal.
      feature: Feature of the records that `serving_default` takes; may be empty.
      synthetic: Number of records that were generated, not taken from the data.
      routes: One comparison for each route and batch size.
      structure: Findings in the served graph, the weights and the labels.
      diagnosis: Cause of the first difference; None if no route differs.
      client_skew: Cost of each client with its own preprocessing, measured after the push; empty for models on numbers.
      is_multi_label: Whether a record may have several labels.
      seconds: Duration of the check; 0 if not measured.
    """

    records: int
    server: str
    reference: str
    tolerance: float
    feature: str = ""
    synthetic: int = 0
    routes: list[Comparison] = field(default_factory=list)
    structure: list[Finding] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    client_skew: list[ClientSkewCost] = field(default_factory=list)
    seconds: float = 0.0
    is_multi_label: bool = False

    @property
    def passed(self) -> bool:
        """Whether every route agrees and the graph has no finding."""
        return not self.structure and not any(route.fault for route in self.routes)

    def to_json(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        fields = {JSON_KEYS.get(name, name): value for name, value in dataclasses.asdict(self).items()}
        return {**fields, "routes": [route.to_json() for route in self.routes], "passed": self.passed}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SkewReport:
        """Read what `to_json` returned; fields that are missing take their defaults."""
        diagnosis = data.get("diagnosis")
        return cls(
            records=int(data["records"]),
            server=str(data["server"]),
            reference=str(data["reference"]),
            tolerance=float(data["tolerance"]),
            feature=str(data.get("feature", "")),
            synthetic=int(data.get("made", 0)),
            routes=[Comparison.from_json(route) for route in data.get("routes", ())],
            structure=[Finding(**finding) for finding in data.get("structure", ())],
            diagnosis=Diagnosis(**diagnosis) if diagnosis else None,
            client_skew=[ClientSkewCost(**cost) for cost in data.get("avoided", ())],
            seconds=float(data.get("seconds", 0.0)),
            is_multi_label=bool(data.get("is_multi_label", False)),
        )
