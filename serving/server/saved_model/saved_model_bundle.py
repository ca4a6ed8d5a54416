"""One loaded SavedModel: a session and the signatures of its MetaGraph."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from serving.server.rpc_error import Fault, from_tensorflow, invalid
from serving.server.saved_model.tensors import Array

SERVE = ("serve",)
SAVED_MODEL = "saved_model.pb"
_FOREVER_S = 1e8  # gRPC's time that remains of a call without a deadline is near 1e19


class SavedModelBundle:
    """A SavedModel that answers; safe to call from several threads.

    A session and not `tf.saved_model.load`: TensorFlow Serving runs a session too, and only the session reports a
    fault as it does (`Expects arg[0] to be float but double is provided`), feeds any shape and runs only the
    outputs that were asked for.

    Attributes:
      signatures: SignatureDef by name, with the aliases' real tensor names.
    """

    def __init__(self, folder: str, tags: Sequence[str] = SERVE, config: Any = None) -> None:
        """Loads `folder`, restores its variables and runs its initialisers.

        Args:
          folder: of the SavedModel.
          tags: of the MetaGraph to load; it has these and no others.
          config: tf.compat.v1.ConfigProto of the session, such as its threads.

        Raises:
          Fault: no SavedModel, a broken one, or one without a MetaGraph of these tags.
        """
        _check(folder, tags)
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            with self._graph.as_default():
                loaded = tf.compat.v1.saved_model.load(self._session, list(tags), folder)
            self._session._extend_graph()
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except ValueError as error:  # the variables' files are not there
            raise Fault(grpc.StatusCode.NOT_FOUND, str(error)) from error
        self.signatures: dict[str, meta_graph_pb2.SignatureDef] = dict(loaded.signature_def)
        self._handles: dict[str, tuple[Any, tf.DType]] = {}

    def run(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None = None) -> list[Any]:
        """Runs the graph.

        Args:
          feeds: arrays by tensor name; strings as object arrays of bytes.
          fetches: tensor names.
          timeout: seconds; None waits for ever.

        Returns:
          One value for each fetch: an array, or a scalar's number or bytes.

        Raises:
          Fault: with the failed op's own code and text.
        """
        # `Session.run` would cast dtypes, refuse shapes and rewrite the texts; this is the call beneath it.
        outputs = [self._handle(name)[0] for name in fetches]
        inputs = {self._handle(name)[0]: feeds[name] for name in sorted(feeds)}
        try:
            with _Options(timeout) as options:
                return list(self._session._call_tf_sessionrun(options, inputs, outputs, [], None))
        except tf.errors.OpError as error:
            raise from_tensorflow(error) from error
        except UnicodeDecodeError as error:
            # A text that quotes the input, which is no text. Its code is lost on the way, but an op that tells its
            # input finds it invalid.
            raise invalid(error.object.decode("utf-8", "replace")) from error

    def dtype(self, tensor: str) -> tf.DType:
        """Of a tensor in the graph, by its name."""
        return self._handle(tensor)[1]

    def _handle(self, name: str) -> tuple[Any, tf.DType]:
        """What the C API calls a tensor, and its dtype; each is looked up once."""
        found = self._handles.get(name)
        if found is None:
            tensor = self._graph.get_tensor_by_name(name)
            found = self._handles[name] = (tensor._as_tf_output(), tensor.dtype)
        return found

    def close(self) -> None:
        """Frees the variables and tables. No run may be under way."""
        self._session.close()


def _check(folder: str, tags: Sequence[str]) -> None:
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


class _Options:
    """RunOptions in the C API's buffer, or none."""

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._buffer: Any = None

    def __enter__(self) -> Any:
        if self._timeout is not None and self._timeout < _FOREVER_S:
            options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, int(self._timeout * 1000)))
            self._buffer = _c_api().TF_NewBufferFromString(options.SerializeToString())
        return self._buffer

    def __exit__(self, *_: object) -> None:
        if self._buffer is not None:
            _c_api().TF_DeleteBuffer(self._buffer)


def _c_api() -> Any:
    from tensorflow.python.client import pywrap_tf_session

    return pywrap_tf_session
