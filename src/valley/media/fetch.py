"""Download a picture or clip from a stranger's server without becoming his tool.

The address that was checked is the address that is connected to, redirects are checked like the
first URL, and every wait and every byte is counted. Proxies of the environment are not used: a
proxy would resolve the name again.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from valley.media.limits import Limits, reason_of, refusal

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
_CHUNK = 2**16
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


def download(url: str, limits: Limits) -> bytes:
    """The body behind an http or https URL. Raises MediaError."""
    if not limits.allow_urls:
        raise refusal(url, "URLs are not opened here: save the file, or allow URLs (--allow-urls)")
    deadline = time.monotonic() + limits.url_deadline
    target = url
    for _ in range(limits.max_redirects + 1):
        try:
            answer = _get(url, target, limits, deadline)
        except (OSError, http.client.HTTPException, UnicodeError) as error:
            reason = reason_of(error)
            raise refusal(
                url, f"cannot be downloaded ({reason}): check the address and the network"
            ) from error
        if isinstance(answer, bytes):
            return answer
        target = urljoin(target, answer)
    raise refusal(
        url, f"is redirected more than {limits.max_redirects} times: use the final address"
    )


def _get(url: str, target: str, limits: Limits, deadline: float) -> bytes | str:
    """One request: the body, or where the server sends us. `url` is what the user wrote."""
    parts = _split(url, target)
    host = (parts.hostname or "").encode("idna").decode()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if limits.url_ports is not None and port not in limits.url_ports:
        raise refusal(url, f"leads to port {port}: use one of {sorted(limits.url_ports)}")
    raw = _connect(url, host, port, limits, deadline)
    with raw:
        if parts.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=host)
        with raw:
            # An HTTPConnection that has a socket does not connect; the scheme decides only
            # whether the port is left out of the Host line.
            kind = {"https": http.client.HTTPSConnection, "http": http.client.HTTPConnection}
            connection = kind[parts.scheme](host, port)
            connection.sock = _TimedSocket(raw, limits.url_timeout, deadline)
            path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
            query = quote(parts.query, safe="/%:@!$&'()*+,;=~?[]")
            connection.request("GET", path + ("?" + query if query else ""))
            response = connection.getresponse()
            if response.status in _REDIRECTS and response.headers["Location"]:
                return str(response.headers["Location"])
            return _body(url, response, limits)


def _split(url: str, target: str) -> SplitResult:
    parts = urlsplit(target)
    if parts.scheme not in ("http", "https"):
        raise refusal(url, f"leads to a {parts.scheme or 'nameless'} address: use http or https")
    if "@" in parts.netloc:
        raise refusal(url, "carries a user name or password: use an address without them")
    if not parts.hostname:
        raise refusal(url, "names no host: write https://host/path")
    return parts


def _connect(url: str, host: str, port: int, limits: Limits, deadline: float) -> socket.socket:
    """Resolve once, refuse unless every address is public, connect to one of these very ones."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not _is_public(address):
            raise refusal(url, "leads to an address that is not public: use a public one")
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, port), _wait(limits.url_timeout, deadline))
        except OSError:
            continue
    return socket.create_connection((addresses[-1], port), _wait(limits.url_timeout, deadline))


def _is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet, however it is dressed up."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # IPv4 addresses in the clothes of IPv6; those of NAT64 lie outside of global unicast.
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is not None:
            return _is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def _body(url: str, response: http.client.HTTPResponse, limits: Limits) -> bytes:
    if response.status != 200:
        raise refusal(url, f"the server answers {response.status}: check the address")
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise refusal(url, "the server sends it compressed though not asked to: download it first")
    expected = response.length
    too_many = refusal(url, f"more than {limits.max_bytes} bytes, the limit: use a smaller file")
    if expected is not None and expected > limits.max_bytes:
        raise too_many
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > limits.max_bytes:
            raise too_many
    if expected is not None and len(body) < expected:
        raise refusal(url, f"ends after {len(body)} of {expected} bytes: try again")
    return bytes(body)


def _wait(timeout: float, deadline: float) -> float:
    """Seconds the next wait may take."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the download takes too long")
    return min(timeout, left)


class _TimedSocket(io.RawIOBase):
    """As much of a socket as http.client uses, with the deadline looked at before every wait.

    A plain socket timeout starts anew with every byte: a server that drips would never end.
    """

    def __init__(self, sock: socket.socket, timeout: float, deadline: float) -> None:
        self._sock, self._timeout, self._deadline = sock, timeout, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(_wait(self._timeout, self._deadline))
        return self._sock.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(_wait(self._timeout, self._deadline))
        self._sock.sendall(data)

    def close(self) -> None:
        """Nothing: http.client closes before it has read the body; the socket has an owner."""

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)
