"""Kernels that sample shots with noise, each with Paulis of its own from the same stream as its outcome.

Shots in which no gate fails share the ideal state of their row; every other shot is a trajectory of its own, so that
shots are as independent as a device's.
"""

import math

import numpy as np

from qorch_providers.local.numba_engine.evolution import evolve
from qorch_providers.local.numba_engine.jit import compiled, internal
from qorch_providers.local.numba_engine.kernels import prepare_rows, probabilities_of_rows
from qorch_providers.local.numba_engine.lanes import take_next
from qorch_providers.local.numba_engine.philox import draw_of_shot, philox
from qorch_providers.local.numba_engine.sampling import fill_probabilities, fill_thresholds

FAILED = np.uint64(0xFFFFFFFFFFFFFFFF)
"""Marks a shot in which a gate failed, until its trajectory was run and gives its outcome."""
GATE_DOMAIN = 1
READOUT_DOMAIN = 1 << 31
_SCALE = 2.0**-32


@internal
def next_failure(survival, after, shot, event, ordinal, stream):
    """The first gate after gate ``after`` that fails (their number if none does), and a word to choose the Pauli with.

    ``survival[g]`` is the logarithm of the probability that the gates up to g all work.
    """
    w0, w1, _, _ = philox(shot, GATE_DOMAIN + event, ordinal, stream)
    level = math.log((float(w0) + 0.5) * _SCALE)
    if after >= 0:
        level += survival[after]
    low, high = after + 1, len(survival)
    while low < high:
        middle = (low + high) // 2
        if survival[middle] < level:
            high = middle
        else:
            low = middle + 1
    return low, w1


@internal
def flip_bits(outcome, n_qubits, log_correct, shot, ordinal, stream):
    """The outcome with readout errors: every bit is wrong with the probability ``1 - exp(log_correct)``."""
    if log_correct == 0.0:
        return outcome
    bit, event = 0, 0
    while True:
        w0, _, _, _ = philox(shot, READOUT_DOMAIN + event, ordinal, stream)
        skipped = math.log((float(w0) + 0.5) * _SCALE) / log_correct
        if skipped >= n_qubits - bit:
            return outcome
        bit += int(skipped)
        outcome ^= np.uint64(1) << np.uint64(bit)
        bit += 1
        event += 1


@internal
def find_outcome(thresholds, lane, lanes, draw):
    """The first outcome of a lane whose threshold is above the draw."""
    low, high = 0, len(thresholds) // lanes - 1
    while low < high:
        middle = (low + high) // 2
        if thresholds[middle * lanes + lane] > draw:
            high = middle
        else:
            low = middle + 1
    return np.uint64(low)


@compiled
def sample_ideal_shots(
    counter, tables, is_real, angles, streams, ordinals, first_shot, survival, log_correct, n_qubits, work, outcomes
):
    """``outcomes (R, S)``: the outcome read in every shot in which no gate fails; FAILED in the others."""
    rows, lanes = len(angles), work.lanes
    while True:
        first = take_next(counter) * lanes
        if first >= rows:
            break
        probabilities = probabilities_of_rows(tables, is_real, angles, first, work)
        fill_thresholds(probabilities, work.wide, work.scratch.thresholds)
        for row in range(first, min(first + lanes, rows)):
            stream, ordinal = streams[row], ordinals[row]
            for place in range(outcomes.shape[1]):
                shot = first_shot + place
                failure, _ = next_failure(survival, -1, shot, 0, ordinal, stream)
                if failure < len(survival):
                    outcomes[row, place] = FAILED
                    continue
                draw = min(draw_of_shot(stream, ordinal, shot), np.uint64(0xFFFFFFFE))
                outcome = find_outcome(work.scratch.thresholds, row - first, lanes, draw)
                outcomes[row, place] = flip_bits(outcome, n_qubits, log_correct, shot, ordinal, stream)


@compiled
def run_trajectories(
    counter, tables, is_real, angles, streams, ordinals, shots, sites, survival, log_correct, n_qubits, work, outcomes
):
    """``outcomes (T,)`` of single shots in which gates fail; row t of the angles is that of shot t."""
    rows, lanes = len(angles), work.lanes
    while True:
        first = take_next(counter) * lanes
        if first >= rows:
            break
        insert_paulis(first, streams, ordinals, shots, sites, survival, work)
        prepare_rows(tables, angles, first, work)
        re, im, re2, _ = evolve(tables, is_real, work)
        fill_probabilities(tables.readout, is_real, re, im, re2)
        fill_thresholds(re2, work.wide, work.scratch.thresholds)
        for row in range(first, min(first + lanes, rows)):
            stream, ordinal, shot = streams[row], ordinals[row], shots[row]
            draw = min(draw_of_shot(stream, ordinal, shot), np.uint64(0xFFFFFFFE))
            outcome = find_outcome(work.scratch.thresholds, row - first, lanes, draw)
            outcomes[row] = flip_bits(outcome, n_qubits, log_correct, shot, ordinal, stream)


@internal
def insert_paulis(first, streams, ordinals, shots, sites, survival, work):
    """Set the noise of the lanes: for each source 1 if X, and -1 if Z is inserted, else 0 and 1."""
    noise, lanes = work.flat_noise, work.lanes
    for source in range(len(noise) // (2 * lanes)):
        for lane in range(lanes):
            noise[2 * source * lanes + lane] = 0.0
            noise[(2 * source + 1) * lanes + lane] = 1.0
    for lane in range(min(lanes, len(shots) - first)):
        row = first + lane
        gate, event = -1, 0
        while True:
            gate, word = next_failure(survival, gate, shots[row], event, ordinals[row], streams[row])
            if gate >= len(survival):
                break
            source, n_touched = sites[gate, 0], sites[gate, 1]
            choices = np.uint64((1 << (2 * n_touched)) - 1)
            code = np.int64((word * choices) >> np.uint64(32)) + 1
            for place in range(n_touched):
                letter = code >> (2 * place)
                if letter & 1:
                    noise[2 * (source + place) * lanes + lane] = 1.0
                if letter & 2:
                    noise[(2 * (source + place) + 1) * lanes + lane] = -1.0
            event += 1
