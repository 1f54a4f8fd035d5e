"""`qorch bench`: circuits per second beside the installed peers, in one run."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from qorch.cli.arguments import whole_number
from qorch.cli.exit_codes import FAILED
from qorch.cli.options import JsonOption
from qorch.cli.output import print_json, print_table
from qorch.errors import UnknownNameError
from qorch.model.backend_name import kind_of

if TYPE_CHECKING:
    from qorch.bench.measure import Rate

BackendsOption = Annotated[str, typer.Option("--backends", help="Backends to measure, separated by commas.")]
PeersOption = Annotated[str, typer.Option("--peers", help="Peers, separated by commas, or all or none.")]
ShapesOption = Annotated[str, typer.Option("--shapes", help="Some of W1 to W5, separated by commas.")]
RoundsOption = Annotated[int, typer.Option("--rounds", parser=whole_number(1, 1000), help="Rounds; the median counts.")]
ShotsOption = Annotated[int, typer.Option("--shots", parser=whole_number(1, 10**9), help="Shots of every circuit.")]


KindsOption = Annotated[
    str,
    typer.Option(
        "--kinds", help="api (recorded gradients), engine (a backend alone), gradient (exact ones); by commas."
    ),
]


def bench(
    backends: BackendsOption = "local,aer",
    peers: PeersOption = "all",
    shapes: ShapesOption = "W1,W2,W3,W4,W5",
    rounds: RoundsOption = 5,
    shots: ShotsOption = 1024,
    kinds: KindsOption = "api",
    as_json: JsonOption = False,
) -> None:
    """Measure one parameter-shift gradient of five training systems, recorded, beside the installed peers.

    Contenders take turns within one run, so that ratios hold on a busy machine; absolute figures do not travel.
    """
    from qorch.bench.measure import measure_shape
    from qorch.bench.shapes import all_shapes

    chosen = _choose_shapes(shapes)
    contenders = _choose_peers(peers)
    own = _choose_backends(backends)
    rates = [
        rate
        for kind in _choose_kinds(kinds)
        for shape in all_shapes()
        if shape.name in chosen
        for rate in measure_shape(shape, kind, backends=own, peers=contenders, shots=shots, rounds=rounds)
    ]
    _show(rates, as_json=as_json, settings={"shots": shots, "rounds": rounds})
    if any(rate.error is not None for rate in rates if not rate.is_peer):
        raise typer.Exit(FAILED)


def _show(rates: "list[Rate]", *, as_json: bool, settings: dict[str, int]) -> None:
    from qorch.bench.measure import describe_environment

    if as_json:
        print_json({"environment": describe_environment()} | settings | {"rates": [vars(rate) for rate in rates]})
        return
    print_table(
        ("shape", "kind", "contender", "circuits", "per second", "least", "most", "÷ best peer", "CPU µs", "note"),
        [_as_row(rate) for rate in rates],
        optional=("CPU µs", "least", "most", "kind"),
    )
    print(_environment_line(describe_environment()))


def _choose_backends(text: str) -> list[str]:
    """Names as they are written; options after a colon are read when the backend is opened."""
    from qorch.backends import backend_entry_points

    known = backend_entry_points()
    chosen = [part.strip() for part in text.split(",")]
    for name in chosen:
        if kind_of(name) not in known:
            raise UnknownNameError(f"there is no backend '{name}'; installed are: {', '.join(known)}")
    return chosen


def _choose_shapes(text: str) -> set[str]:
    chosen = {part.strip().upper() for part in text.split(",")}
    unknown = chosen - {f"W{number}" for number in range(1, 6)}
    if unknown:
        raise UnknownNameError(f"there is no shape '{min(unknown)}'; choose from W1 to W5")
    return chosen


def _choose_kinds(text: str) -> list[str]:
    from qorch.bench.contenders import KINDS

    chosen = [part.strip() for part in text.split(",")]
    for kind in chosen:
        if kind not in KINDS:
            raise UnknownNameError(f"there is no kind '{kind}'; choose from {', '.join(KINDS)}")
    return chosen


def _choose_peers(text: str) -> list[str]:
    from qorch.bench.peers import PEERS, installed_peers

    if text in {"all", "none"}:
        return installed_peers() if text == "all" else []
    chosen = [part.strip() for part in text.split(",")]
    for name in chosen:
        if name not in PEERS:
            raise UnknownNameError(f"there is no peer '{name}'; choose from {', '.join(PEERS)}, all or none")
    return chosen


def _as_row(rate: "Rate") -> list[object]:
    if rate.error is not None:
        return [rate.shape, rate.kind, rate.contender, rate.n_rows, *[None] * 5, rate.error[:60]]
    ratio = None if rate.ratio is None else f"{rate.ratio:.1f}"
    rates = [f"{value:,.0f}" for value in (rate.median, rate.lowest, rate.highest)]
    return [rate.shape, rate.kind, rate.contender, rate.n_rows, *rates, ratio, f"{rate.cpu_us:.1f}", None]


def _environment_line(environment: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in environment["packages"].items() if version)
    return (
        f"{environment['cores']} cores, {environment['machine']}, {environment['system']},"
        f" Python {environment['python']}; {packages}"
    )
