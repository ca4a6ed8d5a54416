"""The command line. Each command imports only what it needs: `skewless --help` loads no TensorFlow."""

from __future__ import annotations

import atexit
import contextlib
import gc
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console
from rich.markup import escape

from data.errors import SkewlessError, UsageError
from data.files.remote import is_remote
from pipeline.commands.completion import (
    SHELLS,
    complete_past_task,
    complete_resource,
    complete_run,
    complete_setting,
    complete_setting_name,
    complete_task,
)
from pipeline.commands.sections import GroupWithSections
from pipeline.paths import DEFAULT_ROOT, Paths, absolute_path, check_path, check_pattern
from pipeline.report.run_files import find_run
from pipeline.report.waiting import loading
from pipeline.runners import beam
from serving import engines

Command = TypeVar("Command", bound=Callable[..., Any])

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("PYTHONWARNINGS", "ignore")
os.environ.setdefault("GLOG_minloglevel", "3")  # ML Metadata's


def _root(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """Return the root as an absolute path."""
    check_path("--root", value)
    check_pattern("--root", value)
    return absolute_path(value)


root_option = click.option(
    "--root", default=DEFAULT_ROOT, show_default=True, callback=_root, help="Folder for everything that runs write."
)

metadata_option = click.option(
    "--metadata",
    envvar="SKEWLESS_METADATA",
    metavar="URL|FILE",
    help="Where to keep ML Metadata: mysql://USER@HOST/DATABASE (password in $SKEWLESS_MYSQL_PASSWORD), or a file.",
)


class Seconds(click.FloatRange):
    """A duration in seconds. Click's own range lets NaN through; this one does not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Convert a finite number."""
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return found


beam_option = click.option(
    "--beam-runner",
    type=click.Choice(beam.NAMES),
    default="direct",
    show_default=True,
    help="Runner of the Beam steps; all but direct need --beam-arg.",
)


wait_option = click.option("--wait", is_flag=True, help="Show the progress until the run ends.")

poll_option = click.option(
    "--poll",
    default=10.0,
    type=Seconds(min=0.1),
    show_default=True,
    help="Seconds between two requests for the status.",
)

timeout_option = click.option(
    "--timeout", type=Seconds(min=0), metavar="SECONDS", help="Stop waiting after this time; the run goes on."
)


over_option = click.option(
    "--over",
    multiple=True,
    metavar="KEY=VALUES",
    shell_complete=complete_setting,
    help="Setting to tune, with its values or range; repeat it.",
)

trials_option = click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="Number of trials. [default: 20; grid: all combinations]"
)

algorithm_option = click.option(
    "--algorithm",
    type=click.Choice(("random", "bayesian", "hyperband", "grid")),
    default="random",
    show_default=True,
    help="How KerasTuner chooses the settings of the trials.",
)

objective_option = click.option(
    "--objective",
    default="",
    metavar="METRIC",
    help="Metric that decides, e.g. val_loss. [default: val_accuracy; labels: val_pr_auc; a number: val_mae]",
)


task_argument = click.argument("task", shell_complete=complete_task)
past_task_argument = click.argument("task", shell_complete=complete_past_task)


def set_option(about: str) -> Callable[[Command], Command]:
    """Return the option --set with a help text."""
    return click.option(
        "--set", "assignments", multiple=True, metavar="KEY=VALUE", shell_complete=complete_setting, help=about
    )


@click.group(
    cls=GroupWithSections, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="skewless")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """TFX image pipelines whose training and serving cannot drift apart.

    Without a command: what to do next in this folder.
    """
    if ctx.invoked_subcommand is None:
        from pipeline.commands.start import print_start

        print_start(os.getcwd())


@cli.command("run", short_help="Train, evaluate, prove and push a task.")
@click.argument("task", default="", shell_complete=complete_task)
@click.option("--data", help="Folder of the data; tasks such as `digits` download or write their own.")
@root_option
@click.option(
    "--compiled", type=click.Path(), metavar="FILE", help="Run a file that `skewless compile` wrote, to debug it."
)
@set_option("Change a setting, e.g. train.epochs=1.")
@beam_option
@click.option("--beam-arg", "beam_args", multiple=True, metavar="ARG", help="Argument for Beam's runner.")
@metadata_option
def run_command(
    task: str,
    data: str | None,
    root: str,
    compiled: str | None,
    assignments: tuple[str, ...],
    beam_runner: beam.Name,
    beam_args: tuple[str, ...],
    metadata: str | None,
) -> None:
    """Train, evaluate and push TASK: a built-in task, or your own as `module:NAME`.

    With --compiled, each container's command runs as a process on this machine, --set sets the file's run parameters,
    and --root stands in for its bucket. TASK is optional then.

    Exit status: 0 pushed or unchanged, 2 wrong usage, 3 unusable data, 4 model not good enough, 5 skew, 1 other errors.
    """
    from pipeline.commands.run import RunOptions, run_task

    options = RunOptions(task, data, root, assignments, beam_runner, beam_args, metadata)
    if compiled:
        from pipeline.commands.simulate import run_compiled

        run_compiled(options, compiled)
        return
    if not task:
        from pipeline.registry import builtin_tasks, task_modules

        names = ", ".join([*task_modules(os.getcwd()), *builtin_tasks()])
        raise UsageError("run needs a task", hint=f"One of {names}; or write one with skewless new.")
    run_task(options)


@cli.command("tune", short_help="Search for the best settings.")
@task_argument
@over_option
@trials_option
@algorithm_option
@objective_option
@click.option("--data", help="Folder of the data; tasks such as `digits` download or write their own.")
@root_option
@set_option("Set a setting in all trials, e.g. train.epochs=5.")
@beam_option
@click.option("--beam-arg", "beam_args", multiple=True, metavar="ARG", help="Argument for Beam's runner.")
@metadata_option
def tune_command(over: tuple[str, ...], trials: int | None, algorithm: str, objective: str, **options: Any) -> None:
    """Train TASK with many settings, and print the best ones as `skewless run` takes them.

    VALUES are a list, model.dense=128,256,512, or a range, train.epochs=2..8 or train.learning_rate=1e-4..1e-2:log;
    a step is a second number, model.dropout=0..0.5:0.1. If the values have commas themselves, | separates them:
    model.filters='16,32|32,64'. Trials train as `skewless run` does, and nothing is pushed. A killed search, called
    again, keeps its trials and continues the last one.

    Exit status: 0 found, 2 wrong usage, 3 unusable data, 4 no trial finished, 1 other errors.
    """
    from pipeline.commands.run import RunOptions
    from pipeline.commands.search import SearchOptions
    from pipeline.commands.tune import tune_task

    if not over:
        hint = "For example: --over train.learning_rate=1e-4..1e-2:log --over train.epochs=2..8"
        raise UsageError("no setting to tune", hint=hint)
    tune_task(RunOptions(**options), SearchOptions(over, trials, algorithm, objective))


@cli.command("compile", short_help="Write a file for Vertex AI or Kubeflow.")
@task_argument
@click.option("--target", default="", metavar="vertex|kubeflow", help="Platform to compile for.")
@click.option("--image", default="", help="Image for all containers, with Skewless and the task installed.")
@click.option("--pipeline-root", default="", metavar="URI", help="Folder in a bucket for everything that runs write.")
@click.option("--data", metavar="URI", help="Folder of the data; without it, `skewless submit` asks for --data.")
@click.option(
    "--baseline", metavar="URI", help="Kubeflow: model to compare with. Vertex AI finds the last blessed one itself."
)
@click.option(
    "-o", "--output", type=click.Path(), metavar="FILE", help="File to write. [default: TASK.json or TASK.yaml]"
)
@set_option("Change a setting, e.g. train.epochs=1.")
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="KEY",
    shell_complete=complete_setting_name,
    help="Setting to leave open until submission.",
)
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="NAME.KEY=VALUE",
    shell_complete=complete_resource,
    help="Resource of a component: cpu, memory, gpu or machine.",
)
@beam_option
@click.option("--beam-arg", "beam_args", multiple=True, metavar="[COMPONENT:]ARG", help="Argument for Beam's runner.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Vertex AI: label of the job.")
@click.option(
    "--cache/--no-cache",
    default=True,
    show_default=True,
    help="Reuse results of earlier runs whose inputs have not changed.",
)
@over_option
@trials_option
@algorithm_option
@objective_option
@click.option(
    "--parallel",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="With --over: number of containers that train trials at the same time; random and grid only.",
)
def compile_command(over: tuple[str, ...], trials: int | None, algorithm: str, objective: str, **options: Any) -> None:
    """Compile TASK to a file for Vertex AI or Kubeflow Pipelines 2; needs no credentials and no network.

    With --over, the file is that of a tuning, as `skewless tune` does it here. TASK must be importable in the image: a
    built-in task, or `module:NAME` of an installed package.
    """
    from pipeline.commands.compile import CompileOptions, compile_task
    from pipeline.commands.search import SearchOptions

    compile_task(CompileOptions(**options, search=SearchOptions(over, trials, algorithm, objective)))


@cli.command("submit", short_help="Run a compiled file there.")
@click.argument("file", type=click.Path())
@click.option(
    "--target", default="", metavar="vertex|kubeflow", help="Platform of the file. [default: what the file says]"
)
@click.option("--pipeline-root", default="", metavar="URI", help="Replaces the file's.")
@click.option("--data", metavar="URI", help="Folder of the data; replaces the file's.")
@set_option("Set a run parameter, e.g. train.epochs=1.")
@click.option("--cache/--no-cache", default=True, show_default=True, help="--no-cache runs every component.")
@click.option("--name", default="", help="Name of the run or schedule. [default: task and time]")
@click.option("--schedule", default="", metavar="CRON", help="Run on a schedule: '0 3 * * mon-fri'.")
@click.option("--service-account", default="", metavar="NAME", help="Service account of the runs.")
@click.option("--project", default="", help="Vertex AI: project. [default: of the credentials]")
@click.option("--region", default="", help="Vertex AI: region to run in; required.")
@click.option("--network", default="", metavar="NAME", help="Vertex AI: VPC network, projects/N/global/networks/NAME.")
@click.option("--api-endpoint", default="", metavar="HOST", help="Vertex AI: replaces the region's endpoint.")
@click.option("--check/--no-check", default=True, help="Vertex AI: check the buckets first.")
@click.option(
    "--host", default="", metavar="URL", help="Kubeflow: address, often https://HOST/pipeline. [env: KFP_ENDPOINT]"
)
@click.option(
    "--namespace", default="", help="Kubeflow: namespace, on a cluster with several users. [env: KFP_NAMESPACE]"
)
@click.option(
    "--experiment", default="", help="Kubeflow: experiment of the run, created if missing. [default: Default]"
)
@click.option(
    "--token", default="", help="Kubeflow: token; the variable hides it from other users. [env: KFP_EXISTING_TOKEN]"
)
@click.option(
    "--token-file",
    default="",
    metavar="FILE",
    help="Kubeflow: file of the token, read for each call. [env: KF_PIPELINES_SA_TOKEN_PATH]",
)
@wait_option
@poll_option
@timeout_option
def submit_command(file: str, **options: Any) -> None:
    """Submit FILE, which `skewless compile` wrote, to Vertex AI or Kubeflow.

    Credentials for Vertex AI come from `gcloud auth application-default login` or GOOGLE_APPLICATION_CREDENTIALS.
    Exit status: 0 submitted (with --wait: succeeded), 1 run failed, 2 wrong usage, 6 no answer or refused.
    """
    from pipeline.commands.submit import SubmitOptions, submit_file

    sys.exit(submit_file(SubmitOptions(file, **options)))


@cli.command("job", short_help="Show, await or cancel a run there.")
@click.argument("address")
@wait_option
@click.option("--cancel", is_flag=True, help="Cancel the run, or pause the schedule.")
@poll_option
@timeout_option
@click.option("--api-endpoint", default="", metavar="HOST", help="Vertex AI: replaces the region's endpoint.")
@click.option("--token", default="", help="Kubeflow: token. [env: KFP_EXISTING_TOKEN]")
@click.option(
    "--token-file", default="", metavar="FILE", help="Kubeflow: file of the token. [env: KF_PIPELINES_SA_TOKEN_PATH]"
)
def job_command(address: str, **options: Any) -> None:
    """Show a run on Vertex AI or Kubeflow, or stop it. ADDRESS is its page, as `skewless submit` prints it.

    Exit status: 0 running or succeeded, 1 failed or cancelled, 2 wrong usage, 6 no answer or refused.
    """
    from pipeline.commands.job import JobOptions, show_job

    sys.exit(show_job(JobOptions(address, **options)))


@cli.command("demo", short_help="Train, serve and ask a model: handwritten digits.")
@click.argument("task", default="digits", shell_complete=complete_task)
@click.option("--data", help="Folder of the data; tasks such as `digits` download or write their own.")
@root_option
def demo_command(task: str, data: str | None, root: str) -> None:
    """Run TASK, serve the model, and predict pictures that training has not seen."""
    from pipeline.commands.run import RunOptions, demo_task

    demo_task(RunOptions(task, data, root))


@cli.command("new", short_help="Write a task for your pictures.")
@click.argument("name")
@click.option("--data", required=True, help="Folder of pictures, with one subfolder for each class.")
@click.option(
    "--weights",
    default="auto",
    metavar="auto|imagenet|none|FILE",
    help="Pretrained weights: a file, or Keras' (imagenet). [default: auto: Keras', if its cache or the web has them]",
)
@click.option("--backbone", default="", metavar="NAME", help="Class of keras.applications. [default: MobileNetV2]")
def new_command(name: str, data: str, weights: str, backbone: str) -> None:
    """Inspect a folder of pictures and write NAME.py, a task that `skewless run NAME` can train at once."""
    from pipeline.scaffold.check_new import check_new

    check_new(name, data)
    with loading():
        from pipeline.commands.new import new_task

    new_task(name, data, weights=weights, backbone=backbone)


@cli.command("tasks", short_help="List the built-in tasks.")
def tasks_command() -> None:
    """List the built-in tasks."""
    from pipeline.registry import builtin_tasks

    for name, about in builtin_tasks().items():
        click.echo(f"{name:<20} {about}")


@cli.command("serve", short_help="Serve the pushed models over gRPC and REST.")
@past_task_argument
@click.argument("flags", nargs=-1, type=click.UNPROCESSED)
@root_option
@click.option(
    "--engine", type=click.Choice(engines.ENGINES), default="auto", show_default=True, help="Server to start."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8500, show_default=True, help="Port for gRPC; 0 picks a free one."
)
@click.option(
    "--rest-port", type=click.IntRange(0, 65535), default=0, show_default=True, help="Port for REST; 0 turns REST off."
)
@click.option("--bind", default="127.0.0.1", show_default=True, help="Address to listen on.")
def serve_command(
    task: str, flags: tuple[str, ...], root: str, engine: engines.EngineName, port: int, rest_port: int, bind: str
) -> None:
    """Serve the pushed models of TASK (a name or module) with TF Serving's gRPC and REST APIs, until Ctrl-C.

    `auto` takes TensorFlow Serving if it can: tensorflow_model_server on PATH (binary), or its image if Docker answers
    (docker); otherwise the embedded server. FLAGS after `--` go to the server unchanged: `-- --enable_batching`.
    """
    from pipeline.commands.serve import serve_task

    options = engines.ServeOptions(port, rest_port, bind, flags)
    serve_task(task, Paths(root, task_name(task, root)), engine, options)


@cli.command("predict", short_help="Ask a server about pictures.")
@click.argument("files", nargs=-1, required=True, type=click.Path())
@click.option(
    "--server",
    default="localhost:8500",
    show_default=True,
    metavar="ADDRESS",
    help="HOST:PORT or unix:PATH of gRPC, http://HOST:PORT of REST; grpcs:// and https:// for TLS.",
)
@click.option(
    "--model",
    default="digits",
    show_default=True,
    shell_complete=complete_past_task,
    help="Name of the served model.",
)
@click.option("--version", type=click.IntRange(min=0), help="Version of the model. [default: the newest]")
@click.option("--label", help="Label of the version.")
@click.option("--top", type=click.IntRange(min=1), metavar="N", help="Print a line for each of the N best classes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line and picture.")
@click.option(
    "--timeout",
    type=Seconds(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Time limit of each request in seconds.",
)
@click.option("--ca", type=click.Path(), metavar="FILE", help="TLS: PEM file of the certificates to trust.")
@click.option("--certificate", type=click.Path(), metavar="FILE", help="TLS: PEM file of the client's certificate.")
@click.option("--key", type=click.Path(), metavar="FILE", help="TLS: PEM file of the client's key.")
def predict_command(files: tuple[str, ...], **options: Any) -> None:
    """Predict pictures with a server; print label, score and file of each.

    If a picture may have several labels, print those that reach their thresholds, each with its score, and the file.

    FILES are pictures, folders of pictures, or - for one picture on stdin. Errors of single pictures go to stderr; the
    other pictures get their answers. Exit status: 0, 2 unreadable file, 6 no server or refused.
    """
    from pipeline.commands.predict import PredictOptions, predict_files

    sys.exit(predict_files(PredictOptions(files, **options)))


@cli.command("report", short_help="Draw and open the page of a run.")
@past_task_argument
@root_option
@click.option(
    "--run", default="", metavar="RUN", shell_complete=complete_run, help="Run to draw. [default: the latest]"
)
@click.option("--against", default="", metavar="RUN", shell_complete=complete_run, help="Compare with this run.")
@click.option("--open/--no-open", "opens", default=True, show_default=True, help="Open the page in the browser.")
@click.option(
    "-o", "--output", default="", metavar="FILE", help="File to write. [default: report.html in the run's folder]"
)
def report_command(task: str, root: str, run: str, against: str, opens: bool, output: str) -> None:
    """Draw the page of a run of TASK again, or of what two runs differ in; open it, and print its path.

    RUN is the id of a run, the beginning of one, `previous`, or the path of a run.json. `skewless runs` lists them. Of
    a run of an earlier version of Skewless the page has what that run recorded.
    """
    from pipeline.commands.report import ReportOptions, draw_report

    draw_report(paths_of_runs(task, root), ReportOptions(run, against, opens, output))


@cli.command("runs", short_help="List the runs of a task, and what changed.")
@past_task_argument
@root_option
@click.option("--sort", default="when", show_default=True, metavar="KEY", help="Column, setting or metric to sort by.")
@click.option("--reverse", "is_reversed", is_flag=True, help="Turn the order around.")
@click.option("--metric", "metrics", multiple=True, metavar="NAME", help="Metric to show; repeat it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line and run.")
def runs_command(task: str, root: str, **options: Any) -> None:
    """List the runs of TASK with their metrics and the settings that differ, and what changed from run to run.

    The newest run or the largest value comes first. A metric is named as in the limits of a task (auc, recall/rose,
    accuracy@image/format=PNG), or as in the training (val_loss).
    """
    from pipeline.commands.runs import ListOptions, show_runs

    show_runs(paths_of_runs(task, root), ListOptions(**options))


@cli.command("skew", short_help="Prove again that a model serves as it was trained.")
@click.argument("task", required=False, shell_complete=complete_past_task)
@root_option
@set_option("Change a setting, e.g. gate.sample=256.")
@metadata_option
@click.option("--model", type=click.Path(), help="Folder of any SavedModel, instead of TASK.")
@click.option("--examples", "files", multiple=True, type=click.Path(), help="With --model: TFRecords of tf.Examples.")
@click.option("--feature", default="", help="With --model: feature that serving_default takes; image or features.")
@click.option(
    "--limit", default=64, show_default=True, type=click.IntRange(min=1), help="With --model: number of records."
)
def skew_command(
    task: str | None,
    root: str,
    assignments: tuple[str, ...],
    metadata: str | None,
    model: str | None,
    files: tuple[str, ...],
    feature: str,
    limit: int,
) -> None:
    """Prove that the model of TASK's last run serves what it was trained for, or name what differs and where.

    The same records go through training's input and model, through serving_examples, through serving_default, and
    through a live server over gRPC and REST, one by one and in a batch. With --model and --examples, the routes of any
    SavedModel are compared with each other. Exit status: 0 all agree, 2 wrong usage, 5 some differ, 6 no server.
    """
    if bool(task) == bool(model) or bool(model) != bool(files):
        raise UsageError("skew needs TASK, or --model DIR with --examples FILE")
    paths = Paths(root, task_name(task, root)) if task else None
    if paths and not is_remote(root):
        find_run(paths)  # without a run, there is no need to load TensorFlow
    with loading():
        from components.task import overrides
        from pipeline.commands.skew import SkewOptions, prove_model, prove_task
        from pipeline.registry import resolve_task
    if model:
        prove_model(SkewOptions(model, files, feature, limit))
        return
    assert task and paths
    prove_task(resolve_task(task), paths, overrides.parse_assignments(assignments), metadata)


@cli.command("doctor", short_help="Check this machine.")
@root_option
def doctor_command(root: str) -> None:
    """Check Python, packages, Beam, disk and memory, and print how to repair what is wrong."""
    from pipeline.commands.doctor import examine_machine

    sys.exit(0 if examine_machine(root) else 1)


@cli.command("completion", short_help="Print the completion of your shell.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion_command(shell: str) -> None:
    """Print the script that completes commands, tasks and settings in SHELL.

    \b
    bash: echo 'eval "$(skewless completion bash)"' >> ~/.bashrc
    zsh:  echo 'eval "$(skewless completion zsh)"' >> ~/.zshrc
    fish: skewless completion fish > ~/.config/fish/completions/skewless.fish
    """  # noqa: D301 - click keeps the lines after a \b
    from pipeline.commands.completion import print_completion

    print_completion(cli, shell)


def task_name(task: str, root: str) -> str:
    """Return the folder name of a task that has run below the root, or of one given by its import path."""
    from pipeline.registry import builtin_tasks, resolve_task

    if os.path.isdir(Paths(root, task).local_folder) or task in builtin_tasks():
        return task
    path = resolve_task(task)
    with loading():
        from components.task.reference import TaskReference

        return TaskReference(path).load().name


def paths_of_runs(task: str, root: str) -> Paths:
    """Return the folders of a task that has run below the root; of a remote root, its module may be elsewhere."""
    if is_remote(root):
        with loading():
            import tensorflow as tf
        if tf.io.gfile.isdir(Paths(root, task).folder):
            return Paths(root, task)
    return Paths(root, task_name(task, root))


@contextlib.contextmanager
def report_errors() -> Iterator[None]:
    """Turn an error into one line, a hint and an exit status."""
    try:
        yield
    except SkewlessError as error:
        fail(error)
    except click.ClickException as error:  # of a command's name, arguments or options
        ctx = error.ctx if isinstance(error, click.UsageError) else None
        fail(UsageError(error.format_message(), hint=f"See: {ctx.command_path} --help" if ctx else ""))
    except (click.Abort, KeyboardInterrupt) as error:  # click makes an Abort of Ctrl-C
        text = str(error.__cause__ or error) or "interrupted"
        Console(stderr=True, highlight=False, soft_wrap=True).print(escape(text))
        sys.exit(130)


def fail(error: SkewlessError) -> NoReturn:
    """Print the error and exit with its status."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[red]error:[/] {escape(str(error))}")
    if error.hint:
        console.print(f"[dim]{escape(error.hint)}[/]")
    sys.exit(error.exit_code)


def main() -> None:
    """Run the command line and exit."""
    atexit.register(gc.freeze)  # at its end Python looks for garbage: among TensorFlow's objects for 2 s
    warnings.simplefilter("ignore")  # the libraries' warnings; Skewless prints what matters to a user
    with report_errors():
        sys.exit(cli(prog_name="skewless", standalone_mode=False) or 0)


if __name__ == "__main__":
    main()
