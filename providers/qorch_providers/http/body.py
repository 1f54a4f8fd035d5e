"""The body of an answer, decompressed as it arrives, up to a maximum size."""

import io
import zlib

from qorch_providers.http.errors import AnswerLostError, TooLargeError

MOST_BYTES = 32 * 2**20
"""Maximum size of one answer, after decompression."""

# zlib builds every step's output in pieces that it joins: small steps bound the memory held twice.
_STEP_BYTES = 2**20
_PLAIN = frozenset({"", "identity"})
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


class Body:
    """Collects one answer. At most one step more than the maximum size is ever decompressed."""

    def __init__(self, encoding: str, *, most_bytes: int) -> None:
        """``encoding``: the header Content-Encoding. Raises AnswerLostError for one that was not asked for."""
        encoding = encoding.strip().lower()
        if encoding not in _PLAIN | _COMPRESSED:
            raise AnswerLostError("the answer is encoded in a way that was not asked for; expected gzip or nothing")
        # 32 lets zlib tell gzip and zlib headers apart by itself.
        self._decoder = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in _COMPRESSED else None
        self._most_bytes = most_bytes
        # One growing buffer: fresh memory for a second copy costs more than the copying.
        self._buffer = io.BytesIO()
        self._n_received = 0
        self._n_kept = 0

    def add(self, chunk: bytes) -> None:
        """The next bytes from the wire. Raises TooLargeError, or AnswerLostError for broken compression."""
        self._n_received += len(chunk)
        if self._n_received > self._most_bytes:
            raise self._too_large()
        if self._decoder is None:
            self._keep(chunk)
        else:
            self._decompress(self._decoder, chunk)

    def finish(self) -> bytes:
        """The whole body. Raises AnswerLostError if compressed data ended early."""
        if self._decoder is not None and self._n_received and not self._decoder.eof:
            raise AnswerLostError("the compressed answer ends in the middle")
        return self._buffer.getvalue()

    def _decompress(self, decoder: "zlib._Decompress", chunk: bytes) -> None:
        is_more = True
        while is_more:
            try:
                plain = decoder.decompress(chunk, _STEP_BYTES)
            except zlib.error as error:
                raise AnswerLostError("the compressed answer is damaged") from error
            if decoder.unused_data:
                raise AnswerLostError("bytes follow the end of the compressed answer")
            self._keep(plain)
            chunk = decoder.unconsumed_tail
            # After a full step zlib may hold output although all input is used up.
            is_more = bool(chunk) or len(plain) == _STEP_BYTES

    def _keep(self, plain: bytes) -> None:
        self._n_kept += len(plain)
        if self._n_kept > self._most_bytes:
            raise self._too_large()
        self._buffer.write(plain)

    def _too_large(self) -> TooLargeError:
        most = f"{self._most_bytes / 2**20:.0f} MiB"
        return TooLargeError(f"the answer is larger than {most} and was not read further; ask for less at once")
