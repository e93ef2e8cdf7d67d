//! Services: ready when they answer, started again when they crash, ended when asked.

use crate::common::{LONG, World, job, lives};
use fuseml_domain::{Phase, Workload, WorkloadKind, port::RuntimeAgent};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

/// Answers `/ready` with 200 once it has been asked twice, `/pid` with its process id.
const SERVER: &str = r#"
import http.server, os
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global asked
        asked += self.path == "/ready"
        self.send_response(503 if asked < 3 and self.path == "/ready" else 200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
http.server.HTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
"#;

fn service(key: &str) -> Workload {
    Workload {
        kind: WorkloadKind::Service,
        command: ["python3", "server.py"].map(str::to_owned).into(),
        files: vec![("server.py".to_owned(), SERVER.to_owned())],
        readiness_path: Some("/ready".to_owned()),
        timeout: Some(LONG),
        ..job(key, "")
    }
}

/// The process id of the service, by asking it.
async fn ask(world: &World, key: &str) -> i32 {
    let endpoint = world.agent.endpoint(key).await.unwrap();
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).unwrap();
    stream.write_all(b"GET /pid HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.rsplit("\r\n").next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_service_answers_comes_back_and_ends() {
    let mut world = World::new();
    assert_eq!(world.run(&service("predictor")).await.phase, Phase::Ready);
    let first = ask(&world, "predictor").await;

    world.restart();
    assert_eq!(world.agent.status("predictor").await.unwrap().phase, Phase::Ready);
    assert_eq!(world.agent.running().await.unwrap(), ["predictor"]);
    assert_eq!(ask(&world, "predictor").await, first);

    kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
    while world.agent.status("predictor").await.unwrap().phase == Phase::Ready {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(world.agent.endpoint("predictor").await.unwrap_err().code, "service-not-ready");
    assert_eq!(world.agent.wait("predictor", LONG).await.unwrap().phase, Phase::Ready);
    let second = ask(&world, "predictor").await;
    assert_ne!(first, second);
    assert!(world.log("predictor").await.contains("[fuseml] the service was killed (SIGKILL)"));

    world.agent.cancel("predictor").await.unwrap();
    assert!(!lives(second));
    assert_eq!(world.agent.status("predictor").await.unwrap().phase, Phase::Cancelled);
}

#[tokio::test]
async fn a_service_that_never_answers_fails() {
    let world = World::new();
    let timeout = Some(Duration::from_millis(700));
    let silent = Workload { timeout, command: job("", "sleep 1000").command, ..service("silent") };
    let status = world.run(&silent).await;
    assert_eq!(status.phase, Phase::Failed);
    assert_eq!(status.message.unwrap(), "the service did not answer within 0.7 s");

    let crashing = Workload { timeout, command: job("", "echo no model >&2; exit 3").command, ..service("crashing") };
    let status = world.run(&crashing).await;
    assert_eq!((status.phase, status.exit_code), (Phase::Failed, Some(3)));
    assert_eq!(status.message.unwrap(), "the service exited with code 3 and was not ready within 0.7 s");
    assert!(world.log("crashing").await.starts_with("no model\n"));

    let missing = Workload { command: vec!["no-such-program".to_owned()], ..service("missing") };
    assert_eq!(world.run(&missing).await.exit_code, Some(127));
}

#[tokio::test]
async fn a_service_that_crashes_at_first_gets_another_chance() {
    let world = World::new();
    let script = "if [ ! -e tried ]; then touch tried; exit 1; fi; exec python3 server.py";
    let status = world.run(&Workload { command: job("", script).command, ..service("second") }).await;
    assert_eq!(status.phase, Phase::Ready);
    world.agent.cancel("second").await.unwrap();
}
