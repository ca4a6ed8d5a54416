"""Which model the new one must not be worse than."""

from __future__ import annotations

import posixpath
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.release.pusher import versions

_MODEL_ID = "current_model_id"  # names in a ModelBlessing of TFX's Evaluator
_BLESSED = "blessed"


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The latest blessed model that is not the candidate itself.

    TFX's LatestBlessedModelStrategy knows no candidate: on a second run of an unchanged task it gives the very model
    that comes from the cache, so the Evaluator compares a model with itself and the Pusher pushes it once more.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Input keys: `model` and `model_blessing`, all there are; `candidate`, the one under evaluation."""
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        blessings = {
            blessing.get_int_custom_property(_MODEL_ID): blessing
            for blessing in input_dict["model_blessing"]
            if blessing.get_int_custom_property(_BLESSED) == 1
        }
        for model in sorted(input_dict["model"], key=lambda artifact: artifact.id, reverse=True):
            if model.id in blessings and model.id not in candidates:
                return {**input_dict, "model": [model], "model_blessing": [blessings[model.id]]}
        return {**input_dict, "model": [], "model_blessing": []}


def baseline_resolver(candidate: types.Channel) -> resolver.Resolver:
    """A Resolver node whose output `model` is the baseline, or nothing on the first run."""
    return resolver.Resolver(
        strategy_class=LatestOtherBlessedModel,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        candidate=candidate,
    ).with_id("Baseline")


def saved_model(uri: str) -> str | None:
    """The SavedModel at a URI that an Importer was given.

    Args:
      uri: a Trainer's `model` artifact, one version of a served model, or the folder that servers watch, whose newest
        version counts.

    Returns:
      Its folder; None where there is no model yet.
    """
    newest = [str(number) for number in versions(uri)[-1:]]
    for folder in (path_utils.serving_model_dir(uri), uri, *(posixpath.join(uri, name) for name in newest)):
        if tf.io.gfile.exists(posixpath.join(folder, "saved_model.pb")):
            return folder
    return None
