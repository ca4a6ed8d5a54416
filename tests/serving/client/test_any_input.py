"""The client with any input, against a real server over gRPC and REST.

`SKEWLESS_EXAMPLES=1000 pytest tests/serving/client/test_any_input.py` tries that many new examples of each kind.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from data.errors import SkewlessError
from serving.client import Client, InvalidPicture, Prediction
from tests.conftest import encode_picture
from tests.serving.conftest import PIXELS, _free_port

EXAMPLES = os.environ.get("SKEWLESS_EXAMPLES", "")
tried = settings(
    max_examples=int(EXAMPLES or 50),
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONGEST_S = 30
FILE = encode_picture(np.zeros(PIXELS, np.uint8), "PNG")

dtypes = st.one_of(
    st.just(np.dtype("u1")),
    arrays.boolean_dtypes(),
    arrays.integer_dtypes(endianness="?"),
    arrays.floating_dtypes(endianness="?"),
    arrays.complex_number_dtypes(),
    arrays.datetime64_dtypes(),
    arrays.byte_string_dtypes(),
    arrays.unicode_string_dtypes(),
)
some_arrays = arrays.arrays(dtypes, arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6))
grey = arrays.arrays(np.uint8, st.just(PIXELS[:2]))
images = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "F", "HSV", "YCbCr"]).map(
    lambda mode: Image.new(mode, PIXELS[1::-1])
)


@st.composite
def damaged(draw: Any) -> bytes:
    """Draw the file of a picture: complete, cut off, or with changed bytes."""
    kind = draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP"]))
    content = bytearray(encode_picture(np.zeros(PIXELS, np.uint8), kind))
    for place in draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))])


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.text(st.characters(), max_size=20),  # lone surrogates, too
    st.binary(max_size=60),
    damaged(),
)
things = st.one_of(
    scalars,
    some_arrays,
    grey,
    images,
    damaged().map(io.BytesIO),
    st.text(max_size=9).map(io.StringIO),
    st.builds(object),
    st.text(max_size=9).map(Path),
)
nested = st.recursive(
    things,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.lists(inner, max_size=3).map(iter),
        st.dictionaries(st.one_of(st.text(max_size=9), st.integers()), inner, max_size=3),
        st.frozensets(st.binary(max_size=3), max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def addresses(serve: Callable[..., Any], pictures_model: tuple[Path, keras.Model]) -> list[str]:
    rest = _free_port()
    server = serve(pictures_model[0], "pictures", f"--rest_api_port={rest}")
    return [server.address(), f"http://127.0.0.1:{rest}"]


@pytest.fixture(scope="module", params=["gRPC", "REST"])
def client(addresses: list[str], request: pytest.FixtureRequest) -> Iterator[Client]:
    with Client(addresses[request.param == "REST"], model="pictures", timeout=LONGEST_S) as client:
        client.wait_until_available(30)
        yield client


def outcome(call: Callable[[], Any]) -> Any:
    """Return the result, or None for an error on one line; any other exception ends the test."""
    start = time.monotonic()
    try:
        return call()
    except SkewlessError as error:
        assert str(error) and "\n" not in str(error) and "{{" not in str(error) and "[Op:" not in str(error)
        return None
    finally:
        assert time.monotonic() - start < LONGEST_S


def count(given: Any) -> int | None:
    """Return how many pictures a user means; None if that is not known beforehand."""
    if isinstance(given, (str, bytes, Path, Image.Image, io.BytesIO, io.StringIO)):
        return 1
    if isinstance(given, (list, tuple)):
        return len(given)
    if not isinstance(given, np.ndarray):
        return None
    if given.ndim == 1 and given.dtype.kind in "SU":
        return len(given)
    is_one = given.ndim < 3 or given.ndim == 3 and given.shape[2] in (0, 1, 2, 3, 4)
    return 1 if is_one else len(given)


@tried
@given(given=nested)
def test_pictures(client: Client, given: Any) -> None:
    wanted = count(given)
    answers = outcome(lambda: list(client.predict_each(given)))
    if answers is not None:
        assert all(isinstance(answer, (Prediction, InvalidPicture)) for answer in answers)
        assert wanted is None or len(answers) == wanted
        for answer in answers:
            assert isinstance(answer, Prediction) or "\n" not in str(answer)


@tried
@given(given=st.lists(st.one_of(grey, damaged(), damaged().map(io.BytesIO), st.just(FILE)), max_size=8))
def test_good_pictures_are_answered_among_any_others(client: Client, given: list[Any]) -> None:
    answers = list(client.predict_each(given))
    assert len(answers) == len(given)
    for one, answer in zip(given, answers, strict=True):
        assert isinstance(answer, Prediction) or not (isinstance(one, np.ndarray) or one is FILE)


@tried
@given(given=nested)
def test_tensors(client: Client, given: Any) -> None:
    outcome(lambda: client.predict({"image_bytes": given}))
    outcome(lambda: client.predict(given))


@tried
@given(given=nested)
def test_rows(client: Client, given: Any) -> None:
    outcome(lambda: client.predict_numbers(given))
    outcome(lambda: client.classify(given))
    outcome(lambda: client.regress(given))


@tried
@given(
    address=st.one_of(st.text(max_size=30), st.text(max_size=9).map("http://{}:1".format), st.none(), st.integers()),
    model=st.one_of(st.text(max_size=9), st.none()),
    timeout=st.one_of(st.floats(), st.integers(), st.none()),
    version=st.one_of(st.none(), st.integers()),
)
def test_arguments(address: Any, model: Any, timeout: Any, version: Any) -> None:
    outcome(lambda: Client(address, model, timeout, version=version).close())
