"""Beam's runners: what each is told so that it finds its workers, and they find Skewless."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from data.errors import UsageError

Name = Literal["direct", "portable", "flink", "spark", "dataflow"]


@dataclass(frozen=True)
class Runner:
    """A runner's arguments.

    Attributes:
      arguments: always; `{root}` is the folder of everything that runs write.
      container: those that put the workers into the container `{image}`.
      needs: what a user must add: the names, one of which will do, and an example.
      has_job_server: it starts one itself, in Java, unless it is given a `job_endpoint`.
      bucket: scheme of the only paths that its workers can reach; empty: wherever they can, a shared disk too.
    """

    arguments: tuple[str, ...]
    container: tuple[str, ...] = ()
    needs: tuple[tuple[tuple[str, ...], str], ...] = ()
    has_job_server: bool = False
    bucket: str = ""


# Beam's default, dill, clears every logger's cache on every dump.
_PICKLE = "--pickle_library=cloudpickle"
# Workers that have all they need get no copy of TFX: without this, TFX packs itself into a source distribution for
# every component, a second and 49 MB in the temporary folder each time.
NO_CONTAINER = "--sdk_container_image=none"
# Portable runners read the image from the environment; that it is named here, too, keeps TFX from packing itself.
_DOCKER = ("--environment_type=DOCKER", "--environment_config={image}", "--sdk_container_image={image}")

# Beam's local runner by its own name: `DirectRunner` first tries Prism, a program that it fetches from the internet.
LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

RUNNERS: Mapping[Name, Runner] = {
    # All is passed always: Beam's own default has changed between versions. More workers in one process only share
    # its interpreter, and several processes were slower at every step.
    "direct": Runner(
        (f"--runner={LOCAL}", "--direct_running_mode=in_memory", "--direct_num_workers=1", NO_CONTAINER, _PICKLE)
    ),
    "portable": Runner(
        ("--runner=PortableRunner", _PICKLE), _DOCKER, ((("job_endpoint",), "--job_endpoint=localhost:8099"),)
    ),
    "flink": Runner(
        ("--runner=FlinkRunner", _PICKLE),
        _DOCKER,
        ((("flink_master", "job_endpoint"), "--flink_master=http://flink-jobmanager:8081"),),
        has_job_server=True,
    ),
    "spark": Runner(
        ("--runner=SparkRunner", _PICKLE),
        _DOCKER,
        ((("spark_master_url", "spark_rest_url", "job_endpoint"), "--spark_master_url=spark://spark-master:7077"),),
        has_job_server=True,
    ),
    "dataflow": Runner(
        (
            "--runner=DataflowRunner",
            _PICKLE,
            "--temp_location={root}/beam/temp",
            "--staging_location={root}/beam/staging",
            "--experiments=use_runner_v2",  # the one that takes a container of one's own
            "--autoscaling_algorithm=THROUGHPUT_BASED",
            "--max_num_workers=10",  # Dataflow's own limit is in the thousands
        ),
        ("--sdk_container_image={image}",),
        ((("project",), "--project=my-project"), (("region",), "--region=europe-west4")),
        bucket="gs://",
    ),
}
NAMES = tuple(RUNNERS)
DIRECT = RUNNERS["direct"].arguments
_PACKAGES = {"extra_package", "extra_packages", "setup_file", "requirements_file"}
_WITHOUT_JAVA = {"job_endpoint", "flink_submit_uber_jar", "spark_submit_uber_jar"}
_WAIT_S = 3.0


def runner_arguments(
    name: Name, given: Sequence[str], folders: Mapping[str, str | None], image: str | None = None
) -> list[str]:
    """The arguments of a runner, those that the user gave at the end, where they win.

    Args:
      name: of the runner.
      given: the user's own arguments, `--NAME=VALUE`, or `--NAME` and VALUE.
      folders: those that the workers must reach, by the option that names them; `--root` or `--pipeline-root` is
        first. None: not known yet.
      image: container of the workers, unless `given` names another.

    Raises:
      UsageError: something is missing that the runner cannot do without.
    """
    runner, options = RUNNERS[name], parse_arguments(given)
    for names, example in runner.needs:
        if not any(options.get(one) for one in names):
            raise UsageError(
                f"Beam's {name} runner needs --{' or --'.join(names)}", hint=f"For example --beam-arg {example}"
            )
    for option, folder in folders.items():
        if folder is not None and not folder.startswith(runner.bucket):
            raise UsageError(
                f"{option} {folder} is out of reach for the workers of Beam's {name} runner",
                hint=f"Give a bucket: {option} {runner.bucket}BUCKET/FOLDER",
            )
    if runner.has_job_server and not options.keys() & _WITHOUT_JAVA and shutil.which("java") is None:
        raise UsageError(
            f"Beam's {name} runner starts its job server with java, which is not there",
            hint="Install Java 11, or start a job server elsewhere and give it: --beam-arg --job_endpoint=HOST:PORT",
        )
    root = str(next(iter(folders.values()), "")).rstrip("/")
    found = [*runner.arguments, *_workers(name, options, image)]
    return [*(one.replace("{root}", root) for one in found), *given]


def _workers(name: Name, options: Mapping[str, str], image: str | None) -> list[str]:
    """How the workers come to have Skewless."""
    runner = RUNNERS[name]
    if name == "direct":
        return []
    if options.get("environment_type", "DOCKER").upper() != "DOCKER":  # a pool, or processes, that have it
        return [NO_CONTAINER]
    image = options.get("sdk_container_image") or options.get("environment_config") or image
    if image:
        return [one.replace("{image}", image) for one in runner.container]
    if options.keys() & _PACKAGES:
        return []
    raise UsageError(
        f"the workers of Beam's {name} runner would not have Skewless",
        hint="Give the image built from the Dockerfile, --beam-arg --sdk_container_image=IMAGE, or what to"
        " install, --beam-arg --requirements_file=FILE --beam-arg --extra_package=WHEEL"
        + ("" if name == "dataflow" else ", or a pool that has it: --beam-arg --environment_type=EXTERNAL"),
    )


def check_endpoint(given: Sequence[str]) -> None:
    """Sees that somebody listens at the job endpoint, for which Beam would wait a minute.

    Raises:
      UsageError: nobody does.
    """
    endpoint = parse_arguments(given).get("job_endpoint", "")
    host, _, port = endpoint.rpartition(":")
    if not endpoint or endpoint == "embed":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _WAIT_S):
            pass
    except (OSError, ValueError) as error:
        told = getattr(error, "strerror", None) or ("not HOST:PORT" if isinstance(error, ValueError) else error)
        raise UsageError(
            f"no Beam job service at {endpoint}: {told}",
            hint="Start one, for example python -m apache_beam.runners.portability.local_job_service_main --port 8099",
        ) from None


def parse_arguments(given: Sequence[str]) -> dict[str, str]:
    """Values by name; "true" where there is none."""
    found: dict[str, str] = {}
    name = ""
    for one in given:
        if one.startswith("--"):
            name, separator, value = one[2:].partition("=")
            found[name] = value if separator else "true"
        elif name:
            found[name] = one
    return found
