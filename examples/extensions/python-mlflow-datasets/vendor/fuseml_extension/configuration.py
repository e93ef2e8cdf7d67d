"""The instance's settings, already checked against the manifest. Needs the request `configuration`."""

from wit_world.imports import configuration as host

from .error import Error


def get(name):
    """The value of a setting; None when it has neither a value nor a default."""
    return host.get(name)


def require(name):
    """The value of a setting that this component cannot do without; raises `invalid` without one."""
    value = get(name)
    if value is None:
        raise Error.invalid("setting-missing", f"the setting `{name}` has no value; set it on the instance")
    return value
