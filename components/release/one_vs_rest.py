"""TFMA's metrics of a score and a yes or no, for each of several classes or labels against the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.metrics.metric_types import registered_metrics

from components.release.score_metrics import ToRow, mean_of


class OneVsRest(tfma.metrics.Metric):
    """One of TFMA's metrics for some names, or the mean over all names for which it is defined.

    TFMA would do that for classes (`binarize`, `aggregate`), but by their place, which may be another one in the
    baseline, and not for several labels.
    """

    def __init__(
        self,
        metric: str = "AUC",
        arguments: Mapping[str, Any] | None = None,
        names: Sequence[str] = (),
        limited: Sequence[str] = (),
        name: str = "",
    ) -> None:
        """Create the metric; TFMA does it, from a configuration.

        Args:
          metric: Name of TFMA's class.
          arguments: Of this class.
          names: All classes or labels.
          limited: Those that have a limit; "": the mean over all names.
          name: Name of this metric.
        """
        super().__init__(
            _computations,
            metric=metric,
            arguments=dict(arguments or {}),
            names=list(names),
            limited=list(limited),
            name=name or metric,
        )


def _computations(
    metric: str,
    arguments: Mapping[str, Any],
    names: Sequence[str],
    limited: Sequence[str],
    name: str,
    model_names: Sequence[str] | None = None,
) -> list[Any]:
    """Return the computations of each model and name; TFMA passes the last argument."""
    found: list[Any] = []
    for model in model_names or [""]:
        for one in names if "" in limited else [one for one in names if one in limited]:
            # A private name: TFMA leaves it out of the results.
            inner = registered_metrics()[metric](**arguments, name=f"_{name}")
            for computation in inner.computations(model_names=[model], output_names=[one]):
                if isinstance(computation, tfma.metrics.MetricComputation):
                    preprocessors = [_OneName(names, one, model)]
                    computation = tfma.metrics.MetricComputation(computation.keys, preprocessors, computation.combiner)
                found.append(computation)
        found.append(_values(name, model, names, limited))
    return found


def _values(name: str, model: str, names: Sequence[str], limited: Sequence[str]) -> Any:
    """Return the computation that gives the private values and their mean the name of the metric."""
    private = tfma.metrics.MetricKey(f"_{name}", model)
    # Limits are `MetricsSpec.per_slice_thresholds`, which TFMA looks up without a choice of weights.
    public = {one: private._replace(name=name, output_name=one, example_weighted=None) for one in limited}

    def result(metrics: Mapping[tfma.metrics.MetricKey, Any]) -> dict[tfma.metrics.MetricKey, float]:
        def value_of(one: str) -> float:
            return float(metrics[private._replace(output_name=one)])

        return {
            key: value_of(one) if one else mean_of([value_of(every) for every in names]) for one, key in public.items()
        }

    return tfma.metrics.DerivedMetricComputation(list(public.values()), result)


class _OneName(ToRow):
    """Turns an example with the scores of all names into one with the score of one name, and whether it applies."""

    def __init__(self, names: Sequence[str], name: str, model: str) -> None:
        super().__init__(names, model)
        self._name = f"one_vs_rest:{model}:{name}"
        self._one, self._place, self._of = name, list(names).index(name), model

    def process(self, extracts: dict[str, Any]) -> Iterator[Any]:
        """Yield the inputs of a metric of a model with an output of this name."""
        ((scores, truth),) = super().process(extracts)
        prediction = {self._one: scores[self._place : self._place + 1]}
        label = {self._one: np.array([int(truth[self._place])])}
        yield tfma.metrics.StandardMetricInputs(
            labels=label, predictions={self._of: prediction} if self._of else prediction
        )
