"""The address of a tf.data service."""

from __future__ import annotations

import subprocess
import sys

import pytest

from data.errors import UsageError
from data.service_address import host_port
from tests import PROJECT


@pytest.mark.parametrize("address", ["localhost:5050", "grpc://localhost", "http://localhost:5050", "grpc://:5050"])
def test_other_addresses_are_rejected(address: str) -> None:
    with pytest.raises(UsageError, match="must be grpc://HOST:PORT, got"):
        host_port(address)


def test_host_and_port() -> None:
    assert host_port("grpc://trainer.local:5050") == "trainer.local:5050"


def test_settings_of_training_load_no_tensorflow() -> None:
    code = "import sys; import components.task.train_config; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
