"""Where this machine keeps its journals, and how it is named in `deliveries.worker`."""

from __future__ import annotations

import socket
from pathlib import Path

from tcma.config import kept_secret, settings


def journal_folder() -> Path:
    return settings().data_dir / "journals"


def host_name() -> str:
    """This machine's host name with a mark of its journal folder, so that two data folders are two hosts."""
    mark = kept_secret(journal_folder() / "host.id")[:8].decode()
    plain = "".join(char if char.isalnum() or char == "-" else "-" for char in socket.gethostname())[:24]
    return f"{plain.strip('-') or 'host'}-{mark}"


def spool_folder() -> Path:
    return settings().data_dir / "spool"
