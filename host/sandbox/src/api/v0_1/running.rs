//! Workloads to a runtime agent, its statuses and logs back. Pure.

use super::{
    agent,
    convert::{Checked, location, pairs, unique},
};
use crate::failure::clean;
use fuseml_domain::{
    EngineInfo, EngineLog, EngineStatus, EngineWorkload, Error, Phase, Resources, Result, WorkloadKind, WorkloadStatus,
};
use jiff::Timestamp;

/// Longer words about a workload are cut.
const MESSAGE: usize = 2048;

/// Environments are made ready by the host's own agents; the contract has no such workload.
pub(crate) fn workload(workload: &EngineWorkload) -> Result<agent::Workload> {
    let kind = match workload.kind {
        WorkloadKind::Job => agent::WorkloadKind::Job,
        WorkloadKind::Service => agent::WorkloadKind::Service,
        WorkloadKind::Environment => {
            return Err(Error::unsupported(
                "workload-kind",
                format!("`{}` prepares an environment, which no runtime-agent component does", workload.key),
            ));
        }
    };
    let inputs = workload.inputs.iter().map(|input| agent::Input {
        name: input.name.clone(),
        path: input.path.clone(),
        contents: location(&input.contents),
    });
    let outputs = workload.outputs.iter().map(|output| agent::Output {
        name: output.name.clone(),
        path: output.path.clone(),
        report: output.report.clone(),
        target: output.target.as_ref().map(location),
    });
    Ok(agent::Workload {
        key: workload.key.clone(),
        kind,
        image: location(&workload.image),
        command: workload.command.clone(),
        environment: pairs(&workload.variables),
        secret_environment: pairs(&workload.secret_variables),
        files: workload.files.clone(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
        port: workload.port,
        readiness_path: workload.readiness_path.clone(),
        resources: resources(&workload.resources),
        timeout_ms: workload.timeout.map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)),
        labels: pairs(&workload.labels),
    })
}

fn resources(resources: &Resources) -> agent::Resources {
    agent::Resources {
        cpu_millis: resources.cpu_millis,
        memory_bytes: resources.memory_bytes,
        storage_bytes: resources.storage_bytes,
        gpus: resources.gpus,
        requires: resources.requires.clone(),
    }
}

pub(crate) fn info(info: agent::Info) -> Checked<EngineInfo> {
    let kind = |kind| match kind {
        agent::WorkloadKind::Job => WorkloadKind::Job,
        agent::WorkloadKind::Service => WorkloadKind::Service,
    };
    Ok(EngineInfo {
        kinds: info.kinds.into_iter().map(kind).collect(),
        reads: info.reads,
        writes: info.writes,
        capabilities: info.capabilities,
    })
}

/// Complaints, fit to show.
pub(crate) fn complaints(complaints: Vec<String>) -> Checked<Vec<String>> {
    Ok(complaints.iter().map(|complaint| clean(complaint, MESSAGE)).collect())
}

/// The engine's id of what was submitted.
pub(crate) fn submitted(id: String) -> Checked<String> {
    if id.is_empty() { Err("a workload without an id".to_owned()) } else { Ok(id) }
}

pub(crate) fn status(status: agent::WorkloadStatus) -> Checked<EngineStatus> {
    let phase = match status.phase {
        agent::Phase::Pending => Phase::Pending,
        agent::Phase::Running => Phase::Running,
        agent::Phase::Ready => Phase::Ready,
        agent::Phase::Succeeded => Phase::Succeeded,
        agent::Phase::Failed => Phase::Failed,
        agent::Phase::Cancelled => Phase::Cancelled,
        agent::Phase::Lost => Phase::Lost,
    };
    Ok(EngineStatus {
        status: WorkloadStatus {
            phase,
            message: status.message.map(|message| clean(&message, MESSAGE)),
            exit_code: status.exit_code,
            started: status.started.map(timestamp).transpose()?,
            ended: status.ended.map(timestamp).transpose()?,
        },
        results: unique("result", status.results)?,
    })
}

pub(crate) fn log(chunk: agent::LogChunk) -> Checked<EngineLog> {
    Ok(EngineLog { lines: chunk.lines, cursor: chunk.cursor, ended: chunk.ended })
}

fn timestamp(millis: u64) -> Checked<Timestamp> {
    i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .ok_or_else(|| format!("{millis} is no point in time"))
}
