"""Instances: what an account has, by plan and region, as global search and the catalog show them."""

import re
import uuid
from dataclasses import dataclass
from types import MappingProxyType

from qorch.errors import UsageError

ACCOUNT = "0" * 31 + "1"
_PATTERN = re.compile(r"([A-Za-z0-9_-]+)=([a-z-]+)(?:@(us-east|eu-de))?(?:/([0-9]+))?")


@dataclass(frozen=True)
class Plan:
    """One plan. ``second_micros``: the price of a QPU second. ``has_sessions``: whether it has dedicated sessions."""

    name: str
    display_name: str
    pricing: str
    second_micros: int
    has_sessions: bool = True

    @property
    def is_free(self) -> bool:
        """Whether nothing is charged."""
        return self.pricing == "free"

    @property
    def id(self) -> str:
        """Its id in the catalog."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.plan.emulator.invalid"))


PLANS = MappingProxyType(
    {
        plan.name: plan
        for plan in (
            Plan("open", "Open", "free", 0, has_sessions=False),
            Plan("pay-as-you-go", "Pay-as-you-go", "paygo", 1_600_000),
            Plan("flex", "Flex", "subscription", 1_200_000),
            Plan("premium", "Premium", "subscription", 800_000),
        )
    }
)


@dataclass(frozen=True)
class Instance:
    """One instance. ``limit_seconds``: how many QPU seconds it may use; None for any number."""

    name: str
    plan: Plan
    region: str
    limit_seconds: int | None

    @property
    def crn(self) -> str:
        """Its Cloud Resource Name."""
        guid = uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.instance.emulator.invalid")
        return f"crn:v1:bluemix:public:quantum-computing:{self.region}:a/{ACCOUNT}:{guid}::"


def parse_instances(text: str) -> tuple[Instance, ...]:
    """Instances such as ``first=pay-as-you-go@us-east,second=open@eu-de/600``: name, plan, region, QPU seconds.

    Raises UsageError.
    """
    found = tuple(_parse_one(part) for part in filter(None, (part.strip() for part in text.split(","))))
    if not found or len({instance.name for instance in found}) < len(found):
        raise UsageError(f"'{text}' does not name instances, each once; write NAME=PLAN[@REGION][/SECONDS]")
    return found


def _parse_one(part: str) -> Instance:
    match = _PATTERN.fullmatch(part)
    if match is None or match[2] not in PLANS:
        raise UsageError(
            f"'{part}' is not an instance; write NAME=PLAN[@us-east|@eu-de][/SECONDS] with a plan of {', '.join(PLANS)}"
        )
    limit = int(match[4]) if match[4] else None
    return Instance(match[1], PLANS[match[2]], match[3] or "us-east", limit)


def search_item(instance: Instance) -> dict[str, object]:
    """One instance as global search shows it; ``doc.extensions`` are what makes clients take it."""
    return {
        "crn": instance.crn,
        "name": instance.name,
        "service_plan_unique_id": instance.plan.id,
        "tags": [],
        "doc": {"extensions": {"allocation": instance.limit_seconds or 0}},
    }


def catalog_entry(plan: Plan) -> dict[str, object]:
    """One plan as the catalog shows it."""
    return {
        "id": plan.id,
        "name": plan.name,
        "kind": "plan",
        "overview_ui": {"en": {"display_name": plan.display_name, "description": "", "long_description": ""}},
        "metadata": {"pricing": {"type": plan.pricing}},
    }


def find_plan(plan_id: str) -> Plan | None:
    """The plan of that id."""
    return next((plan for plan in PLANS.values() if plan.id == plan_id), None)
