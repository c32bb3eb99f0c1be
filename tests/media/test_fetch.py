"""Downloads: a real server on loopback, which only these tests declare public."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator

import pytest

from media import makers
from valley.media import Limits, MediaError, fetch, localize, media_kind, open_image

OPEN = Limits(allow_urls=True, url_timeout=1.0, url_deadline=2.0)
PICTURE = makers.picture()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers)))
        name, _, rest = self.path[1:].partition("/")
        self.close_connection = True
        getattr(self, "say_" + name.partition("?")[0])(rest)

    def answer(self, body: bytes, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for key, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def say_picture(self, rest: str) -> None:
        self.answer(PICTURE)

    def say_unsized(self, rest: str) -> None:
        self.answer(PICTURE, Content_Length=None)

    def say_chunked(self, rest: str) -> None:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(PICTURE), PICTURE)
        self.answer(body, Content_Length=None, Transfer_Encoding="chunked")

    def say_missing(self, rest: str) -> None:
        self.answer(b"no", 404)

    def say_to(self, rest: str) -> None:
        self.answer(b"", 302, Location=urllib.parse.unquote(rest).replace("|", "/"))

    def say_round(self, rest: str) -> None:
        left = int(rest)
        self.answer(b"", 307, Location=f"/round/{left - 1}" if left else "/picture")

    def say_lies(self, rest: str) -> None:
        self.answer(PICTURE, Content_Length=10**12)

    def say_short(self, rest: str) -> None:
        self.answer(PICTURE, Content_Length=len(PICTURE) + 5)

    def say_endless(self, rest: str) -> None:
        self.answer(b"", Content_Length=None)
        self.pour(bytes(2**16), 0)

    def say_packed(self, rest: str) -> None:
        self.answer(PICTURE, Content_Encoding="gzip")

    def say_drip(self, rest: str) -> None:
        self.answer(b"", Content_Length=10**5)
        self.pour(b"x", 0.05)

    def say_slowheader(self, rest: str) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.pour(b"x", 0.05)

    def say_silence(self, rest: str) -> None:
        self.server.over.wait(5)

    def say_nonsense(self, rest: str) -> None:
        self.wfile.write(b"\x16\x03\x01 is not HTTP\r\n\r\n")

    def pour(self, piece: bytes, pause: float) -> None:
        try:
            while not self.server.over.wait(pause):
                self.wfile.write(piece)
        except OSError:
            pass

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    """Serves on 127.0.0.1, which counts as public here; all other addresses keep their rank."""
    real = fetch._is_public
    monkeypatch.setattr(fetch, "_is_public", lambda a: a == "127.0.0.1" or real(a))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.seen, running.over = [], threading.Event()
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.url = f"http://127.0.0.1:{running.server_port}"
        yield running
        running.over.set()
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/picture", "/unsized", "/chunked", "/picture?a=b c&d=é#part"])
def test_download(server: http.server.ThreadingHTTPServer, path: str) -> None:
    assert localize(server.url + path, OPEN) == PICTURE
    assert open_image(server.url + path, OPEN).size == (24, 16)
    assert media_kind(server.url + path, OPEN) == "image"
    headers = server.seen[0][1]
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"
    assert "#" not in server.seen[0][0] and " " not in server.seen[0][0]


def test_urls_are_off_unless_allowed(server: http.server.ThreadingHTTPServer) -> None:
    with pytest.raises(MediaError, match="--allow-urls"):
        open_image(server.url + "/picture")
    assert server.seen == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/missing", "answers 404"),
        ("/lies", "more than .* bytes"),
        ("/endless", "more than .* bytes"),
        ("/short", "ends after"),
        ("/packed", "compressed"),
        ("/nonsense", "cannot be downloaded"),
        ("/silence", "timed out"),
        ("/drip", "too long|timed out"),
        ("/slowheader", "too long|timed out"),
        ("/to/", "redirected more than|answers 302"),
        ("/to/ftp:||127.0.0.1|a", "ftp address"),
        ("/to/file:|||etc|passwd", "file address"),
        ("/to/http:||127.0.0.2|a", "not public"),
        ("/to/http:||10.0.0.1|a", "not public"),
        ("/to/||169.254.169.254|latest", "not public"),
        ("/to/http:||[::1]|a", "not public"),
        ("/to/http:||me:word@127.0.0.1|a", "user name"),
        ("/round/4", "redirected more than 3"),
    ],
)
def test_refusals(server: http.server.ThreadingHTTPServer, path: str, words: str) -> None:
    started = time.monotonic()
    with pytest.raises(MediaError, match=words) as caught:
        open_image(server.url + path, OPEN)
    assert time.monotonic() - started < OPEN.url_deadline + 1
    assert len(str(caught.value).splitlines()) == 1


def test_the_deadline_cuts_a_wait_short(server: http.server.ThreadingHTTPServer) -> None:
    started = time.monotonic()
    with pytest.raises(MediaError, match="cannot be downloaded"):
        localize(server.url + "/silence", Limits(allow_urls=True, url_deadline=0.3))
    assert time.monotonic() - started < 2


def test_redirects_are_followed_to_a_limit(server: http.server.ThreadingHTTPServer) -> None:
    assert localize(server.url + "/round/2", OPEN) == PICTURE
    assert len(server.seen) == 4


def test_the_byte_limit_is_exact(server: http.server.ThreadingHTTPServer) -> None:
    for path in ("/picture", "/unsized", "/chunked"):
        size = len(PICTURE)
        limits = Limits(allow_urls=True, max_bytes=size)
        assert localize(server.url + path, limits) == PICTURE
        with pytest.raises(MediaError, match=f"more than {size - 1} bytes"):
            localize(server.url + path, Limits(allow_urls=True, max_bytes=size - 1))


def test_proxies_of_the_environment_are_not_used(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert localize(server.url + "/picture", OPEN) == PICTURE


def test_the_checked_address_is_the_one_connected_to(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that changes its address after the check (DNS rebinding) gains nothing."""
    port, asked, met = server.server_port, [], []

    def resolve(host: str, port: int, *args: object, **kwargs: object) -> list[object]:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def connect(address: tuple[str, int], *args: object) -> socket.socket:
        met.append(address)
        sock = socket.socket()
        sock.connect(address)
        return sock

    monkeypatch.setattr(fetch.socket, "getaddrinfo", resolve)
    monkeypatch.setattr(fetch.socket, "create_connection", connect)
    assert localize(f"http://rebind.test:{port}/picture", OPEN) == PICTURE
    assert asked == ["rebind.test"] and met == [("127.0.0.1", port)]
    assert server.seen[0][1]["Host"] == f"rebind.test:{port}"


def test_one_private_address_among_many_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (a, 80)) for a in ("93.184.216.34", "192.168.0.7")]
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *a, **k: found)
    with pytest.raises(MediaError, match="not public") as caught:
        localize("http://mixed.test/a.png", OPEN)
    assert "192.168" not in str(caught.value)


def test_tls_is_verified_against_the_name(
    server: http.server.ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", server.server_port))
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *a, **k: [address])
    real = ssl.SSLContext.wrap_socket

    def wrap(self: ssl.SSLContext, sock: socket.socket, **options: object) -> ssl.SSLSocket:
        asked.append((self.check_hostname, self.verify_mode, options["server_hostname"]))
        return real(self, sock, **options)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap)
    with pytest.raises(MediaError, match="cannot be downloaded"):  # the server speaks no TLS
        localize(f"https://name.test:{server.server_port}/picture", OPEN)
    assert asked == [(True, ssl.CERT_REQUIRED, "name.test")]
    assert server.seen == []


@pytest.mark.parametrize("address", ["93.184.216.34", "1.1.1.1", "2606:4700::1111", "2001:4860::8"])
def test_public_addresses(address: str) -> None:
    assert fetch._is_public(address)


def test_no_private_network_counts_as_public() -> None:
    blocks = "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12"
    blocks += " 192.168.0.0/16 198.18.0.0/15 224.0.0.0/4 240.0.0.0/4"
    for block in map(ipaddress.ip_network, blocks.split()):
        for ip in (block[0], block[block.num_addresses // 2], block[-1]):
            number = int(ip)
            dressed = [ip, ipaddress.IPv6Address(0xFFFF << 32 | number)]
            dressed += [ipaddress.IPv6Address((0x64FF9B << 96) | number)]
            dressed += [ipaddress.IPv6Address((0x2002 << 112) | number << 80)]
            assert not any(fetch._is_public(str(each)) for each in dressed), ip
    assert not fetch._is_public("fe80::1%eth0")
