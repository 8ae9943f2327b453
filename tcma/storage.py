"""Files outside the database: a folder on this machine or a bucket of S3, behind one promise.

A file is whole or absent: no reader ever sees half of one, also when the writer is killed. Keys are made by
our code (mostly by `content_key`), never by people, and name the same file in a folder and in a bucket.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

import boto3
import botocore.exceptions
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from tcma.config import settings

MAX_KEY = 512
SPOOL_BYTES = 8 * 1024 * 1024
CHUNK_BYTES = 256 * 1024
# S3 refuses presigned addresses that live longer (AWS Signature Version 4, X-Amz-Expires).
MAX_URL_LIFE = timedelta(days=7)
# A segment starts with a letter or digit, so neither "." nor ".." nor our own ".tmp" can be one.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*\Z")
_PREFIX = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,199}(/[A-Za-z0-9][A-Za-z0-9._-]{0,199})*/?)?\Z")


class StorageError(Exception):
    """The store cannot do what was asked; the message tells the operator what to mend."""


class FileMissing(StorageError):
    """There is no file under this key."""


class InvalidKey(StorageError, ValueError):
    """Not a key: our own code built it wrongly."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What `put` wrote: `size` in bytes, `sha256` as 64 hex digits of the content."""

    key: str
    size: int
    sha256: str


class Storage(Protocol):
    """The contract of every store; all methods raise StorageError when the store itself fails."""

    def put(self, key: str, data: bytes | BinaryIO, *, content_type: str) -> Stored:
        """Write the whole of `data` under `key`, replacing what was there; all or nothing."""

    def open(self, key: str) -> BinaryIO:
        """A readable, seekable binary file at its start, for the caller to close; raises FileMissing."""

    def read(self, key: str) -> bytes:
        """The whole content; raises FileMissing."""

    def exists(self, key: str) -> bool:
        """Whether a file is there now."""

    def delete(self, key: str) -> None:
        """Remove the file; an absent one is no error, so that a repeated clean-up succeeds."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """All keys that begin with `prefix` (a plain string prefix), in ascending order."""

    def url(self, key: str, *, expires: timedelta, download_name: str) -> str | None:
        """An address that downloads the file for the time `expires`, or None where the app must serve it."""


def content_key(prefix: str, sha256: str, suffix: str) -> str:
    """The key of content by its hash, as `assets/ab/ab12….png`: the middle keeps folders small."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise InvalidKey(f"{sha256!r} is not a SHA-256 in 64 lower-case hex digits.")
    return checked_key(f"{prefix}/{sha256[:2]}/{sha256}{suffix}")


def checked_key(key: str) -> str:
    """`key` itself when it is safe in a folder and in a bucket; raises InvalidKey."""
    if len(key) > MAX_KEY or not _KEY.match(key):
        raise InvalidKey(
            f"{key[:80]!r} is not a storage key. Use up to {MAX_KEY} letters, digits, '.', '_', '-', "
            "in segments parted by '/', each beginning with a letter or digit."
        )
    return key


def storage() -> Storage:
    """The store that TCMA_STORAGE_URL names, one object a process."""
    # Keyed by process as well: a forked worker must not share the parent's connections.
    return _storage_of_process(settings().files_url, os.getpid())


@lru_cache(maxsize=4)
def _storage_of_process(url: str, pid: int) -> Storage:
    return storage_from_url(url)


def storage_from_url(url: str) -> Storage:
    """The store named by `file:///folder` or `s3://bucket/prefix?endpoint=http://…&region=…`.

    Raises StorageError for anything else. Credentials never stand in the address: S3 takes them from the
    usual chain of AWS (environment, profile, role).
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.strip("/"):
        return FolderStorage(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        query = parse_qs(parts.query)
        unknown = sorted(set(query) - {"endpoint", "region"})
        if unknown or "@" in parts.netloc:
            raise StorageError(
                f"TCMA_STORAGE_URL may hold endpoint and region, not {', '.join(unknown) or 'credentials'}. "
                "Credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from a role."
            )
        return S3Storage(
            parts.netloc,
            prefix=unquote(parts.path).strip("/"),
            endpoint=query.get("endpoint", [None])[0],
            region=query.get("region", [None])[0],
        )
    raise StorageError(
        f"TCMA_STORAGE_URL is {url!r}. Write file:///a/folder, or s3://bucket/prefix?endpoint=https://…&region=…"
    )


def probe(store: Storage) -> None:
    """Write, read and delete one small file, so that set-up fails early and clearly; raises StorageError."""
    key = f"probe/{os.getpid()}-{os.urandom(6).hex()}"
    content = os.urandom(32)
    try:
        store.put(key, content, content_type="application/octet-stream")
        if store.read(key) != content:
            raise StorageError("The store gave back other bytes than were written. Check the disk or bucket.")
    finally:
        store.delete(key)


class FolderStorage:
    """Files below one folder of this machine, readable by this user alone (folders 0700, files 0600).

    A key and a longer key through it (`a` and `a/b`) cannot both be files here, though they can in a bucket.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, key: str, data: bytes | BinaryIO, *, content_type: str) -> Stored:
        path = self._path(key)
        with _folder_errors(path):
            drafts = self.root / ".tmp"
            _make_private(drafts, above=self.root)
            _make_private(path.parent, above=self.root)
            handle, draft = tempfile.mkstemp(dir=drafts)  # mkstemp makes it 0600
            try:
                with os.fdopen(handle, "wb") as file:
                    size, digest = _copy(data, file)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(draft, path)
            except BaseException:
                Path(draft).unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)
        return Stored(key, size, digest)

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        with _folder_errors(path):
            try:
                return path.open("rb")
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                raise FileMissing(f"There is no file {key!r} in {self.root}.") from error

    def read(self, key: str) -> bytes:
        with self.open(key) as file, _folder_errors(self._path(key)):
            return file.read()

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _folder_errors(path):
            try:
                path.unlink(missing_ok=True)
            except NotADirectoryError:
                return  # a parent is a file, so this key was never there

    def list(self, prefix: str = "") -> Iterator[str]:
        checked = _checked_prefix(prefix)
        start = self.root / checked.rpartition("/")[0]
        found: list[str] = []
        with _folder_errors(start):
            for folder, _folders, names in os.walk(start):
                place = Path(folder).relative_to(self.root)
                if place.parts[:1] == (".tmp",):
                    continue
                found.extend((place / name).as_posix() for name in names)
        yield from sorted(key for key in found if key.startswith(checked))

    def url(self, key: str, *, expires: timedelta, download_name: str) -> str | None:
        checked_key(key)
        return None

    def _path(self, key: str) -> Path:
        return self.root / checked_key(key)


class S3Storage:
    """Files in a bucket of AWS or of any service with the same API; the client is safe under threads."""

    def __init__(
        self, bucket: str, *, prefix: str = "", endpoint: str | None = None, region: str | None = None
    ) -> None:
        self.bucket = bucket
        self.endpoint = endpoint
        self.prefix = f"{checked_key(prefix)}/" if prefix else ""
        config = Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "max_attempts": 4},
            signature_version="s3v4",
            s3={"addressing_style": "path" if endpoint else "auto"},
            # Other makers' S3 refuse the newer checksum trailers of AWS.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            # A session of our own: the default one is shared by the process and not safe under threads.
            self._client: Any = boto3.session.Session().client(
                "s3", endpoint_url=endpoint, region_name=region, config=config
            )
        except (botocore.exceptions.BotoCoreError, ValueError) as error:
            raise StorageError(f"TCMA_STORAGE_URL cannot be used: {error}") from error

    def put(self, key: str, data: bytes | BinaryIO, *, content_type: str) -> Stored:
        name = self._name(key)
        with tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool, self._errors(key):
            size, digest = _copy(data, cast(BinaryIO, spool))
            spool.seek(0)
            self._client.upload_fileobj(
                spool,
                self.bucket,
                name,
                ExtraArgs={"ContentType": content_type},
                Config=TransferConfig(multipart_threshold=SPOOL_BYTES, use_threads=False),
            )
        return Stored(key, size, digest)

    def open(self, key: str) -> BinaryIO:
        name = self._name(key)
        spool = cast(BinaryIO, tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES))  # noqa: SIM115 - the caller's
        try:
            with self._errors(key):
                body = self._client.get_object(Bucket=self.bucket, Key=name)["Body"]
                for chunk in body.iter_chunks(CHUNK_BYTES):
                    spool.write(chunk)
        except BaseException:
            spool.close()
            raise
        spool.seek(0)
        return spool

    def read(self, key: str) -> bytes:
        with self.open(key) as file:
            return file.read()

    def exists(self, key: str) -> bool:
        name = self._name(key)
        try:
            with self._errors(key):
                self._client.head_object(Bucket=self.bucket, Key=name)
        except FileMissing:
            return False
        return True

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._errors(key):
            self._client.delete_object(Bucket=self.bucket, Key=name)

    def list(self, prefix: str = "") -> Iterator[str]:
        wanted = self.prefix + _checked_prefix(prefix)
        with self._errors(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=wanted)
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self.prefix)

    def url(self, key: str, *, expires: timedelta, download_name: str) -> str | None:
        name = self._name(key)
        seconds = int(min(expires, MAX_URL_LIFE).total_seconds())
        disposition = f"attachment; filename*=UTF-8''{quote(download_name, safe='')}"  # RFC 6266 §4.3
        with self._errors(key):
            return str(
                self._client.generate_presigned_url(
                    "get_object",
                    Params={"Bucket": self.bucket, "Key": name, "ResponseContentDisposition": disposition},
                    ExpiresIn=seconds,
                )
            )

    def _name(self, key: str) -> str:
        return self.prefix + checked_key(key)

    @contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        place = f"bucket {self.bucket!r}" + (f" at {self.endpoint}" if self.endpoint else "")
        try:
            yield
        except botocore.exceptions.NoCredentialsError as error:
            raise StorageError(
                "No S3 credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this "
                "machine a role that may read and write the bucket."
            ) from error
        except (botocore.exceptions.ClientError, boto3.exceptions.S3UploadFailedError) as error:
            _raise_refusal(error, key=key, place=place)
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.HTTPClientError) as error:
            raise StorageError(
                f"The {place} does not answer. Check TCMA_STORAGE_URL and the network. ({error})"
            ) from error


def _raise_refusal(error: Exception, *, key: str, place: str) -> NoReturn:
    """Raise the StorageError for an answer of S3 that is an error; boto3 wraps those of uploads once more."""
    cause = error if isinstance(error, botocore.exceptions.ClientError) else error.__context__
    code = cause.response["Error"]["Code"] if isinstance(cause, botocore.exceptions.ClientError) else ""
    if code in ("NoSuchKey", "404", "NotFound"):
        raise FileMissing(f"There is no file {key!r} in the {place}.") from error
    if code == "NoSuchBucket":
        raise StorageError(f"The {place} does not exist. Create it, or correct TCMA_STORAGE_URL.") from error
    if code in ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch"):
        raise StorageError(
            f"The {place} refused these credentials. They must allow GetObject, PutObject, DeleteObject and "
            "ListBucket there."
        ) from error
    raise StorageError(f"The {place} refused to work on {key!r}: {error}") from error


def _checked_prefix(prefix: str) -> str:
    if len(prefix) > MAX_KEY or not _PREFIX.match(prefix):
        raise InvalidKey(f"{prefix[:80]!r} is not the beginning of a storage key.")
    return prefix


def _copy(data: bytes | BinaryIO, target: BinaryIO) -> tuple[int, str]:
    """Copy from `data` as it stands to `target`; the number of bytes and their SHA-256 in hex."""
    source = BytesIO(data) if isinstance(data, bytes) else data
    digest, size = hashlib.sha256(), 0
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        size += target.write(chunk)
    return size, digest.hexdigest()


def _make_private(folder: Path, *, above: Path) -> None:
    """Make `folder` and its parents from `above` on, each 0700 (mkdir gives parents the umask's mode)."""
    missing = [folder, *folder.parents]
    for place in reversed(missing[: missing.index(above) + 1]):
        place.mkdir(mode=0o700, parents=place == above, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself durable; without it a power cut may lose the name though not the bytes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _folder_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = {
            errno.ENOSPC: "The disk is full. Free some space.",
            errno.EDQUOT: "The quota of this user is used up. Free some space.",
            errno.EROFS: "The disk is mounted read-only.",
            errno.EACCES: "This user may not use it. Correct its owner or choose another folder.",
            errno.ENOTDIR: "A part of the path is a file.",
            errno.EEXIST: "A part of the path is a file.",
            errno.EISDIR: "A folder has this name.",
        }.get(error.errno or 0, "Check the disk.")
        raise StorageError(f"{path} cannot be used: {error.strerror}. {advice}") from error
