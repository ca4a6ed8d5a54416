"""What the server's process imports: TensorFlow without Keras and the packages that Keras loads."""

from __future__ import annotations

import subprocess
import sys

from tests import PROJECT

SPARED = {"keras", "tf_keras", "h5py", "googleapiclient", "matplotlib", "pandas", "sklearn", "IPython"}
IMPORT = """
import sys
from serving.server.light_import import import_tensorflow
import_tensorflow({arguments})
import serving.server.serve
import tensorflow as tf
assert tf.io.gfile.exists("/")
"""


def _run_python(code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, text=True, timeout=120).stdout


def test_no_packages_of_training() -> None:
    """Fails when a new TensorFlow imports one of them in another way: the server still starts, but takes longer."""
    code = IMPORT.format(arguments="") + f"print(sorted({SPARED!r} & set(sys.modules)))\n"
    code += "print(tf.keras.activations.relu([-1.0]).numpy().tolist())"  # a later import works
    assert _run_python(code).splitlines() == ["[]", "[0.0]"]


def test_tensorflow_that_needs_a_package() -> None:
    """Without `wrapt`, which it needs, TensorFlow is imported again, with it."""
    code = IMPORT.format(arguments="['wrapt']") + "print('wrapt' in sys.modules)"
    assert _run_python(code).splitlines() == ["True"]
