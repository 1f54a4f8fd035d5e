"""Kept answers: what an earlier version wrote is read for ever, and damage is found."""

import pytest

from qorch.errors import InvalidResultError
from qorch_providers.archive import decode_archive, encode_archive
from qorch_providers.ionq.results.archive import decode_answer, encode_answer

KEPT = bytes.fromhex("51495141 0100 0000 02000000 0200000000000000 7b7d 0000000000000000")
"""Two documents, ``{}`` and an empty one, as the first version for IonQ wrote them."""


def test_answers_of_ionq_stay_readable():
    """The bytes are those that databases hold since answers are kept."""
    assert encode_answer([b"{}", b""]) == KEPT
    assert decode_answer(KEPT) == [b"{}", b""]


def test_answers_of_another_provider_are_refused():
    """The first bytes say whose answer it is; the message, whose was expected."""
    content = encode_archive([b"a"], magic=b"OTHR")
    assert decode_archive(content, magic=b"OTHR", provider="Other") == [b"a"]
    with pytest.raises(InvalidResultError, match="a kept answer of Braket"):
        decode_archive(content, magic=b"QBRA", provider="Braket")


@pytest.mark.parametrize("content", [b"", KEPT[:20], KEPT[:25], KEPT[:-1], KEPT + b"x", KEPT[:4] + b"\x02" + KEPT[5:]])
def test_damaged_answers_are_refused(content):
    """Cut short, too long, or of a version that is not known."""
    with pytest.raises(InvalidResultError):
        decode_answer(content)
