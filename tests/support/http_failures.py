"""What the tests of the HTTP client share: answers that break, a port without a server, all texts of an error."""

import gzip
import socket
import traceback

from scripted_server import head, reply, reset, send_and_close

LOST = {
    "reset": reset(),
    "closed": send_and_close(b""),
    "half a head": send_and_close(b"HTTP/1.1 200 OK\r\nContent-"),
    "no http": send_and_close(b"SSH-2.0-x\r\n\r\n"),
    "truncated": send_and_close(head(200, 100) + b"x" * 50),
    "truncated chunks": send_and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n10\r\nhal"),
    "broken chunks": send_and_close(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
    "long header": send_and_close(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"),
    "broken gzip": reply(200, b"x" * 100, {"Content-Encoding": "gzip"}),
    "truncated gzip": reply(200, gzip.compress(b"x" * 99)[:-4], {"Content-Encoding": "gzip"}),
    "strange encoding": reply(200, b"x", {"Content-Encoding": "br"}),
    "two encodings": reply(200, gzip.compress(gzip.compress(b"x")), {"Content-Encoding": "gzip, gzip"}),
}
"""No whole, readable answer, though the request arrived."""


def free_port() -> int:
    """A port where no server listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def every_text_of(error: BaseException) -> str:
    """All that could be printed of an error: its chain, reprs, arguments, and the variables of its frames."""
    texts = []
    chain: BaseException | None = error
    while chain is not None:
        texts += [repr(chain), str(chain), repr(chain.args), repr(vars(chain))]
        chain = chain.__cause__ or chain.__context__
    texts += traceback.TracebackException.from_exception(error, capture_locals=True).format()
    return "\n".join(texts)
