"""Find the baseline: the model that a new one must not be worse than."""

from __future__ import annotations

import posixpath
from typing import Any

import tensorflow as tf
from tfx import types
from tfx.dsl.components.common import resolver
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from components.release.served_folder import versions

_MODEL_ID = "current_model_id"  # names in a ModelBlessing of TFX's Evaluator
_BLESSED = "blessed"


class LatestOtherBlessedModel(resolver.ResolverStrategy):
    """The latest blessed model that is not the candidate.

    TFX's LatestBlessedModelStrategy does not know the candidate: on a second run of an unchanged task it returns the
    model from the cache, so that the Evaluator compares a model with itself and the Pusher pushes it again.
    """

    def resolve_artifacts(
        self, store: Any, input_dict: dict[str, list[types.Artifact]]
    ) -> dict[str, list[types.Artifact]]:
        """Choose from all artifacts under `model` and `model_blessing`; `candidate` is the evaluated model."""
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
    """Return a Resolver node whose output `model` is the baseline, or empty on the first run."""
    return resolver.Resolver(
        strategy_class=LatestOtherBlessedModel,
        model=types.Channel(type=standard_artifacts.Model),
        model_blessing=types.Channel(type=standard_artifacts.ModelBlessing),
        candidate=candidate,
    ).with_id("Baseline")


def saved_model(uri: str) -> str | None:
    """Return the folder of the SavedModel at a URI of an Importer; None if there is no model yet.

    Args:
      uri: A Trainer's `model` artifact, one version of a served model, or the folder that servers watch, whose newest
        version counts.
    """
    newest = [str(number) for number in versions(uri)[-1:]]
    for folder in (path_utils.serving_model_dir(uri), uri, *(posixpath.join(uri, name) for name in newest)):
        if tf.io.gfile.exists(posixpath.join(folder, "saved_model.pb")):
            return folder
    return None
