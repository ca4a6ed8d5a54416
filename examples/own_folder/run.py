"""Run the task from Python: `python run.py DIR`."""

from __future__ import annotations

import sys

from flowers import TASK

import skewless


def main(data: str) -> None:
    """Train, evaluate, prove and push the task, and print the accuracy and the pushed version."""
    record = skewless.run(TASK, data=data, settings={"train.epochs": 2})
    print(record.status, record.pushed)


if __name__ == "__main__":
    main(sys.argv[1])
