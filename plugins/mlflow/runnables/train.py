"""Run an MLflow project and hand over the model that it logged.

Promises: the project's entry point runs as one MLflow run, on the tracking server
of MLFLOW_TRACKING_URI or else on a store of its own in the working directory. The
model's files end up in --model, what MLflow knows of it as JSON in --report. On
failure nothing is reported, the last line on stderr says why, and the exit status
is the entry point's own where that failed, else 1.
"""

import argparse
import json
import math
import os
import shutil
import signal
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run

PROBE_SECONDS = 10
SCRATCH = Path("downloads").resolve()
# For MLflow and for the project's own code; whatever the environment sets goes first.
ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "PYTHONUNBUFFERED": "1",
}


class Failure(Exception):
    """A reason to stop, told to the user in one line."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run an MLflow project and keep its model.")
    parser.add_argument("--project", type=Path, required=True, help="folder with the MLproject")
    parser.add_argument("--entry-point", default="main")
    parser.add_argument("--model", type=Path, required=True, help="folder for the model's files")
    parser.add_argument("--report", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--experiment", required=True)
    parser.add_argument("-P", dest="parameters", action="append", default=[], metavar="NAME=VALUE")
    return parser.parse_args()


def parse_parameters(pairs: list[str]) -> dict[str, str]:
    parameters = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise Failure(f"a parameter must look like name=value, not '{pair}'")
        parameters[name] = value
    return parameters


def probe(uri: str) -> None:
    """Fail at once where no one answers; MLflow itself would retry for minutes."""
    parts = urllib.parse.urlsplit(uri)
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # no password
    try:
        urllib.request.urlopen(address, timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        pass  # an answer all the same; MLflow sends the credentials
    except ssl.SSLError:
        pass  # what certificates are fine is up to MLflow's own settings
    except OSError as error:
        cause = getattr(error, "reason", error)
        if not isinstance(cause, ssl.SSLError):
            cause = getattr(cause, "strerror", None) or cause
            raise Failure(
                f"the MLflow tracking server {address} is not reachable: {cause}"
            ) from None


def choose_store() -> bool:
    """Make sure that MLFLOW_TRACKING_URI is set; True where it was, to a shared store."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        if uri.startswith(("http://", "https://")):
            probe(uri)
        return True
    store = Path("mlruns").resolve()
    store.mkdir(exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}/mlflow.db"
    return False


def run_project(args: argparse.Namespace, parameters: dict[str, str]) -> str:
    """Run the entry point in this environment and return the id of its MLflow run."""
    import mlflow
    from mlflow.exceptions import ExecutionException
    from mlflow.projects.submitted_run import LocalSubmittedRun

    statuses: list[int] = []

    def wait(run: LocalSubmittedRun) -> bool:
        statuses.append(run.command_proc.wait())
        return statuses[-1] == 0

    LocalSubmittedRun.wait = wait  # MLflow's own drops the exit status

    experiment = mlflow.set_experiment(args.experiment)
    try:
        return mlflow.projects.run(
            str(args.project),
            entry_point=args.entry_point,
            parameters=parameters,
            experiment_id=experiment.experiment_id,
            env_manager="local",
            storage_dir=str(SCRATCH),
        ).run_id
    except ExecutionException:
        if not statuses:
            raise
    status = statuses[-1]
    if status < 0:
        how = f"was ended by signal {-status} ({signal.Signals(-status).name})"
        status = 128 - status
    else:
        how = f"failed with exit code {status}"
    raise Failure(f"the project's entry point '{args.entry_point}' {how}", status)


def find_model(client: "MlflowClient", run: "Run") -> "LoggedModel":
    """Return the last complete model that the run logged."""
    outputs = run.outputs.model_outputs if run.outputs else []
    logged = [client.get_logged_model(output.model_id) for output in outputs]
    models = sorted(
        (model for model in logged if model.status == "READY"),
        key=lambda model: model.creation_timestamp,
    )
    if not models:
        raise Failure(
            f"the run {run.info.run_id} logged no model:"
            " call mlflow.<flavour>.log_model in the training script"
        )
    if len(models) > 1:
        last = f"'{models[-1].name}' ({models[-1].model_id})"
        print(
            f"the run logged {len(models)} models, of which the last is taken: {last}", flush=True
        )
    return models[-1]


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Leave out what JSON has no number for."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            print(f"the metric '{name}' is {value} and is not reported", flush=True)
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def train(args: argparse.Namespace) -> None:
    parameters = parse_parameters(args.parameters)
    if not args.project.is_dir():
        raise Failure(f"there is no project folder '{args.project}'")
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    shared = choose_store()
    SCRATCH.mkdir(exist_ok=True)

    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    run_id = run_project(args, parameters)
    client = MlflowClient()
    run = client.get_run(run_id)
    model = find_model(client, run)
    fetched = download_artifacts(artifact_uri=model.artifact_location, dst_path=str(SCRATCH))
    args.model.mkdir(parents=True, exist_ok=True)
    for entry in Path(fetched).iterdir():
        shutil.move(entry, args.model / entry.name)

    report: dict[str, Any] = {"location": model.model_uri} if shared else {}
    report["metrics"] = finite(run.data.metrics)
    report["parameters"] = run.data.params
    # What the MLmodel file says is read when the model is registered.
    report["attributes"] = {"mlflow-run": run_id}
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def on_terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt  # upon which MLflow stops the entry point and ends the run


def main() -> int:
    signal.signal(signal.SIGTERM, on_terminate)
    try:
        train(parse_args())
    except Failure as failure:
        print(f"train: {failure}", file=sys.stderr)
        return failure.status
    except KeyboardInterrupt:
        print("train: stopped", file=sys.stderr)
        return 128 + signal.SIGTERM
    except Exception as error:
        # Mostly MLflow's own; its messages may go on for many lines.
        reason = str(error).strip().splitlines() or [type(error).__name__]
        print(f"train: {reason[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
