"""The section `serving` of the page: how to serve the pushed version, and requests that it answers."""

from __future__ import annotations

from dataclasses import dataclass

from components.review.record import ProofReview, Review, ServedExample
from data.spec import VECTOR
from pipeline.report.page.metric_text import ERROR, PRECISION
from pipeline.report.page.serving_commands import (
    PORTS,
    Command,
    ServedModel,
    list_requests,
    list_servers,
    save_picture,
)
from pipeline.report.page.text import format_number
from pipeline.report.record import RunRecord
from serving.signatures import CLASSES, DEFAULT, EXAMPLES, IMAGES, OUTPUTS, SCORES, THRESHOLDS

_KINDS = {"jpg": "jpeg"}  # in the MIME type, by suffix; others are the suffix


@dataclass(frozen=True)
class ServingView:
    """What the template `serving.html.j2` shows.

    Attributes:
      facts: Name and value of what identifies the version.
      servers: Commands that start a server.
      requests: Requests to it.
      example: To ask about; None without one.
      file: Name of the picture in the requests; "" for numbers.
      link: Data URI of the picture; "" without one.
      save: Command that writes the picture; "" without one.
      expected: The answer to expect; "" if it is not known.
      signatures: Name, inputs and outputs of each signature.
    """

    facts: list[tuple[str, str]]
    servers: list[Command]
    requests: list[Command]
    example: ServedExample | None
    file: str
    link: str
    save: str
    expected: str
    signatures: list[list[str]]


def build_serving(record: RunRecord, review: Review) -> ServingView | None:
    """Return the view; None if the run has pushed no version.

    Args:
      record: Of the run.
      review: The pictures.
    """
    if not record.pushed:
        return None
    example = (review.proof or ProofReview()).example
    model = ServedModel(record.task, record.pushed.path, _takes_pictures(record), _answers(record), example)
    facts = [
        ("Model", record.task),
        ("Version", str(record.pushed.version)),
        ("Folder", record.pushed.path),
        ("Ports", f"{PORTS.port} gRPC, {PORTS.rest_port} REST"),
    ]
    has_file = example and example.content
    kind = _KINDS.get(example.suffix, example.suffix) if example else ""
    return ServingView(
        facts,
        list_servers(model),
        list_requests(model),
        example,
        model.file if model.takes_pictures else "",
        f"data:image/{kind};base64,{example.content}" if example and has_file else "",
        save_picture(model),
        _expected(example) if example else "",
        _signatures(model),
    )


def _takes_pictures(record: RunRecord) -> bool:
    return not record.skew or record.skew.feature != VECTOR


def _answers(record: RunRecord) -> str:
    metric = record.evaluation.metric if record.evaluation else ""
    if metric == ERROR:
        return "number"
    is_multi_label = bool(record.skew and record.skew.is_multi_label)
    return "labels" if is_multi_label or metric == PRECISION else "class"


def _expected(example: ServedExample) -> str:
    picture = example.picture
    score = "" if picture.score is None else f", score {format_number(picture.score)}"
    return f"{picture.answer}{score}" if picture.answer else ""


def _signatures(model: ServedModel) -> list[list[str]]:
    """Return what the signatures take and return."""
    scores = f"{CLASSES}: string [N, C], {SCORES}: float [N, C]"
    outputs = f"{OUTPUTS}: float [N]" if model.answers == "number" else scores
    limits = f", {THRESHOLDS}: float [N, C]" if model.answers == "labels" else ""
    files = f"{IMAGES}: string [N], encoded files of any size"
    inputs = files if model.takes_pictures else f"{VECTOR}: float [N, {_size(model.example)}]"
    return [
        [DEFAULT, inputs, outputs + limits],
        [EXAMPLES, "inputs: string [N], serialized tf.Examples", outputs],
    ]


def _size(example: ServedExample | None) -> str:
    return str(len(example.numbers)) if example and example.numbers else "size"
