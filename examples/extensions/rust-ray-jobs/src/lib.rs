//! Workloads as jobs of a Ray cluster, through the Jobs API of its dashboard.
//!
//! The host's key is the job's submission id, so that asking twice makes one job. A job runs in the cluster's own
//! environment: workloads that bring an image, files or inputs are complained of in `check`.

#[cfg(test)]
mod tests;

use fuseml_extension::agent::{Info, LogChunk, Phase, Workload, WorkloadKind, WorkloadStatus};
use fuseml_extension::{Error, ErrorKind, Result, RuntimeAgent, configuration, export_runtime_agent, http};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What the cluster says of a job.
#[derive(Debug, Deserialize)]
struct Job {
    status: String,
    message: Option<String>,
    start_time: Option<u64>,
    end_time: Option<u64>,
    driver_exit_code: Option<i32>,
}

impl Job {
    fn phase(&self) -> Phase {
        match self.status.as_str() {
            "PENDING" => Phase::Pending,
            "RUNNING" => Phase::Running,
            "SUCCEEDED" => Phase::Succeeded,
            "STOPPED" => Phase::Cancelled,
            _ => Phase::Failed,
        }
    }

    fn ended(&self) -> bool {
        !matches!(self.phase(), Phase::Pending | Phase::Running)
    }
}

/// One cluster.
#[derive(Debug)]
pub struct RayJobs {
    endpoint: String,
}

impl RayJobs {
    fn jobs(&self, path: &str) -> String {
        format!("{}/api/jobs/{path}", self.endpoint)
    }

    /// The answer's JSON; `None` where the cluster knows no such job.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Option<Value>> {
        let request = http::Request::new(method, self.jobs(path)).header("accept", "application/json");
        let request = match body {
            Some(body) => request.json_body(body)?,
            None => request,
        };
        let response = request.send()?;
        match response.status {
            404 => Ok(None),
            _ if response.is_success() => Ok(Some(response.json()?)),
            status => {
                let said = response.text().unwrap_or_default();
                let last = said.trim().lines().last().unwrap_or_default();
                Err(Error::internal("ray-status", format!("{method} {} answered {status}: {last}", self.jobs(path))))
            }
        }
    }

    fn job(&self, id: &str) -> Result<Option<Job>> {
        check_id(id)?;
        Ok(self.ask("GET", id, None)?.map(serde_json::from_value).transpose()?)
    }

    fn known(&self, id: &str) -> Result<Job> {
        self.job(id)?.ok_or_else(|| Error::not_found("no-such-job", format!("the cluster knows no job `{id}`")))
    }
}

/// An id is part of a URL.
fn check_id(id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.is_empty() || id.len() > 200 || id.starts_with('.') || !id.chars().all(plain) {
        return Err(Error::invalid("job-id", format!("`{}` is no id of a Ray job", id.escape_debug())));
    }
    Ok(())
}

/// The words as a shell reads them: Ray takes one line.
fn entrypoint(command: &[String]) -> String {
    let quoted = |word: &String| format!("'{}'", word.replace('\'', r"'\''"));
    command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn complaints(workload: &Workload) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |wrong: bool, what: &str| {
        if wrong {
            complaints.push(what.to_owned());
        }
    };
    complain(workload.kind == WorkloadKind::Service, "Ray jobs end; services need Ray Serve");
    complain(workload.command.is_empty(), "the workload has no command");
    complain(workload.image.scheme != "none", "Ray jobs run in their cluster's environment and take no image");
    complain(!workload.files.is_empty(), "Ray jobs take no files");
    complain(!workload.inputs.is_empty(), "Ray jobs take no staged inputs");
    complain(!workload.outputs.is_empty(), "nothing collects outputs from a Ray job");
    complain(!workload.secret_environment.is_empty(), "Ray shows a job's variables to all, so it takes no secrets");
    for capability in &workload.resources.requires {
        complain(true, &format!("nothing says that the cluster has `{capability}`"));
    }
    complaints
}

impl RuntimeAgent for RayJobs {
    fn new() -> Result<Self> {
        Ok(Self { endpoint: configuration::require("endpoint")? })
    }

    fn describe() -> Info {
        Info { kinds: vec![WorkloadKind::Job], reads: Vec::new(), writes: Vec::new(), capabilities: Vec::new() }
    }

    fn health(&self) -> Result<()> {
        let version: Value = http::get_json(&format!("{}/api/version", self.endpoint))?;
        match version.get("ray_version") {
            Some(_) => Ok(()),
            None => Err(Error::unavailable("no-ray", format!("{} answers, but is no Ray dashboard", self.endpoint))),
        }
    }

    fn check(&self, workload: Workload) -> Result<Vec<String>> {
        Ok(complaints(&workload))
    }

    fn submit(&self, workload: Workload) -> Result<String> {
        if let Some(complaint) = complaints(&workload).first() {
            return Err(Error::invalid("workload", complaint.clone()));
        }
        if self.job(&workload.key)?.is_some() {
            return Ok(workload.key);
        }
        let variables: Map<String, Value> = workload.environment.into_iter().map(|(n, v)| (n, json!(v))).collect();
        let labels: Map<String, Value> = workload.labels.into_iter().map(|(n, v)| (n, json!(v))).collect();
        let resources = &workload.resources;
        let job = json!({
            "entrypoint": entrypoint(&workload.command),
            "submission_id": workload.key,
            "runtime_env": {"env_vars": variables},
            "metadata": labels,
            "entrypoint_num_cpus": f64::from(resources.cpu_millis.unwrap_or(0)) / 1000.0,
            "entrypoint_num_gpus": resources.gpus.unwrap_or(0),
            "entrypoint_memory": resources.memory_bytes.unwrap_or(0),
        });
        match self.ask("POST", "", Some(&job)) {
            Ok(_) => Ok(workload.key),
            // Another call with this key may have come first.
            Err(error) if error.kind == ErrorKind::Internal => match self.job(&workload.key)? {
                Some(_) => Ok(workload.key),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    fn status(&self, id: String) -> Result<WorkloadStatus> {
        let job = self.known(&id)?;
        Ok(WorkloadStatus {
            phase: job.phase(),
            message: job.message,
            exit_code: job.driver_exit_code,
            started: job.start_time.filter(|time| *time > 0),
            ended: job.end_time.filter(|time| *time > 0),
            results: Vec::new(),
        })
    }

    /// The cursor is the number of lines that were given before.
    fn logs(&self, id: String, cursor: Option<String>) -> Result<LogChunk> {
        // Asked first: what an ended job has logged is complete.
        let ended = self.known(&id)?.ended();
        let answer = self.ask("GET", &format!("{id}/logs"), None)?.unwrap_or_default();
        let text = answer.get("logs").and_then(Value::as_str).unwrap_or_default();
        let whole = if ended { text.len() } else { text.rfind('\n').map_or(0, |end| end + 1) };
        let given = cursor.as_deref().unwrap_or("0").parse::<usize>();
        let given = given.map_err(|_| Error::invalid("cursor", "this is no cursor of a Ray job's log"))?;
        let lines: Vec<String> = text[..whole].lines().map(str::to_owned).collect();
        let cursor = Some(lines.len().max(given).to_string());
        Ok(LogChunk { lines: lines.into_iter().skip(given).collect(), cursor, ended })
    }

    fn cancel(&self, id: String) -> Result<()> {
        match self.job(&id)? {
            Some(job) if !job.ended() => self.ask("POST", &format!("{id}/stop"), None).map(drop),
            _ => Ok(()),
        }
    }

    fn delete(&self, id: String) -> Result<()> {
        match self.job(&id)? {
            None => Ok(()),
            Some(job) if job.ended() => self.ask("DELETE", &id, None).map(drop),
            Some(_) => Err(Error::conflict("job-running", format!("the job `{id}` has not ended; cancel it first"))),
        }
    }
}

export_runtime_agent!(RayJobs);
