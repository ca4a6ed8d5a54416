"""The client against a real server, and against none."""

from __future__ import annotations

import dataclasses
import io
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from data.errors import ServingError
from serving.client import Client, Prediction, VersionStatus

CLASSES = ("ant", "bee", "cow")
NOWHERE = "127.0.0.1:1"  # no service listens there


@pytest.fixture(scope="module")
def address(serve: Callable[..., Any], pictures_model: tuple[Path, keras.Model]) -> str:
    return serve(pictures_model[0], "pictures").address()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, model="pictures") as client:
        yield client


def test_scores_are_the_model_s_own_in_label_order(
    client: Client, pictures_model: tuple[Path, keras.Model], picture_files: tuple[np.ndarray, list[bytes]]
) -> None:
    pixels, files = picture_files
    wanted = pictures_model[1].predict(pixels, verbose=0)
    answers = client.predict_images(files)
    assert [tuple(answer.scores) for answer in answers] == [CLASSES] * len(files)
    np.testing.assert_allclose([list(answer.scores.values()) for answer in answers], wanted, rtol=1e-6)
    assert [answer.label for answer in answers] == [CLASSES[best] for best in wanted.argmax(axis=1)]


def test_16_bits_of_a_file_and_of_a_pil_image_are_the_same_upper_8(
    client: Client, pictures_model: tuple[Path, keras.Model]
) -> None:
    deep = np.random.default_rng(0).integers(0, 2**16, (4, 5)).astype(np.uint16)
    image = Image.fromarray(deep)
    out = io.BytesIO()
    image.save(out, "PNG")
    reopened = Image.open(io.BytesIO(out.getvalue()))
    assert image.mode == reopened.mode == "I;16"
    upper = (deep >> 8).astype(np.uint8)
    wanted = pictures_model[1].predict(np.repeat(upper[None, ..., None], 3, axis=3), verbose=0)[0]
    for answer in client.predict_images([out.getvalue(), image, reopened, upper]):
        np.testing.assert_allclose(list(answer.scores.values()), wanted, rtol=1e-6)


def test_no_pictures_need_no_server() -> None:
    with Client(NOWHERE, model="pictures") as client:
        assert client.predict_images([]) == []


def test_one_client_in_several_threads(client: Client, picture_files: tuple[np.ndarray, list[bytes]]) -> None:
    files = picture_files[1]
    alone = [client.predict_images([file])[0].label for file in files]
    together: dict[int, str] = {}

    def ask(number: int) -> None:
        together[number] = client.predict_images([files[number]])[0].label

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(files))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[number] for number in range(len(files))] == alone


def test_prediction() -> None:
    prediction = Prediction({"ant": 0.25, "bee": 0.75})
    assert (prediction.label, prediction.score) == ("bee", 0.75)
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.scores = {}  # type: ignore[misc]


def test_status_and_waiting(client: Client) -> None:
    client.wait_until_available(10)
    assert client.status() == [VersionStatus(1, "AVAILABLE")]


def error_of(call: Callable[..., Any], *args: Any) -> ServingError:
    with pytest.raises(ServingError) as caught:
        call(*args)
    assert "\n" not in str(caught.value) and "{{" not in str(caught.value)
    assert caught.value.hint and "\n" not in caught.value.hint
    return caught.value


def test_no_server() -> None:
    with Client(NOWHERE, model="pictures", timeout=5) as client:
        for call in (client.status, lambda: client.predict_images([b"x"])):
            error = error_of(call)
            assert str(error) == f"no server answers at {NOWHERE}"
            assert "skewless serve TASK" in error.hint
            assert error.exit_code == 6


def test_unknown_model(address: str) -> None:
    with Client(address, model="pictrues") as client:
        assert str(error_of(client.predict_images, [b"x"])) == (
            f"the server at {address} has no model 'pictrues' available: "
            "Servable not found for request: Latest(pictrues)"
        )
        error = error_of(client.status)
        assert "Could not find any versions of model pictrues" in str(error)
        assert "--model_name" in error.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no picture", "Unknown image file format. One of JPEG, "),
        (b"GIF89a", "failed to open gif file"),
    ],
)
def test_error_of_an_invalid_picture_quotes_the_server(
    client: Client, picture_files: tuple[np.ndarray, list[bytes]], content: bytes, words: str
) -> None:
    error = error_of(client.predict_images, [picture_files[1][0], content])
    assert str(error).startswith(f"the server at {client.address} refused the request: ")
    assert words in str(error) and str(error).endswith(" (images[1])")
    assert "JPEG, PNG, GIF or BMP" in error.hint


def test_picture_cut_in_half_is_invalid(client: Client, encode: Callable[..., bytes]) -> None:
    whole = encode(np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8), "JPEG")
    assert "refused the request" in str(error_of(client.predict_images, [whole[: len(whole) // 2]]))


def test_no_answer_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never says a word
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Client(address, model="pictures", timeout=0.2) as client:
            error = error_of(client.predict_images, [b"x"])
    assert str(error) == f"the server at {address} did not answer in 0.2 s"


def test_waiting_in_vain_names_the_last_problem(address: str) -> None:
    start = time.monotonic()
    with Client(NOWHERE, model="pictures") as client:
        error = error_of(client.wait_until_available, 0.5)
        assert str(error) == (
            f"model 'pictures' at {NOWHERE} did not become available in 0.5 s: no server answers at {NOWHERE}"
        )
    with Client(address, model="other") as client:
        error = error_of(client.wait_until_available, 0.5)
        assert "has no model 'other' available" in str(error)
        assert "--model_name" in error.hint
    assert time.monotonic() - start < 5


def test_model_that_is_taken_away(
    serve: Callable[..., Any], pictures_model: tuple[Path, keras.Model], tmp_path: Path
) -> None:
    shutil.copytree(pictures_model[0], tmp_path / "base")
    with Client(serve(tmp_path / "base", "pictures").address(), model="pictures") as client:
        client.wait_until_available(10)
        shutil.rmtree(tmp_path / "base" / "1")
        end = time.monotonic() + 20
        while client.status() != [VersionStatus(1, "END")]:
            assert time.monotonic() < end
        assert "no version is available: version 1 is END" in str(error_of(client.wait_until_available, 0.1))
        assert "Latest(pictures)" in str(error_of(client.predict_images, [b"x"]))
