"""Write FuseML extensions in Python: one module a capability, and errors.

Import only what extension.toml requests: `from fuseml_extension import http`. `log`, `clock` and `random` are
always there.
"""

from .error import Err, Error, ErrorKind

__all__ = ["Err", "Error", "ErrorKind"]
