"""Phases are stored by ids; reports show labels."""

import re

import pytest

from qorch.audit.phases import LABELS, label_of
from qorch.model.timing import UNATTRIBUTED, Phase


def test_every_phase_has_an_id_and_a_label_of_its_own() -> None:
    """Ids are words of small letters; what no span covers has a label, too, and another id has none."""
    assert list(LABELS) == list(Phase)
    assert len(set(LABELS.values())) == len(Phase)
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", phase.value) for phase in Phase)
    assert [label_of(part) for part in (*Phase, UNATTRIBUTED)] == [*LABELS.values(), UNATTRIBUTED]
    with pytest.raises(ValueError, match="no_phase"):
        label_of("no_phase")
