"""The arguments of Beam's runners: how each finds its workers, and how the workers get Skewless."""

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
    """A runner of Beam and its arguments.

    Attributes:
      arguments: Arguments that are always given; `{root}` stands for the folder of everything that runs write.
      container: Arguments that run the workers in the container `{image}`.
      needs: What a user must add: names of which one is enough, and an example.
      has_job_server: Whether the runner starts a job server, in Java, unless it gets a `job_endpoint`.
      bucket: Scheme of the only paths that the workers can reach; empty if they can reach others, such as a shared
        disk.
    """

    arguments: tuple[str, ...]
    container: tuple[str, ...] = ()
    needs: tuple[tuple[tuple[str, ...], str], ...] = ()
    has_job_server: bool = False
    bucket: str = ""


# Beam's default, dill, clears the caches of all loggers on every dump.
_PICKLE = "--pickle_library=cloudpickle"
# For workers that have all packages. Without it, TFX packs itself into a source distribution for every component: one
# second and 49 MB in the temporary folder each time.
NO_CONTAINER = "--sdk_container_image=none"
# Portable runners take the image from the environment's configuration; `sdk_container_image` keeps TFX from packing
# itself.
_DOCKER = ("--environment_type=DOCKER", "--environment_config={image}", "--sdk_container_image={image}")

# Beam's local runner by its full name: `DirectRunner` first tries Prism, which it downloads.
LOCAL = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"

RUNNERS: Mapping[Name, Runner] = {
    # All options are given, because Beam's defaults differ between versions. More workers in one process share its
    # interpreter, and several processes were slower in every component.
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
            "--experiments=use_runner_v2",  # it allows custom containers
            "--autoscaling_algorithm=THROUGHPUT_BASED",
            "--max_num_workers=10",  # Dataflow's default allows thousands
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
    """Return the arguments of a runner, with the user's at the end, where they take precedence.

    Args:
      name: Name of the runner.
      given: The user's arguments: `--NAME=VALUE`, or `--NAME` and `VALUE`.
      folders: Folders that the workers must reach, by the option that gives them, with `--root` or `--pipeline-root`
        first. None: not known yet.
      image: Container of the workers, unless `given` names another.

    Raises:
      UsageError: If a required argument is missing, or the workers cannot reach a folder.
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
                f"the workers of Beam's {name} runner cannot reach {option} {folder}",
                hint=f"Give a bucket: {option} {runner.bucket}BUCKET/FOLDER",
            )
    if runner.has_job_server and not options.keys() & _WITHOUT_JAVA and shutil.which("java") is None:
        raise UsageError(
            f"Beam's {name} runner starts its job server with java, which is not installed",
            hint="Install Java 11, or start a job server elsewhere: --beam-arg --job_endpoint=HOST:PORT",
        )
    root = str(next(iter(folders.values()), "")).rstrip("/")
    found = [*runner.arguments, *_workers(name, options, image)]
    return [*(one.replace("{root}", root) for one in found), *given]


def _workers(name: Name, options: Mapping[str, str], image: str | None) -> list[str]:
    """Return the arguments with which the workers get Skewless.

    Raises:
      UsageError: If there is no image and nothing to install.
    """
    runner = RUNNERS[name]
    if name == "direct":
        return []
    if options.get("environment_type", "DOCKER").upper() != "DOCKER":  # a pool or processes that already have it
        return [NO_CONTAINER]
    image = options.get("sdk_container_image") or options.get("environment_config") or image
    if image:
        return [one.replace("{image}", image) for one in runner.container]
    if options.keys() & _PACKAGES:
        return []
    raise UsageError(
        f"the workers of Beam's {name} runner have no Skewless",
        hint="Give the image built from the Dockerfile: --beam-arg --sdk_container_image=IMAGE; or packages to install:"
        " --beam-arg --requirements_file=FILE --beam-arg --extra_package=WHEEL"
        + ("" if name == "dataflow" else "; or a worker pool that has it: --beam-arg --environment_type=EXTERNAL"),
    )


def check_endpoint(given: Sequence[str]) -> None:
    """Check that something listens at the job endpoint, if one is given: Beam itself waits a minute for it.

    Args:
      given: The user's arguments.

    Raises:
      UsageError: If nothing listens there.
    """
    endpoint = parse_arguments(given).get("job_endpoint", "")
    host, _, port = endpoint.rpartition(":")
    if not endpoint or endpoint == "embed":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _WAIT_S):
            pass
    except (OSError, ValueError) as error:
        reason = "not HOST:PORT" if isinstance(error, ValueError) else error.strerror or error
        raise UsageError(
            f"no Beam job service at {endpoint}: {reason}",
            hint="Start one, for example python -m apache_beam.runners.portability.local_job_service_main --port 8099",
        ) from None


def parse_arguments(given: Sequence[str]) -> dict[str, str]:
    """Return the values of Beam's arguments by name; "true" for an argument without a value."""
    found: dict[str, str] = {}
    name = ""
    for one in given:
        if one.startswith("--"):
            name, separator, value = one[2:].partition("=")
            found[name] = value if separator else "true"
        elif name:
            found[name] = one
    return found
