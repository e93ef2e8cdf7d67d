"""Serve an MLflow model over HTTP with MLServer.

Promises: the process listens on HOST (127.0.0.1 unless set) and PORT, nothing else
on a fixed port, and answers the V2 inference protocol for the model --name as well
as MLflow's /invocations. SIGTERM ends it with status 0.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlserver.cli.main import root as mlserver
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver_mlflow import MLflowRuntime

SETTINGS = Path("mlserver")


class Runtime(MLflowRuntime):
    """MLServer's runtime for MLflow, with its failures told to those whom they concern."""

    async def load(self) -> bool:
        try:
            return await super().load()
        except Exception as error:
            # MLServer would log a traceback and then end as if all were well.
            reason = str(error).strip().splitlines() or [type(error).__name__]
            print(f"predict: the model cannot be loaded: {reason[0]}", file=sys.stderr, flush=True)
            os._exit(1)

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        try:
            return await super().predict(payload)
        except MlflowException as error:  # bad input; MLServer would answer a bare 500
            raise InferenceError(error.message) from error


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Serve an MLflow model.")
    parser.add_argument("--model", type=Path, required=True, help="folder with the MLmodel")
    parser.add_argument("--name", required=True, help="the model's name in the V2 protocol")
    return parser.parse_args()


def write_settings(model: Path, name: str, host: str, port: int) -> None:
    server_settings = {
        "host": host,
        "http_port": port,
        "grpc_port": 0,  # cannot be turned off; any free port does
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
    }
    model_settings = {
        "name": name,
        "implementation": f"{Path(__file__).stem}.{Runtime.__name__}",
        "parameters": {"uri": str(model.resolve())},
    }
    folder = SETTINGS / name  # MLServer warns where a model's folder has another name
    folder.mkdir(parents=True, exist_ok=True)
    (SETTINGS / "settings.json").write_text(json.dumps(server_settings), encoding="utf-8")
    (folder / "model-settings.json").write_text(json.dumps(model_settings), encoding="utf-8")


def main() -> None:
    args = parse_args()
    port = os.environ.get("PORT", "")
    if not port.isdecimal():
        sys.exit(f"predict: PORT must be the port to listen on, not '{port}'")
    if not (args.model / "MLmodel").is_file():
        sys.exit(f"predict: there is no MLflow model in '{args.model}'")
    write_settings(args.model, args.name, os.environ.get("HOST", "127.0.0.1"), int(port))
    mlserver(["start", str(SETTINGS)])


if __name__ == "__main__":
    main()
