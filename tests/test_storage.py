"""One contract for every store, run against a folder and S3 over real HTTP; then what is particular."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import stat
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tcma import config
from tcma.storage import (
    FileMissing,
    FolderStorage,
    InvalidKey,
    S3Storage,
    Storage,
    StorageError,
    checked_key,
    content_key,
    probe,
    storage,
    storage_from_url,
)

MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1").create_bucket(Bucket="files")
        yield endpoint
        server.stop()


class Contract:
    """What every room may rely on, whatever TCMA_STORAGE_URL says."""

    @pytest.fixture
    def store(self) -> Storage:
        raise AssertionError("each store's class gives its own")

    def test_what_was_put_is_read_back(self, store: Storage) -> None:
        content = os.urandom(1000)
        stored = store.put("kits/one.pdf", content, content_type="application/pdf")
        assert (stored.key, stored.size) == ("kits/one.pdf", 1000)
        assert stored.sha256 == hashlib.sha256(content).hexdigest()
        assert store.read("kits/one.pdf") == content
        assert store.exists("kits/one.pdf")

    def test_a_stream_is_put_from_where_it_stands_and_may_be_unseekable(self, store: Storage) -> None:
        class Pipe(io.RawIOBase):
            def __init__(self, content: bytes) -> None:
                self.rest = content

            def readable(self) -> bool:
                return True

            def read(self, size: int = -1) -> bytes:
                size = len(self.rest) if size < 0 else min(size, 1000)
                piece, self.rest = self.rest[:size], self.rest[size:]
                return piece

        content = os.urandom(9 * 1024 * 1024)  # beyond the size at which S3 takes it in parts
        stream: BinaryIO = Pipe(content)  # type: ignore[assignment]
        stored = store.put("big", stream, content_type="application/octet-stream")
        assert stored.size == len(content)
        assert store.read("big") == content
        seekable = io.BytesIO(b"skipped, kept")
        seekable.seek(9)
        store.put("rest", seekable, content_type="text/plain")
        assert store.read("rest") == b"kept"

    def test_an_opened_file_can_be_read_in_pieces_and_sought(self, store: Storage) -> None:
        store.put("a/b", b"0123456789", content_type="text/plain")
        with store.open("a/b") as file:
            assert file.read(4) == b"0123"
            file.seek(-2, os.SEEK_END)
            assert file.read() == b"89"

    def test_an_empty_file_is_a_file(self, store: Storage) -> None:
        assert store.put("empty", b"", content_type="text/plain").size == 0
        assert store.exists("empty")
        assert store.read("empty") == b""

    def test_put_replaces_what_was_there(self, store: Storage) -> None:
        store.put("x", b"old and longer", content_type="text/plain")
        store.put("x", b"new", content_type="text/plain")
        assert store.read("x") == b"new"

    def test_a_put_that_fails_half_way_leaves_what_was_there(self, store: Storage) -> None:
        class Broken(io.BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                if self.tell() > 0:
                    raise ConnectionResetError("the upload broke off")
                return super().read(10)

        store.put("kept/x", b"whole", content_type="text/plain")
        with pytest.raises((ConnectionResetError, StorageError)):
            store.put("kept/x", Broken(b"half of another content"), content_type="text/plain")
        assert store.read("kept/x") == b"whole"
        assert list(store.list("kept/")) == ["kept/x"]

    def test_an_absent_file_is_said_to_be_missing(self, store: Storage) -> None:
        for key in ("nothing", "no/such/folder"):
            assert not store.exists(key)
            with pytest.raises(FileMissing, match=key):
                store.read(key)
            with pytest.raises(FileMissing):
                store.open(key)

    def test_delete_removes_and_may_be_repeated(self, store: Storage) -> None:
        store.put("gone/x", b"1", content_type="text/plain")
        store.delete("gone/x")
        store.delete("gone/x")
        assert not store.exists("gone/x")
        assert list(store.list("gone")) == []

    def test_list_gives_all_keys_of_a_prefix_in_order(self, store: Storage) -> None:
        for key in ("l/b/2.png", "l/a", "l/b/1.png", "l/bc", "m/z"):
            store.put(key, b"1", content_type="text/plain")
        assert list(store.list("l/")) == ["l/a", "l/b/1.png", "l/b/2.png", "l/bc"]
        assert list(store.list("l/b")) == ["l/b/1.png", "l/b/2.png", "l/bc"]
        assert list(store.list("l/b/")) == ["l/b/1.png", "l/b/2.png"]
        assert list(store.list("nowhere/at")) == []
        assert {"l/a", "m/z"} <= set(store.list())

    @pytest.mark.parametrize(
        "key",
        ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "a/.", "./a", ".tmp/x", "a\\b", "a\0b", "a\n",
         "ä", "a b", "~root/x", "C:/x", "x" * 201, "a/" * 300 + "a"],
    )  # fmt: skip
    def test_a_key_that_could_leave_the_store_is_refused_everywhere(self, store: Storage, key: str) -> None:
        for act in (
            lambda: store.put(key, b"x", content_type="text/plain"),
            lambda: store.open(key),
            lambda: store.read(key),
            lambda: store.exists(key),
            lambda: store.delete(key),
            lambda: store.url(key, expires=MINUTE, download_name="x"),
        ):
            with pytest.raises(InvalidKey):
                act()

    @pytest.mark.parametrize("prefix", ["/", "..", "../", "a/../..", ".tmp", "a//", "/etc", "a" * 40 + "!"])
    def test_a_prefix_that_could_leave_the_store_is_refused(self, store: Storage, prefix: str) -> None:
        with pytest.raises(InvalidKey):
            list(store.list(prefix))

    def test_probe_passes_and_leaves_nothing(self, store: Storage) -> None:
        probe(store)
        assert list(store.list("probe")) == []


class TestFolder(Contract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Storage:
        return storage_from_url((tmp_path / "files").as_uri())

    def test_files_are_this_users_alone(self, store: Storage, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            store.put("a/b/c", b"1", content_type="text/plain")
        finally:
            os.umask(before)
        root = tmp_path / "files"
        modes = {path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
        assert modes == {".tmp": 0o700, "a": 0o700, "a/b": 0o700, "a/b/c": 0o600}
        assert stat.S_IMODE(root.stat().st_mode) == 0o700

    def test_the_app_serves_its_files_itself(self, store: Storage) -> None:
        assert store.url("a", expires=MINUTE, download_name="a.pdf") is None

    def test_a_draft_is_no_file(self, store: Storage, tmp_path: Path) -> None:
        store.put("a", b"1", content_type="text/plain")
        (tmp_path / "files" / ".tmp" / "left-by-a-killed-writer").write_bytes(b"half")
        assert list(store.list()) == ["a"]

    def test_a_name_with_spaces_and_percent_signs_is_the_folder_meant(self, tmp_path: Path) -> None:
        folder = tmp_path / "my 100% files"
        storage_from_url(folder.as_uri()).put("a", b"1", content_type="text/plain")
        assert (folder / "a").read_bytes() == b"1"

    def test_a_folder_that_cannot_be_used_says_what_to_mend(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StorageError, match="a file"):
            probe(FolderStorage(tmp_path / "file"))

    def test_a_write_that_the_system_refuses_leaves_no_draft(self, store: Storage, tmp_path: Path) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(StorageError, match="cannot be used"):
                store.put("a", b"x" * 5000, content_type="text/plain")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert [path for path in (tmp_path / "files").rglob("*") if path.is_file()] == []

    def test_a_killed_writer_leaves_what_was_there(self, store: Storage, tmp_path: Path) -> None:
        store.put("a", b"whole", content_type="text/plain")
        program = (
            "import sys, pathlib, tcma.storage as s\n"
            "class Half:\n"
            "    def read(self, size):\n"
            "        if getattr(self, 'begun', False): print('half', flush=True); sys.stdin.read()\n"
            "        self.begun = True; return b'x' * size\n"
            "s.FolderStorage(pathlib.Path(sys.argv[1])).put('a', Half(), content_type='text/plain')\n"
        )
        command = [sys.executable, "-c", program, str(tmp_path / "files")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"half\n"
            writer.kill()
        assert store.read("a") == b"whole"
        assert list(store.list()) == ["a"]


class TestS3(Contract):
    @pytest.fixture
    def store(self, s3_endpoint: str, request: pytest.FixtureRequest) -> Storage:
        # A prefix of its own keeps the tests apart in one bucket, and proves that prefixes work.
        prefix = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
        return storage_from_url(f"s3://files/{prefix}?endpoint={s3_endpoint}&region=us-east-1")

    def test_the_address_downloads_under_the_name_given(self, store: Storage) -> None:
        store.put("d/x.pdf", b"%PDF-1.7", content_type="application/pdf")
        address = store.url("d/x.pdf", expires=MINUTE, download_name='Prüf"\r\nX: 1.pdf')
        assert address is not None
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(address).query)
        assert query["X-Amz-Expires"] == ["60"]
        assert query["response-content-disposition"] == ["attachment; filename*=UTF-8''Pr%C3%BCf%22%0D%0AX%3A%201.pdf"]
        with urllib.request.urlopen(address) as answer:
            assert answer.read() == b"%PDF-1.7"
            assert answer.headers["Content-Type"] == "application/pdf"

    def test_an_address_never_outlives_what_s3_allows(self, store: Storage) -> None:
        address = store.url("d", expires=timedelta(days=30), download_name="d")
        assert address is not None
        assert f"X-Amz-Expires={7 * 24 * 3600}" in address

    def test_an_absent_bucket_says_what_to_mend(self, s3_endpoint: str) -> None:
        store = storage_from_url(f"s3://elsewhere?endpoint={s3_endpoint}&region=us-east-1")
        with pytest.raises(StorageError, match=r"bucket 'elsewhere' at .* does not exist\. Create it"):
            store.put("a", b"1", content_type="text/plain")
        with pytest.raises(StorageError, match="Create it"):
            list(store.list())

    def test_a_silent_endpoint_says_what_to_mend(self, s3_endpoint: str) -> None:
        store = S3Storage("files", endpoint="http://127.0.0.1:9", region="us-east-1")
        with pytest.raises(StorageError, match=r"does not answer\. Check TCMA_STORAGE_URL"):
            store.read("a")

    def test_absent_credentials_say_what_to_set(
        self, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
        store = S3Storage("files", endpoint=s3_endpoint, region="us-east-1")
        with pytest.raises(StorageError, match="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
            store.put("a", b"1", content_type="text/plain")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("ftp://host/x", "Write file:///a/folder"),
        ("/just/a/path", "Write file:///a/folder"),
        ("file:///", "Write file:///a/folder"),
        ("file://otherhost/x", "Write file:///a/folder"),
        ("s3://", "Write file:///a/folder"),
        ("s3://key:secret@bucket", "Credentials come from"),
        ("s3://bucket?secret_key=x", "not secret_key"),
        ("s3://bucket?endpoint=nonsense&region=x", "cannot be used"),
        ("s3://bucket/../x?region=x", "not a storage key"),
    ],
)
def test_a_bad_address_of_the_store_says_how_to_write_it(url: str, advice: str) -> None:
    with pytest.raises(StorageError, match=advice):
        storage_from_url(url)


def test_the_process_has_one_store_by_its_settings(tmp_path: Path) -> None:
    before = config._settings
    try:
        config.use_settings(config.Settings(data_dir=tmp_path))
        first = storage()
        assert storage() is first
        assert isinstance(first, FolderStorage)
        assert first.root == tmp_path / "files"
        config.use_settings(config.Settings(data_dir=tmp_path / "other"))
        assert storage() is not first
    finally:
        config.use_settings(before)


def test_the_key_of_content_is_its_hash() -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    assert content_key("assets", digest, ".png") == f"assets/{digest[:2]}/{digest}.png"
    for wrong in ("", "../" + digest[3:], digest.upper(), digest + "0"):
        with pytest.raises(InvalidKey):
            content_key("assets", wrong, ".png")


@given(st.text(alphabet="ab./\\~-_\0 é", max_size=40))
def test_no_accepted_key_leaves_its_folder(key: str) -> None:
    root = Path("/store")
    try:
        checked_key(key)
    except InvalidKey:
        return
    path = Path(os.path.normpath(root / key))
    assert path.is_relative_to(root)
    assert path != root
    assert path == root / key
