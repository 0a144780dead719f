"""Kills the process when it writes a file of a chosen kind.

`crash.py` copies this file as `sitecustomize.py` into a folder on the path of
a run, so that all processes of the run load it.

`CRASH_KIND` names the kind, and `CRASH_MOMENT` the moment: `begun` when the
file is there and empty, or `written` when it has its content, but not yet its
name.
"""

import os
import re
import signal
import sys

PARTIAL = re.compile(r"partial-[0-9a-f]{32}(?:-(.+))?")
_NAMES = ("config.json", "results.json", "data.json", "weights.csv")
_SUFFIXES = {".png": "figures", ".npz": "predictions", ".keras": "models"}


def kind_of(name: str) -> str:
    """Returns the kind of a file or folder of a run, by its name."""
    if name in (*_NAMES, "report.html"):
        return name
    if name.isdigit():
        return "export"
    return _SUFFIXES.get(os.path.splitext(name)[1], "")


def being_written(event: str, arguments: tuple) -> tuple[str, str]:
    """Returns the kind and the moment that an audit event shows, if any."""
    if event == "os.rename":
        source, destination = map(os.fsdecode, arguments[:2])
        if PARTIAL.fullmatch(os.path.basename(source)):
            return kind_of(os.path.basename(destination)), "written"
    elif event == "open" and "w" in (arguments[1] or ""):
        for part in str(arguments[0]).split(os.sep):
            partial = PARTIAL.fullmatch(part)
            if partial:  # without a name, it is the folder of an export
                return kind_of(partial[1] or "1"), "begun"
    return "", ""


def _kill(event: str, arguments: tuple) -> None:
    chosen = os.environ["CRASH_KIND"], os.environ["CRASH_MOMENT"]
    if being_written(event, arguments) == chosen:
        os.kill(os.getpid(), signal.SIGKILL)


if os.environ.get("CRASH_KIND"):
    sys.addaudithook(_kill)
