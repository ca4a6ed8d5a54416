"""Commands that serve a pushed version, and requests to it, as one copies them from the page."""

from __future__ import annotations

import json
import posixpath
import shlex
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from components.review.record import ServedExample
from data.spec import VECTOR
from serving import engines
from serving.engines import BINARY, ServeOptions
from serving.signatures import IMAGES, OUTPUTS

PORTS = ServeOptions(8500, 8501)
_MANY = 1000  # numbers of an example up to which a request has all of them
_WIDTH = 76  # characters of a line of base64


@dataclass(frozen=True)
class Command:
    """Something to copy.

    Attributes:
      title: What it is.
      about: When to take it; may be empty.
      text: To be copied.
    """

    title: str
    about: str
    text: str


@dataclass(frozen=True)
class ServedModel:
    """A pushed version, and how it is asked.

    Attributes:
      name: Of the model, which is that of the task.
      path: Folder of the version, local or remote.
      takes_pictures: Whether it takes encoded pictures; otherwise rows of numbers.
      answers: "class", "labels" or "number".
      example: To ask about; None without one.
    """

    name: str
    path: str
    takes_pictures: bool
    answers: str
    example: ServedExample | None

    @property
    def base(self) -> str:
        """The folder of all versions: TF Serving's `--model_base_path`."""
        return posixpath.dirname(self.path)

    @property
    def root(self) -> str:
        """The root of the runs; "" if the version is in another place than that of `skewless run`."""
        task = posixpath.dirname(posixpath.dirname(self.base))
        is_ours = self.base == posixpath.join(task, "serving", self.name) and posixpath.basename(task) == self.name
        return posixpath.dirname(task) if is_ours else ""

    @property
    def file(self) -> str:
        """Name of the picture in the requests."""
        return f"picture.{self.example.suffix if self.example and self.example.suffix else 'jpg'}"

    @property
    def url(self) -> str:
        """Where the model answers over REST."""
        return f"http://localhost:{PORTS.rest_port}/v1/models/{self.name}:predict"


def list_servers(model: ServedModel) -> list[Command]:
    """Return the commands that start a server with gRPC and REST."""
    found = []
    if model.root:
        words = ["skewless", "serve", model.name, "--root", model.root, "--rest-port", str(PORTS.rest_port)]
        about = "Takes TensorFlow Serving if it is installed or Docker answers, otherwise the embedded server."
        found.append(Command("Skewless", about, shlex.join(words)))
    else:
        flags = [f"--port={PORTS.port}", f"--rest_api_port={PORTS.rest_port}", f"--model_name={model.name}"]
        server = ["python", "-m", "serving.server", *flags, f"--model_base_path={model.base}"]
        about = "Stands in for TensorFlow Serving on a laptop."
        found.append(Command("The embedded server of Skewless", about, _lines(server)))
    docker = engines.docker_command("docker", model.name, model.base, PORTS)
    binary = engines.binary_command(BINARY, model.name, model.base, PORTS)
    return [
        *found,
        Command("TensorFlow Serving in Docker", "", _lines(docker)),
        Command("TensorFlow Serving, installed", "It listens on all addresses of the machine.", _lines(binary)),
    ]


def list_requests(model: ServedModel) -> list[Command]:
    """Return requests that the running server answers."""
    code = (
        f"from skewless import Client\n\nwith Client({_address(PORTS.port)}, model={json.dumps(model.name)}) as client:"
    )
    found = [
        Command("Python, over gRPC", "The client needs neither TensorFlow nor numpy.", f"{code}\n{_call(model)}"),
        Command("curl, over REST", "", _curl(model)),
    ]
    if model.takes_pictures and model.answers != "number":
        words = ["skewless", "predict", model.file, "--server", f"localhost:{PORTS.port}", "--model", model.name]
        found.insert(0, Command("skewless predict", "Takes files and folders.", shlex.join(words)))
    return found


def save_picture(model: ServedModel) -> str:
    """Return the command that writes the picture of the example to a file; "" without one."""
    if not model.example or not model.example.content:
        return ""
    lines = "\n".join(textwrap.wrap(model.example.content, _WIDTH))
    return f"base64 -d > {model.file} <<'END'\n{lines}\nEND"


def _lines(words: Sequence[str]) -> str:
    """Return a command with a line for each option that has a value."""
    first = next((place for place, word in enumerate(words) if "=" in word), 1)
    return " \\\n  ".join([shlex.join(words[:first]), *map(shlex.quote, words[first:])])


def _address(port: int) -> str:
    return f'"localhost:{port}"'


def _call(model: ServedModel) -> str:
    """Return the lines of Python that ask the model and print its answer."""
    if not model.takes_pictures:
        numbers = _numbers(model.example)
        if model.answers == "number":
            return f"    print(client.predict_numbers([{numbers}]))"
        return f'    (answer,) = client.classify([{{"{VECTOR}": {numbers}}}])\n    print(answer.label, answer.score)'
    if model.answers == "number":
        read = f'open("{model.file}", "rb").read()'
        return f'    print(client.predict({{"{IMAGES}": [{read}]}})["{OUTPUTS}"].tolist())'
    shown = "answer.labels, answer.scores" if model.answers == "labels" else "answer.label, answer.score"
    return f'    (answer,) = client.predict_images("{model.file}")\n    print({shown})'


def _curl(model: ServedModel) -> str:
    url = shlex.quote(model.url)
    if model.takes_pictures:
        body = f'{{"instances": [{{"{IMAGES}": {{"b64": "%s"}}}}]}}'
        content = f"$(base64 < {model.file} | tr -d '\\n')"
        return f"printf '{body}' \"{content}\" |\n  curl --data-binary @- {url}"
    if model.example and len(model.example.numbers) > _MANY:
        python = f'import json; print(json.dumps({{"instances": [{_numbers(model.example)}]}}))'
        return f"python3 -c '{python}' |\n  curl --data-binary @- {url}"
    return f"curl -d '{{\"instances\": [{_numbers(model.example)}]}}' {url}"


def _numbers(example: ServedExample | None) -> str:
    """Return a row of numbers, as Python and JSON write it; of very many only zeros, as Python writes them."""
    if example is None or not example.numbers:
        return "[0.0]"
    if len(example.numbers) > _MANY:
        return f"[0.0] * {len(example.numbers)}"
    return f"[{', '.join(f'{number:.9g}' for number in example.numbers)}]"
