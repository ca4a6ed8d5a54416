"""The whole pipeline on Beam's PortableRunner: a job service, and workers that have Skewless installed as a wheel."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.engines import free_port
from tests.dockerfile import Image

pytestmark = pytest.mark.slow

# Python runs this module by its name at its start. Beam's local job service asks the pool for one worker, whatever
# --direct_num_workers says (2.59): here it asks for two. Workers count the elements of each collection anyhow: here
# each writes down how many it made, and where it found the project.
_AT_START = """
import sys
arguments = " ".join(sys.orig_argv)
if "local_job_service_main" in arguments:
    from apache_beam.runners.portability.fn_api_runner import fn_runner
    stock_init = fn_runner.FnApiRunner.__init__

    def init(self, *arguments, **named):
        stock_init(self, *arguments, **named)
        self._num_workers = 2

    fn_runner.FnApiRunner.__init__ = init
if "SdkHarness" in arguments:
    import json, os
    from apache_beam.metrics import monitoring_infos
    from apache_beam.runners.worker import bundle_processor
    stock = bundle_processor.BundleProcessor.process_bundle

    def process_bundle(self, *arguments, **named):
        result = stock(self, *arguments, **named)
        transforms = self.process_bundle_descriptor.transforms.values()
        made_by = {collection: one.unique_name for one in transforms for collection in one.outputs.values()}
        counts = {}
        for info in self.monitoring_infos():
            if info.urn == "beam:metric:element_count:v1":
                name = made_by[info.labels["PCOLLECTION"]]
                counts[name] = counts.get(name, 0) + monitoring_infos.extract_counter_value(info)
        project = getattr(sys.modules.get("components"), "__file__", None)
        with open(f"{os.path.dirname(__file__)}/{os.getpid()}.jsonl", "a") as file:
            file.write(json.dumps([project, counts]) + "\\n")
        return result

    bundle_processor.BundleProcessor.process_bundle = process_bundle
"""


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which workers write what they processed."""
    folder = tmp_path_factory.mktemp("counts")
    (folder / "sitecustomize.py").write_text(_AT_START)
    return folder


@pytest.fixture(scope="module")
def services(image: Image, counts: Path) -> Iterator[tuple[str, str]]:
    """Start a job service and a worker pool, both from Beam's wheel; yield their addresses."""
    ports = [free_port(), free_port()]
    modules = [
        ("apache_beam.runners.portability.local_job_service_main", "--port"),
        ("apache_beam.runners.worker.worker_pool_main", "--service_port"),
    ]
    environment = {**image.environment, "PYTHONPATH": str(counts)}
    with (counts / "log").open("w") as log:
        processes = [
            subprocess.Popen(
                ["python", "-m", module, f"{flag}={port}"], cwd=image.work, env=environment, stdout=log, stderr=log
            )
            for (module, flag), port in zip(modules, ports, strict=True)
        ]
        try:
            for port in ports:
                _wait(port)
            yield f"localhost:{ports[0]}", f"localhost:{ports[1]}"
        finally:
            for process in reversed(processes):  # the pool first: it ends its workers
                process.terminate()
                process.wait(30)


def _wait(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port)):
            return
        time.sleep(0.1)
    raise TimeoutError(f"nobody listens on port {port}")


def _shares(counts: Path, *words: str) -> list[int]:
    """Return the number of elements of each worker in the step whose name has all the words."""
    found = []
    for file in sorted(counts.glob("*.jsonl")):
        made = [json.loads(line)[1] for line in file.read_text().splitlines()]
        found.append(sum(n for bundle in made for name, n in bundle.items() if all(word in name for word in words)))
    return [share for share in found if share]


def test_a_run_on_a_job_service_whose_two_workers_share_the_work(
    image: Image, services: tuple[str, str], counts: Path, tmp_path: Path
) -> None:
    """Transform is not among them: without an analysis, TFX builds its graph without Beam."""
    job, pool = services
    arguments = [f"--job_endpoint={job}", "--environment_type=EXTERNAL", f"--environment_config={pool}"]
    settings = ["--set", "train.epochs=1", "--set", "evaluate.min_accuracy=0.2"]
    beam = ["--beam-runner", "portable", *(f"--beam-arg={one}" for one in arguments)]
    done = image.run("skewless", "run", "digits", "--root", str(tmp_path), *settings, *beam)
    assert done.returncode == 0, done.stdout + done.stderr + (counts / "log").read_text()[-2000:]
    record = json.loads((tmp_path / "digits" / "run.json").read_text())
    assert record["status"] == "pushed" and record["skew"]["passed"]
    assert record["data"]["examples"] == {"train": 1417, "eval": 380}
    assert record["evaluation"]["slices"]["overall"]["example_count"] == 380

    written = _shares(counts, "WriteShard")
    assert len(written) == 2 and sum(written) == 8
    reading = "SDFBoundedSourceDoFn)/Process"
    for split, records in record["data"]["examples"].items():
        read = _shares(counts, f"TFXIORead[{split}]", reading)
        assert len(read) == 2 and sum(read) == records
        assert len(_shares(counts, f"GenerateStatistics[{split}]", "ToTopKTuples")) == 2
    read = _shares(counts, "ReadFromTFRecordToArrow", reading)
    assert len(read) == 2 and sum(read) == 380
    assert len(_shares(counts, "ExtractPredictions/Inference")) == 2

    found = {json.loads(line)[0] for file in counts.glob("*.jsonl") for line in file.read_text().splitlines()}
    assert found > {None} and all(Path(one).is_relative_to(image.root) for one in found - {None})
