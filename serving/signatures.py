"""Names of an exported model's signatures, and of the tensors that they take and return."""

from __future__ import annotations

DEFAULT = "serving_default"
"""Takes the bare feature: encoded images or numbers. A call that names no signature gets this one."""
EXAMPLES = "serving_examples"
"""Takes serialized tf.Examples: Classify, Regress and the Evaluator call it."""
TRANSFORM = "transform_features"
"""Takes serialized tf.Examples and returns the transformed features, the label included."""

IMAGES = "image_bytes"
CLASSES, SCORES = "classes", "scores"  # outputs of a classification
THRESHOLDS = "thresholds"  # further output of `DEFAULT` with several labels: a name applies from this score on
OUTPUTS = "outputs"  # output of a regression
