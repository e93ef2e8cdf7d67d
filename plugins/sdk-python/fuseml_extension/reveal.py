"""The value of a secret. Needs the request `reveal`, which admins are shown as the strongest there is: where a header
will do, name the secret in `http` instead and never hold it."""

from wit_world.imports.reveal import secret

__all__ = ["secret"]
