"""A session of botocore that reads the variables it is given: credentials, profile, region, endpoints."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.utils import ensure_boolean

from qorch.errors import UsageError

_VARIABLES: Mapping[str, tuple[str, Callable[[str], object]]] = MappingProxyType(
    {
        "config_file": ("AWS_CONFIG_FILE", str),
        "credentials_file": ("AWS_SHARED_CREDENTIALS_FILE", str),
        "ca_bundle": ("AWS_CA_BUNDLE", str),
        "use_fips_endpoint": ("AWS_USE_FIPS_ENDPOINT", ensure_boolean),
        "use_dualstack_endpoint": ("AWS_USE_DUALSTACK_ENDPOINT", ensure_boolean),
        "ignore_configured_endpoint_urls": ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", ensure_boolean),
        "metadata_service_timeout": ("AWS_METADATA_SERVICE_TIMEOUT", int),
        "metadata_service_num_attempts": ("AWS_METADATA_SERVICE_NUM_ATTEMPTS", int),
        "ec2_metadata_service_endpoint": ("AWS_EC2_METADATA_SERVICE_ENDPOINT", str),
    }
)
"""Settings of botocore, the variable of each, and how it is read."""
_SECONDS = 6.0
ONE_TRY = Config(retries={"total_max_attempts": 1}, connect_timeout=_SECONDS, read_timeout=10 * _SECONDS)
"""For the few calls that botocore itself makes, such as those to STS: none is repeated."""


def open_session(environment: Mapping[str, str]) -> Any:
    """A ``botocore.session.Session`` for which ``environment`` decides; what it lacks may be in AWS's files.

    Raises UsageError for a variable that cannot be read, or a profile that does not exist.
    """
    profile = environment.get("AWS_PROFILE") or environment.get("AWS_DEFAULT_PROFILE")
    session = botocore.session.Session(profile=profile)
    session.set_default_client_config(ONE_TRY)
    session.register_component("data_loader", _load_once(environment.get("AWS_DATA_PATH")))
    for name, (variable, read) in _VARIABLES.items():
        text = environment.get(variable)
        if text:
            session.set_config_variable(name, _convert(variable, text, read))
    try:
        session.get_scoped_config()
    except botocore.exceptions.ProfileNotFound as error:
        raise UsageError(f"there is no AWS profile '{profile}'; look at AWS_PROFILE and ~/.aws/config") from error
    except botocore.exceptions.ConfigParseError as error:
        raise UsageError(f"AWS's configuration file cannot be read: {error}") from error
    session.register_component("credential_provider", _make_resolver(session, environment))
    return session


@cache
def _load_once(data_path: str | None) -> Any:
    """What reads botocore's own descriptions of services: half a second of work, of which a process needs one."""
    return botocore.loaders.create_loader(data_path)


def find_region(session: Any, environment: Mapping[str, str]) -> str:
    """The region that the variables or the profile name; empty if none does."""
    named = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    return named or session.get_config_variable("region", methods=("config",)) or ""


def find_endpoint(session: Any, service: str, environment: Mapping[str, str]) -> str | None:
    """The URL that a variable names for a service, such as ``braket``; None if botocore is to find it.

    BRAKET_ENDPOINT is the variable of Braket's SDK for it.
    """
    if service == "braket" and environment.get("BRAKET_ENDPOINT"):
        return environment["BRAKET_ENDPOINT"]
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return None
    return environment.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environment.get("AWS_ENDPOINT_URL") or None


def _convert(variable: str, text: str, read: Callable[[str], object]) -> object:
    try:
        return read(text)
    except ValueError:
        raise UsageError(f"{variable} is '{text}', which AWS's tools could not read either; correct it") from None


def _make_resolver(session: Any, environment: Mapping[str, str]) -> Any:
    """botocore's own chain, in its order, with the providers that read variables reading these."""
    resolver = botocore.credentials.create_credential_resolver(session)
    resolver.remove("env")
    resolver.providers.insert(0, botocore.credentials.EnvProvider(environ=environment))
    resolver.remove("container-role")
    resolver.insert_after("boto-config", botocore.credentials.ContainerProvider(environ=environment))
    if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        resolver.remove("iam-role")
    return resolver
