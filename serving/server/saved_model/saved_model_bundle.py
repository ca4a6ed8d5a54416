"""One loaded SavedModel: a session and the signatures of its MetaGraph."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from serving.server.rpc_error import Fault, from_tensorflow, invalid_argument
from serving.server.saved_model.rewriting import rewrite_once
from serving.server.saved_model.tensors import Array

SERVE = ("serve",)
SAVED_MODEL = "saved_model.pb"
_NO_DEADLINE_S = 1e8  # a gRPC call without a deadline has about 1e19 s left
_ATTEMPTS = 3


class SavedModelBundle:
    """A SavedModel that answers requests; safe to call from several threads.

    It uses a session instead of `tf.saved_model.load`, because TensorFlow Serving uses one too. Only a session reports
    errors with the same texts (`Expects arg[0] to be float but double is provided`), accepts feeds of any shape and
    runs only the requested outputs.

    Attributes:
      signatures: SignatureDef by name, with the real tensor name of each alias.
    """

    def __init__(self, folder: str, tags: Sequence[str] = SERVE, config: Any = None) -> None:
        """Load a SavedModel, restore its variables and run its initialisers.

        Args:
          folder: folder of the SavedModel.
          tags: tags of the MetaGraph to load; the MetaGraph must have exactly these.
          config: tf.compat.v1.ConfigProto of the session, which sets the number of its threads, for example.

        Raises:
          Fault: If the folder has no SavedModel, a broken one, or one without a MetaGraph of these tags.
        """
        _check_meta_graph(folder, tags)
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=rewrite_once(config))
        try:
            with self._graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, list(tags), folder)
            self._session._extend_graph()
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except ValueError as error:  # the files of the variables are missing
            raise Fault(grpc.StatusCode.NOT_FOUND, str(error)) from error
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(meta_graph.signature_def)
        self._handles: dict[str, tuple[Any, tf.DType]] = {}

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """Run the graph.

        Args:
          feeds: arrays by tensor name; strings as object arrays of bytes.
          fetches: tensor names.
          timeout: time limit in seconds; None is no limit.

        Returns:
          One value for each fetch: an array; for a scalar a number or bytes.

        Raises:
          Fault: If an op fails, with the code and the text of its error.
        """
        # `Session.run` casts dtypes, refuses shapes and rewrites error texts, so call the function that it calls.
        outputs = [self._handle(name)[0] for name in fetches]
        inputs = {self._handle(name)[0]: feeds[name] for name in sorted(feeds)}
        try:
            return self._run_until_settled(inputs, outputs, timeout)
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except UnicodeDecodeError as error:
            # The error text quotes an input that is not UTF-8. Python loses the code of the error, but an op that
            # quotes its input reports it as invalid.
            raise invalid_argument(error.object.decode("utf-8", "replace")) from error

    def _run_until_settled(
        self, inputs: Mapping[Any, Array], outputs: Sequence[Any], timeout: float | None
    ) -> list[Any]:
        """Run the graph again if TensorFlow reports its own cancellation instead of the error that caused it.

        If an op inside a function fails, the executor cancels the rest of the graph. A loop outside the function that
        notices this first ends the run as CANCELLED, and the op's error is lost. Nothing else cancels a run: a deadline
        has its own code.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with _RunOptions(timeout) as options:
                    return list(self._session._call_tf_sessionrun(options, inputs, outputs, [], None))
            except tf.errors.CancelledError:
                if attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable")

    def dtype(self, tensor: str) -> tf.DType:
        """Return the dtype of a tensor in the graph, by the tensor's name."""
        return self._handle(tensor)[1]

    def _handle(self, name: str) -> tuple[Any, tf.DType]:
        """Return the C API's handle of a tensor, and its dtype; cached."""
        handle = self._handles.get(name)
        if handle is None:
            tensor = self._graph.get_tensor_by_name(name)
            handle = self._handles[name] = (tensor._as_tf_output(), tensor.dtype)
        return handle

    def close(self) -> None:
        """Free the variables and tables. No run may be under way."""
        self._session.close()


def _check_meta_graph(folder: str, tags: Sequence[str]) -> None:
    """Check that a folder has a SavedModel with a MetaGraph of exactly these tags."""
    path = posixpath.join(folder, SAVED_MODEL)
    if not tf.io.gfile.exists(path):
        raise Fault(
            grpc.StatusCode.NOT_FOUND,
            "Specified file path does not appear to contain a SavedModel bundle (should have a file called "
            f"`{SAVED_MODEL}`)\nSpecified file path: {folder}",
        )
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            graphs = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    except DecodeError as error:
        raise Fault(grpc.StatusCode.DATA_LOSS, f"Can't parse {path} as binary proto") from error
    if not any(set(graph.meta_info_def.tags) == set(tags) for graph in graphs):
        raise Fault(
            grpc.StatusCode.NOT_FOUND,
            f"Could not find meta graph def matching supplied tags: {{ {' '.join(tags)} }}. To inspect available "
            "tag-sets in the SavedModel, please use the SavedModel CLI: `saved_model_cli`",
        )


class _RunOptions:
    """RunOptions with a timeout, in a buffer of the C API; no buffer without a timeout."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._buffer: Any = None

    def __enter__(self) -> Any:
        if self._timeout is not None and self._timeout < _NO_DEADLINE_S:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(self._timeout * 1000)))
            self._buffer = _c_api().TF_NewBufferFromString(options.SerializeToString())
        return self._buffer

    def __exit__(self, *_: object) -> None:
        if self._buffer is not None:
            _c_api().TF_DeleteBuffer(self._buffer)


def _c_api() -> Any:
    from tensorflow.python.client import pywrap_tf_session

    return pywrap_tf_session
