"""The client: what a user calls."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from data.errors import ServingError, UsageError
from data.spec import VECTOR
from serving.client.address import Tls, parse
from serving.client.batches import Limit, batches, in_order
from serving.client.calls import Caller, connect
from serving.client.errors import START, InvalidPicture, InvalidRequest, ServerFailure, Unavailable
from serving.client.pictures import Picture, picture, pictures_of
from serving.client.results import Prediction, VersionStatus
from serving.client.rows import Example, examples_of, numbers_of, to_the_fault
from serving.client.tensor import STRING, Tensor, numbers, strings, tensor_of
from serving.client.transport import MAX_MESSAGE_BYTES, Model
from serving.signatures import CLASSES, DEFAULT, EXAMPLES, IMAGES, OUTPUTS, SCORES

POLL_S = 0.2
_LONGEST_S = 1e6  # more than the system's clocks take; eleven days
BATCH_BYTES = 8 * 2**20
"""Of pictures in one request, so that several at once stay small beside the memory of either side."""


class Client:
    """Asks one model of one server; safe to share between threads.

    Every method raises a `ServingError` of `serving.client.errors` where the server gives no answer or refuses.
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
    ) -> None:
        """Connects with the first request, not here.

        Args:
          address: `host:port`, `grpc://host:port` or `unix:path` for gRPC; `http://host:port` for REST; `grpcs://` and
            `https://` for TLS.
          model: its name on the server.
          timeout: seconds for each request, its retries included.
          version: the version to ask; the newest by default.
          label: the version to ask by its label instead.
          tls: True or `Tls(...)` for TLS at a `host:port`; `Tls(...)` for a CA or a certificate of your own.
          retries: of a request while the server is UNAVAILABLE.
          max_batch: rows in one request; falls by itself where the server tells a lower limit.
          max_message_bytes: of a request or an answer.

        Raises:
          UsageError: an argument is not legal.
        """
        if version is not None and label is not None:
            raise UsageError("a version and a label were given", hint="One of them says which version to ask.")
        counts = {"retries": retries, "max_batch": max_batch, "max_message_bytes": max_message_bytes}
        texts = {"address": address, "model": model, "label": label or ""}
        if not all(isinstance(text, str) and text.isprintable() for text in texts.values()):
            raise UsageError(f"not legal: {texts}", hint="Give text in one line.")
        is_time = isinstance(timeout, (int, float)) and 0 < timeout <= _LONGEST_S
        is_version = version is None or isinstance(version, int) and 0 <= version < 2**63
        if (
            not is_time
            or not is_version
            or any(not isinstance(count, int) or count < (name != "retries") for name, count in counts.items())
        ):
            given = ", ".join(
                f"{name} {one}" for name, one in {"timeout": timeout, "version": version, **counts}.items()
            )
            raise UsageError(f"out of range: {given}", hint="Legal: above 0; retries and version may be 0.")
        self.address = address
        self.model = model
        self.timeout = timeout
        self._limit = Limit(max_batch)
        self._max_bytes = max_message_bytes
        self._batch_bytes = min(BATCH_BYTES, max_message_bytes // 2)  # base64 and names need room, too
        transport = connect(parse(address, bool(tls)), tls if isinstance(tls, Tls) else Tls(), max_message_bytes)
        self._caller = Caller(transport, address, Model(model, version, label), timeout, retries)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; the client is of no use after it."""
        self._caller.close()

    def predict_images(self, images: Any) -> list[Prediction]:
        """Class scores of pictures, in their order; of one picture, a list of one.

        Args:
          images: paths, encoded files (JPEG, PNG, GIF or BMP) as bytes, files that are open for bytes, PIL images, or
            uint8 arrays [H, W] or [H, W, 3], mixed as you like; one of these alone; or an array [N, H, W, C] or
            [N, H, W]. An array of three dimensions is one picture where the last is 1, 3 or 4, else N grey ones.
            Bytes are a file's content, never its name.

        Raises:
          InvalidPicture: the first picture that is not valid.
          InvalidRequest: no pictures at all, such as None or a mapping.
        """
        answers = []
        for answer in self.predict_each(images):
            if isinstance(answer, InvalidPicture):
                raise answer
            answers.append(answer)
        return answers

    def predict_each(self, images: Any, in_flight: int = 4) -> Iterator[Prediction | InvalidPicture]:
        """The same for any number of pictures: read, sent and answered as they come, in bounded memory, in order.

        A picture that is not valid is answered with its error, and those beside it are answered all the same.

        Args:
          images: as in `predict_images`; taken from as they are needed.
          in_flight: requests at once.

        Raises:
          UsageError: less than one.
        """
        if in_flight < 1:
            raise UsageError(f"out of range: in_flight {in_flight}", hint="Legal: at least 1.")
        given = pictures_of(images)
        return self._each((picture(one, number, self._max_bytes) for number, one in enumerate(given)), in_flight)

    def _each(self, pictures: Iterator[Picture], in_flight: int) -> Iterator[Prediction | InvalidPicture]:
        groups = batches(pictures, lambda one: len(one.content), self._limit.rows, self._batch_bytes)
        for answers in in_order(self._answers, groups, in_flight):
            yield from answers

    def predict_numbers(self, rows: Any) -> list[float]:
        """The model's number for each row of features.

        Args:
          rows: [N, size], or [N] where a row is one number: lists, or an array; sent as float32.
        """
        listed = numbers_of(rows)
        is_flat = len(listed) > 1 and not any(isinstance(row, (list, tuple)) for row in listed)

        def ask(part: Sequence[Any]) -> list[float]:
            given = tensor_of([row if isinstance(row, (list, tuple)) else [row] for row in part])
            inputs = {VECTOR: numbers("float32", given.shape, given.values())}
            outputs = self._caller.predict(DEFAULT, inputs, (OUTPUTS,))
            return list(self._named(outputs, OUTPUTS)[0].values())

        try:
            return self._limit.asked(ask, listed)
        except InvalidRequest as error:
            if is_flat:
                error.hint = "Each number of a flat list is a row; one row of several is [[1.0, 2.0]]."
            raise

    def predict(
        self, inputs: Mapping[str, Any], signature: str = DEFAULT, outputs: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Any signature: named tensors in, named tensors out, in one request.

        Args:
          inputs: by name: nested lists, arrays, or a `Tensor` for a dtype that lists do not tell.
          signature: its name.
          outputs: the names of those wanted; all by default.
        """
        if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
            raise InvalidRequest(
                f"inputs have no names in a {type(inputs).__name__}", hint="Give {'image_bytes': [...]}, by name."
            )
        wanted = (outputs,) if isinstance(outputs, str) else tuple(outputs)
        return self._caller.predict(signature, {name: tensor_of(value) for name, value in inputs.items()}, wanted)

    def classify(self, rows: Any, signature: str = EXAMPLES) -> list[Prediction]:
        """Class scores by the Classify call, which takes tf.Examples.

        Args:
          rows: pictures as in `predict_images`, or mappings of feature names to values: numbers, strings, bytes or
            lists of one kind of them; or one of these alone.
          signature: one with the single input `inputs`.

        Raises:
          InvalidPicture: the first row that is refused for what it holds.
        """

        def ask(part: Sequence[Example]) -> list[Prediction]:
            found = self._caller.classify(signature, [one.features for one in part], again=len(part) == 1)
            return [Prediction({name or str(at): score for at, (name, score) in enumerate(row)}) for row in found]

        def ask_all(part: Sequence[Example]) -> list[Prediction | InvalidPicture]:
            return to_the_fault(ask, part)

        answers = self._limit.asked(ask_all, examples_of(rows))
        for answer in answers:
            if isinstance(answer, InvalidPicture):
                raise answer
        return [answer for answer in answers if isinstance(answer, Prediction)]

    def regress(self, rows: Any, signature: str = EXAMPLES) -> list[float]:
        """A number for each row by the Regress call, which takes tf.Examples.

        Args:
          rows: lists of features, or mappings as in `classify`, or one mapping alone.
          signature: one with the single input `inputs`.
        """

        def ask(part: Sequence[Example]) -> list[float]:
            return self._caller.regress(signature, [one.features for one in part])

        return self._limit.asked(ask, examples_of(rows))

    def status(self) -> list[VersionStatus]:
        """The model's versions, newest first; unloaded and failed ones too. One only where this client asks one."""
        return self._caller.status()

    def wait_until_available(self, timeout: float) -> None:
        """Returns as soon as a version of the model answers, or the very version that this client asks.

        Args:
          timeout: seconds.

        Raises:
          Unavailable: none did in that time; tells the last thing that was wrong.
        """
        end = time.monotonic() + timeout
        while True:
            try:
                seen = self._caller.status_once(max(end - time.monotonic(), POLL_S))
                if any(version.state == "AVAILABLE" for version in seen):
                    return
                last = ServingError(f"no version is available: {', '.join(map(str, seen))}", hint=START)
            except ServingError as error:
                last = error
            if time.monotonic() + POLL_S > end:
                text = f"model '{self.model}' at {self.address} did not become available in {timeout:g} s: {last}"
                raise Unavailable(text, hint=last.hint)
            time.sleep(POLL_S)

    def _answers(self, pictures: Sequence[Picture]) -> list[Prediction | InvalidPicture]:
        """Of pictures, some of which may have failed before they were sent."""
        sent = [one for one in pictures if one.error is None]
        answered = iter(self._limit.asked(lambda part: to_the_fault(self._scores, part), sent))
        return [one.error or next(answered) for one in pictures]

    def _scores(self, pictures: Sequence[Picture]) -> list[Prediction]:
        inputs = {IMAGES: strings([one.content for one in pictures])}
        outputs = self._caller.predict(DEFAULT, inputs, pictures=True, again=len(pictures) == 1)
        classes, scores = self._named(outputs, CLASSES, SCORES)
        if classes.dtype != STRING or classes.shape != scores.shape or len(scores.shape) != 2 or 0 in scores.shape:
            told = f"classes {classes.dtype} {list(classes.shape)} and scores {scores.dtype} {list(scores.shape)}"
            raise ServerFailure(f"model '{self.model}' at {self.address} answers {told}", hint="Both must be [N, C].")
        return [
            Prediction({name.decode(errors="backslashreplace"): score for name, score in zip(*row, strict=True)})
            for row in zip(classes.tolist(), scores.tolist(), strict=True)
        ]

    def _named(self, outputs: Mapping[str, Tensor], *names: str) -> list[Tensor]:
        if not set(names) <= set(outputs):
            answered, wanted = ", ".join(sorted(outputs)), " and ".join(names)
            raise ServerFailure(
                f"model '{self.model}' at {self.address} answers {answered}, not {wanted}",
                hint="predict_images is for tasks that classify pictures, predict_numbers for those of numbers.",
            )
        return [outputs[name] for name in names]
