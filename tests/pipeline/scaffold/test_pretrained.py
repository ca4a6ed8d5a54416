"""Where `skewless new` finds pretrained weights: a file, Keras' cache, the network; quickly if there is none."""

from __future__ import annotations

import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format
from rich.console import Console

from components.models.build import unfreeze
from components.models.transfer import Transfer, list_backbones
from data.errors import UsageError
from data.spec import Image
from pipeline.commands.new import new_task
from pipeline.scaffold.pretrained import Pretrained, answers, find_pretrained, recognise
from tests import PROJECT
from tests.conftest import encode_picture

NOWHERE = "http://127.0.0.1:9/"
IN_CACHE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_224_no_top.h5"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keras' cache, empty; there is no network either."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("pipeline.scaffold.pretrained.ADDRESS", NOWHERE)
    folder = tmp_path / "keras" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    """The smallest MobileNetV2, with weights that nothing else has."""
    keras.utils.set_random_seed(7)
    return keras.applications.MobileNetV2(alpha=0.35, include_top=False, weights=None, input_shape=(224, 224, 3))


@pytest.mark.parametrize(
    ("name", "expected"),
    [  # as Keras calls its files
        ("mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", ("MobileNetV2", 1.0)),
        ("mobilenet_v2_0.35_224_no_top.weights.h5", ("MobileNetV2", 0.35)),
        ("mobilenet_7_5_160_tf_no_top.h5", ("MobileNet", 0.75)),
        ("mobilenet_1_0_224_tf_no_top.h5", ("MobileNet", 1.0)),
        ("weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", None),  # `Transfer` does not know it
        ("efficientnetb0_notop.h5", ("EfficientNetB0", None)),
        ("efficientnetv2-b0_notop.h5", ("EfficientNetV2B0", None)),
        ("resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5", ("ResNet50", None)),
        ("resnet50v2_weights_tf_dim_ordering_tf_kernels_notop.h5", ("ResNet50V2", None)),
        ("inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5", ("InceptionResNetV2", None)),
        ("nasnet_mobile_no_top.h5", ("NASNetMobile", None)),
        ("convnext_tiny_notop.h5", ("ConvNeXtTiny", None)),
        ("best.weights.h5", None),
    ],
)
def test_the_backbone_in_the_name_of_a_file(name: str, expected: tuple[str, float | None] | None) -> None:
    assert recognise(name) == expected


def test_each_backbone_is_in_its_own_name() -> None:
    assert all(recognise(f"{name}.weights.h5") == (name, None) for name in list_backbones())


def test_a_file_is_loaded_before_it_is_chosen(tmp_path: Path, mobilenet: keras.Model) -> None:
    named, unnamed = tmp_path / "mobilenet_v2_0.35_mine.weights.h5", tmp_path / "mine.weights.h5"
    mobilenet.save_weights(named)
    mobilenet.save_weights(unnamed)
    assert find_pretrained(str(named), "") == Pretrained("MobileNetV2", 0.35, str(named))
    assert find_pretrained(str(unnamed), "MobileNetV2") == Pretrained("MobileNetV2", 0.35, str(unnamed))
    for path, backbone, words in (
        (unnamed, "", "does not show the backbone of the weights"),
        (named, "VGG16", "do not fit VGG16"),
        (named, "MobilNet", "no backbone 'MobilNet'. Did you mean 'MobileNet'?"),
        (tmp_path / "none.h5", "", "no file of weights at "),
        ("gs://bucket/vgg16.h5", "", "no file of weights at "),
        ("none", "VGG16", "--backbone needs weights"),
    ):
        with pytest.raises(UsageError) as caught:
            find_pretrained(str(path), backbone)
        assert words in str(caught.value) and caught.value.hint


def test_the_last_third_of_the_layers_is_fine_tuned() -> None:
    model = Transfer("MobileNetV2", weights="none", alpha=0.35, pooling="average", dense=0)(Image(96, 96), 2)
    late = Pretrained("MobileNetV2", 0.35).find_late_layer()
    assert late == "block_11_project"
    assert unfreeze(model, late) == 17  # of 52 convolutions


def test_without_a_cache_and_a_network_there_are_none() -> None:
    assert find_pretrained("auto", "") is None and find_pretrained("none", "") is None
    assert find_pretrained("imagenet", "VGG16") == Pretrained("VGG16")


def test_the_first_run_downloads_them_if_the_network_answers(monkeypatch: pytest.MonkeyPatch, web: str) -> None:
    monkeypatch.setattr("pipeline.scaffold.pretrained.ADDRESS", f"{web}/there")
    found = find_pretrained("auto", "")
    assert found == Pretrained("MobileNetV2") and found is not None and found.weights(160, 160) == "imagenet"
    monkeypatch.setattr("pipeline.scaffold.pretrained.ADDRESS", f"{web}/missing")
    assert find_pretrained("auto", "") is None


@pytest.fixture
def web() -> Iterator[str]:
    class Files(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200 if self.path == "/there" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_network_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        assert not answers(f"http://127.0.0.1:{silent.getsockname()[1]}/", 0.3)
    never = threading.Event()

    def resolve(*_: object, **__: object) -> None:
        never.wait(30)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)  # no timeout reaches the resolver
    assert not answers("http://weights.example/", 0.3)
    assert time.monotonic() - start < 5
    never.set()


def write_to_cache(model: keras.Model, path: Path) -> None:
    """Write weights in the format of the files that Keras downloads."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)


@pytest.mark.slow
def test_what_keras_downloaded_before_is_used_without_a_network(
    cache: Path, tmp_path: Path, mobilenet: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module that is written loads the weights from the cache, through Keras' own search."""
    (cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5").write_bytes(b"interrupted")
    (cache / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5").write_bytes(b"with the top")
    write_to_cache(mobilenet, cache / IN_CACHE)
    found = find_pretrained("auto", "")
    assert found == Pretrained("MobileNetV2", 0.35, str(cache / IN_CACHE), in_cache=True)
    assert found is not None and found.weights(224, 224) == found.weights(176, 224) == "imagenet"
    assert found.weights(160, 160) == str(cache / IN_CACHE)  # Keras would download another file
    assert find_pretrained("auto", "VGG16") is None

    for name, low in (("dark", 0), ("bright", 100)):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(20):
            pixels = np.random.default_rng(number).integers(low, low + 150, (230, 240, 3), np.uint8)
            (tmp_path / "data" / name / f"{number}.png").write_bytes(encode_picture(pixels, "PNG"))
    monkeypatch.chdir(tmp_path)
    console = Console(file=io.StringIO(), width=300)
    source = new_task("light", str(tmp_path / "data"), console).read_text()
    assert 'weights="imagenet"' in source and "alpha=0.35" in source
    assert f"from the cache of Keras {cache / IN_CACHE}" in console.file.getvalue()  # type: ignore[attr-defined]
    code = (
        "import numpy, light; model = light.TASK.model(light.TASK.feature, 2)\n"
        "numpy.savez('built', *[one for one in model.layers if len(one.weights) > 2][0].get_weights())"
    )
    paths = os.pathsep.join([str(tmp_path), str(PROJECT)])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    with np.load("built.npz") as built:
        for ours, theirs in zip(built.values(), mobilenet.get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
