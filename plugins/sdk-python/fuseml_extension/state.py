"""Small durable values, visible to this instance only. Needs the request `state`."""

from wit_world.imports.state import compare_and_set, delete, get, list_keys, set

__all__ = ["compare_and_set", "delete", "get", "list_keys", "set"]
