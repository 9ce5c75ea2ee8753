"""The gate in front of every script: goes on under a new enough Python, finds one, or says in one line what to do.

Kept readable for any Python 3, and for Python 2, since those are what it has to turn away.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)
CANDIDATES = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "python")


def new_enough(command):
    """Whether a command is a Python that can run the project; a shim that leads nowhere is none."""
    probe = "import sys; sys.exit(sys.version_info < %r)" % (OLDEST,)
    with open(os.devnull, "w") as nowhere:
        try:
            return subprocess.call([command, "-c", probe], stdout=nowhere, stderr=nowhere) == 0
        except OSError:
            return False


def ensure():
    """Returns under Python 3.11 or newer; else starts the same script again with one from the PATH, or exits."""
    if sys.version_info >= OLDEST:
        return
    for command in CANDIDATES:
        if not new_enough(command):
            continue
        sys.stdout.flush()
        if os.name == "nt":  # exec there returns to the shell at once
            sys.exit(subprocess.call([command] + sys.argv))
        os.execvp(command, [command] + sys.argv)
    sys.exit(
        "nbagora needs Python %d.%d or newer, and this is %s: get one from https://www.python.org/downloads/ "
        "and put it on the PATH" % (OLDEST + (sys.version.split()[0],))
    )
