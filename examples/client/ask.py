"""Ask a server about pictures: `python ask.py ADDRESS MODEL FILE...`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from skewless import Client, ServingError


def best_labels(client: Client, files: Sequence[str | bytes]) -> list[str]:
    """Return the best label of each picture with its score, such as "rose (0.93)"."""
    return [f"{answer.label} ({answer.score:.2f})" for answer in client.predict_images(files)]


def main(address: str, model: str, files: Sequence[str]) -> int:
    """Print the best label of each file; return the exit status."""
    with Client(address, model) as client:
        try:
            for file, label in zip(files, best_labels(client, files), strict=True):
                print(file, label)
        except ServingError as error:
            print(f"error: {error}\n{error.hint}".strip(), file=sys.stderr)
            return error.exit_code
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python ask.py ADDRESS MODEL FILE...")
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
