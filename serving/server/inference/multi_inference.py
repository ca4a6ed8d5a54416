"""MultiInference: several signatures that read the same tf.Examples, answered with one run of the graph."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from tensorflow_serving.apis import inference_pb2, input_pb2

from serving import signatures
from serving.server.inference import examples
from serving.server.rpc_error import Fault, invalid_argument
from serving.server.saved_model.servable import Servable


def multi_inference(
    model: Servable,
    tasks: Sequence[inference_pb2.InferenceTask],
    request_input: input_pb2.Input,
    timeout: float | None,
    check_method: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Answer each task, in order, from one run that computes the outputs of all tasks.

    Args:
      model: model to run.
      tasks: classifications and regressions; all must name the same model, each another signature.
      request_input: tf.Examples that every task reads.
      timeout: time limit of the run in seconds; None is no limit.
      check_method: refuse a signature whose method_name is not the task's.

    Returns:
      The response; each result's model_spec has the task's model name and signature, but no version.

    Raises:
      Fault: INVALID_ARGUMENT for a task that fails a check; UNIMPLEMENTED for a task that neither classifies nor
        regresses.
    """
    feeds, fetches = set(), set()
    seen: set[str] = set()
    for task in tasks:
        feed, task_fetches = _task_tensors(model, task, tasks[0].model_spec.name, seen, check_method)
        feeds.add(feed)
        fetches.update(task_fetches)
    rows = examples.serialized_examples(request_input)
    ordered = sorted(fetches)
    outputs = dict(zip(ordered, model.run(dict.fromkeys(sorted(feeds), rows), ordered, timeout), strict=True))
    response = inference_pb2.MultiInferenceResponse()
    for task in tasks:
        result = response.results.add()
        signature = model.signatures[_signature_name(task)]
        if task.method_name == examples.CLASSIFY:
            result.classification_result.CopyFrom(examples.classification_result(model, signature, outputs, len(rows)))
        else:
            result.regression_result.CopyFrom(examples.regression_result(model, signature, outputs, len(rows)))
        result.model_spec.name = task.model_spec.name
        result.model_spec.signature_name = _signature_name(task)
    return response


def _task_tensors(
    model: Servable, task: inference_pb2.InferenceTask, name: str, seen: set[str], check_method: bool
) -> tuple[str, list[str]]:
    """Return the tensor that a task feeds and those it fetches; add its signature to `seen`."""
    if not task.model_spec.name:
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if task.model_spec.name != name:
        raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
    key = _signature_name(task)
    if key in seen:
        raise invalid_argument(f"Duplicate evaluation of signature: {key}")
    seen.add(key)
    if key not in model.signatures:
        raise invalid_argument(f"Requested signature not found in model graph: {key}")
    if task.method_name == examples.CLASSIFY:
        return examples.classify_tensors(model.signatures[key], check_method)
    if task.method_name == examples.REGRESS:
        return examples.regress_tensors(model.signatures[key], check_method)
    raise Fault(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")


def _signature_name(task: inference_pb2.InferenceTask) -> str:
    return task.model_spec.signature_name or signatures.DEFAULT
