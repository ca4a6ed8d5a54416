"""`skewless new` on real photographs, and the run of what it writes; skipped if the data are not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.conftest import Skewless

pytestmark = pytest.mark.slow


def test_few_photographs_give_a_model_worth_serving(shared_data: Path, skewless: Skewless, tmp_path: Path) -> None:
    """Pretrained weights from a file, both phases with fewer epochs than written; half of the classes are smaller."""
    (weights,) = (shared_data / "keras-weights").glob("*.h5")
    for folder in (shared_data / "flowers").iterdir():
        if folder.is_dir():
            (tmp_path / "photos" / folder.name).mkdir(parents=True)
            pictures = sorted(folder.glob("*.jpg"))
            for path in pictures if folder.name < "r" else pictures[:20]:
                (tmp_path / "photos" / folder.name / path.name).symlink_to(path)
    told = skewless("new", "blossoms", "--data", "photos", "--weights", str(weights), cwd=tmp_path)
    assert told.status == 0, told.err
    assert f"MobileNetV2 0.35 with pretrained weights, from the file {weights}" in told.out
    assert "the class sizes differ a lot" in told.out

    values = ["train.epochs=3", "train.fine_tune.epochs=1", "gate.pictures=8", "feature.height=96", "feature.width=96"]
    settings = [part for value in values for part in ("--set", value)]
    outcome = skewless("run", "blossoms", *settings, root=tmp_path / "root", task="blossoms", cwd=tmp_path)
    assert outcome.status == 0, outcome.err
    assert outcome.record["status"] == "pushed"
    assert [phase["epoch"] for phase in outcome.record["training"]["phases"]] == [1, 4]
    overall = outcome.record["evaluation"]["slices"]["overall"]
    assert overall["balanced_accuracy"] >= 0.5  # 0.2 by chance; at 224 pixels 0.8
