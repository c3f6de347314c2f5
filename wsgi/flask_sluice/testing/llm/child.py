"""Runs a command until it ends, or until standard input does: so a server ends with the program that has started it.

It is run by its path, with the command as its arguments, and imports nothing but the standard library.
"""

import os
import signal
import subprocess
import sys
import threading

_GRACE_SECONDS = 5


def main() -> int:
    """Return the command's exit code."""
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)  # noqa: S603 - what the test has given

    def end_with_input() -> None:
        # The pipe ends when the process at its other end does, however that happens.
        while os.read(0, 4096):
            pass
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    threading.Thread(target=end_with_input, daemon=True).start()
    # Ctrl-C in a terminal goes to all its processes: the one that reads it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
