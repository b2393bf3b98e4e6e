"""Downloads for strangers: what arrives, what is never connected to, and when they give up.

A real HTTPS server on loopback plays the internet. Tests let the fetcher connect to it by name and
by the one address that they allow; everything else in the process stays as in production.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import gevent.ssl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway import media_fetch
from gateway.errors import InvalidRequest
from gateway.media_fetch import Fetcher, Limits, is_public
from gateway.types import ChatRequest, Media, Message, Text, ToolResult
from tests.conftest import poll

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n..."
HERE = "127.0.0.1"
NAMES = ("files.example", "other.example")
SECONDS = 5.0
"""Nothing here may take that long; what is meant to give up does so in a fraction."""


# ----------------------------------------------------------------------------- the internet


Answer = Callable[[socket.socket], None]


def ok(body: bytes, **headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def redirect(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@dataclass
class Internet:
    """Answers by path, and what was asked. `served` and `peak` count open requests."""

    port: int = 0
    authority: Path = Path()
    answers: dict[str, bytes | Answer] = field(default_factory=dict)
    heads: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    peak: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str, host: str = NAMES[0]) -> str:
        return f"https://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [head.split(" ")[1] for head in self.heads]

    def serve(self, sock: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            if not (data := sock.recv(65536)):
                return
            head += data
        with self.lock:
            self.heads.append(head.decode())
            self.open += 1
            self.peak = max(self.peak, self.open)
        try:
            answer = self.answers[head.decode().split(" ")[1]]
            if callable(answer):
                answer(sock)
            else:
                sock.sendall(answer)
        finally:
            with self.lock:
                self.open -= 1


def _certificate(folder: Path) -> Path:
    """A certificate that vouches for itself under both names, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Switchyard tests")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in NAMES]), False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    return _certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def internet(certificate: Path) -> Iterator[Internet]:
    net = Internet(authority=certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _sock, name, _context: net.names.append(name)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            net.connections += 1
            with (
                contextlib.suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as sock,
            ):
                net.serve(sock)

    class Server(socketserver.ThreadingTCPServer):
        request_queue_size = 64

    with Server((HERE, 0), Handler) as server:
        net.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield net
        net.over.set()
        server.shutdown()
        thread.join()


def fetcher(net: Internet, **options: Any) -> Fetcher:
    """Takes every name to the test's server, and trusts it."""
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(net.authority)
    defaults = {
        "resolve": lambda host: [HERE],
        "allowed": lambda address: address == HERE,
        "ssl_context": context,
        "limits": Limits(seconds=SECONDS),
        "ports": {net.port},
    }
    return Fetcher(**defaults | options)


def request_of(*parts: Any) -> ChatRequest:
    return ChatRequest("m", [Message("user", [Text("What is this?"), *parts])])


def image(url: str, where: str = "messages[0].content[1]") -> Media:
    return Media("image", url=url, where=where)


def refusal(fetch: Fetcher, *parts: Media) -> InvalidRequest:
    """How a request of these parts fails; in no longer than a human would wait."""
    started = time.monotonic()
    with pytest.raises(InvalidRequest) as caught:
        fetch.fetch_all(request_of(*parts))
    assert time.monotonic() - started < SECONDS
    error = caught.value
    assert error.code == "invalid_value"
    assert not any(address in error.message for address in ("127.", "10.0", "::", "[Errno"))
    return error


# ----------------------------------------------------------------------------- what arrives


def test_a_url_becomes_what_it_holds(internet):
    internet.answers["/a?b=c%20d"] = ok(PNG, Content_Type="text/html", Set_Cookie="a=b")
    media = image(internet.url("/a?b=c%20d#part"))
    media.detail = "high"
    fetcher(internet).fetch_all(request_of(media))
    assert base64.b64decode(media.data) == PNG
    assert (media.url, media.mime_type, media.detail) == (None, "image/png", "high")


def test_the_name_goes_to_the_server_and_nothing_that_tells_who_we_are(
    internet, monkeypatch, tmp_path
):
    (tmp_path / ".netrc").write_text("machine files.example login me password secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    internet.answers["/a"] = ok(PNG, Set_Cookie="a=b")
    internet.answers["/b"] = redirect("/a")
    fetcher(internet).fetch_all(request_of(image(internet.url("/a")), image(internet.url("/b"))))
    assert internet.names == [NAMES[0]] * 3
    for head in internet.heads:
        headers = dict(line.split(": ") for line in head.strip().split("\r\n")[1:])
        assert headers == {
            "Host": f"files.example:{internet.port}",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "switchyard",
            "Connection": "close",
        }


def test_media_in_tool_results_and_earlier_turns(internet):
    internet.answers |= {"/a": ok(PNG), "/b": ok(PDF)}
    seen, said = image(internet.url("/a")), Media("file", url=internet.url("/b"))
    request = ChatRequest(
        "m",
        [
            Message("assistant", [said]),
            Message("tool", [ToolResult("call_1", [Text("a picture"), seen])]),
        ],
    )
    fetcher(internet).fetch_all(request)
    assert (seen.mime_type, said.mime_type) == ("image/png", "application/pdf")
    assert seen.url is said.url is None


LEFT_ALONE = [
    Media("file", url="gs://bucket/a.pdf"),
    Media("file", url="files/abc"),
    Media("image", url="data:image/png;base64,AAAA"),
    Media("image", url="https://files.example/a", data="AAAA", mime_type="image/png"),
    Media("image", data="AAAA", mime_type="image/png"),
    Media("video", url="https://www.youtube.com/watch?v=9hE5-98ZeCg"),
    Media("file", url="https://youtu.be/9hE5-98ZeCg"),
]


@pytest.mark.parametrize("media", LEFT_ALONE, ids=lambda m: (m.url or "data")[:30])
def test_what_no_download_can_help_stays(internet, media):
    before = repr(media)
    fetcher(internet).fetch_all(request_of(media))
    assert repr(media) == before
    assert internet.connections == 0


def test_a_url_that_comes_twice_is_downloaded_once(internet):
    internet.answers["/a"] = ok(PNG)
    twins = [image(internet.url("/a")), image(internet.url("/a"))]
    fetcher(internet).fetch_all(request_of(*twins))
    assert internet.paths == ["/a"]
    assert [base64.b64decode(m.data) for m in twins] == [PNG, PNG]


def test_four_at_a_time(internet):
    meeting = threading.Barrier(4, timeout=SECONDS)

    def together(sock: socket.socket) -> None:
        meeting.wait()  # nobody is answered before four have asked
        sock.sendall(ok(PNG))

    internet.answers = {f"/{n}": together for n in range(8)}
    media = [image(internet.url(f"/{n}")) for n in range(8)]
    fetcher(internet).fetch_all(request_of(*media))
    assert all(m.data for m in media)
    assert internet.peak == 4


def test_a_body_in_chunks_and_one_that_ends_with_its_connection(internet):
    internet.answers["/chunks"] = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"40\r\n%b\r\n" % PNG[at : at + 64] for at in range(0, 256, 64))
        + b"0\r\n\r\n"
    )
    internet.answers["/open"] = b"HTTP/1.0 200 OK\r\n\r\n" + PNG
    media = [image(internet.url("/chunks")), image(internet.url("/open"))]
    fetcher(internet).fetch_all(request_of(*media))
    assert [base64.b64decode(m.data) for m in media] == [PNG[:256], PNG]


def test_a_url_beyond_ascii_is_asked_for_as_browsers_do(internet):
    internet.answers["/caf%C3%A9?q=%C3%BC"] = ok(PNG)
    fetcher(internet).fetch_all(request_of(image(internet.url("/café?q=ü"))))
    assert internet.paths == ["/caf%C3%A9?q=%C3%BC"]


# ----------------------------------------------------------------------------- types


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("image", b"<html>not found</html>"),
        ("image", PDF),
        ("image", b""),
        ("file", b"MZ\x90\x00"),
        ("audio", b"[playlist]"),
    ],
)
def test_a_file_of_another_type_is_refused(internet, kind, body):
    internet.answers["/a"] = ok(body, Content_Type="image/png")
    media = Media(kind, url=internet.url("/a"), mime_type="image/png", where="contents[0].parts[1]")
    error = refusal(fetcher(internet), media)
    assert error.param == "contents[0].parts[1]"
    assert media.data is None


def test_text_has_no_mark_and_is_taken_when_announced(internet):
    internet.answers |= {"/a": ok("Grüße".encode()), "/b": ok(b"\xff\xfe\x00")}
    media = Media("file", url=internet.url("/a"), mime_type="text/plain")
    fetcher(internet).fetch_all(request_of(media))
    assert (media.mime_type, base64.b64decode(media.data).decode()) == ("text/plain", "Grüße")
    binary = Media("file", url=internet.url("/b"), mime_type="text/plain")
    assert "no type that is supported" in refusal(fetcher(internet), binary).message


# ----------------------------------------------------------------------------- where we connect


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("http://files.example/a", "https"),
        ("HTTP://files.example/a", "https"),
        ("https://me:secret@files.example/a", "credentials"),
        ("https://127.0.0.1@files.example/a", "credentials"),
        ("https://files.example:22/a", "port"),
        ("https://files.example:0/a", "port"),
        ("https://files.example:99999/a", "valid URL"),
        ("https://files.example:x/a", "valid URL"),
        ("https:///a", "valid URL"),
        ("https:files.example/a", "valid URL"),
        ("https://files.example\\@10.0.0.1/a", "valid URL"),
        ("https://files.example\t/a", "valid URL"),
        ("https://files.example/a b", "valid URL"),
        ("https://files.example/a\r\nX-Evil: 1", "valid URL"),
        ("https://[::1", "valid URL"),
        ("https://[fe80::1%25eth0]/a", "valid URL"),
        ("https://files.example,other.example/a", "valid URL"),
        ("https://%31%32%37.0.0.1/a", "valid URL"),
        ("https://" + "a" * 64 + ".example/", "valid URL"),
        ("https://files.example/\ud800", "valid URL"),
        ("https://files.example/" + "a" * 9000, "valid URL"),
    ],
)
def test_a_bad_url_is_refused_before_any_look_up(url, word):
    def resolve(host: str) -> list[str]:
        raise AssertionError(f"{host} was looked up")

    error = refusal(Fetcher(resolve=resolve), image(url))
    assert word in error.message
    assert error.param == "messages[0].content[1]"
    assert "secret" not in error.message


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e"],
)
def test_public_addresses(address):
    assert is_public(address)


FORBIDDEN = """0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
    198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16
    :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254
    ::ffff:8.8.8.8 ::ffff:0:127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b:1::a00:1 100::1
    2001::1 2001:0:7f00:1:: 2001:db8::1 2001:10::1 2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1
    fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 ff0e::1"""


@pytest.mark.parametrize("address", FORBIDDEN.split())
def test_addresses_that_are_inside_or_lead_there(address):
    assert not is_public(address)


INSIDE = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "0.0.0.0",
    "0",
    "localhost",
    "localhost.",
    "[::1]",
    "[::]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "１２７.0.0.1",
    "127。0。0。1",
)


@pytest.mark.parametrize("host", INSIDE)
def test_no_spelling_of_this_machine_is_connected_to(internet, host):
    """With the look-up and the rules that production uses, against a server that would answer."""
    internet.answers["/a"] = ok(PNG)
    fetch = fetcher(internet, resolve=media_fetch.resolve, allowed=is_public)
    error = refusal(fetch, image(internet.url("/a", host)))
    assert internet.connections == 0
    assert "could not be reached" in error.message


def test_refused_unreachable_and_unknown_read_alike(internet):
    with socket.socket() as sock:
        sock.bind((HERE, 0))
        closed = sock.getsockname()[1]
    options = {"ports": {closed}}
    url = f"https://files.example:{closed}/a"
    messages = {
        refusal(fetcher(internet, **options), image(url)).message,
        refusal(fetcher(internet, resolve=lambda host: [], **options), image(url)).message,
        refusal(fetcher(internet, allowed=is_public, **options), image(url)).message,
    }
    assert len(messages) == 1


def test_what_was_checked_is_what_is_connected_to(internet):
    """A name whose address changes between check and use (DNS rebinding)."""
    internet.answers["/a"] = ok(PNG)
    asked: list[str] = []

    def rebinding(host: str) -> list[str]:
        asked.append(host)
        return [HERE] if len(asked) == 1 else ["127.0.0.66"]

    media = image(internet.url("/a"))
    fetcher(internet, resolve=rebinding).fetch_all(request_of(media))
    assert media.data
    assert asked == ["files.example"]


def test_every_hop_is_checked_anew(internet):
    internet.answers |= {"/a": redirect("/b"), "/b": ok(PNG)}
    answers = iter([[HERE], ["127.0.0.66"]])
    error = refusal(
        fetcher(internet, resolve=lambda host: next(answers)), image(internet.url("/a"))
    )
    assert "could not be reached" in error.message
    assert internet.paths == ["/a"]


def test_only_the_allowed_of_several_addresses_is_used(internet):
    internet.answers["/a"] = ok(PNG)
    tried: list[str] = []

    def allowed(address: str) -> bool:
        tried.append(address)
        return address == HERE

    fetch = fetcher(internet, resolve=lambda host: ["10.0.0.1", "::1", HERE], allowed=allowed)
    fetch.fetch_all(request_of(image(internet.url("/a"))))
    assert tried == ["10.0.0.1", "::1", HERE]


def test_the_next_address_is_tried_when_one_is_dead(internet):
    internet.answers["/a"] = ok(PNG)
    fetch = fetcher(
        internet, resolve=lambda host: ["127.0.0.66", HERE], allowed=lambda address: True
    )
    media = image(internet.url("/a"))
    fetch.fetch_all(request_of(media))
    assert media.data


# ----------------------------------------------------------------------------- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(internet, status):
    internet.answers |= {"/a": redirect("b?c", status), "/b?c": ok(PNG)}
    media = image(internet.url("/a"))
    fetcher(internet).fetch_all(request_of(media))
    assert media.mime_type == "image/png"


def test_three_redirects_and_no_more(internet):
    internet.answers = {f"/{n}": redirect(f"/{n + 1}") for n in range(9)} | {"/9": ok(PNG)}
    fetcher(internet).fetch_all(request_of(image(internet.url("/6"))))
    internet.heads.clear()
    assert "redirects too often" in refusal(fetcher(internet), image(internet.url("/5"))).message
    assert internet.paths == ["/5", "/6", "/7", "/8"]


def test_a_redirect_to_another_name_is_a_new_connection_for_that_name(internet):
    internet.answers |= {
        "/a": redirect(internet.url("/b", "other.example")),
        "/b": ok(PNG),
    }
    fetcher(internet).fetch_all(request_of(image(internet.url("/a"))))
    assert internet.names == list(NAMES)
    assert f"Host: other.example:{internet.port}" in internet.heads[1]


@pytest.mark.parametrize(
    ("location", "word"),
    [
        ("http://files.example/b", "https"),
        ("gopher://files.example/b", "https"),
        ("file:///etc/passwd", "https"),
        ("//me@other.example/b", "credentials"),
        ("https://files.example:22/b", "port"),
        ("https://[::1/b", "valid answer"),
        ("/b c", "valid URL"),
    ],
)
def test_a_redirect_elsewhere_is_refused(internet, location, word):
    internet.answers |= {"/a": redirect(location), "/b": ok(PNG)}
    assert word in refusal(fetcher(internet), image(internet.url("/a"))).message
    assert internet.paths == ["/a"]


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "metadata.internal", "[::1]"])
def test_a_redirect_inside_is_refused(internet, host):
    internet.answers |= {"/a": redirect(internet.url("/b", host)), "/b": ok(PNG)}
    inside = {"files.example": [HERE], "metadata.internal": ["169.254.169.254"]}
    asked: list[str] = []

    def resolve(name: str) -> list[str]:
        return inside.get(name, [name])

    def allowed(address: str) -> bool:
        asked.append(address)
        return address == HERE or is_public(address)

    error = refusal(fetcher(internet, resolve=resolve, allowed=allowed), image(internet.url("/a")))
    assert "could not be reached" in error.message
    assert len(asked) == 2
    assert internet.paths == ["/a"]


def test_the_page_that_comes_with_a_redirect_is_not_read(internet):
    internet.answers |= {
        "/a": b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 99999999999\r\n\r\nMoved",
        "/b": ok(PNG),
    }
    media = image(internet.url("/a"))
    fetcher(internet).fetch_all(request_of(media))
    assert media.data


# ----------------------------------------------------------------------------- certificates


def test_a_certificate_that_nobody_vouches_for_is_refused_by_default(internet):
    internet.answers["/a"] = ok(PNG)
    error = refusal(fetcher(internet, ssl_context=None), image(internet.url("/a")))
    assert "certificate" in error.message
    assert internet.heads == []


def test_a_certificate_for_another_name_is_refused(internet):
    internet.answers["/a"] = ok(PNG)
    error = refusal(fetcher(internet), image(internet.url("/a", "else.example")))
    assert "certificate" in error.message
    assert internet.heads == []


# ----------------------------------------------------------------------------- bounds


KB = 1024
SMALL = Limits(file_bytes=64 * KB, total_bytes=128 * KB, seconds=SECONDS)


def test_a_length_that_is_too_large_is_not_waited_for(internet):
    internet.answers["/a"] = lambda sock: (
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n" + PNG),
        internet.over.wait(SECONDS),
    )
    assert (
        "larger than" in refusal(fetcher(internet, limits=SMALL), image(internet.url("/a"))).message
    )


@pytest.mark.parametrize(
    ("head", "endless"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + PNG, bytes(16 * KB)),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"4000\r\n" + bytes(16 * KB) + b"\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;" + b"x" * KB + b"\r\nx\r\n",
        ),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: 1\r\n" * 100),
        (b"HTTP/1.1 302 Found\r\nLocation: ", b"x" * KB),
    ],
    ids=["body", "chunks", "chunk marks", "interim answers", "headers", "one header"],
)
def test_an_answer_without_end_is_dropped(internet, head, endless):
    sent = []

    def flood(sock: socket.socket) -> None:
        sock.sendall(head)
        while not internet.over.is_set():
            sock.sendall(endless)
            sent.append(len(endless))

    internet.answers["/a"] = flood
    is_head = b"\r\n\r\n" not in head
    limits = Limits(file_bytes=32 * KB * KB if is_head else 64 * KB, seconds=SECONDS)
    error = refusal(fetcher(internet, limits=limits), image(internet.url("/a")))
    assert "larger than" in error.message or "valid answer" in error.message
    assert sum(sent) < 8 * media_fetch.MB  # what buffers hold, not what five seconds could bring


def test_all_files_together_are_bounded(internet):
    body = PNG + bytes(60 * KB)
    internet.answers = {f"/{n}": ok(body) for n in range(3)}
    two = [image(internet.url(f"/{n}")) for n in range(2)]
    fetcher(internet, limits=SMALL).fetch_all(request_of(*two))
    three = [image(internet.url(f"/{n}")) for n in range(3)]
    assert "together" in refusal(fetcher(internet, limits=SMALL), *three).message


def test_a_file_counts_as_often_as_it_is_used(internet):
    internet.answers["/a"] = ok(PNG + bytes(60 * KB))
    thrice = [image(internet.url("/a")) for _ in range(3)]
    assert "together" in refusal(fetcher(internet, limits=SMALL), *thrice).message


def test_twenty_files_and_no_more(internet):
    internet.answers = {f"/{n}": ok(PNG) for n in range(21)}
    media = [image(internet.url(f"/{n}"), f"messages[{n}]") for n in range(21)]
    error = refusal(fetcher(internet), *media)
    assert (error.param, internet.connections) == ("messages[20]", 0)
    fetcher(internet).fetch_all(request_of(*media[:20]))
    assert all(m.data for m in media[:20])


def _never(net: Internet, beginning: bytes) -> Answer:
    return lambda sock: (sock.sendall(beginning), net.over.wait(SECONDS * 2))


def _drip(net: Internet) -> Answer:
    def answer(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + PNG)
        while not net.over.wait(0.01):
            sock.sendall(b"x")

    return answer


@pytest.mark.parametrize("kind", ["nothing", "half a header", "half a body", "drip", "redirects"])
def test_a_slow_server_is_given_up_in_time(internet, kind):
    internet.answers["/a"] = {
        "nothing": _never(internet, b""),
        "half a header": _never(internet, b"HTTP/1.1 200 OK\r\nX-"),
        "half a body": _never(internet, b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PNG),
        "drip": _drip(internet),
        "redirects": redirect("/b"),
    }[kind]
    internet.answers["/b"] = _never(internet, b"")
    error = refusal(fetcher(internet, limits=Limits(seconds=0.3)), image(internet.url("/a")))
    assert "took too long" in error.message


def test_only_connecting_has_to_be_quick(internet):
    internet.answers["/a"] = lambda sock: (internet.over.wait(0.3), sock.sendall(ok(PNG)))
    media = image(internet.url("/a"))
    fetcher(internet, limits=Limits(connect_seconds=0.1)).fetch_all(request_of(media))
    assert media.data


def test_a_slow_look_up_is_given_up_in_time(internet):
    fetch = fetcher(internet, resolve=lambda host: gevent.sleep(60), limits=Limits(seconds=0.2))
    assert "took too long" in refusal(fetch, image(internet.url("/a"))).message


def test_a_server_that_never_shakes_hands_is_given_up_in_time(internet):
    with socket.create_server((HERE, 0)) as silent:
        port = silent.getsockname()[1]
        fetch = fetcher(internet, ports={port}, limits=Limits(seconds=0.3))
        error = refusal(fetch, image(f"https://files.example:{port}/a"))
    assert "took too long" in error.message


def test_look_ups_in_flight_are_few_however_many_gave_up(monkeypatch):
    """A look-up can't be broken off; those of a dead name server must leave threads to others."""
    release, running = gevent.event.Event(), []

    def stuck(host: str, *_rest: Any, **_options: Any) -> list[Any]:
        running.append(host)
        release.wait()
        return []

    monkeypatch.setattr(gevent.socket, "getaddrinfo", stuck)
    fetch = Fetcher(limits=Limits(at_once=10, seconds=0.1))
    urls = [image(f"https://{n}.example/") for n in range(10)]
    assert "took too long" in refusal(fetch, *urls).message
    assert "took too long" in refusal(fetch, *urls).message
    assert len(running) == 4
    release.set()
    media_fetch.LOOKUPS.join()


# ----------------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
        (b"HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n\r\nabc", "answered 206"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "answered 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + PNG, "valid answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + PNG, "valid answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "valid answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "valid answer"),
        (b"", "valid answer"),
    ],
)
def test_a_server_that_has_no_such_file(internet, answer, word):
    internet.answers["/a"] = answer
    error = refusal(fetcher(internet), image(internet.url("/a")))
    assert word in error.message
    assert error.message.startswith("The file at the URL could not be downloaded: ")


def test_a_server_without_tls(internet):
    with socket.create_server((HERE, 0)) as plain:
        port = plain.getsockname()[1]

        def answer() -> None:
            with plain.accept()[0] as sock:
                sock.recv(65536)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error = refusal(fetcher(internet, ports={port}), image(f"https://files.example:{port}/"))
        thread.join()
    assert "valid answer" in error.message


def test_the_first_failure_ends_the_others(internet, capfd):
    """The caller does not wait for the rest, nothing more is asked for, and no log line is made."""
    gone = threading.Semaphore(0)

    def until_they_leave(sock: socket.socket) -> None:
        sock.settimeout(SECONDS)
        with contextlib.suppress(TimeoutError):
            assert sock.recv(1) == b""
            gone.release()

    def when_three_wait(sock: socket.socket) -> None:
        poll(lambda: internet.open == 4)
        sock.sendall(b"HTTP/1.1 410 Gone\r\n\r\n")

    internet.answers = {f"/{n}": until_they_leave for n in range(8)} | {"/2": when_three_wait}
    media = [image(internet.url(f"/{n}"), f"messages[{n}]") for n in range(8)]
    asked: list[str] = []
    error = refusal(fetcher(internet, resolve=lambda host: asked.append(host) or [HERE]), *media)
    assert error.param == "messages[2]"
    assert all(gone.acquire(timeout=SECONDS) for _ in range(3))
    gevent.sleep(0.05)
    assert sorted(internet.paths) == ["/0", "/1", "/2", "/3"]
    assert len(asked) == 4
    assert capfd.readouterr().err == ""


def test_the_default_is_the_strict_one(internet):
    limits = media_fetch.DEFAULT._limits
    assert (limits.file_bytes, limits.total_bytes) == (20 * 1024 * KB, 50 * 1024 * KB)
    assert (limits.connect_seconds, limits.seconds, limits.redirects) == (3, 10, 3)
    internet.answers["/a"] = ok(PNG)
    for url in (internet.url("/a", HERE), "https://127.0.0.1/a", "https://localhost/a"):
        with pytest.raises(InvalidRequest):
            media_fetch.fetch_all(request_of(image(url)))
    assert internet.connections == 0
