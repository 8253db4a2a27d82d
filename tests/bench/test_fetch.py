"""Fetching from a server of the test's own; in production the same requests go out over HTTPS only."""

import hashlib
import http.client
import http.server
import os
import threading
import urllib.error
import urllib.request

import pytest

from refseg.bench import fetch as module
from refseg.bench.errors import InputError
from refseg.bench.fetch import Download, checkpoint_folders, fetch
from refseg.methods import downloads
from refseg.methods.checkpoints import find_checkpoint
from refseg.methods.downloads import DOWNLOADS, find_download, require_published

CONTENT = bytes(range(256)) * 8000
ADDRESS = "https://weights.example.org/model.pth"


def download(content=CONTENT, **changes):
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} | changes
    return Download("model", "model.pth", ADDRESS, facts["sha256"], facts["size"], "a model", "the test")


class Server(http.server.ThreadingHTTPServer):
    """Serves ``content``; ``drops`` says after how many bytes each of the next answers breaks off."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.drops, self.ranges, self.asked, self.status = CONTENT, [], True, [], 200


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        if server.status != 200:
            self.send_error(server.status)
            return
        if start > len(server.content):
            self.send_error(416)
            return
        body = server.content[start:]
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.drops.pop(0)] if server.drops else body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def get(server, tmp_path):
    """Fetch with requests that are led to the test's server."""
    director = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def opener(request):
        assert request.full_url == ADDRESS
        address = f"http://127.0.0.1:{server.server_port}/model.pth"
        return director.open(urllib.request.Request(address, headers=dict(request.header_items())))

    return lambda one=None, **more: fetch(one or download(), tmp_path / "weights", opener=opener, **more)


def names(tmp_path):
    return sorted(p.name for p in (tmp_path / "weights").iterdir())


def test_a_file_is_fetched_once_and_whole(get, server, tmp_path):
    path = get()
    assert path.read_bytes() == CONTENT and names(tmp_path) == ["model.pth"]
    assert get() == path and server.asked == [None]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_that_breaks_off_goes_on(get, server, ranges):
    server.ranges, server.drops = ranges, [700_000, 100_000]
    assert get().read_bytes() == CONTENT
    assert server.asked == [None, "bytes=700000-", "bytes=800000-" if ranges else "bytes=100000-"]


def test_what_was_received_is_kept_for_the_next_command(get, server, tmp_path):
    server.drops = [5000, 5000]
    with pytest.raises(InputError, match=r"10000 of 2048000 bytes are there and the same command goes on"):
        get(attempts=2)
    assert names(tmp_path) == [".model.pth.part"]
    assert get().read_bytes() == CONTENT and server.asked[-1] == "bytes=10000-"


def test_content_that_is_not_the_published_one_is_not_kept(get, server, tmp_path):
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(InputError, match=f"is not the model.pth that is published at {ADDRESS}"):
        get()
    assert names(tmp_path) == []


def test_a_part_of_another_file_is_found_out(get, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/.model.pth.part").write_bytes(b"another file")
    with pytest.raises(InputError, match=r"is not the model\.pth that is published"):
        get()
    assert get().read_bytes() == CONTENT


def test_a_part_that_is_too_long_is_begun_anew(get, server, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/.model.pth.part").write_bytes(CONTENT + b"more")
    with pytest.raises(InputError, match=f"has {len(CONTENT) + 4} bytes"):
        get()
    assert get().read_bytes() == CONTENT


def test_a_server_that_sends_without_end_is_cut_off(get, server, tmp_path):
    server.content = CONTENT * 3
    with pytest.raises(InputError, match="sends more than the 2048000 bytes that are published"):
        get()
    assert (tmp_path / "weights/.model.pth.part").stat().st_size == 0


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_an_answer_that_is_an_error_is_one_sentence(get, server, tmp_path, status):
    server.status = status
    with pytest.raises(
        InputError, match=rf"answers {status} .*put it into .*weights as model\.pth\.$"
    ) as caught:
        get()
    assert "\n" not in str(caught.value) and "model.pth" not in names(tmp_path)


@pytest.mark.parametrize(
    "fault",
    [
        urllib.error.URLError(OSError(-2, "Name or service not known")),
        urllib.error.URLError("Tunnel connection failed: 407 Proxy Authentication Required"),
        TimeoutError("timed out"),
        ConnectionResetError(104, "Connection reset by peer"),
        http.client.BadStatusLine("x"),
    ],
)
def test_no_network_and_no_proxy_are_one_sentence(tmp_path, fault):
    def opener(request):
        raise fault

    with pytest.raises(InputError, match=r"cannot be had .*0 of 2048000 bytes.* set HTTPS_PROXY") as caught:
        fetch(download(), tmp_path, opener=opener)
    assert "\n" not in str(caught.value)


def test_another_file_of_that_name_is_left_alone(get, server, tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/model.pth").write_bytes(b"mine")
    with pytest.raises(InputError, match="it has 4 bytes, and 2048000 bytes is expected; move it away"):
        get()
    assert (tmp_path / "weights/model.pth").read_bytes() == b"mine" and server.asked == []


def test_two_fetches_of_one_file_do_not_mix(get, tmp_path):
    import fcntl

    (tmp_path / "weights").mkdir()
    with open(tmp_path / "weights/.model.pth.part", "ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="is being fetched by another command"):
            get()


def test_a_disk_that_is_too_small_is_told_before_anything_is_asked(get, server, tmp_path):
    with pytest.raises(InputError, match=r"MiB left and 1073741824 are needed"):
        get(download(size=1 << 50))
    assert server.asked == []


def test_a_folder_that_cannot_be_made(get, tmp_path):
    (tmp_path / "weights").write_text("")
    with pytest.raises(InputError, match=r"model.pth cannot be written"):
        get()


def test_only_https_goes_out(tmp_path):
    plain = Download("m", "m.pth", "http://example.org/m.pth", "0" * 64, 1, "", "")
    with pytest.raises(InputError, match="is no HTTPS address"):
        fetch(plain, tmp_path)
    handler = module._HttpsOnly()
    request = urllib.request.Request(ADDRESS)
    for address in ("http://weights.example.org/model.pth", "ftp://x/y", "file:///etc/passwd"):
        with pytest.raises(InputError, match=f"leads to {address}"):
            handler.redirect_request(request, None, 302, "Found", {}, address)
    onward = handler.redirect_request(request, None, 302, "Found", {}, "https://mirror.example.org/model.pth")
    assert onward.full_url == "https://mirror.example.org/model.pth"


def test_the_table_is_of_https_addresses_with_hashes():
    assert {"sam_vit_b", "sam_vit_l", "sam_vit_h", "groundingdino_swint", "groundingdino_swinb"} <= {
        *DOWNLOADS
    }
    for name, one in DOWNLOADS.items():
        assert one.url.startswith("https://") and one.name == name and one.size > 1 << 20
        assert len(one.sha256) == 64 and int(one.sha256, 16) and one.checked_by
        assert os.path.basename(one.file) == one.file
    assert len({d.sha256 for d in DOWNLOADS.values()}) == len(DOWNLOADS)
    with pytest.raises(InputError, match=r"Did you mean .*'sam_vit_h'"):
        find_download("sam_vit_x")


def test_what_is_fetched_is_found_by_methods(monkeypatch, tmp_path):
    monkeypatch.delenv("REFSEG_CHECKPOINTS", raising=False)
    monkeypatch.setenv("REFSEG_CONFIG", str(tmp_path / "c.json"))
    monkeypatch.setenv("REFSEG_CACHE", str(tmp_path))
    (folder,) = checkpoint_folders()
    with pytest.raises(InputError, match="`bench fetch sam_vit_h` fetches it"):
        find_checkpoint("sam_vit_h", None, option="sam_checkpoint", files=["sam_vit_h_4b8939.pth"])
    folder.mkdir()
    (folder / "sam_vit_h_4b8939.pth").touch()
    found = find_checkpoint("sam_vit_h", None, option="sam_checkpoint", files=["sam_vit_h_4b8939.pth"])
    assert found == folder / "sam_vit_h_4b8939.pth"
    with pytest.raises(
        InputError, match=r"sam_vit_h_4b8939.pth has the SHA-256 .* `bench fetch sam_vit_h` fetches"
    ):
        require_published(found.name, hashlib.sha256(b"").hexdigest())
    require_published("mine.pth", "0" * 64)
    monkeypatch.setenv("REFSEG_CHECKPOINTS", str(tmp_path / "own"))
    assert checkpoint_folders() == [tmp_path / "own", folder]
    monkeypatch.setenv("REFSEG_CACHE", "")
    monkeypatch.delenv("REFSEG_CHECKPOINTS")
    assert checkpoint_folders() == []
    assert downloads.find_download("sam_vit_h").file == "sam_vit_h_4b8939.pth"
