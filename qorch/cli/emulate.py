"""`qorch emulate`: a loopback server that speaks a provider's real protocol and really simulates."""

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from qorch.cli.options import JsonOption
from qorch.errors import MissingPackageError, UnknownNameError, UsageError

GROUP = "qorch.emulators"

_PROVIDER = Annotated[str, typer.Argument(metavar="PROVIDER", help="Whose service: braket, ibm or ionq.")]
_HOST = Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")]
_PORT = Annotated[str | None, typer.Option(metavar="P", help="Port; 0 picks a free one. [0]")]
_QUEUE = Annotated[str | None, typer.Option(metavar="LATENCY", help="Time a job waits before it starts. [0]")]
_EXECUTE = Annotated[str | None, typer.Option(metavar="LATENCY", help="Time a job runs, at least. [0]")]
_NETWORK = Annotated[str | None, typer.Option(metavar="LATENCY", help="Per call, half before and half after it. [0]")]
_ACCEPT_DELAY = Annotated[
    str | None,
    typer.Option(metavar="LATENCY", help="From a POST's arrival to its job's acceptance, client or not. [0]"),
]
_WORKERS = Annotated[str | None, typer.Option(metavar="N", help="Jobs that run side by side; 0 is any number. [0]")]
_RATE_LIMIT = Annotated[
    str | None, typer.Option(metavar="LIMITS", help='Such as "5/min" (of POSTs) or "get:100/sec,post:5/min".')
]
_RETRY_AFTER = Annotated[
    str | None, typer.Option(metavar="FORM", help="Retry-After of a 429: seconds, date or none. [seconds]")
]
_TIME_SCALE = Annotated[str | None, typer.Option(metavar="X", help="All times and limits pass X times as fast. [1]")]
_FAULTS = Annotated[str | None, typer.Option(metavar="FAULTS", help="What goes wrong; see above.")]
_RESULTS = Annotated[str | None, typer.Option(help="How results are offered; ionq: url, artifact or both. [both]")]
_PRICE = Annotated[
    str | None,
    typer.Option(
        metavar="USD",
        help="ionq, per shot and circuit: 0.01, or simulator=0.001,qpu=0.08; of gates: gate1=…,gate2=…,minimum=…."
        " [gate1=0.00022,gate2=0.000975,minimum=12.4166,mitigated=97.5]",
    ),
]
_SEED = Annotated[
    str | None, typer.Option(metavar="N", help="The seed of latencies, chances of faults, and sampling. [0]")
]
_OWN = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="An option of this provider alone; see above.")
]

HELP = """Serve a provider's REST protocol on this machine until Ctrl-C, really simulating the circuits.

The first line on stdout has the address. GET /_emulator/jobs lists what really happened: every accepted job with its
times, rows, shots and price, and how many calls came. POST /_emulator/faults {"faults": TEXT} changes the faults.

LATENCY: seconds (0.5), a range (2.7..4.2), normal(MEAN,SIGMA), lognormal(MEDIAN,SIGMA) or exponential(MEAN).
Reported durations are not scaled; submitted_at, Date and /_emulator/jobs are real time, which --set clock-ahead=SECONDS
makes wrong.

FAULTS, by commas: [ROUTE:]KIND[-before|-after|-during][@N|@NxM|@N+|@As..Bs|%P], such as post:reset-after@3 (the
third POST), post:503-before%0.1 (with probability 0.1), results:nan@1, get:hang@2x5 (the second and four more),
503@10s..60s (between these seconds after the start). ROUTE: any, post, get, list, results, cancel, delete, cost,
estimate, backends, sessions, whoami. before: the request is not carried out; after: it is
carried out, and then the answer is faulty; during: the answer is faulty at once, and the request is carried out after
the accept delay all the same.

KIND of a broken connection or answer: reset, 400, 429, 500, 502, 503, 504, 520 to 529, token-expiry (401), hang, drip,
truncated, malformed, html, gzip-bomb, deep-json. KIND of wrong content: wrong-rows, wrong-order, nan. KIND of what
becomes of a job: child-failure (the job fails too), child-missing (it completes), failure, stuck; child-invalid and
invalid (the circuit cannot run, ever); unlisted (in no list before the faults change). And unavailable (backends say
so, POST answers 503).

Amazon Braket (braket), with its S3 objects, has the ROUTEs any, post, get, list, cancel, device, devices, tags,
results (objects of S3 that are read), objects (other calls of S3), identity, other; further KINDs child-broken (one
executable fails, and may not run again), object-missing, object-huge, object-pickle; --results inline or parts; --price
such as task=0.3,shot=0.01,minute=0.075; and with --set: quotas=post:20/40,list:5/50 (calls per second and burst),
concurrent=35, token-seconds=86400, visible-seconds=0, access-key=, account=, program-sets=garnet,forte-1,ankaa-3,
max-executables=100, max-total-shots=200000, offline=garnet@10..60, retired=ankaa-3, denied=BUCKET,BUCKET:read,
noise=off, poll-milliseconds=1000.

IBM Quantum (ibm), with its IAM, global search and catalog, has the ROUTEs any, post, get, list, results, cancel,
delete, tags, metrics, logs, backends, device, usage, open (POST of a session or batch), session, workloads, identity,
search, catalog, other; --price in dollars per QPU second; --workers per device [1]; and with --set: devices=ibm_fez,
retired=, maintenance=ibm_fez@10..60, noise=off, fractional=off, calibration-seconds=0,
instances=NAME=PLAN@REGION/SECONDS (open, pay-as-you-go, flex or premium), posts-per-minute=5, max-running=10800,
interactive-seconds=60, max-ttl=28800, usage=base=2,execution=0.00028 (QPU seconds), usage-delay=1, api-key=,
token-seconds=3600, token-delay=0, visible-seconds=0. Also POST /_emulator/calibrate {"backend": NAME} and
/_emulator/revoke (of all tokens).

Noise is an approximation: each gate leaves the ideal distribution with the weight 1 - p, the rest is uniform, and
every bit is misread with a fixed probability; p depends on the noise model or QPU. Then shots are drawn.
"""


def emulate(
    provider: _PROVIDER,
    host: _HOST = None,
    port: _PORT = None,
    queue: _QUEUE = None,
    execute: _EXECUTE = None,
    network: _NETWORK = None,
    accept_delay: _ACCEPT_DELAY = None,
    workers: _WORKERS = None,
    rate_limit: _RATE_LIMIT = None,
    retry_after: _RETRY_AFTER = None,
    time_scale: _TIME_SCALE = None,
    faults: _FAULTS = None,
    results: _RESULTS = None,
    price: _PRICE = None,
    seed: _SEED = None,
    own: _OWN = None,
    as_json: JsonOption = False,
) -> None:
    """Serve a provider's REST protocol on this machine until Ctrl-C; see `HELP`."""
    options = {
        "host": host, "port": port, "queue": queue, "execute": execute, "network": network,
        "accept_delay": accept_delay, "workers": workers, "rate_limit": rate_limit, "retry_after": retry_after,
        "time_scale": time_scale, "faults": faults, "results": results, "price": price, "seed": seed,
    }  # fmt: skip
    given = {name: text for name, text in options.items() if text is not None} | _read_own(own or [])

    def announce(url: str, chosen_port: int, environment: Mapping[str, str]) -> None:
        if as_json:
            line = json.dumps({"url": url, "port": chosen_port, "pid": os.getpid()})
        else:
            exports = " ".join(f"{name}={value}" for name, value in environment.items())
            line = f"{provider} is emulated at {url} until Ctrl-C; in another shell: export {exports}"
        # In one piece: a program that waits for the line must never read half of it.
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    _find_emulator(provider)(given, announce=announce)


def _read_own(texts: list[str]) -> dict[str, str]:
    """The options of one provider by name, with the underscores that its settings have."""
    for text in texts:
        if "=" not in text:
            raise UsageError(f"--set '{text}' is not an option; write NAME=VALUE")
    pairs = (text.split("=", 1) for text in texts)
    return {name.strip().replace("-", "_"): value for name, value in pairs}


def _find_emulator(provider: str) -> Callable[..., None]:
    from importlib.metadata import entry_points

    known = {entry.name: entry for entry in sorted(entry_points(group=GROUP))}
    if provider not in known:
        raise UnknownNameError(f"there is no emulator '{provider}'; installed are: {', '.join(known) or 'none'}")
    try:
        serve: Callable[..., None] = known[provider].load()
    except ImportError as error:
        raise MissingPackageError(
            f"the emulator of {provider} needs {error.name}: pip install 'qorch[emulators]'"
        ) from error
    return serve
