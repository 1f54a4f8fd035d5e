"""What a report calls the phases of a run."""

from qorch.model.timing import UNATTRIBUTED, Phase

LABELS = {
    Phase.COMPILE: "compile kernels",
    Phase.IMPORT: "import",
    Phase.EXECUTE: "execute",
    Phase.EXPAND: "expand",
    Phase.TRANSPILE: "transpile",
    Phase.LOOK_UP: "look up results",
    Phase.PLAN: "plan",
    Phase.ENCODE: "serialise",
    Phase.DECODE: "decode",
    Phase.TRANSFER: "transfer",
    Phase.CONNECT: "connect",
    Phase.SERVER: "server's answer",
    Phase.SUBMIT: "submit",
    Phase.QUEUE: "provider queue",
    Phase.REMOTE: "at the provider",
    Phase.POLL: "done, not yet seen",
    Phase.PACE: "wait for a turn",
    Phase.WORKERS: "start workers",
    Phase.WAIT: "wait for a worker",
    Phase.SYNC: "sync to disk",
    Phase.STORE: "store",
    Phase.START: "start up",
    Phase.PREPARE: "before the first step",
    Phase.MODEL: "model code",
}


def label_of(phase_id: str) -> str:
    """The label of a phase, or of UNATTRIBUTED. Raises ValueError for any other id."""
    return UNATTRIBUTED if phase_id == UNATTRIBUTED else LABELS[Phase(phase_id)]
