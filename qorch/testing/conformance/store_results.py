"""The part of the Store contract that says that results of every kind come back bit for bit."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.measurement import BlockResult
from qorch.model.samples import Samples
from qorch.ports.store import Store
from qorch.testing.conformance.store_fixtures import StoreFixtures
from qorch.testing.conformance.store_records import (
    CONTEXT,
    GATES,
    HERE,
    MEASUREMENT,
    assert_same_block,
    assert_same_result,
    make_block,
    sampled_results,
    with_rows,
)


class StoreResultsConformance(StoreFixtures):
    """See StoreConformance."""

    def test_counts_survive_bit_for_bit(self, store: Store) -> None:
        """Outcomes, counts, offsets and their types, the places of the rows, and 64-bit streams."""

        @settings(max_examples=25, deadline=None)
        @given(result=sampled_results(), data=st.data())
        def check(result: BlockResult, data: st.DataObject) -> None:
            words = st.lists(st.integers(0, 2**64 - 1), min_size=result.n_rows, max_size=result.n_rows)
            streams, ordinals = (np.array(data.draw(words), dtype=np.uint64) for _ in range(2))
            samples = Samples(streams, ordinals, 1000, 3)
            block = replace(with_rows(make_block(result.n_rows), samples=samples), result=result)
            store.write([block]).result()
            assert_same_block(store.blocks_at("r", HERE)[-1], block)

        check()

    def test_exact_values_survive_bit_for_bit(self, store: Store) -> None:
        """Also infinities, the sign of zero, denormal numbers, and no columns at all."""
        odd = np.array([[np.pi, -0.0, np.inf], [5e-324, np.nan, 1e308]])
        for values in (odd, np.zeros((2, 0))):
            block = replace(with_rows(make_block(2), samples=None), result=BlockResult(values=values))
            store.write([block]).result()
            assert_same_block(store.blocks_at("r", HERE)[-1], block)

    def test_estimates_survive_bit_for_bit(self, store: Store) -> None:
        """Values and variances, with the shots that were asked for; they come back as what they are."""
        values, variances = np.array([[1.25, -0.0, -1.5]]), np.array([[1e-300, 0.0, 2.5]])
        result = BlockResult(values=values, variances=variances)
        block = replace(with_rows(make_block(1)), result=result)
        store.write([block]).result()
        [found] = store.blocks_at("r", HERE)
        assert_same_block(found, block)
        [keys] = store.block_keys(CONTEXT, MEASUREMENT, GATES)
        assert_same_result(store.block_results([keys.block_id])[keys.block_id], result)
