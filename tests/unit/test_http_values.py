"""The pure parts of the HTTP module: waits, ids, paths, origins, header values, masks and bodies."""

import datetime
import gzip
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.errors import UsageError
from qorch_providers.http import (
    AnswerLostError,
    TooLargeError,
    check_header_value,
    check_origin,
    is_safe_id,
    mask,
    retry_after_seconds,
    server_time,
)
from qorch_providers.http.body import Body
from qorch_providers.http.safety import is_safe_path

NOW = datetime.datetime(2026, 11, 20, 12, 0, 0, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("86400", 3600.0),
        ("9" * 32, 3600.0),
        ("Fri, 20 Nov 2026 12:00:30 GMT", 30.0),
        ("Fri, 20 Nov 2026 11:59:00 GMT", 0.0),
        ("Sat, 21 Nov 2026 12:00:00 GMT", 3600.0),
        ("Friday, 20-Nov-26 12:00:10 GMT", 10.0),
        ("-5", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("0x10", None),
        ("٣", None),
        ("soon", None),
        ("9" * 40, None),
        ("Fri, 99 Nov 2026 12:00:30 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str, seconds: float | None) -> None:
    """Seconds and dates are read, held to an hour, and nonsense is no wait at all."""
    assert retry_after_seconds({"retry-after": value}, now=NOW) == seconds


def test_a_date_counts_from_the_clock_of_the_server() -> None:
    """A server whose clock is a day behind asks for 20 seconds, not for a wait that is long over."""
    headers = {"retry-after": "Thu, 19 Nov 2026 12:00:20 GMT", "date": "Thu, 19 Nov 2026 12:00:00 GMT"}
    assert retry_after_seconds(headers, now=NOW) == 20.0


@given(st.dictionaries(st.sampled_from(["retry-after", "date"]), st.text(max_size=80)))
def test_no_header_breaks_the_reading_of_waits(headers: dict[str, str]) -> None:
    """Whatever a server writes, the wait is None or between nothing and an hour."""
    seconds = retry_after_seconds(headers, now=NOW)
    assert seconds is None or 0.0 <= seconds <= 3600.0
    assert server_time(headers) is None or server_time(headers).tzinfo is not None  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["a", "0190a2c3-7e0f-4a55-8a6b-0a0b0c0d0e0f", "arn:aws:x_y.z", "v1.2"])
def test_plain_ids_are_safe(text: str) -> None:
    """Ids as providers give them pass."""
    assert is_safe_id(text)


@pytest.mark.parametrize("text", ["", ".", "..", "../../x", "a/b", "a..b", "a b", "a\n", "a%2e", "ä", "a\0", "x" * 257])
def test_ids_that_lead_elsewhere_are_not_safe(text: str) -> None:
    """What could become another path or file is refused, a trailing line break included."""
    assert not is_safe_id(text)


@pytest.mark.parametrize("path", ["/v0.4/jobs", "/v0.4/jobs/a-b_c:d/results", "/a"])
def test_plain_paths_are_safe(path: str) -> None:
    """Segments of letters, digits and a few signs pass."""
    assert is_safe_path(path)


@pytest.mark.parametrize(
    "path",
    ["", "/", "jobs", "//evil.example/x", "/a//b", "/a/../b", "/a/./b", "/..", "/a/%2e%2e/b", "/a\\b", "/a?b", "/a#b",
     "/a\r\nX: y", "/a/", "http://evil.example/", "/a@b"],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_not_safe(path: str) -> None:
    """Other origins, dots, escapes, queries and line breaks are refused."""
    assert not is_safe_path(path)


@pytest.mark.parametrize(
    "url",
    ["https://api.ionq.co/v0.4", "https://h:8443", "http://127.0.0.1:80/v0.4/", "http://localhost:1", "http://[::1]:5"],
)
def test_https_and_this_machine_are_origins(url: str) -> None:
    """TLS goes anywhere, plain HTTP stays on the machine; a slash at the end does not matter."""
    assert check_origin(url) == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    ["http://api.ionq.co", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "ftp://h", "https://",
     "h", "https://user:sesame@h", "https://h/a?token=sesame", "https://h/a#b", "https://h:99999", "https://h/../a",
     "https://h\n/", "https://h\\@evil", "https://[::1", "http://0.0.0.0", "https://h/%2e%2e"],
)  # fmt: skip
def test_other_origins_are_refused_without_their_secrets(url: str) -> None:
    """A key in clear, a user in the URL, and what is no URL: a sentence that repeats no secret."""
    with pytest.raises(UsageError) as caught:
        check_origin(url)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        " sesame",
        "sesame ",
        "sesame\n",
        "sesame\r\nX: y",
        "sesame\0",
        "sesame ä",
        "sesame  sesame",
        "sesame\x7f",
    ],
)
def test_values_no_header_may_have_are_refused_unseen(value: str) -> None:
    """The sentence names the header and never shows the value."""
    with pytest.raises(UsageError) as caught:
        check_header_value("Authorization", value)
    assert "Authorization" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_masks_take_the_longest_secret_first() -> None:
    """A secret that contains another one is not left half visible, and empty ones change nothing."""
    assert mask("a apiKey K123 b K123", ["K123", "apiKey K123", ""]) == "a *** b ***"


@pytest.mark.parametrize("secret", ["o", "job", "k.1", "dummy"])
def test_short_secrets_are_masked_as_whole_words(secret: str) -> None:
    """A letter that is a key does not turn every sentence into stars; alone, and after its scheme, it is hidden."""
    text = f"job{secret}s of {secret}, ({secret}) and apiKey {secret}: the other {secret}_1"
    hidden = f"job{secret}s of ***, (***) and ***: the other {secret}_1"
    assert mask(text, [secret, f"apiKey {secret}"]) == hidden


def read_body(content: bytes, encoding: str, *, most_bytes: int, chunk: int) -> bytes:
    """The content through a Body, in pieces."""
    body = Body(encoding, most_bytes=most_bytes)
    for start in range(0, len(content), chunk):
        body.add(content[start : start + chunk])
    return body.finish()


@given(st.binary(max_size=3000), st.integers(1, 500), st.sampled_from(["", "identity", "gzip", "GZIP", "deflate"]))
def test_bodies_come_back_whole(content: bytes, chunk: int, encoding: str) -> None:
    """Plain or compressed, in pieces of any size, at exactly the size that is allowed."""
    packers = {"gzip": gzip.compress, "deflate": zlib.compress}
    sent = packers.get(encoding.lower(), lambda data: data)(content)
    limit = max(len(content), len(sent))
    assert read_body(sent, encoding, most_bytes=limit, chunk=chunk) == content


@pytest.mark.parametrize("n_bytes", [2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20])
def test_large_compressed_bodies_come_back_whole(n_bytes: int) -> None:
    """Output that is taken from zlib in steps is complete at and around the size of a step."""
    content = (random.Random(2).randbytes(1000) * 4000)[:n_bytes]
    assert read_body(gzip.compress(content), "gzip", most_bytes=n_bytes, chunk=16_384) == content


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_one_byte_too_much_is_refused(encoding: str) -> None:
    """The limit counts bytes after decompression, to the byte."""
    content = random.Random(1).randbytes(100) * 50
    sent = gzip.compress(content) if encoding else content
    with pytest.raises(TooLargeError, match="larger than"):
        read_body(sent, encoding, most_bytes=len(content) - 1, chunk=64)


@pytest.mark.parametrize("cut", [1, 8, 20])
def test_compressed_bodies_that_end_early_are_refused(cut: int) -> None:
    """A gzip stream without its end is no answer."""
    with pytest.raises(AnswerLostError, match="ends in the middle"):
        read_body(gzip.compress(b"x" * 1000)[:-cut], "gzip", most_bytes=10**6, chunk=7)


def test_damaged_and_overlong_compression_is_refused() -> None:
    """Broken streams, bytes behind the end and encodings that were not asked for are no answers."""
    packed = gzip.compress(b"x" * 1000)
    with pytest.raises(AnswerLostError, match="damaged"):
        read_body(b"x" * 100, "gzip", most_bytes=10**6, chunk=100)
    with pytest.raises(AnswerLostError, match="follow the end"):
        read_body(packed + packed, "gzip", most_bytes=10**6, chunk=10**6)
    for encoding in ("br", "gzip, gzip", "zstd"):
        with pytest.raises(AnswerLostError, match="not asked for"):
            read_body(packed, encoding, most_bytes=10**6, chunk=100)


def test_empty_compressed_blocks_end_too() -> None:
    """A stream that never yields a byte is stopped by the bytes that it costs on the wire."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    with pytest.raises(TooLargeError):
        read_body(start + b"\x00\x00\x00\xff\xff" * 1000, "gzip", most_bytes=1000, chunk=100)
