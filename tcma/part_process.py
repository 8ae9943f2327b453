"""One part of the service as a child process of the supervisor: begun, heard, awaited, begun again, ended."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto

import psutil

from tcma.parts import READY_FD, SUPERVISOR_PID

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
# A part that worked this long is given the shortest delay again.
STEADY_SECONDS = 60.0

Say = Callable[[str], None]
Print = Callable[[str, str], None]


class PartState(Enum):
    """Where a part is in its life."""

    IDLE = auto()
    STARTING = auto()
    READY = auto()
    WAITING = auto()
    ENDED = auto()


class PartProcess:
    """`tcma <arguments>` as a child in a process group of its own, its output handed on line by line.

    `probe` says whether the part answers; without one the part says so itself (`parts.say_ready`). Call
    `watch` often: it notices that the part is ready, or ended and due to begin again (never if `once`).
    Children must be begun by the main thread: they are told of the end of the thread that began them.
    """

    def __init__(
        self,
        name: str,
        arguments: list[str],
        *,
        say: Say,
        print_line: Print,
        probe: Callable[[], bool] | None = None,
        once: bool = False,
        limit_seconds: float = 90,
        end_seconds: float = 25,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.probe = probe
        self.once = once
        self.limit_seconds = limit_seconds
        self.end_seconds = end_seconds
        self.environment = dict(environment or {})
        self.state = PartState.IDLE
        self.exit_code: int | None = None
        self.failed_starts = 0
        self._say = say
        self._print = print_line
        self._process: subprocess.Popen[bytes] | None = None
        self._ready_pipe: int | None = None
        self._reader: threading.Thread | None = None
        self._begun_at = 0.0
        self._delay = FIRST_DELAY
        self._again_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_ready(self) -> bool:
        return self.state is PartState.READY

    def begin(self) -> None:
        """Start the process; `watch` tells when it is ready."""
        ready, tell = os.pipe()
        os.set_blocking(ready, False)
        environment = {
            **os.environ, **self.environment, "PYTHONUNBUFFERED": "1",
            READY_FD: str(tell), SUPERVISOR_PID: str(os.getpid()),
        }  # fmt: skip
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tcma.cli", *self.arguments], env=environment, pass_fds=(tell,),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends the parts in order
            )  # fmt: skip
        finally:
            os.close(tell)
        self._close_ready_pipe()
        self._ready_pipe = ready
        self._begun_at = time.monotonic()
        self.state = PartState.STARTING
        self.exit_code = None
        self._reader = threading.Thread(target=self._hand_on, args=(self._process,), daemon=True)
        self._reader.start()

    def watch(self) -> None:
        """Take note of what happened since the last call."""
        if self.state is PartState.WAITING and time.monotonic() >= self._again_at:
            self.begin()
        if self.state in (PartState.STARTING, PartState.READY) and self._process:
            code = self._process.poll()
            if code is not None:
                self._ended(code)
            elif self.state is PartState.STARTING:
                self._look_whether_ready()

    def ask_to_end(self) -> None:
        """Ask the part to finish what it does and to end."""
        self.state = PartState.ENDED
        if self._process and self._process.poll() is None:
            self._process.terminate()

    def end(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """Ask the part to end, then make it; its whole process group is gone afterwards."""
        if self.state is not PartState.ENDED:
            self.ask_to_end()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            until = time.monotonic() + self.end_seconds
            while process.poll() is None and time.monotonic() < until and not hurry():
                time.sleep(0.02)
            if process.poll() is None:
                self._say(f"{self.name} did not end in time and is killed.")
        self._end_group(process)
        self._close_ready_pipe()

    def _look_whether_ready(self) -> None:
        if self.probe() if self.probe else self._said_ready():
            self.state = PartState.READY
            self._close_ready_pipe()
        elif time.monotonic() - self._begun_at > self.limit_seconds and self._process:
            self._say(f"{self.name} was not ready after {self.limit_seconds:.0f} seconds.")
            self._end_group(self._process)

    def _said_ready(self) -> bool:
        if self._ready_pipe is None:
            return False
        with suppress(BlockingIOError):
            return bool(os.read(self._ready_pipe, 16))
        return False

    def _ended(self, code: int) -> None:
        process = self._process
        assert process is not None
        self.exit_code = code
        self._end_group(process)
        if self.once:
            self.state = PartState.ENDED
            return
        if self.state is PartState.STARTING:
            self.failed_starts += 1
        if time.monotonic() - self._begun_at > STEADY_SECONDS:
            self._delay = FIRST_DELAY
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        self._say(f"{self.name} {how}. It is started again in {self._delay:.0f} s.")
        self.state = PartState.WAITING
        self._again_at = time.monotonic() + self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of the part's process group, and hand on its last words."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if self._reader:
            self._reader.join(timeout=2)

    def _hand_on(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                if text := line.decode(errors="replace").rstrip():
                    self._print(self.name, text)

    def _close_ready_pipe(self) -> None:
        if self._ready_pipe is not None:
            os.close(self._ready_pipe)
            self._ready_pipe = None


def http_answers(host: str, port: int, path: str) -> bool:
    """Whether GET `path` is answered with 200 within two seconds."""
    connection = http.client.HTTPConnection(reachable_host(host), port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable_host(host: str) -> str:
    """Where a server on this machine that listens on `host` can be reached."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - names of all


def end_leftover(pid: int, started_at: float) -> bool:
    """End a part that outlived its supervisor, with its group; False if it is gone already.

    `started_at` guards against a process id that belongs to someone else by now.
    """
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started_at) > 1:
            return False
        process.terminate()
        process.wait(timeout=10)
    except psutil.NoSuchProcess:
        return False
    except psutil.TimeoutExpired:
        process.kill()
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return True
