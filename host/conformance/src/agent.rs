//! The contract of `fuseml:runtime-agent`.

use crate::{
    Condition, Subject, WorkloadSample,
    samples::Image,
    suite::{Suite, Trouble, failed, nothing, seen},
};
use fuseml_domain::{
    Attributes, Capability, EngineWorkload, ErrorKind, Location, Phase, Resources, WorkloadKind, port::EngineAgent,
};
use std::time::Duration;

/// How long a sample may take, and how often it is asked about.
const PATIENCE: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(500);
const NOWHERE: &str = "fuseml-check-nothing-here";

pub(crate) async fn check(suite: &mut Suite<'_>, subject: &Subject<'_>, samples: &[WorkloadSample]) {
    let make = |condition| subject.loaded.runtime_agent(subject.instance(condition)?).ok();
    let Some(agent) = make(Condition::Granted) else {
        let why = subject.why_not_called();
        suite.rule("health-answers", "", async { Err(nothing(why)) }).await;
        return;
    };
    let agent = &*agent;
    suite
        .rule(
            "describes-itself",
            "name the kinds of workload and the location schemes in `describe`, the same each time",
            async {
                let info = agent.describe().await?;
                if info.kinds.is_empty() {
                    return Err(seen("`describe` names no kind of workload"));
                }
                if agent.describe().await? == info {
                    Ok(())
                } else {
                    Err(seen("`describe` answers differently when asked again"))
                }
            },
        )
        .await;
    suite
        .rule("health-answers", "reach the engine in `health`; say in its error what the admin has to change", async {
            Ok(agent.health().await?)
        })
        .await;
    unknown(suite, agent).await;
    suite
        .rule(
            "complains-of-what-it-cannot",
            "answer a complaint in `check` for a capability that the engine does not have",
            async {
                let mut workload = workload(&WorkloadSample {
                    image: Image { scheme: "oci".to_owned(), uri: "example/none".to_owned() },
                    command: vec!["true".to_owned()],
                });
                workload.resources.requires = vec!["no-such-capability".to_owned()];
                let complaints = agent.check(&workload).await?;
                if complaints.is_empty() {
                    Err(seen("`check` has no complaint about `no-such-capability`"))
                } else {
                    Ok(())
                }
            },
        )
        .await;
    for sample in samples {
        running(suite, agent, sample).await;
    }
    if samples.is_empty() {
        suite.rule("submits-once", "", async { Err(nothing("check.toml has no [[workloads]] that may be run")) }).await;
    }
    let fix = "pass the host's `denied` on instead of a panic or an empty answer";
    suite
        .deprived("without-rights-it-says-so", fix, async {
            if !subject.requests(Capability::Http) {
                return Err(nothing("it does not call out"));
            }
            let bare = make(Condition::Bare).ok_or_else(|| nothing("no settings"))?;
            let kinds = [ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::Invalid];
            failed("`health` without any right", bare.health().await, &kinds)
        })
        .await;
    let fix = "answer `unavailable` when the engine cannot be reached, and never `lost`";
    suite
        .deprived("an-absent-engine-is-unavailable", fix, async {
            let absent = make(Condition::Unreachable).ok_or_else(|| nothing("no address of it is a setting"))?;
            failed("`health` with nobody at its address", absent.health().await, &[ErrorKind::Unavailable])?;
            failed("`status` with nobody at its address", absent.status(NOWHERE).await, &[ErrorKind::Unavailable])
        })
        .await;
}

async fn unknown(suite: &mut Suite<'_>, agent: &dyn EngineAgent) {
    let missing = [ErrorKind::NotFound, ErrorKind::Invalid];
    suite
        .rule(
            "unknown-is-lost",
            "answer the phase `lost` or `not-found` for an id that the engine does not know",
            async {
                match agent.status(NOWHERE).await {
                    Ok(status) if status.status.phase == Phase::Lost => Ok(()),
                    Ok(status) => Err(seen(format!("an unknown workload is {:?}", status.status.phase))),
                    Err(error) => failed("`status` of an unknown workload", Err::<(), _>(error), &missing),
                }
            },
        )
        .await;
    suite
        .rule(
            "cancel-and-delete-can-be-repeated",
            "answer nothing, or `not-found`, for a workload that is gone",
            async {
                for (what, answer) in [("cancel", agent.cancel(NOWHERE).await), ("delete", agent.delete(NOWHERE).await)]
                {
                    if let Err(error) = answer {
                        failed(&format!("`{what}` of an unknown workload"), Err::<(), _>(error), &missing)?;
                    }
                }
                Ok(())
            },
        )
        .await;
}

fn workload(sample: &WorkloadSample) -> EngineWorkload {
    EngineWorkload {
        key: format!("fuseml-check-{}", uuid::Uuid::now_v7()),
        kind: WorkloadKind::Job,
        image: Location::new(&sample.image.scheme, &sample.image.uri),
        command: sample.command.clone(),
        variables: Attributes::from([("FUSEML_CHECK".to_owned(), "yes".to_owned())]),
        secret_variables: Attributes::new(),
        files: Vec::new(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        port: None,
        readiness_path: None,
        resources: Resources::default(),
        timeout: Some(PATIENCE),
        labels: Attributes::from([("fuseml-check".to_owned(), "yes".to_owned())]),
    }
}

async fn running(suite: &mut Suite<'_>, agent: &dyn EngineAgent, sample: &WorkloadSample) {
    let workload = workload(sample);
    let mut id = None;
    suite
        .rule("submits-once", "give the engine the host's key, and answer the workload that has it already", async {
            let complaints = agent.check(&workload).await?;
            if !complaints.is_empty() {
                return Err(seen(format!("`check` complains of the sample: {}", complaints.join("; "))));
            }
            let first = agent.submit(&workload).await?;
            id = Some(first.clone());
            let again = agent.submit(&workload).await?;
            if again == first { Ok(()) } else { Err(seen(format!("one key made `{first}` and `{again}`"))) }
        })
        .await;
    let Some(id) = id else { return };
    suite
        .rule("ends", "map the engine's states so that an ended workload is `succeeded` or `failed`", async {
            match ended(agent, &id).await? {
                Phase::Succeeded => Ok(()),
                other => Err(seen(format!("the sample ended as {other:?}"))),
            }
        })
        .await;
    suite
        .rule("logs-end", "give a cursor with each chunk, and say `ended` when nothing more will come", async {
            let mut cursor = None;
            for _ in 0..100 {
                let chunk = agent.logs(&id, cursor.as_deref()).await?;
                if chunk.ended {
                    return Ok(());
                }
                cursor = chunk.cursor;
            }
            Err(seen("the log of an ended workload does not end"))
        })
        .await;
    suite
        .rule("cleans-up", "remove in `delete` what the workload left; twice is no error", async {
            agent.cancel(&id).await?;
            agent.delete(&id).await?;
            match agent.delete(&id).await {
                Ok(()) => Ok(()),
                Err(error) => failed("a second `delete`", Err::<(), _>(error), &[ErrorKind::NotFound]),
            }
        })
        .await;
}

async fn ended(agent: &dyn EngineAgent, id: &str) -> Result<Phase, Trouble> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < deadline {
        let phase = agent.status(id).await?.status.phase;
        if phase.ended() {
            return Ok(phase);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(seen(format!("the sample did not end within {PATIENCE:?}")))
}
