"""What was registered with FuseML. Needs the request `artifact-events`."""

from wit_world.imports.artifact_events import since

__all__ = ["since"]
