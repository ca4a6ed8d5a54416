"""The section on serving: what one copies from the page works against a server, for every kind of model."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.review.record import Picture, ProofReview, Review, ServedExample
from data.spec import Classes, Feature, Image, Label, Labels, Number, Vector
from pipeline.report.page.render import render_page
from pipeline.report.page.sections.serving import build_serving
from pipeline.report.page.serving_commands import ServedModel, list_requests, list_servers
from pipeline.report.record import EvaluationSummary, PushedVersion, RunRecord
from serving.client import Client
from serving.engines import IMAGE
from serving.export import saved_model
from serving.parity.report import SkewReport
from tests import PROJECT
from tests.preloaded import Process

NAMES = ("ant", "bee's", 'cow "x"')
PIXELS = (4, 5, 3)
ROW = [0.25, -1.5, 3.0000001]


class _Decode(tf.Module):
    """Stands in for the TransformGraph's layer: decodes pictures, leaves numbers alone, and keeps the label."""

    def __call__(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        if "image" not in raw:
            return raw
        pixels = tf.map_fn(self._decode, raw["image"], fn_output_signature=tf.TensorSpec(PIXELS, tf.uint8))
        return {**raw, "image": pixels}

    def _decode(self, content: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.io.decode_image(content, channels=3, expand_animations=False), PIXELS)


def _model(shape: tuple[int, ...], units: int, activation: str | None) -> keras.Model:
    keras.utils.set_random_seed(units)
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, activation)]
    scaled = [keras.layers.Rescaling(1 / 255)] if len(shape) > 1 else []
    return keras.Sequential([keras.Input(shape), *scaled, *layers])


KINDS: dict[str, tuple[Feature, Label, str, str, tuple[float, ...]]] = {
    # feature, label, TFMA's metric, activation, thresholds
    "digits": (Image(*PIXELS), Classes(NAMES), "sparse_categorical_accuracy", "softmax", ()),
    "labels": (Image(*PIXELS), Labels(NAMES), "mean_average_precision", "sigmoid", (0.1, 0.9, 0.2)),
    "depth": (Image(*PIXELS), Number(), "mean_squared_error", "linear", ()),
    "rows": (Vector(3), Classes(NAMES), "sparse_categorical_accuracy", "softmax", ()),
    "line": (Vector(3), Number(), "mean_squared_error", "linear", ()),
}


class Copied(HTMLParser):
    """The commands of a page by the name of their box."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.links: dict[str, str] = {}
        self._name = ""
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        if tag == "pre":
            self._name = given.get("aria-label", "")
        if tag == "code" and self._name:
            self._inside, self.found[self._name] = True, ""
        if tag == "a" and "download" in given:
            self.links[given["download"]] = given["href"]

    def handle_endtag(self, tag: str) -> None:
        if tag == "code":
            self._inside = False
        if tag == "pre":
            self._name = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found[self._name] += data

    def of(self, part: str) -> str:
        """Return the command whose box has these words in its name."""
        (text,) = [text for name, text in self.found.items() if part in name]
        return text


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, keras.Model]]:
    """The root of the runs with a pushed version of each kind, and the Keras models."""
    root = tmp_path_factory.mktemp("a root")  # with a space, as a user may have it
    models = {}
    for name, (feature, label, _, activation, thresholds) in KINDS.items():
        classes = () if isinstance(label, Number) else NAMES
        models[name] = _model(feature.shape, len(classes) or 1, activation)
        export = saved_model.ModelExport(models[name], _Decode(), feature, label, classes, thresholds=thresholds)
        saved_model.write(export, str(root / name / "serving" / name / "7"))
    return root, models


@pytest.fixture(scope="module")
def picture(encode: Callable[..., bytes]) -> tuple[np.ndarray, bytes]:
    """Pixels of a picture, uint8 [4, 5, 3], and its PNG."""
    pixels = np.random.default_rng(5).integers(0, 256, PIXELS, np.uint8)
    return pixels, encode(pixels, "PNG")


@pytest.fixture(scope="module")
def page(exported: tuple[Path, Any], picture: tuple[np.ndarray, bytes]) -> Callable[[str], Copied]:
    """Function that draws the page of a run of a kind and returns what one copies from it."""

    def draw(name: str) -> Copied:
        feature, label, metric, _, _ = KINDS[name]
        record = RunRecord(name, "1", "/data", {}, "", "2026-01-01T00:00:00+00:00", "pushed")
        record.pushed = PushedVersion(7, str(exported[0] / name / "serving" / name / "7"))
        record.evaluation = EvaluationSummary(metric, slices={"overall": {metric: 0.5, "example_count": 1}})
        record.skew = SkewReport(1, "", "", 1e-6, feature.name, is_multi_label=isinstance(label, Labels))
        shown = Picture("a.png", label="ant", answer="ant", score=0.5)
        content = base64.b64encode(picture[1]).decode()
        is_picture = isinstance(feature, Image)
        example = ServedExample(shown, content, "png") if is_picture else ServedExample(shown, numbers=ROW)
        return Copied(render_page(record, Review(proof=ProofReview(example=example))))

    return draw


def _free_ports() -> tuple[int, int]:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def _run(text: str, folder: Path, ports: tuple[int, int], program: str = "bash") -> str:
    """Run what was copied, with the ports of the test, in a shell where `skewless` is ours, or in Python."""
    text = re.sub(r"\b8500\b", str(ports[0]), re.sub(r"\b8501\b", str(ports[1]), text))
    file = folder / "copied"
    if program == "bash":
        text = f'skewless() {{ "{sys.executable}" -m pipeline.cli "$@"; }}\nset -e -o pipefail\n{text}'
    file.write_text(text)
    command = ["bash" if program == "bash" else sys.executable, str(file)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ports_of(
    exported: tuple[Path, Any], page: Callable[[str], Copied], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], tuple[int, int]]]:
    """Function that returns the ports of a server of a kind: of digits the one that the page's command starts."""
    folder = tmp_path_factory.mktemp("server")
    servers: list[Any] = []
    started: dict[str, tuple[int, int]] = {}

    def start(name: str) -> tuple[int, int]:
        kind = name if name == "digits" else "others"
        if kind in started:
            return started[kind]
        started[kind] = ports = _free_ports()
        if kind == "digits":
            text = page(name).of("starts Skewless").replace("8501", str(ports[1]))
            words = [*subprocess.check_output(["bash", "-c", f"printf '%s\\n' {text}"], text=True).splitlines()[1:]]
            environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
            servers.append(Process("pipeline.cli", *words, "--port", str(ports[0]), cwd=folder, env=environment))
        else:
            lines = [
                f'config {{ name: "{one}" base_path: "{exported[0] / one / "serving" / one}" '
                'model_platform: "tensorflow" }'
                for one in KINDS
                if one != "digits"
            ]
            config = folder / "models.config"
            config.write_text("model_config_list {\n" + "\n".join(lines) + "\n}\n")
            flags = [f"--port={ports[0]}", f"--rest_api_port={ports[1]}", f"--model_config_file={config}"]
            servers.append(Process("serving.server", *flags))
        for one in (name,) if kind == "digits" else KINDS.keys() - {"digits"}:
            with Client(f"localhost:{ports[0]}", one) as client:
                client.wait_until_available(90)
        return ports

    yield start
    for server in servers:
        server.kill()
        server.wait()
        server.stdout.close()
        server.stderr.close()


def _expected(name: str, models: dict[str, keras.Model], pixels: np.ndarray) -> np.ndarray:
    given = pixels if isinstance(KINDS[name][0], Image) else np.array(ROW, np.float32)
    answer: np.ndarray = np.asarray(models[name](given[np.newaxis]))[0]
    return answer


def _save(copied: Copied, folder: Path, picture: bytes, ports: tuple[int, int]) -> None:
    """Write the picture with the page's command, and compare it with the page's link."""
    _run(copied.of("writes picture.png"), folder, ports)
    assert (folder / "picture.png").read_bytes() == picture
    assert copied.links["picture.png"] == f"data:image/png;base64,{base64.b64encode(picture).decode()}"


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_the_requests_on_the_page_work(
    name: str,
    exported: tuple[Path, dict[str, keras.Model]],
    page: Callable[[str], Copied],
    picture: tuple[np.ndarray, bytes],
    ports_of: Callable[[str], tuple[int, int]],
    tmp_path: Path,
) -> None:
    copied, ports = page(name), ports_of(name)
    if isinstance(KINDS[name][0], Image):
        _save(copied, tmp_path, picture[1], ports)
    expected = _expected(name, exported[1], picture[0])
    over_grpc = _run(copied.of("Python"), tmp_path, ports, "python").strip()
    if isinstance(KINDS[name][1], Number):
        np.testing.assert_allclose(json.loads(over_grpc), expected, rtol=1e-5)
        assert not any("skewless predict" in one for one in copied.found)
    else:
        answers = _answers(name, expected)
        pattern = rf"{re.escape(repr(answers))} {{.*" if KINDS[name][4] else rf"{re.escape(answers[0])} \d\.\d+"
        assert re.fullmatch(pattern, over_grpc)
        if isinstance(KINDS[name][0], Image):
            printed = _run(copied.of("skewless predict"), tmp_path, ports)
            assert re.findall(r"(?:^|, )(\D+?)[ \t]\d\.\d{4}", printed) == answers
            assert printed.endswith("\tpicture.png\n")
    if shutil.which("curl") is None:
        pytest.skip("no curl in PATH: the requests over REST were not sent")
    (rest,) = json.loads(_run(copied.of("curl"), tmp_path, ports))["predictions"]
    if isinstance(KINDS[name][1], Number):
        np.testing.assert_allclose(rest, expected[0], rtol=1e-5)
    else:
        assert rest["classes"] == list(NAMES)
        np.testing.assert_allclose(rest["scores"], expected, rtol=1e-5)


def _answers(name: str, scores: np.ndarray) -> list[str]:
    """Return the best class, or the labels that reach their thresholds, the best first."""
    order = np.argsort(-scores)
    limits = KINDS[name][4]
    return [NAMES[one] for one in order if scores[one] >= limits[one]] if limits else [NAMES[order[0]]]


def _served(**fields: Any) -> ServedModel:
    given = {"name": "m", "path": "/r/m/serving/m/7", "takes_pictures": True, "answers": "class", "example": None}
    return ServedModel(**{**given, **fields})


def test_the_paths_are_those_of_the_version() -> None:
    skewless, docker, binary = [one.text.replace(" \\\n ", "") for one in list_servers(_served())]
    assert skewless == "skewless serve m --root /r --rest-port 8501"
    assert docker == (
        "docker run --rm --init --publish=127.0.0.1:8500:8500 --publish=127.0.0.1:8501:8501"
        f" --volume=/r/m/serving/m:/models/m:ro --env=MODEL_NAME=m {IMAGE}"
    )
    assert binary == (
        "tensorflow_model_server --port=8500 --rest_api_port=8501 --model_name=m --model_base_path=/r/m/serving/m"
    )


def test_a_version_in_a_bucket_or_elsewhere() -> None:
    skewless, docker, _ = list_servers(_served(path="gs://bucket/a root/m/serving/m/7"))
    assert skewless.text == "skewless serve m --root 'gs://bucket/a root' --rest-port 8501"
    assert "'--env=MODEL_BASE_PATH=gs://bucket/a root/m/serving'" in docker.text
    elsewhere = list_servers(_served(path="/models/m/7"))
    assert not any("skewless serve" in one.text for one in elsewhere)
    assert "--model_base_path=/models/m" in elsewhere[0].text


def test_very_many_numbers_are_zeros_in_the_request() -> None:
    example = ServedExample(Picture("1"), numbers=[0.5] * 2000)
    python, curl = list_requests(_served(takes_pictures=False, answers="number", example=example))
    assert "predict_numbers([[0.0] * 2000])" in python.text
    printed = subprocess.check_output(["bash", "-c", curl.text.partition(" |\n")[0]])
    assert json.loads(printed) == {"instances": [[0.0] * 2000]}


def test_nothing_is_served_of_a_run_that_pushed_nothing() -> None:
    record = RunRecord("m", "1", "/data", {}, "", "", "not pushed")
    assert build_serving(record, Review()) is None


def test_an_old_record_has_requests_without_an_example() -> None:
    record = RunRecord("m", "1", "/data", {}, "", "", "pushed", pushed=PushedVersion(7, "/r/m/serving/m/7"))
    view = build_serving(record, Review())
    assert view and not view.link and view.file == "picture.jpg"
    assert [one.title for one in view.requests] == ["skewless predict", "Python, over gRPC", "curl, over REST"]
