"""Run the task from Python: `python run.py DIR [EPOCHS]`."""

from __future__ import annotations

import sys

from flowers import TASK

import skewless


def main(data: str, epochs: int = TASK.train.epochs) -> None:
    """Train, evaluate, prove and push the task, and print the status of the run and the pushed version."""
    record = skewless.run(TASK, data=data, settings={"train.epochs": epochs})
    print(record.status, record.pushed)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
