"""Reading hostile files where they can do no harm: in a child process with little time and memory.

Pictures and PDF from strangers go through large parsers, some of them in C. `limited` runs such a reading in
a fresh interpreter without environment (so without credentials), which the kernel stops when it takes too
much. It starts no thread and forks no Python code, so it is safe in a threaded server and in a Celery worker,
where multiprocessing is not: that re-imports the parent's main module and refuses to run below a daemon.
A start costs 0.05 to 0.3 seconds of processor time. Call it outside a transaction.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, TypeVar, cast

from tcma.errors import Invalid, RateLimited

R = TypeVar("R")

log = logging.getLogger(__name__)

# A burst of uploads waits its turn here instead of filling the machine's memory.
_turns = BoundedSemaphore(max(2, os.cpu_count() or 2))
TURN_SECONDS = 60
MAX_RESULT_BYTES = 256 * 1024 * 1024

# What an interpreter built with shared libraries needs to start at all.
_KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")

# The package is entered without its __init__, which would load the whole application into every child.
_BOOT = (
    "import sys, types; package = types.ModuleType('tcma'); package.__path__ = [sys.argv[1]]; "
    "sys.modules['tcma'] = package; sys.path[:] = sys.argv[2:]; "
    "from tcma.limits import _serve; _serve()"
)


def limited(fn: Callable[..., R], *args: object, seconds: int = 20, memory_mb: int = 1024) -> R:
    """`fn(*args)` in a child process; `fn` must be a module's function, its result plain data.

    Plain are None, bool, int, float, str, bytes and tuples, lists, dicts and sets of them: the answer comes
    from a process that a file may have taken over, so nothing else is accepted from it.
    `seconds` are of processor time (three times as many by the clock), `memory_mb` is address space.
    Raises Invalid as `fn` raised it, or one of its own when `fn` took too much, crashed or failed otherwise;
    RateLimited when too many readings wait already; RuntimeError when the child cannot even begin.
    """
    name = f"{fn.__module__}:{fn.__qualname__}"
    request = pickle.dumps((name, args, seconds, memory_mb), protocol=5)
    if not _turns.acquire(timeout=TURN_SECONDS):
        raise RateLimited("Many files are being read just now. Please try again in a minute.", retry_after=60)
    try:
        answer, code, complaint = _run(request, seconds=seconds)
    finally:
        _turns.release()
    if code == -signal.SIGXCPU:
        raise Invalid(_too_long(seconds))
    if code > 0:
        raise RuntimeError(f"The reader of files cannot start: {complaint}")
    verdict, value = _load(answer) if code == 0 else ("crashed", cast(Any, f"signal {-code}: {complaint}"))
    if verdict == "done":
        return cast(R, value)
    if verdict == "invalid":
        raise Invalid(value)
    if verdict == "memory":
        raise Invalid(
            f"This file needs more than {memory_mb} MB of memory to read. Make it smaller or simpler, and upload that."
        )
    log.warning("reading a file by %s failed: %s", name, value)
    raise Invalid("This file cannot be read. It may be damaged. Save or export it again, and upload that.")


def _run(request: bytes, *, seconds: int) -> tuple[bytes, int, str]:
    """The child's answer, exit code and complaint; raises Invalid when the clock ran out."""
    command = [sys.executable, "-I", "-S", "-B", "-c", _BOOT, str(Path(__file__).parent)]
    command += [path or os.getcwd() for path in sys.path]
    # The answer goes to a file, for the kernel caps a file's size (RLIMIT_FSIZE) but not a pipe's.
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen(  # noqa: S603 - our own interpreter and code
            command,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.PIPE,
            env={name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
            cwd="/",
            start_new_session=True,
        ) as child,
    ):
        try:
            _, complaint = child.communicate(request, timeout=seconds * 3)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise Invalid(_too_long(seconds)) from None
        out.seek(0)
        return out.read(), child.returncode, complaint[-2000:].decode(errors="replace")


def _too_long(seconds: int) -> str:
    return (
        f"This file takes more than {seconds} seconds to read. It may be damaged, or hold far too much "
        "detail. Export it again with less, and upload that."
    )


class _PlainUnpickler(pickle.Unpickler):
    """Reads plain data only: no class and no function can be named, so nothing can be run by reading."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is not plain data")


def _load(answer: bytes) -> tuple[str, Any]:
    try:
        verdict, value = _PlainUnpickler(io.BytesIO(answer)).load()
    except Exception as error:  # a broken pickle can raise nearly anything, and all of it means the same
        return "crashed", f"unreadable answer: {error!r}"
    return str(verdict), value


def _serve() -> None:
    """In the child: read one request from standard input, answer on standard output, and end."""
    name, args, seconds, memory_mb = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own parent
    _cap(resource.RLIMIT_CORE, 0)
    _cap(resource.RLIMIT_NOFILE, 64)
    _cap(resource.RLIMIT_CPU, seconds)
    _cap(resource.RLIMIT_FSIZE, MAX_RESULT_BYTES)
    _cap(resource.RLIMIT_AS, memory_mb * 1024 * 1024)
    os.nice(5)
    module, _, attribute = name.partition(":")
    sys.stdout.buffer.write(_answer(getattr(import_module(module), attribute), args))
    sys.stdout.buffer.flush()
    os._exit(0)  # an interpreter that shuts down may still trip over what a parser left behind


def _cap(which: int, value: int) -> None:
    # The soft limit of CPU comes first, so that the signal tells time from other deaths.
    hard = value + 2 if which == resource.RLIMIT_CPU else value
    with contextlib.suppress(ValueError):  # a container may have set a lower one already
        resource.setrlimit(which, (value, hard))


def _answer(fn: Callable[..., object], args: tuple[object, ...]) -> bytes:
    try:
        return pickle.dumps(("done", fn(*args)), protocol=5)
    except Invalid as error:
        return pickle.dumps(("invalid", error.fields))
    except MemoryError:
        return pickle.dumps(("memory", None))
    except Exception:  # whatever a parser raises on garbage is, to people, the file's fault
        return pickle.dumps(("failed", traceback.format_exc()))
