"""Command line of the server: `python -m serving.server --port=8500 --model_name=NAME --model_base_path=DIR`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence

from data.silence import silent_imports
from serving.server import REFERENCE
from serving.server.config.flags import Flags, parse_flags, usage
from serving.server.light_import import import_tensorflow

FAILED = 255  # TensorFlow Serving's exit status for a server that cannot start
PROGRAM = "python -m serving.server"


def main(argv: Sequence[str]) -> int:
    """Run the server until SIGTERM or Ctrl-C.

    Returns:
      The exit status: 0, or 255 if the server cannot start.
    """
    try:
        flags, unknown = parse_flags(argv)
    except ValueError as error:
        print(f"{error}\n{usage(PROGRAM)}", end="", file=sys.stderr)
        return FAILED
    if unknown and not flags.version:
        print(f"unknown argument: {' '.join(unknown)}\n{usage(PROGRAM)}", end="", file=sys.stderr, flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    _configure_logs()
    return _print_version() if flags.version else _run_server(flags, stop)


def _configure_logs() -> None:
    """Log the server's own messages, and silence TensorFlow's."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    warnings.simplefilter("ignore")
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("serving").setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)


def _print_version() -> int:
    from importlib.metadata import version

    print(f"TensorFlow ModelServer: {REFERENCE}+skewless\nTensorFlow Library: {version('tensorflow')}")
    return 0


def _run_server(flags: Flags, stop: threading.Event) -> int:
    if not flags.model_base_path and not flags.model_config_file:
        text = "Both server_options.model_base_path and server_options.model_config_file are empty!"
        print(f"Failed to start server. Error: INVALID_ARGUMENT: {text}", file=sys.stderr)
        return FAILED
    # Importing TensorFlow takes seconds: do it now that the flags are read, the log is silent and signals are caught.
    with silent_imports():
        import_tensorflow()
        from serving.server.rpc_error import Fault
        from serving.server.serve import serve

    # Without this, each large REST request makes the garbage collector visit all of TensorFlow's objects, which takes
    # ten times as long as the request. Do it before any model is loaded: a frozen model is never freed.
    gc.collect()
    gc.freeze()
    try:
        serve(flags, stop)
    except Fault as fault:
        print(f"Failed to start server. Error: {fault}", file=sys.stderr)
        return FAILED
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # neither wait for a load under way nor tear down the interpreter around it
