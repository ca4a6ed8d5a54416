"""The command line. Each verb imports only what it needs: `skewless --help` loads no TensorFlow."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any, NoReturn

import click
from rich.console import Console
from rich.markup import escape

from data.errors import SkewlessError, UsageError
from data.silence import silent_imports
from pipeline.paths import DEFAULT_ROOT, Paths, absolute_path, check_path, check_pattern
from pipeline.runners import beam
from serving import engines

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")
os.environ.setdefault("GLOG_minloglevel", "3")  # ML Metadata's


def _root(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The folder made absolute, if it can be a root."""
    check_path("--root", value)
    check_pattern("--root", value)
    return absolute_path(value)


root_option = click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, callback=_root, help="Folder of everything that runs write."
)

metadata_option = click.option(
    "--metadata",
    envvar="SKEWLESS_METADATA",
    metavar="URL|FILE",
    help="Where ML Metadata lies: mysql://USER@HOST/DATABASE, the password in $SKEWLESS_MYSQL_PASSWORD; or a file.",
)


class Seconds(click.FloatRange):
    """A time; a NaN passes click's own limits."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """See the base class."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is no time.", param, ctx)
        return found


beam_option = click.option(
    "--beam-runner",
    type=click.Choice(beam.NAMES),
    default="direct",
    show_default=True,
    help="Where Beam's steps run; all but direct need some --beam-arg.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="skewless")
def cli() -> None:
    """TFX image pipelines whose training and serving cannot drift apart."""


@cli.command()
@click.argument("task", default="")
@click.option("--data", help="Folder of the data; a task such as `digits` brings its own.")
@root_option
@click.option("--compiled", type=click.Path(), metavar="FILE", help="Run what `skewless compile` wrote; to debug it.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting, e.g. train.epochs=1.")
@beam_option
@click.option("--beam-arg", "beam_args", multiple=True, metavar="ARG", help="An argument for Beam's runner.")
@metadata_option
def run(
    task: str,
    data: str | None,
    root: str,
    compiled: str | None,
    assignments: tuple[str, ...],
    beam_runner: beam.Name,
    beam_args: tuple[str, ...],
    metadata: str | None,
) -> None:
    """Train, evaluate and push TASK: a built-in one, or your own as `module:NAME`.

    With --compiled, every container's command runs as a process of its own, and --set sets the file's run parameters;
    --root stands in for its bucket. TASK may be left out then.

    Exit status: 0 pushed or unchanged, 2 usage, 3 the data are not fit, 4 the model is not good enough, 1 other.
    """
    from pipeline.commands.run import RunOptions, run_task

    request = RunOptions(task, data, root, assignments, beam_runner, beam_args, metadata)
    if compiled:
        from pipeline.commands.simulate import run_compiled

        return run_compiled(request, compiled)
    if not task:
        raise click.UsageError("Missing argument 'TASK'.")
    return run_task(request)


@cli.command(name="compile")
@click.argument("task")
@click.option("--target", default="", metavar="vertex|kubeflow", help="Where it shall run.")
@click.option("--image", default="", help="Image of every container; has Skewless and the task installed.")
@click.option("--pipeline-root", default="", metavar="URI", help="Folder in a bucket, of everything that runs write.")
@click.option("--data", metavar="URI", help="Folder of the data; else it is to be given at submission.")
@click.option("--baseline", metavar="URI", help="Kubeflow: model not to be worse than; Vertex AI finds it itself.")
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="TASK.json or TASK.yaml by default.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting, e.g. train.epochs=1.")
@click.option("--parameter", "parameters", multiple=True, metavar="KEY", help="A setting open at submission.")
@click.option("--resource", "resources", multiple=True, metavar="NAME.KEY=VALUE", help="cpu, memory, gpu, machine.")
@beam_option
@click.option("--beam-arg", "beam_args", multiple=True, metavar="[COMPONENT:]ARG", help="An argument for Beam.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of the job on Vertex AI.")
@click.option("--cache/--no-cache", default=True, show_default=True, help="Take what did not change from earlier runs.")
def compile_(**options: Any) -> None:
    """Compile TASK to a file that Vertex AI or Kubeflow Pipelines 2 runs, without credentials or network.

    TASK must be importable in the image: a built-in one, or `module:NAME` of an installed package.
    """
    from pipeline.commands.compile import RunOptions, compile_task

    compile_task(RunOptions(**options))


@cli.command()
@click.argument("file", type=click.Path())
@click.option("--target", default="", metavar="vertex|kubeflow", help="The file says it, too.")
@click.option("--pipeline-root", default="", metavar="URI", help="Instead of the file's.")
@click.option("--data", metavar="URI", help="Folder of the data, instead of the file's.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A run parameter, e.g. train.epochs=1.")
@click.option("--cache/--no-cache", default=True, show_default=True, help="--no-cache: every component runs.")
@click.option("--name", default="", help="Of the run or schedule; by default the task's with the time.")
@click.option("--schedule", default="", metavar="CRON", help="Run again and again: '0 3 * * mon-fri'.")
@click.option("--service-account", default="", metavar="NAME", help="That runs act as.")
@click.option("--project", default="", help="Vertex AI: the credentials' own by default.")
@click.option("--region", default="", help="Vertex AI: where to run; required.")
@click.option("--network", default="", metavar="NAME", help="Vertex AI: projects/N/global/networks/NAME.")
@click.option("--api-endpoint", default="", metavar="HOST", help="Vertex AI: instead of the region's own.")
@click.option("--check/--no-check", default=True, help="Vertex AI: look into the buckets first.")
@click.option("--host", default="", metavar="URL", help="Kubeflow: or KFP_ENDPOINT; often https://HOST/pipeline.")
@click.option("--namespace", default="", help="Kubeflow: or KFP_NAMESPACE; where the cluster has many users.")
@click.option("--experiment", default="", help="Kubeflow: of the run; made where there is none. [default: Default]")
@click.option("--token", default="", help="Kubeflow: or KFP_EXISTING_TOKEN, which other users cannot see.")
@click.option("--token-file", default="", metavar="FILE", help="Kubeflow: or KF_PIPELINES_SA_TOKEN_PATH; read anew.")
@click.option("--wait", is_flag=True, help="Show the components until the run ends.")
@click.option("--poll", default=10.0, type=Seconds(min=0.1), show_default=True, help="Seconds between looks.")
@click.option("--timeout", type=Seconds(min=0), metavar="SECONDS", help="Wait no longer; the run goes on.")
def submit(file: str, **options: Any) -> None:
    """Run FILE, which `skewless compile` wrote, on Vertex AI or Kubeflow.

    Vertex AI takes the credentials of `gcloud auth application-default login` or GOOGLE_APPLICATION_CREDENTIALS.
    Exit status: 0 submitted or, with --wait, succeeded, 1 the run failed, 2 usage, 6 no answer or a refusal.
    """
    from pipeline.commands.submit import RunOptions, submit_file

    sys.exit(submit_file(RunOptions(file, **options)))


@cli.command()
@click.argument("address")
@click.option("--wait", is_flag=True, help="Show the components until the run ends.")
@click.option("--cancel", is_flag=True, help="Stop the run, or pause the schedule.")
@click.option("--poll", default=10.0, type=Seconds(min=0.1), show_default=True, help="Seconds between looks.")
@click.option("--timeout", type=Seconds(min=0), metavar="SECONDS", help="Wait no longer; the run goes on.")
@click.option("--api-endpoint", default="", metavar="HOST", help="Vertex AI: instead of the region's own.")
@click.option("--token", default="", help="Kubeflow: or KFP_EXISTING_TOKEN.")
@click.option("--token-file", default="", metavar="FILE", help="Kubeflow: or KF_PIPELINES_SA_TOKEN_PATH.")
def job(address: str, **options: Any) -> None:
    """Look at a run on Vertex AI or Kubeflow, or stop it; ADDRESS is its page, as `skewless submit` printed it.

    Exit status: 0 it runs or has succeeded, 1 it failed or was cancelled, 2 usage, 6 no answer or a refusal.
    """
    from pipeline.commands.job import RunOptions, show_job

    sys.exit(show_job(RunOptions(address, **options)))


@cli.command()
@click.argument("task", default="digits")
@click.option("--data", help="Folder of the data; a task such as `digits` brings its own.")
@root_option
def demo(task: str, data: str | None, root: str) -> None:
    """Run TASK, serve it, and ask it about pictures that training never saw."""
    from pipeline.commands.run import RunOptions, demo_task

    demo_task(RunOptions(task, data, root))


@cli.command()
@click.argument("name")
@click.option("--data", required=True, help="Folder of pictures, with a folder for each class.")
def new(name: str, data: str) -> None:
    """Look at a folder of pictures, and write NAME.py: a task that `skewless run NAME` trains as it is."""
    with silent_imports():
        from pipeline.commands.new import new_task

    new_task(name, data)


@cli.command()
def tasks() -> None:
    """List the built-in tasks."""
    from pipeline.registry import builtin

    for name, about in builtin().items():
        click.echo(f"{name:<20} {about}")


@cli.command()
@click.argument("task")
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@root_option
@click.option("--engine", type=click.Choice(engines.ENGINES), default="auto", show_default=True, help="Which server.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="Of gRPC; 0 picks a free one."
)
@click.option("--rest-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Of REST; 0: none.")
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve(
    task: str, flags: tuple[str, ...], root: str, engine: engines.EngineName, port: int, rest_port: int, bind: str
) -> None:
    """Serve the models that TASK (its name, or module) has pushed, over TF Serving's gRPC and REST, until Ctrl-C.

    The server is TensorFlow Serving where there is one: tensorflow_model_server on PATH (binary), else its image where
    Docker answers (docker); else the embedded one. FLAGS after `--` go to it as they are: `-- --enable_batching`.
    """
    from pipeline.commands.serve import serve_task

    options = engines.ServeOptions(port, rest_port, bind, flags)
    serve_task(task, Paths(root, task_name(task, root)), engine, options)


@cli.command()
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "--server",
    default="localhost:8500",
    show_default=True,
    metavar="ADDRESS",
    help="HOST:PORT or unix:PATH of gRPC, http://HOST:PORT of REST; grpcs:// and https:// for TLS.",
)
@click.option("--model", default="digits", show_default=True, help="Name of the served model.")
@click.option("--version", type=click.IntRange(min=0), help="Version to ask, instead of the newest.")
@click.option("--label", help="Label of the version to ask.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="A line for each of the N best classes.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each picture, in a line.")
@click.option(
    "--timeout", type=Seconds(min=0, min_open=True), default=60.0, show_default=True, help="Seconds for each request."
)
@click.option("--ca", type=click.Path(), metavar="FILE", help="PEM of the certificates to trust, for TLS.")
@click.option("--certificate", type=click.Path(), metavar="FILE", help="PEM to show to a server that wants one.")
@click.option("--key", type=click.Path(), metavar="FILE", help="PEM of its key.")
def predict(files: tuple[str, ...], **options: Any) -> None:
    """Ask a server about pictures; print label, score and file of each.

    FILES are pictures, folders of them, or - for one on stdin. A picture without an answer is told on stderr, and
    the others are answered. Exit status: 0, 2 a file cannot be read, 6 the server refuses or is not there.
    """
    from pipeline.commands.predict import PredictOptions, predict_files

    sys.exit(predict_files(PredictOptions(files, **options)))


@cli.command()
@click.argument("task", required=False)
@root_option
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="A setting, e.g. gate.sample=256.")
@metadata_option
@click.option("--model", type=click.Path(), help="Instead of TASK: the folder of a SavedModel, Skewless's or not.")
@click.option("--examples", "files", multiple=True, type=click.Path(), help="For --model: TFRecords of tf.Examples.")
@click.option("--feature", default="", help="For --model: what of them serving_default takes; image or features.")
@click.option("--limit", default=64, show_default=True, type=click.IntRange(min=1), help="For --model: records.")
def skew(
    task: str | None,
    root: str,
    assignments: tuple[str, ...],
    metadata: str | None,
    model: str | None,
    files: tuple[str, ...],
    feature: str,
    limit: int,
) -> None:
    """Prove that the model of TASK's last run serves what it was trained to, or tell what differs and where.

    The same records go through training's own route, through serving_examples, through serving_default, and through a
    live server over gRPC and REST, one by one and all at once. Of any SavedModel, with --model and --examples, its
    routes are compared with one another. Exit status: 0 all agree, 2 usage, 5 some differ, 6 the server does not start.
    """
    if bool(task) == bool(model) or bool(model) != bool(files):
        raise UsageError("skew takes TASK, or --model DIR with --examples FILES")
    with silent_imports():
        from components.task import overrides
        from pipeline.commands.skew import PredictOptions, prove_model, prove_task
        from pipeline.registry import resolve
    if model:
        prove_model(PredictOptions(model, files, feature, limit))
        return
    assert task
    prove_task(resolve(task), Paths(root, task_name(task, root)), overrides.parse_assignments(assignments), metadata)


@cli.command()
@root_option
def doctor(root: str) -> None:
    """Check Python, packages, Beam, disk and memory, and say how to mend what is wrong."""
    from pipeline.commands.doctor import examine_machine

    sys.exit(0 if examine_machine(root) else 1)


def task_name(task: str, root: str) -> str:
    """Name of the folder of a task: of one that has run below the root, or of one given by its import path."""
    from pipeline.registry import builtin, resolve

    if os.path.isdir(Paths(root, task).local_folder) or task in builtin():
        return task
    with silent_imports():
        from components.task.reference import TaskReference

    return TaskReference(resolve(task)).load().name


@contextlib.contextmanager
def reported() -> Iterator[None]:
    """Turns an error into one line, a hint and an exit status."""
    try:
        yield
    except SkewlessError as error:
        fail(error)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt) as error:  # click makes an Abort of Ctrl-C
        Console(stderr=True).print(str(error.__cause__ or error) or "interrupted")
        sys.exit(130)


def fail(error: SkewlessError) -> NoReturn:
    """Prints the error and exits with its status."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[red]error:[/] {escape(str(error))}")
    if error.hint:
        console.print(f"[dim]{escape(error.hint)}[/]")
    sys.exit(error.exit_code)


def main() -> None:
    """Entry point of the `skewless` script."""
    warnings.simplefilter("ignore")  # of the libraries; what matters to a user is said in words of our own
    with reported():
        sys.exit(cli(standalone_mode=False) or 0)


if __name__ == "__main__":
    main()
