"""Workloads as jobs of a Ray cluster, through the Jobs API of its dashboard.

The host's key is the job's submission id, so that asking twice makes one job. A job runs in the cluster's own
environment: workloads that bring an image, files or inputs are complained of in `check`.
"""

import re
import shlex

from fuseml_extension import Err, Error, ErrorKind, configuration, http
from wit_world.exports.agent import Info, LogChunk, Phase, WorkloadKind, WorkloadStatus

PHASES = {
    "PENDING": Phase.PENDING,
    "RUNNING": Phase.RUNNING,
    "SUCCEEDED": Phase.SUCCEEDED,
    "STOPPED": Phase.CANCELLED,
}
# An id is part of a URL.
ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")


def _ask(method, path, body=None):
    """The answer's JSON; None where the cluster knows no such job."""
    url = f"{configuration.require('endpoint')}/api/jobs/{path}"
    encoded = None if body is None else http.json.dumps(body).encode()
    headers = [] if body is None else [("content-type", "application/json")]
    response = http.fetch(method, url, headers, encoded)
    if response.status == 404:
        return None
    if not http.is_success(response):
        said = response.body.decode(errors="replace").strip().splitlines()[-1:]
        raise Error.internal("ray-status", f"{method} {url} answered {response.status}: {''.join(said)}")
    return http.json_of(response)


def _job(id):
    if not ID.fullmatch(id):
        raise Error.invalid("job-id", f"`{id[:80]!r}` is no id of a Ray job")
    return _ask("GET", id)


def _known(id):
    job = _job(id)
    if job is None:
        raise Error.not_found("no-such-job", f"the cluster knows no job `{id}`")
    return job


def _phase(job):
    return PHASES.get(job["status"], Phase.FAILED)


def _ended(job):
    return _phase(job) not in (Phase.PENDING, Phase.RUNNING)


def _complaints(workload):
    wrong = [
        (workload.kind == WorkloadKind.SERVICE, "Ray jobs end; services need Ray Serve"),
        (not workload.command, "the workload has no command"),
        (workload.image.scheme != "none", "Ray jobs run in their cluster's environment and take no image"),
        (bool(workload.files), "Ray jobs take no files"),
        (bool(workload.inputs), "Ray jobs take no staged inputs"),
        (bool(workload.outputs), "nothing collects outputs from a Ray job"),
        (bool(workload.secret_environment), "Ray shows a job's variables to all, so it takes no secrets"),
    ]
    wrong += [(True, f"nothing says that the cluster has `{one}`") for one in workload.resources.requires]
    return [what for is_wrong, what in wrong if is_wrong]


class Agent:
    """The contract's functions. Each call begins anew: nothing is kept between two."""

    def describe(self):
        return Info(kinds=[WorkloadKind.JOB], reads=[], writes=[], capabilities=[])

    def health(self):
        endpoint = configuration.require("endpoint")
        if "ray_version" not in http.get_json(f"{endpoint}/api/version"):
            raise Error.unavailable("no-ray", f"{endpoint} answers, but is no Ray dashboard")

    def check(self, workload):
        return _complaints(workload)

    def submit(self, workload):
        for complaint in _complaints(workload):
            raise Error.invalid("workload", complaint)
        if _job(workload.key) is not None:
            return workload.key
        resources = workload.resources
        job = {
            "entrypoint": shlex.join(workload.command),
            "submission_id": workload.key,
            "runtime_env": {"env_vars": dict(workload.environment)},
            "metadata": dict(workload.labels),
            "entrypoint_num_cpus": (resources.cpu_millis or 0) / 1000,
            "entrypoint_num_gpus": resources.gpus or 0,
            "entrypoint_memory": resources.memory_bytes or 0,
        }
        try:
            _ask("POST", "", job)
        except Err as error:
            # Another call with this key may have come first.
            if error.value.kind != ErrorKind.INTERNAL or _job(workload.key) is None:
                raise
        return workload.key

    def status(self, id):
        job = _known(id)
        return WorkloadStatus(
            phase=_phase(job),
            message=job.get("message"),
            exit_code=job.get("driver_exit_code"),
            started=job.get("start_time") or None,
            ended=job.get("end_time") or None,
            results=[],
        )

    def logs(self, id, cursor):
        # The cursor is the number of lines that were given before. The status is asked for first: what an ended
        # job has logged is complete.
        ended = _ended(_known(id))
        text = (_ask("GET", f"{id}/logs") or {}).get("logs") or ""
        lines = (text if ended else text[: text.rfind("\n") + 1]).splitlines()
        if cursor is not None and not cursor.isdecimal():
            raise Error.invalid("cursor", "this is no cursor of a Ray job's log")
        given = int(cursor or 0)
        return LogChunk(lines=lines[given:], cursor=str(max(len(lines), given)), ended=ended)

    def cancel(self, id):
        job = _job(id)
        if job is not None and not _ended(job):
            _ask("POST", f"{id}/stop")

    def delete(self, id):
        job = _job(id)
        if job is None:
            return
        if not _ended(job):
            raise Error.conflict("job-running", f"the job `{id}` has not ended; cancel it first")
        _ask("DELETE", id)
