"""The step that this process is."""

import json
import math
import os
import re
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any, Dict, Mapping, Optional

VARIABLE = "FUSEML_STEP"

_NAME = re.compile(r"(?!.*\.\.)[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_NAME_RULE = "one has up to 64 lower-case letters, digits, `-`, `_` and `.`, and begins and ends with a letter or digit"


class StepError(Exception):
    """What was asked for is not what the step has."""


class Report:
    """What is said of one output: a JSON file that is there whole after every word."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        # A step may be several programs, one after the other.
        try:
            self._said: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            self._said = {}

    def add(self, part: str, values: Mapping[str, Any]) -> None:
        checked = {str(name): _number(name, value) if part == "metrics" else _text(value) for name, value in values.items()}
        with self._lock:
            self._said.setdefault(part, {}).update(checked)
            self._write()

    def set_location(self, uri: str) -> None:
        with self._lock:
            self._said["location"] = uri
            self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=self.path.parent, prefix=self.path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(self._said, file, indent=1, sort_keys=True)
        os.replace(new, self.path)


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise StepError(f"the metric `{name}` is {value!r}, which is no number") from None
    if not math.isfinite(number):
        raise StepError(f"the metric `{name}` is {number}, which nothing can be compared with")
    return number


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def _scalar(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


class Artifact:
    """An artifact that the step makes beside its outputs: a folder, and what is said of it."""

    def __init__(self, name: str, path: Path, report: Report) -> None:
        self.name = name
        self.path = path
        self._report = report

    def log_metric(self, name: str, value: float) -> None:
        self._report.add("metrics", {name: value})

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        self._report.add("metrics", metrics)

    def log_parameter(self, name: str, value: Any) -> None:
        self._report.add("parameters", {name: value})

    def log_parameters(self, parameters: Mapping[str, Any]) -> None:
        self._report.add("parameters", parameters)

    def set_attribute(self, name: str, value: Any) -> None:
        self._report.add("attributes", {name: value})

    def set_location(self, uri: str) -> None:
        self._report.set_location(uri)


class Step:
    """Inputs, outputs and parameters; what FuseML says, or what its folders are called."""

    def __init__(self, said: Optional[Mapping[str, Any]], folder: Path) -> None:
        self._said = said
        self._folder = folder
        self._reports: Dict[Path, Report] = {}
        self._named: Optional[str] = None
        self._lock = Lock()

    @property
    def run(self) -> Optional[str]:
        """`<pipeline>/<number>`; None without FuseML."""
        return None if self._said is None else self._said["run"]

    def _slot(self, kind: str, name: str) -> Any:
        slots = self._said[kind]
        if name not in slots:
            has = ", ".join(slots) or "none"
            raise StepError(f"this step has no {kind[:-1]} `{name}`; it has {has}")
        return slots[name]

    def location(self, name: str) -> str:
        if self._said is None:
            variable = name.upper().replace("-", "_")
            if variable not in os.environ:
                raise StepError(f"nobody says where `{name}` lies: without FuseML, set the variable {variable}")
            return os.environ[variable]
        locations = self._said.get("locations", {})
        if name not in locations:
            has = ", ".join(locations) or "none"
            raise StepError(f"this step takes no input `{name}` as a location; it takes {has}")
        return os.environ[locations[name]]

    def input(self, name: str) -> Path:
        if self._said is None:
            return self._folder / name
        return self._folder / self._slot("inputs", name)

    def output(self, name: Optional[str] = None) -> Path:
        folder = self._folder / self._output(name)["path"]
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def report(self, output: Optional[str] = None) -> Report:
        return self._report_at(self._folder / self._output(output)["report"])

    def artifact(self, kind: str, name: str) -> Artifact:
        """An artifact beside the outputs, of the kind `model` or `dataset`; its folder is there."""
        if not _NAME.fullmatch(name):
            raise StepError(f"`{name}` is no name of an artifact; {_NAME_RULE}")
        if self._said is not None and name in self._said["outputs"]:
            raise StepError(f"`{name}` is an output of this step; `fuseml.output({name!r})` is its folder")
        folder = self._folder / (self._said or {}).get("artifacts", ".fuseml/artifacts") / kind
        path = folder / name
        path.mkdir(parents=True, exist_ok=True)
        return Artifact(name, path, self._report_at(folder / f"{name}.json"))

    def _report_at(self, path: Path) -> Report:
        with self._lock:
            return self._reports.setdefault(path, Report(path))

    def _output(self, name: Optional[str]) -> Mapping[str, str]:
        if self._said is None:
            # Whoever has one output may name it once or never.
            name = name or self._named or "output"
            self._named = self._named or name
            return {"path": name, "report": f".fuseml/{name}.json"}
        if name is not None:
            return self._slot("outputs", name)
        outputs = self._said["outputs"]
        if len(outputs) != 1:
            has = ", ".join(outputs) or "none"
            raise StepError(f"this step has not one output but {has}; say which with `output=`")
        return next(iter(outputs.values()))

    def parameter(self, name: str, default: Any) -> Any:
        if self._said is None:
            return default
        parameters = self._texts()
        if name not in parameters:
            return default
        text = parameters[name]
        if isinstance(default, bool):
            if text not in ("true", "false"):
                raise StepError(f"the parameter `{name}` is `{text}`, neither true nor false")
            return text == "true"
        try:
            return type(default)(text)
        except ValueError:
            raise StepError(f"the parameter `{name}` is `{text}`, not {type(default).__name__}") from None

    def parameters(self) -> Dict[str, Any]:
        return {name: _scalar(text) for name, text in self._texts().items()}

    def _texts(self) -> Dict[str, str]:
        if self._said is None:
            return {}
        files = self._said.get("parameter_files", {})
        read = {name: (self._folder / path).read_text(encoding="utf-8") for name, path in files.items()}
        return {**self._said["parameters"], **read}


_current: Optional[Step] = None
_current_lock = Lock()


def current() -> Step:
    """The step of this process. Paths are those of the folder in which it was first asked for."""
    global _current
    with _current_lock:
        if _current is None:
            text = os.environ.get(VARIABLE)
            _current = Step(json.loads(text) if text else None, Path.cwd())
        return _current
