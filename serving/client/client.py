"""The client. The way of a call: `Client.predict`, `Client._call`, `RetryPolicy.call`, the transport, its library."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from data.errors import ServingError, UsageError
from data.spec import VECTOR
from serving.client.address import Tls, parse_address
from serving.client.batches import BatchLimit, group_into_batches, map_ordered
from serving.client.errors import (
    START,
    InvalidPicture,
    InvalidRequest,
    RequestContext,
    ServerFailure,
    TransportError,
    Unavailable,
    to_serving_error,
)
from serving.client.pictures import LoadedPicture, list_pictures, load_picture
from serving.client.results import Prediction, VersionStatus
from serving.client.retry import RetryPolicy
from serving.client.rows import Example, isolate_invalid, to_examples, to_number_rows
from serving.client.tensor import STRING, Tensor, number_tensor, string_tensor, to_tensor
from serving.client.transport import MAX_MESSAGE_BYTES, ModelSpec, Transport
from serving.signatures import CLASSES, DEFAULT, EXAMPLES, IMAGES, OUTPUTS, SCORES, THRESHOLDS

POLL_S = 0.2
BATCH_BYTES = 8 * 2**20
"""Maximum size of the pictures in one request. Several requests at once then need little memory on either side."""
_MAX_TIMEOUT_S = 1e6  # eleven days; clocks of the system overflow above
Answer = TypeVar("Answer")


class Client:
    """A client of one model on one server; threads may share it.

    Every method raises a `ServingError` of `serving.client.errors` if the server refuses the request or does not
    answer.
    """

    def __init__(
        self,
        address: str,
        model: str,
        timeout: float = 30.0,
        *,
        version: int | None = None,
        label: str | None = None,
        tls: Tls | bool = False,
        retries: int = 3,
        max_batch: int = 128,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        transport: Transport | None = None,
    ) -> None:
        """Check the arguments; the first request opens the connection.

        Args:
          address: `host:port`, `grpc://host:port` or `unix:path` for gRPC; `http://host:port` for REST; `grpcs://` and
            `https://` for TLS.
          model: Name of the model on the server.
          timeout: Seconds for each request, including its retries.
          version: Version of the model; the newest by default.
          label: Label of the version; excludes `version`.
          tls: True or `Tls(...)` to use TLS with a `host:port`; `Tls(...)` for a CA or a certificate of your own.
          retries: Maximum number of retries of a request if the server is UNAVAILABLE.
          max_batch: Maximum number of rows in one request. Falls to the server's limit if that is lower.
          max_message_bytes: Maximum size of a request and of an answer.
          transport: What sends the requests instead of gRPC or REST, such as a `MockTransport` in tests. `address` then
            only appears in error messages, and `tls` is ignored. `close` closes it.

        Raises:
          UsageError: If an argument is out of range.
        """
        _check_texts(address=address, model=model, label=label or "")
        if version is not None and label is not None:
            raise UsageError("both a version and a label are given", hint="Give only one of them.")
        _check_ranges(timeout, version, retries, max_batch, max_message_bytes)
        self.address = address
        self.model = model
        self.timeout = timeout
        self._spec = ModelSpec(model, version, label)
        self._retry = RetryPolicy(timeout, retries)
        self._limit = BatchLimit(max_batch)
        self._max_bytes = max_message_bytes
        self._batch_bytes = min(BATCH_BYTES, max_message_bytes // 2)  # base64 and names add to the size
        self._transport = transport or _connect(address, tls, max_message_bytes)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and end the requests in progress. The client cannot be used afterwards."""
        self._transport.close()

    def predict_images(self, images: Any) -> list[Prediction]:
        """Return the class scores of pictures, in their order; for one picture, a list of one.

        If the model gives several labels to a picture, the answers have thresholds, and `Prediction.labels` are the
        labels that reach them.

        Args:
          images: Paths, encoded files (JPEG, PNG, GIF or BMP) as bytes, files that are open for bytes, PIL images, or
            uint8 arrays [H, W] or [H, W, 3], in any mixture; or one of these; or an array [N, H, W, C] or [N, H, W].
            An array of three dimensions is one picture if the last is 1, 3 or 4, otherwise N grey pictures. Bytes are
            the content of a file, never its name.

        Raises:
          InvalidPicture: For the first picture that is not valid.
          InvalidRequest: If `images` holds no pictures at all, such as None or a mapping.
        """
        answers = []
        for answer in self.predict_each(images):
            if isinstance(answer, InvalidPicture):
                raise answer
            answers.append(answer)
        return answers

    def predict_each(self, images: Any, in_flight: int = 4) -> Iterator[Prediction | InvalidPicture]:
        """Yield the class scores of any number of pictures, in their order and in bounded memory.

        A picture that is not valid yields its error, and the others are answered all the same.

        Args:
          images: As for `predict_images`; an iterator is read only as far as necessary.
          in_flight: Number of requests at once, at least 1.

        Raises:
          UsageError: If `in_flight` is less than 1.
        """
        if in_flight < 1:
            raise UsageError(f"out of range: in_flight {in_flight}", hint="Legal: at least 1.")
        given = list_pictures(images)
        return self._predict_batches(
            (load_picture(one, at, self._max_bytes) for at, one in enumerate(given)), in_flight
        )

    def _predict_batches(
        self, pictures: Iterator[LoadedPicture], in_flight: int
    ) -> Iterator[Prediction | InvalidPicture]:
        batches = group_into_batches(pictures, lambda one: len(one.content), self._limit.rows, self._batch_bytes)
        for answers in map_ordered(self._predict_batch, batches, in_flight):
            yield from answers

    def _predict_batch(self, pictures: Sequence[LoadedPicture]) -> list[Prediction | InvalidPicture]:
        """Answer each picture; those that could not be read keep their error."""
        valid = [one for one in pictures if one.error is None]
        answers = iter(self._limit.split(lambda part: isolate_invalid(self._predict_valid, part), valid))
        return [one.error or next(answers) for one in pictures]

    def _predict_valid(self, pictures: Sequence[LoadedPicture]) -> list[Prediction]:
        inputs = {IMAGES: string_tensor([one.content for one in pictures])}
        outputs = self._call(
            lambda seconds: self._transport.predict(self._spec, DEFAULT, inputs, (), seconds),
            confirm=len(pictures) == 1,
            has_pictures=True,
        )
        classes, scores = self._select(outputs, CLASSES, SCORES)
        if classes.dtype != STRING or classes.shape != scores.shape or len(scores.shape) != 2 or 0 in scores.shape:
            found = f"classes {classes.dtype} {list(classes.shape)} and scores {scores.dtype} {list(scores.shape)}"
            raise ServerFailure(
                f"model '{self.model}' at {self.address} returns {found}",
                hint="Both must be [N, C], and classes must be strings.",
            )
        rows = [[name.decode(errors="backslashreplace") for name in row] for row in classes.tolist()]
        thresholds = self._thresholds(outputs, scores.shape) or [[]] * len(rows)
        return [
            Prediction(dict(zip(names, values, strict=True)), dict(zip(names, limits, strict=False)))
            for names, values, limits in zip(rows, scores.tolist(), thresholds, strict=True)
        ]

    def _thresholds(self, outputs: Mapping[str, Tensor], shape: tuple[int, ...]) -> list[list[float]]:
        """Return the thresholds of each picture's labels; empty for a model without thresholds."""
        found = outputs.get(THRESHOLDS)
        if found is None:
            return []
        if found.dtype == STRING or found.shape != shape:
            raise ServerFailure(
                f"model '{self.model}' at {self.address} returns thresholds {found.dtype} {list(found.shape)}",
                hint=f"They must be numbers in the shape of the scores, {list(shape)}.",
            )
        thresholds: list[list[float]] = found.tolist()
        return thresholds

    def predict_numbers(self, rows: Any) -> list[float]:
        """Return the model's number for each row of features.

        Args:
          rows: [N, size], or [N] if each row is one number: lists, or an array; sent as float32.
        """
        listed = to_number_rows(rows)
        is_flat = len(listed) > 1 and not any(isinstance(row, (list, tuple)) for row in listed)

        def predict_part(part: Sequence[Any]) -> list[float]:
            tensor = to_tensor([row if isinstance(row, (list, tuple)) else [row] for row in part])
            features = number_tensor("float32", tensor.shape, tensor.values())
            outputs = self.predict({VECTOR: features}, outputs=(OUTPUTS,))
            return list(self._select(outputs, OUTPUTS)[0].values())

        try:
            return self._limit.split(predict_part, listed)
        except InvalidRequest as error:
            if is_flat:
                error.hint = "Each number of a flat list is a row. Write one row of several numbers as [[1.0, 2.0]]."
            raise

    def predict(
        self, inputs: Mapping[str, Any], signature: str = DEFAULT, outputs: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Call any signature in one request: named tensors in, named tensors out.

        Args:
          inputs: Nested lists or arrays by name, or a `Tensor` for a dtype that lists cannot express.
          signature: Name of the signature.
          outputs: Names of the outputs to return; all by default.
        """
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            raise InvalidRequest(
                f"the inputs are not a mapping from names to values: {type(inputs).__name__}",
                hint="Pass {'image_bytes': [...]}.",
            )
        tensors = {name: to_tensor(value) for name, value in inputs.items()}
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        return self._call(lambda seconds: self._transport.predict(self._spec, signature, tensors, names, seconds))

    def classify(self, rows: Any, signature: str = EXAMPLES) -> list[Prediction]:
        """Return class scores with the Classify method, which takes tf.Examples.

        The method returns no thresholds, so `Prediction.labels` is the best class alone. For models that give several
        labels to a picture, use `predict_images`.

        Args:
          rows: Pictures as for `predict_images`, or mappings of feature names to values: numbers, strings, bytes or
            lists of one of these types; or one picture or mapping.
          signature: A signature with the single input `inputs`.

        Raises:
          InvalidPicture: For the first row that is rejected because of its content.
        """

        def classify_part(part: Sequence[Example]) -> list[Prediction]:
            examples = [one.features for one in part]
            found = self._call(
                lambda seconds: self._transport.classify(self._spec, signature, examples, seconds),
                confirm=len(part) == 1,
                has_pictures=True,
            )
            return [Prediction({name or str(at): score for at, (name, score) in enumerate(row)}) for row in found]

        def classify_each(part: Sequence[Example]) -> list[Prediction | InvalidPicture]:
            return isolate_invalid(classify_part, part)

        answers = self._limit.split(classify_each, to_examples(rows))
        for answer in answers:
            if isinstance(answer, InvalidPicture):
                raise answer
        return [answer for answer in answers if isinstance(answer, Prediction)]

    def regress(self, rows: Any, signature: str = EXAMPLES) -> list[float]:
        """Return a number for each row with the Regress method, which takes tf.Examples.

        Args:
          rows: Lists of features, or mappings as for `classify`, or one mapping.
          signature: A signature with the single input `inputs`.
        """

        def regress_part(part: Sequence[Example]) -> list[float]:
            examples = [one.features for one in part]
            return self._call(lambda seconds: self._transport.regress(self._spec, signature, examples, seconds))

        return self._limit.split(regress_part, to_examples(rows))

    def status(self) -> list[VersionStatus]:
        """Return the model's versions, newest first, including unloaded and failed ones.

        If the client was made for one version, only that one is returned.
        """
        return self._status(self._retry)

    def wait_until_available(self, timeout: float) -> None:
        """Wait until a version of the model is available, or the version that the client was made for.

        Args:
          timeout: Seconds.

        Raises:
          Unavailable: If none is available in time; names the last problem.
        """
        end = time.monotonic() + timeout
        while True:
            seconds = min(max(end - time.monotonic(), POLL_S), self.timeout)
            try:
                versions = self._status(RetryPolicy(seconds, retries=0))
                if any(version.state == "AVAILABLE" for version in versions):
                    return
                last = ServingError(f"no version is available: {', '.join(map(str, versions))}", hint=START)
            except ServingError as error:
                last = error
            if time.monotonic() + POLL_S > end:
                text = f"model '{self.model}' at {self.address} did not become available in {timeout:g} s: {last}"
                raise Unavailable(text, hint=last.hint)
            time.sleep(POLL_S)

    def _status(self, retry: RetryPolicy) -> list[VersionStatus]:
        found = self._call(lambda seconds: self._transport.status(self._spec, seconds), retry, confirm=False)
        return sorted(found, key=lambda version: -version.version)

    def _call(
        self,
        send: Callable[[float], Answer],
        retry: RetryPolicy | None = None,
        *,
        confirm: bool = True,
        has_pictures: bool = False,
    ) -> Answer:
        """Send a request with retries, and translate the transport's error.

        Args:
          send: Sends the request once, within the given seconds.
          retry: Timeout and retries; those of the client by default.
          confirm: Whether a refusal of the rows counts only if it comes again.
          has_pictures: Whether a picture of the request may be the reason of a refusal.
        """
        retry = retry or self._retry
        try:
            return retry.call(send, confirm)
        except TransportError as error:
            context = RequestContext(self.address, self.model, retry.timeout, has_pictures)
            raise to_serving_error(error, context) from error

    def _select(self, outputs: Mapping[str, Tensor], *names: str) -> list[Tensor]:
        if not set(names) <= set(outputs):
            found, expected = ", ".join(sorted(outputs)), " and ".join(names)
            raise ServerFailure(
                f"model '{self.model}' at {self.address} returns {found}, not {expected}",
                hint="Use predict_images for models that classify pictures, predict_numbers for those with numbers.",
            )
        return [outputs[name] for name in names]


def _check_texts(**texts: Any) -> None:
    if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
        raise UsageError(f"not text on one line: {texts}", hint="address, model and label must be printable strings.")


def _check_ranges(timeout: Any, version: Any, retries: Any, max_batch: Any, max_message_bytes: Any) -> None:
    lowest = {"retries": 0, "max_batch": 1, "max_message_bytes": 1}
    counts = {"retries": retries, "max_batch": max_batch, "max_message_bytes": max_message_bytes}
    is_time = isinstance(timeout, (int, float)) and 0 < timeout <= _MAX_TIMEOUT_S
    is_version = version is None or isinstance(version, int) and 0 <= version < 2**63
    are_counts = all(isinstance(count, int) and count >= lowest[name] for name, count in counts.items())
    if not (is_time and is_version and are_counts):
        given = ", ".join(f"{name} {one}" for name, one in {"timeout": timeout, "version": version, **counts}.items())
        raise UsageError(f"out of range: {given}", hint="Legal: above 0; retries and version may be 0.")


def _connect(address: str, tls: Tls | bool, max_message_bytes: int) -> Transport:
    """Return the transport for an address. Only its own library is imported."""
    parsed = parse_address(address, bool(tls))
    files = tls if isinstance(tls, Tls) else Tls()
    if parsed.is_rest:
        from serving.client.rest_transport import RestTransport

        return RestTransport(parsed, files, max_message_bytes)
    from serving.client.grpc_transport import GrpcTransport

    return GrpcTransport(parsed, files, max_message_bytes)
