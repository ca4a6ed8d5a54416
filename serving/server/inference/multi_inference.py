"""MultiInference: several signatures that read the same tf.Examples, answered by one run of the graph."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from tensorflow_serving.apis import inference_pb2, input_pb2

from serving.server.inference import examples
from serving.server.rpc_error import Fault, invalid
from serving.server.saved_model.servable import Servable
from serving.signatures import DEFAULT


def multi_inference(
    model: Servable,
    tasks: Sequence[inference_pb2.InferenceTask],
    sent: input_pb2.Input,
    timeout: float | None,
    check_method: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """One result for each task, in their order; all from one run over the union of their outputs.

    Returns:
      The response; each result's model_spec has the task's model name and signature, and no version.

    Raises:
      Fault: INVALID_ARGUMENT, or UNIMPLEMENTED for a task that neither classifies nor regresses.
    """
    feeds, fetches = set(), set()
    seen: set[str] = set()
    for task in tasks:
        feed, wanted = _tensors(model, task, tasks[0].model_spec.name, seen, check_method)
        feeds.add(feed)
        fetches.update(wanted)
    rows = examples.serialized_examples(sent)
    ordered = sorted(fetches)
    found = dict(zip(ordered, model.run(dict.fromkeys(sorted(feeds), rows), ordered, timeout), strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for task in tasks:
        result = response.results.add()
        signature = model.signatures[_key(task)]
        if task.method_name == examples.CLASSIFY:
            result.classification_result.CopyFrom(examples.classification_result(model, signature, found, len(rows)))
        else:
            result.regression_result.CopyFrom(examples.regression_result(model, signature, found, len(rows)))
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = _key(task)
    return response


def _tensors(
    model: Servable, task: inference_pb2.InferenceTask, name: str, seen: set[str], check_method: bool
) -> tuple[str, list[str]]:
    """The tensor that a task feeds and those that it fetches; adds its signature to `seen`."""
    if not task.model_spec.name:
        raise invalid("Found ModelSpec with an empty model name.")
    if task.model_spec.name != name:
        raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    key = _key(task)
    if key in seen:
        raise invalid(f"Duplicate evaluation of signature: {key}")
    seen.add(key)
    if key not in model.signatures:
        raise invalid(f"Requested signature not found in model graph: {key}")
    if task.method_name == examples.CLASSIFY:
        return examples.classify_tensors(model.signatures[key], check_method)
    if task.method_name == examples.REGRESS:
        return examples.regress_tensors(model.signatures[key], check_method)
    raise Fault(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")


def _key(task: inference_pb2.InferenceTask) -> str:
    return task.model_spec.signature_name or DEFAULT
