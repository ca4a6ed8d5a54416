"""`python -m skewless` and the command `skewless`."""

from __future__ import annotations

import skewless as skewless  # before anything of the user's can take the name of one of its packages


def main() -> None:
    """Run the command line."""
    from pipeline.cli import main as run_cli

    run_cli()


if __name__ == "__main__":
    main()
