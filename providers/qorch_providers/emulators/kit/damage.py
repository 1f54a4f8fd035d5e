"""Damage the body of an answer as a faulty or hostile server could. Pure."""

import zlib

import msgspec

BOMB_BYTES = 256 * 1024 * 1024
DEPTH = 10_000
_ROWS = ("measurements", "executableResults")
"""Where a service that does not list ids has its rows."""
_HTML = (
    b"<!DOCTYPE html>\n<html><head><title>{status} | emulator</title></head>"
    b"<body><h1>Error {status}</h1><p>The web server reported a bad gateway.</p></body></html>\n"
)


def html_page(status: int) -> bytes:
    """A page as a proxy in front of the service would send it."""
    return _HTML.replace(b"{status}", str(status).encode())


def malform(body: bytes) -> bytes:
    """JSON that breaks off inside a string."""
    return body[: max(1, len(body) * 2 // 3)].rstrip(b'"}]') + b',"\x01'


def deep_json() -> bytes:
    """Lists nested 10,000 deep."""
    return b"[" * DEPTH + b"]" * DEPTH


def gzip_bomb() -> bytes:
    """About 256 KiB of gzip that become 256 MiB of sound JSON."""
    packer = zlib.compressobj(level=9, wbits=31)
    blank = b" " * (1024 * 1024)
    parts = [packer.compress(b"{")]
    parts += [packer.compress(blank) for _ in range(BOMB_BYTES // len(blank))]
    return b"".join([*parts, packer.compress(b"}"), packer.flush()])


def alter_content(kind: str, body: bytes) -> bytes:
    """The same JSON with a wrong number of rows, its rows in another order, or a NaN; unchanged if it has none."""
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
    if kind == "nan":
        return _put_nan(document, body)
    return msgspec.json.encode(_drop_row(document) if kind == "wrong-rows" else _reorder(document))


def _drop_row(document: object) -> object:
    if isinstance(document, list):
        return document[:-1]
    if not isinstance(document, dict):
        return document
    for name, value in document.items():
        if (name.endswith("_ids") or name in _ROWS) and isinstance(value, list):
            return document | {name: value[:-1]}
        if name == "programResults" and value:
            return document | {name: [_drop_row(value[0]), *value[1:]]}
    return dict(list(document.items())[:-1])


def _reorder(document: object) -> object:
    if isinstance(document, list):
        return document[::-1]
    return dict(reversed(document.items())) if isinstance(document, dict) else document


def _put_nan(document: object, body: bytes) -> bytes:
    """The body with its last number replaced; JSON has no NaN, so an encoder cannot help."""
    mark = "\x00nan\x00"
    marked, was_found = _mark_number(document, mark)
    return msgspec.json.encode(marked).replace(msgspec.json.encode(mark), b"NaN") if was_found else body


def _mark_number(value: object, mark: str) -> tuple[object, bool]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return mark, True
    if isinstance(value, dict):
        for name, item in reversed(value.items()):
            marked, was_found = _mark_number(item, mark)
            if was_found:
                return value | {name: marked}, True
    if isinstance(value, list) and value:
        marked, was_found = _mark_number(value[-1], mark)
        return [*value[:-1], marked], was_found
    return value, False
