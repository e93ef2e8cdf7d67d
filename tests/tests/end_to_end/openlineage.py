"""An OpenLineage endpoint that takes what the official client's own types accept, and notes it a line each."""
import json
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import attr
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import (
    dataset_type_dataset,
    dataset_version_dataset,
    error_message_run,
    execution_parameters_run,
    job_type_job,
    parent_run,
    processing_engine_run,
    source_code_location_job,
)

FACETS = {
    "parent": parent_run.ParentRunFacet,
    "processing_engine": processing_engine_run.ProcessingEngineRunFacet,
    "errorMessage": error_message_run.ErrorMessageRunFacet,
    "executionParameters": execution_parameters_run.ExecutionParametersRunFacet,
    "jobType": job_type_job.JobTypeJobFacet,
    "sourceCodeLocation": source_code_location_job.SourceCodeLocationJobFacet,
    "version": dataset_version_dataset.DatasetVersionDatasetFacet,
    "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet,
}


def facets(given: dict) -> dict:
    made = {}
    for name, body in given.items():
        kind = FACETS[name]
        schema = kind._get_schema()
        own = {key: value for key, value in body.items() if not key.startswith("_")}
        if body["_schemaURL"] != schema or not body["_producer"].startswith("https://"):
            raise ValueError(f"{name}: {body['_schemaURL']} is not {schema}")
        if name == "parent":
            own = {"run": parent_run.Run(**own["run"]), "job": parent_run.Job(**own["job"])}
        if name == "executionParameters":
            own = {"parameters": [execution_parameters_run.ExecutionParameter(**one) for one in own["parameters"]]}
        made[name] = kind(**own)
    return made


def check(event: dict) -> None:
    known = {field.name for field in attr.fields(RunEvent)} | {"schemaURL", "producer", "eventTime"}
    if set(event) - known:
        raise ValueError(f"unknown fields {set(event) - known}")
    if event["schemaURL"] != RunEvent._get_schema():
        raise ValueError(event["schemaURL"])
    datetime.fromisoformat(event["eventTime"].replace("Z", "+00:00"))
    RunEvent(
        eventType=RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=Run(runId=event["run"]["runId"], facets=facets(event["run"]["facets"])),
        job=Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"]["facets"])),
        inputs=[InputDataset(one["namespace"], one["name"], facets(one["facets"])) for one in event["inputs"]],
        outputs=[OutputDataset(one["namespace"], one["name"], facets(one["facets"])) for one in event["outputs"]],
    )


class Endpoint(BaseHTTPRequestHandler):
    # The first requests are turned away: what tells must tell again.
    busy = 2

    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, line = 201, {"event": event, "key": self.headers.get("Authorization")}
        if Endpoint.busy > 0:
            Endpoint.busy -= 1
            status, line = 503, None
        else:
            try:
                check(event)
            except Exception as error:
                status, line = 400, {"error": repr(error), "event": event}
        if line:
            with Path(sys.argv[1]).open("a") as notes:
                notes.write(json.dumps(line) + "\n")
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


server = HTTPServer(("127.0.0.1", 0), Endpoint)
Path(sys.argv[2]).write_text(f"http://127.0.0.1:{server.server_port}/api/v1/lineage")
server.serve_forever()
