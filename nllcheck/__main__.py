"""The entry point, `nllcheck` and `python -m nllcheck`: Ctrl-C is answered while the command line is imported, too."""

from __future__ import annotations

import os
import signal


def main() -> None:
    """Run the command line; see `nllcheck.cli.main` for the exit codes."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else it is ignored on purpose, as under nohup
        signal.signal(signal.SIGINT, _stop)
    from nllcheck.cli import main as command_line

    signal.signal(signal.SIGINT, before)
    command_line()


def _stop(number: int, frame: object) -> None:
    """Nothing has begun, and an import that is broken off may say anything: leave at once."""
    os.write(2, b"interrupted\n")
    os._exit(130)


if __name__ == "__main__":
    main()
