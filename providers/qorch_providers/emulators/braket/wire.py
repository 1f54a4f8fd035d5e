"""What clients send: typed views of the JSON."""

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from qorch.errors import UsageError

PROGRAM = "braket.ir.openqasm.program"
PROGRAM_SET = "braket.ir.openqasm.program_set"


class HeaderWire(msgspec.Struct):
    """The header of a schema."""

    name: str
    version: str


class ProgramWire(msgspec.Struct, rename="camel", omit_defaults=True):
    """An OpenQASM program with its inputs: one value each, or in a program set a list each."""

    source: str
    inputs: dict[str, float | list[float]] | None = None


class ProgramSetWire(msgspec.Struct):
    """Several programs as one task."""

    programs: list[ProgramWire]


class ActionWire(msgspec.Struct, rename="camel"):
    """The kind of an action."""

    braket_schema_header: HeaderWire


class CreateWire(msgspec.Struct, rename="camel"):
    """The body of CreateQuantumTask."""

    client_token: Annotated[str, Meta(min_length=1, max_length=64)]
    device_arn: Annotated[str, Meta(min_length=1, max_length=256)]
    shots: Annotated[int, Meta(ge=0)]
    output_s3_bucket: Annotated[str, Meta(min_length=3, max_length=63)]
    output_s3_key_prefix: Annotated[str, Meta(min_length=1, max_length=1024)]
    action: Annotated[str, Meta(min_length=1)]
    device_parameters: Annotated[str, Meta(min_length=1, max_length=48_000)] | None = None
    tags: Annotated[dict[str, str], Meta(max_length=50)] = {}
    job_token: str | None = None
    associations: list[dict[str, str]] = []
    experimental_capabilities: dict[str, str] | None = None


class CancelWire(msgspec.Struct, rename="camel"):
    """The body of CancelQuantumTask."""

    client_token: Annotated[str, Meta(min_length=1, max_length=64)]


class FilterWire(msgspec.Struct):
    """One condition of a search; devices have no operator."""

    name: str
    values: Annotated[list[str], Meta(min_length=1, max_length=10)]
    operator: str = "EQUAL"


class SearchWire(msgspec.Struct, rename="camel"):
    """The body of a search."""

    filters: Annotated[list[FilterWire], Meta(max_length=10)]
    max_results: Annotated[int, Meta(ge=1, le=100)] = 100
    next_token: str | None = None


class LimitSearchWire(SearchWire):
    """The body of SearchSpendingLimits, which need not have filters."""

    filters: Annotated[list[FilterWire], Meta(max_length=10)] = []
    max_results: Annotated[int, Meta(ge=1, le=100)] = 20


class PeriodWire(msgspec.Struct, rename="camel"):
    """When a spending limit counts, in seconds since 1970."""

    start_at: float
    end_at: float


class CreateLimitWire(msgspec.Struct, rename="camel"):
    """The body of CreateSpendingLimit."""

    client_token: Annotated[str, Meta(min_length=1, max_length=64)]
    device_arn: Annotated[str, Meta(min_length=1, max_length=256)]
    spending_limit: Annotated[str, Meta(min_length=1)]
    time_period: PeriodWire | None = None
    tags: Annotated[dict[str, str], Meta(max_length=50)] = {}


class UpdateLimitWire(msgspec.Struct, rename="camel"):
    """The body of UpdateSpendingLimit."""

    client_token: Annotated[str, Meta(min_length=1, max_length=64)]
    spending_limit: Annotated[str, Meta(min_length=1)] | None = None
    time_period: PeriodWire | None = None


class TagsWire(msgspec.Struct):
    """The body of TagResource."""

    tags: dict[str, str]


_Wire = TypeVar("_Wire")


def decode(body: bytes | str, kind: type[_Wire]) -> _Wire:
    """Read JSON. Raises UsageError, which says what is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UsageError(f"the body is not valid: {error}") from error
