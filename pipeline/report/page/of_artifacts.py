"""The page that ReportGen itself draws, where no runner of ours knows the whole run: on Vertex AI and Kubeflow."""

from __future__ import annotations

from components.executor import Artifacts
from components.review.record import Review
from components.task.task import Task
from pipeline.report.collect import collect_record
from pipeline.report.page.render import write_page


def draw_page(task: Task, inputs: Artifacts, review: Review, path: str) -> None:
    """Draw the page from ReportGen's inputs; it has no times of components, which only the platform knows.

    Args:
      task: The task.
      inputs: The artifacts by input key of ReportGen.
      review: The pictures of the page.
      path: Where to write, local or remote.
    """
    write_page(collect_record(task, inputs, review), review, path)
