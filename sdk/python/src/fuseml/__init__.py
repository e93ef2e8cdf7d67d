"""What training code may say to FuseML: inputs, parameters, outputs and metrics of its step.

Nothing here needs a server: FuseML says in a variable what the step has, and reads afterwards what was written beside its
outputs. Without FuseML the same code runs on folders below the current one.
"""

from fuseml._autolog import autolog
from fuseml._step import Artifact, Step, StepError, current
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, TypeVar, Union

__all__ = [
    "Artifact",
    "Step",
    "StepError",
    "autolog",
    "current",
    "dataset",
    "input",
    "location",
    "log_metric",
    "log_metrics",
    "log_parameter",
    "log_parameters",
    "model",
    "output",
    "parameter",
    "parameters",
    "set_attribute",
    "set_location",
]

Scalar = Union[bool, int, float, str]
Value = TypeVar("Value", bool, int, float, str)


def input(name: str) -> Path:
    """An input: its folder, or its file where it is taken as one."""
    return current().input(name)


def location(name: str) -> str:
    """Where an input lies that is taken as a location: for what the code itself reads."""
    return current().location(name)


def output(name: Optional[str] = None) -> Path:
    """The folder of an output, which is there; the only output's without a name."""
    return current().output(name)


def dataset(name: str) -> Artifact:
    """Registers a dataset beside the outputs, such as rows that a model was validated with: what its folder holds when the step ends."""
    return current().artifact("dataset", name)


def model(name: str) -> Artifact:
    """Registers a model beside the outputs, such as a baseline: what its folder holds when the step ends."""
    return current().artifact("model", name)


def parameter(name: str, default: Value) -> Value:
    """A parameter, of its default's type; the default where nothing was given."""
    return current().parameter(name, default)


def parameters() -> Dict[str, Scalar]:
    """All parameters of the step, as numbers, truth values or texts."""
    return current().parameters()


def log_metric(name: str, value: float, output: Optional[str] = None) -> None:
    """Says how good an output is. The last value of a name counts."""
    current().report(output).add("metrics", {name: value})


def log_metrics(metrics: Mapping[str, float], output: Optional[str] = None) -> None:
    """The same for several metrics."""
    current().report(output).add("metrics", metrics)


def log_parameter(name: str, value: Any, output: Optional[str] = None) -> None:
    """Says what an output was made with, beside the parameters of the step, which are known."""
    current().report(output).add("parameters", {name: value})


def log_parameters(parameters: Mapping[str, Any], output: Optional[str] = None) -> None:
    """The same for several parameters."""
    current().report(output).add("parameters", parameters)


def set_attribute(name: str, value: Any, output: Optional[str] = None) -> None:
    """Says what an output is, such as its `framework`."""
    current().report(output).add("attributes", {name: value})


def set_location(uri: str, output: Optional[str] = None) -> None:
    """Says where a tool holds the same contents already, such as `models:/m-1` in MLflow."""
    current().report(output).set_location(uri)
