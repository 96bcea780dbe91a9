"""serve, over real sockets: ranges, versions, other origins, paths that lead out, and stopping."""
import contextlib
import hashlib
import http.client
import json
import signal
import subprocess
import time

import pytest

from conftest import KIMIC


@contextlib.contextmanager
def serving(*arguments):
    process = subprocess.Popen([KIMIC, "serve", *map(str, arguments), "--port", "0", "--json"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.communicate(timeout=20)


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, response.headers


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with a file of bytes 0 .. 255, a page, a program and a secret outside of it."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "secret.txt").write_text("secret")
    root = folder / "root"
    (root / "sub <dir>").mkdir(parents=True)
    (root / "bytes.bin").write_bytes(bytes(range(256)))
    (root / "index.html").write_text("<!doctype html>hello")
    (root / "app.mjs").write_text("export {};")
    (root / "rt.wasm").write_bytes(b"\0asm\1\0\0\0")
    (root / "empty.txt").write_bytes(b"")
    (root / "link.txt").symlink_to(folder / "secret.txt")
    return root


@pytest.fixture(scope="module")
def port(site):
    with serving(site) as (_, facts):
        yield facts["port"]


@pytest.mark.parametrize("header, first, last", [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=250-9999", 250, 255),
                                                 ("bytes=200-", 200, 255), ("bytes=-6", 250, 255), ("bytes=-999", 0, 255)])
def test_answers_ranges(port, header, first, last):
    status, body, headers = ask(port, "/bytes.bin", Range=header)
    assert (status, body) == (206, bytes(range(first, last + 1)))
    assert headers["Content-Range"] == f"bytes {first}-{last}/256"
    assert headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("header", ["bytes=256-", "bytes=300-400", "bytes=-0"])
def test_says_when_a_range_is_past_the_end(port, header):
    status, body, headers = ask(port, "/bytes.bin", Range=header)
    assert (status, body, headers["Content-Range"]) == (416, b"", "bytes */256")


def test_gives_the_whole_file_without_a_range_or_for_several(port):
    for headers in [{}, {"Range": "bytes=0-1,5-6"}]:
        status, body, answer = ask(port, "/bytes.bin", **headers)
        assert (status, body) == (200, bytes(range(256)))
        assert answer["Accept-Ranges"] == "bytes" and "Content-Range" not in answer


def test_head_has_the_headers_only(port):
    status, body, headers = ask(port, "/bytes.bin", "HEAD")
    assert (status, body, headers["Content-Length"]) == (200, b"", "256")


def test_an_empty_file(port):
    assert ask(port, "/empty.txt")[:2] == (200, b"")
    assert ask(port, "/empty.txt", Range="bytes=0-16383")[0] == 416


@pytest.mark.parametrize("path, kind", [("/", "text/html"), ("/app.mjs", "text/javascript"), ("/rt.wasm", "application/wasm"),
                                        ("/bytes.bin", "application/octet-stream")])
def test_types(port, path, kind):
    status, _, headers = ask(port, path, Accept_Encoding="gzip, br")
    assert status == 200 and headers["Content-Type"].startswith(kind)
    assert "Content-Encoding" not in headers and headers["X-Content-Type-Options"] == "nosniff"


def test_versions(port, site):
    _, _, headers = ask(port, "/bytes.bin")
    tag = headers["ETag"]
    assert ask(port, "/bytes.bin", If_None_Match=tag)[0] == 304
    assert ask(port, "/bytes.bin", If_None_Match='"x"')[0] == 200
    assert ask(port, "/bytes.bin", Range="bytes=0-0", If_Range=tag)[0] == 206
    assert ask(port, "/bytes.bin", Range="bytes=0-0", If_Range='"x"')[0] == 200
    other = site / "changing.bin"
    other.write_bytes(b"one")
    before = ask(port, "/changing.bin")[2]["ETag"]
    other.write_bytes(b"other")
    assert ask(port, "/changing.bin")[2]["ETag"] != before


@pytest.mark.parametrize("path", ["/../secret.txt", "/%2e%2e/secret.txt", "/sub%20%3Cdir%3E/../../secret.txt", "/link.txt",
                                  "//etc/passwd", "/..%2fsecret.txt", "/bytes.bin%00.txt", "/nothing"])
def test_nothing_outside_of_the_folder(port, path):
    status, body, _ = ask(port, path)
    assert status in (400, 404) and b"secret" not in body


def test_lists_folders_without_an_index(port, site):
    (site / "sub <dir>" / "a&b.txt").write_text("x")
    status, body, _ = ask(port, "/sub%20%3Cdir%3E/")
    assert status == 200 and b"a&amp;b.txt" in body and b"<dir>" not in body


def test_other_origins_only_when_told(port, site):
    assert "Access-Control-Allow-Origin" not in ask(port, "/bytes.bin")[2]
    with serving(site, "--cors", "--isolate") as (_, facts):
        _, _, headers = ask(facts["port"], "/bytes.bin", Range="bytes=0-0")
        assert headers["Access-Control-Allow-Origin"] == "*" and "Content-Range" in headers["Access-Control-Expose-Headers"]
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        status, _, headers = ask(facts["port"], "/bytes.bin", "OPTIONS", Origin="https://example.com")
        assert status == 204 and "Range" in headers["Access-Control-Allow-Headers"]


def test_a_pack_alone_is_named_by_its_digest(pack):
    (pack.parent / "beside.txt").write_text("not served")
    with serving(pack) as (_, facts):
        assert facts["schema"] == "kimic-serve/1" and facts["url"].endswith("/small.kpk")
        _, body, headers = ask(facts["port"], "/small.kpk")
        assert body == pack.read_bytes()
        assert headers["ETag"] == f'"{hashlib.sha256(body[:640]).hexdigest()}"'
        assert ask(facts["port"], "/beside.txt")[0] == 404
        assert b"small.kpk" in ask(facts["port"], "/")[1] and b"beside" not in ask(facts["port"], "/")[1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stops_when_told(site, how):
    with serving(site) as (process, facts):
        assert ask(facts["port"], "/bytes.bin")[0] == 200
        start = time.monotonic()
        process.send_signal(how)
        assert process.wait(timeout=20) == 0
        assert time.monotonic() - start < 10


def test_says_what_is_wrong(kimic, tmp_path):
    assert "no such file" in kimic("serve", tmp_path / "nothing", code=1).stderr
    kimic("serve", code=2)
    kimic("serve", tmp_path, "--port", "70000", code=2)
    with serving(tmp_path) as (_, facts):
        result = kimic("serve", tmp_path, "--port", facts["port"], code=1)
        assert "cannot listen" in result.stderr
