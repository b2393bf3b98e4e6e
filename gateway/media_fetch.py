"""Downloads of media that callers name by URL, for upstreams that take only the data itself.

Such a URL is a stranger's wish about where we connect. One parser reads it and the request is built
from what that parser said; a name is looked up once per hop, and only an address that passed the
check is connected to, while certificate and Host stay the name's. Refused and unreachable addresses
read alike to the caller (reference/security-reliability.md, T-SEC-01; translation.md 9.8).
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
import ssl
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from socket import AF_INET, AF_INET6, SOCK_STREAM
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import gevent.pool
import gevent.socket
import gevent.ssl
from geventhttpclient.response import HTTPParseError, HTTPResponse
from requests.utils import DEFAULT_CA_BUNDLE_PATH

from gateway.errors import InvalidRequest
from gateway.media import HEAD, mime_of
from gateway.types import ChatRequest, Media, Part, ToolResult

_gevent: Any = gevent  # it has no annotations

MB = 1024 * 1024
PORTS = frozenset({443})
"""Ports that a URL may name. Others lead to services that were never meant for strangers."""
MAX_URL = 8192
MAX_HEAD = 64 * 1024
"""Bytes before an answer's body, with all interim answers."""
MAX_FRAME = 512 * 1024
"""Bytes of an answer that are not its body: its head and the marks between chunks."""
MAX_ADDRESSES = 8
READ_SIZE = 65536
REDIRECTS = (301, 302, 303, 307, 308)
LOOKUPS = _gevent.pool.Pool(4)
"""Bounds look-ups in flight: gevent has ten threads for them, which the providers need too."""

NATIVE = ipaddress.ip_network("2000::/3")
"""IPv6 as such. Outside lie IPv4 in disguise (mapped, compatible, NAT64) and all local kinds."""
REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # protocol assignments, a cloud's metadata among them
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # a cloud's own host, seen from inside it
            "2001::/23",  # Teredo and other protocol assignments
            "2002::/16",  # 6to4: IPv4 in disguise
            "3fff::/20",  # documentation
        ),
    )
)
"""What `is_global` takes for public in some Python releases, or rightly, and leads inside."""

IS_WEB = re.compile(r"https?:", re.IGNORECASE)
IS_FILM_PAGE = re.compile(
    r"https?://((www|m)\.)?(youtube\.com/(watch|shorts|live)|youtu\.be/)", re.IGNORECASE
)
HOST = re.compile(r"[0-9a-z._:-]{1,253}")
NEVER_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")
KEPT_IN_URL = "%/:=&?~#+!$,;'@()*[]"

UNREACHABLE = "its server could not be reached"
UNTRUSTED = "its server has no certificate that is trusted"
BROKEN = "its server sent no valid answer"
SLOW = "its server took too long"
NO_URL = "this is not a valid URL"


class _Failed(Exception):
    """Why a download failed, in words for the caller."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, seconds and counts. `seconds` is for one file with all that it takes."""

    files: int = 20
    at_once: int = 4
    file_bytes: int = 20 * MB
    total_bytes: int = 50 * MB
    redirects: int = 3
    connect_seconds: float = 3.0
    seconds: float = 10.0


def is_public(address: str) -> bool:
    """May we connect to this IP address for a stranger?"""
    ip = ipaddress.ip_address(address)
    if not ip.is_global or ip.is_multicast or any(ip in network for network in REFUSED):
        return False
    return ip.version == 4 or ip in NATIVE


def resolve(host: str) -> list[str]:
    """The addresses of a name, none if nobody knows it. Waits while many look-ups are under way."""
    # A greenlet of its own, so that it counts until its thread is done, whoever gave up waiting.
    return list(LOOKUPS.spawn(_look_up, host).get())


def _look_up(host: str) -> list[str]:
    try:
        found = _gevent.socket.getaddrinfo(host, None, type=SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def _default_context() -> Any:
    """Certificates and names are checked, by the same authorities as those of the providers."""
    context = _gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


class Fetcher:
    """Downloads within `limits`. An `ssl_context` must be gevent's own kind."""

    def __init__(
        self,
        resolve: Callable[[str], Sequence[str]] = resolve,
        allowed: Callable[[str], bool] = is_public,
        ssl_context: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        ports: Collection[int] = PORTS,
    ) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._ssl_context = ssl_context
        self._limits = limits or Limits()
        self._ports = ports

    def fetch_all(self, request: ChatRequest) -> None:
        """See `fetch_all` of the module."""
        wanted = _wanted(request)
        self._check_number(wanted)
        budget = _Budget(self._limits.total_bytes)
        pool = _gevent.pool.Pool(self._limits.at_once)
        problems = pool.imap_unordered(partial(self._fill, budget), wanted)
        try:
            for problem in problems:
                if problem is not None:
                    raise problem
        finally:
            problems.kill(block=False)  # waiting would let it start the next download
            pool.kill()

    def _check_number(self, wanted: list[list[Media]]) -> None:
        limit = self._limits.files
        if len(wanted) > limit:
            raise InvalidRequest(
                f"Too many URLs: at most {limit} files are downloaded for one request. "
                "Send the others as data.",
                code="invalid_value",
                param=wanted[limit][0].where or None,
            )

    def _fill(self, budget: _Budget, media: list[Media]) -> InvalidRequest | None:
        """Give all media of one URL its data. Returns the error: gevent logs what is raised."""
        try:
            body = self._download(media[0].url or "", partial(budget.spend, len(media)))
            types = [_type_of(one, body) for one in media]
        except _Failed as failure:
            return InvalidRequest(
                f"The file at the URL could not be downloaded: {failure}.",
                code="invalid_value",
                param=media[0].where or None,
            )
        data = base64.b64encode(body).decode()
        for one, mime_type in zip(media, types, strict=True):
            one.url, one.data, one.mime_type = None, data, mime_type
        return None

    def _download(self, url: str, spend: Callable[[int], None]) -> bytearray:
        with _gevent.Timeout(self._limits.seconds, False):
            return self._follow(url, spend)
        raise _Failed(SLOW)

    def _follow(self, url: str, spend: Callable[[int], None]) -> bytearray:
        for _hop in range(self._limits.redirects + 1):
            answer = self._get(_place(url, self._ports), spend)
            status, location = answer.get_code(), answer.get("location")
            if status == 200:
                return answer._body_buffer
            if status not in REDIRECTS or not isinstance(location, str):
                raise _Failed(f"its server answered {status}")
            url = _joined(url, location)
        raise _Failed("it redirects too often")

    def _get(self, place: _Place, spend: Callable[[int], None]) -> HTTPResponse:
        """The answer: whole if it is a 200, else no more than its headers."""
        try:
            with contextlib.closing(self._connect(place)) as tcp:
                context = self._ssl_context or _default_context()
                with context.wrap_socket(
                    tcp, server_hostname=place.host, do_handshake_on_connect=False
                ) as sock:
                    sock.do_handshake()
                    sock.sendall(place.request())
                    return self._read(sock, spend)
        except ssl.SSLCertVerificationError:
            raise _Failed(UNTRUSTED) from None
        except (OSError, HTTPParseError, ValueError):
            raise _Failed(BROKEN) from None

    def _connect(self, place: _Place) -> Any:
        """A socket to the first address that is allowed and answers."""
        addresses = [one for one in self._resolve(place.host) if self._allowed(one)]
        for address in addresses[:MAX_ADDRESSES]:
            with contextlib.suppress(OSError):
                return _connected(address, place.port, self._limits.connect_seconds)
        raise _Failed(UNREACHABLE)

    def _read(self, sock: Any, spend: Callable[[int], None]) -> HTTPResponse:
        answer = HTTPResponse("GET")
        received = 0
        while not (_is_final(answer) and answer.message_complete):
            data = sock.recv(READ_SIZE)
            answer.feed(data)
            if _is_final(answer) and answer.get_code() != 200:
                break
            if not data and not answer.message_complete:
                raise _Failed(BROKEN)
            received += len(data)
            self._check_size(answer, received)
            spend(len(data))
            _gevent.sleep(0)  # data that always is there would keep everybody else waiting
        return answer

    def _check_size(self, answer: HTTPResponse, received: int) -> None:
        limit = self._limits.file_bytes
        size = max(len(answer._body_buffer), answer.content_length or 0)
        if size > limit:
            raise _Failed(f"it is larger than {limit // MB} MB")
        if received > (limit + MAX_FRAME if _is_final(answer) else MAX_HEAD):
            raise _Failed(BROKEN)


def _connected(address: str, port: int, seconds: float) -> Any:
    sock = _gevent.socket.socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM)
    try:
        sock.settimeout(seconds)
        sock.connect((address, port))
        sock.settimeout(None)
    except BaseException:  # being killed and the end of our time are no Exceptions
        sock.close()
        raise
    return sock


def _is_final(answer: HTTPResponse) -> bool:
    return answer.headers_complete and answer.get_code() >= 200


class _Budget:
    """Bytes that all files of a request may have together, counted once for each of their uses."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._left = total

    def spend(self, uses: int, size: int) -> None:
        self._left -= uses * size
        if self._left < 0:
            raise _Failed(f"the request's files have more than {self._total // MB} MB together")


# ----------------------------------------------------------------------------- URLs


@dataclass(frozen=True, slots=True)
class _Place:
    """What a URL means: a host in ASCII, and the path and query to ask it for."""

    host: str
    port: int
    target: str

    def request(self) -> bytes:
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = (
            f"GET {self.target} HTTP/1.1",
            f"Host: {host}" + (f":{self.port}" if self.port != 443 else ""),
            "Accept: */*",
            "Accept-Encoding: identity",
            "User-Agent: switchyard",
            "Connection: close",
        )
        return "\r\n".join((*lines, "", "")).encode("ascii")


def _place(url: str, ports: Collection[int]) -> _Place:
    """What a URL means, if we go there."""
    if len(url) > MAX_URL or NEVER_IN_URL.search(url):
        raise _Failed(NO_URL)
    try:
        parts = urlsplit(url)
        port = 443 if parts.port is None else parts.port
        host = (parts.hostname or "").rstrip(".").encode("idna").decode()
        target = quote(parts.path or "/", KEPT_IN_URL)
        target += "?" + quote(parts.query, KEPT_IN_URL) if parts.query else ""
    except ValueError:
        raise _Failed(NO_URL) from None
    if parts.scheme != "https":
        raise _Failed("only https URLs are supported")
    if "@" in parts.netloc:
        raise _Failed("the URL must not hold credentials")
    if not HOST.fullmatch(host):
        raise _Failed(NO_URL)
    if port not in ports:
        raise _Failed("the URL must not name a port other than 443")
    return _Place(host, port, target)


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _Failed(BROKEN) from None


# ----------------------------------------------------------------------------- media


def _wanted(request: ChatRequest) -> list[list[Media]]:
    """The media to download, those of the same URL together."""
    by_url: dict[str, list[Media]] = {}
    for part in _parts(request):
        if isinstance(part, Media) and part.data is None and part.url and _is_file(part, part.url):
            by_url.setdefault(part.url, []).append(part)
    return list(by_url.values())


def _parts(request: ChatRequest) -> Iterator[Part]:
    for message in request.messages:
        for part in message.parts:
            yield part
            if isinstance(part, ToolResult):
                yield from part.content


def _is_file(media: Media, url: str) -> bool:
    """Not another scheme, and no page that only Google's own models take for its film."""
    if media.kind in ("video", "file") and IS_FILM_PAGE.match(url):
        return False
    return IS_WEB.match(url) is not None


def _type_of(media: Media, body: bytearray) -> str:
    """The type by the first bytes; only text has none, and must have been announced as such."""
    found = mime_of(bytes(body[:HEAD]))
    announced = media.mime_type or ""
    if found is None and announced.startswith("text/") and _is_text(body):
        return announced
    if found is None:
        raise _Failed("it is of no type that is supported")
    if media.kind == "image" and not found.startswith("image/"):
        raise _Failed(f"it is no image but {found}")
    return found


def _is_text(body: bytearray) -> bool:
    try:
        return bool(body.decode().strip())
    except UnicodeDecodeError:
        return False


DEFAULT = Fetcher()


def stand_in(request: ChatRequest) -> None:
    """Fill in, without fetching anything, what `fetch_all` would: an empty file of its kind."""
    for media in (media for same in _wanted(request) for media in same):
        head = EMPTY_PNG if media.kind == "image" else EMPTY_PDF
        media.url, media.data = None, base64.b64encode(head).decode()


EMPTY_PNG = b"\x89PNG\r\n\x1a\n"
EMPTY_PDF = b"%PDF-1.7"


def fetch_all(request: ChatRequest) -> None:
    """Put the files in place of the http(s) URLs of all media that come without data, in place.

    Sets `data`, and `mime_type` by the file's own first bytes; `url` becomes None. Media with other
    URLs stay as they are: what takes no such URL refuses it. Raises `InvalidRequest`, code
    `invalid_value`, whose `param` is where the URL stands in the caller's body.
    """
    DEFAULT.fetch_all(request)
