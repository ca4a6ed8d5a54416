"""ReportGen in a compiled pipeline: its page is an artifact that the consoles of Vertex AI and Kubeflow show.

They show the file at the URI of an artifact of the type `system.HTML`. TFX has no such type, and its artifacts are
folders.

    python -m components.review.html_output --executor_class_path ... --json_serialized_invocation_args '{{$}}' ...
"""

from __future__ import annotations

import argparse
import posixpath

from absl import app
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor
from tfx.types.experimental import simple_artifacts
from tfx.utils import name_utils

from components.executor import Execution
from components.review.report_gen import PAGE, ReportGenExecutor

HTML_TYPE = {"schemaTitle": "system.HTML", "schemaVersion": "0.0.1"}  # as kfp writes it
OUTPUT = "html"  # of ReportGen


class HtmlReportGenExecutor(ReportGenExecutor):
    """ReportGen, whose output `html` is the page itself instead of its folder."""

    def execute(self, execution: Execution) -> None:
        """Write the review and the page."""
        super().execute(execution)
        html = execution.output(OUTPUT)
        html.uri = posixpath.join(html.uri, PAGE)


def main(arguments: tuple[argparse.Namespace, list[str]]) -> None:
    """Run the executor of a container.

    Args:
      arguments: Parsed by TFX's entry point.
    """
    # TFX imports a type of artifact that it does not know by its title.
    compiler_utils.TITLE_TO_CLASS_PATH[HTML_TYPE["schemaTitle"]] = name_utils.get_full_name(simple_artifacts.File)
    kubeflow_v2_run_executor.main(arguments)


if __name__ == "__main__":
    app.run(main, flags_parser=kubeflow_v2_run_executor._parse_flags)
