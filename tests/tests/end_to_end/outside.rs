//! What comes from outside and what goes there: webhooks, events, waiting, endpoints (S72, S128, S130).

use fuseml_tests::{Group, World, free_port, tool, until};
use serde_json::{Value as Json, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pipelines");
const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/end_to_end/events.py");
/// 24 bytes in base64.
const SIGNING: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Somebody outside who notes what is sent there, with the libraries that others have.
struct Receiver {
    url: String,
    notes: PathBuf,
    _group: Group,
}

impl Receiver {
    fn start(folder: &Path) -> Self {
        let (port, notes) = (free_port(), folder.join("notes"));
        let mut python = Command::new(tool("FUSEML_TEST_FORMATS"));
        python.args([EVENTS, "receive", &port.to_string()]).arg(&notes).arg(SIGNING);
        let group = Group::start(&mut python, &folder.join("receiver.log"));
        until("the receiver answers", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { url: format!("http://127.0.0.1:{port}"), notes, _group: group }
    }

    fn noted(&self) -> Vec<Json> {
        let text = fs::read_to_string(&self.notes).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Sends an event with the libraries that others have; answers what came back.
fn send(url: &str, mode: &str, secret: &str, attributes: Json, data: Json) -> (u16, Json) {
    let output = Command::new(tool("FUSEML_TEST_FORMATS"))
        .args([EVENTS, "send", url, mode, secret, &attributes.to_string(), &data.to_string()])
        .output()
        .expect("python");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let (status, body) =
        said.split_once(' ').unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)));
    (status.parse().expect("status"), serde_json::from_str(body).unwrap_or_default())
}

fn event(id: &str, event_type: &str) -> Json {
    json!({"id": id, "type": event_type, "source": "https://labels.example/sets", "subject": "data set 7"})
}

/// Whether the run that the event started has a step in this state, or of this name.
fn stands(world: &World, state: &str) -> bool {
    let run = world.fuseml(&["run", "show", "release/2", "-o", "json"]);
    run.stdout().contains(state)
}

/// A project that trains with what is labelled, and releases when it is told to.
fn shop() -> (World, Receiver) {
    let world = World::new();
    let receiver = Receiver::start(world.folder.path());
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    world.fuseml(&["runnable", "register", &format!("{EXAMPLES}/approval/trainer.yaml")]).good();
    let signing = world.folder.path().join("signing");
    fs::write(&signing, SIGNING).expect("file");
    fs::write(world.folder.path().join("token"), "s3cret-of-tickets\n").expect("file");
    let tickets = format!("{}/api/", receiver.url);
    world.fuseml(&["endpoint", "add", "tickets", &tickets, "--header", "X-Token=@token"]).good();
    let chat = format!("{}/hooks/s3cret-path", receiver.url);
    let signing = signing.display().to_string();
    world.fuseml(&["endpoint", "add", "chat", &chat, "--signing-file", &signing]).good();
    (world, receiver)
}

const RELEASE: [&str; 9] = [
    "pipeline",
    "add",
    "release.yaml",
    "--name",
    "release",
    "--input",
    "code=code://*",
    "--on",
    "com.example.labelled*",
];

fn release(world: &World) {
    fs::copy(format!("{EXAMPLES}/release/release.yaml"), world.folder.path().join("release.yaml")).expect("template");
    let added = world.fuseml(&[&RELEASE[..], &["--on-value", "alpha=data.alpha"]].concat()).good();
    insta::assert_snapshot!("added", world.steady(&added.stderr()));
    world.code("app", &[("train.py", "print('a model')\n")]);
}

#[test]
fn an_event_starts_a_run_that_calls_waits_over_a_killed_server_and_tells_how_it_ended() {
    let (mut world, receiver) = shop();
    release(&world);
    insta::assert_snapshot!("template", world.fuseml(&["template", "show", "release.yaml"]).good().stdout());
    let added = world.fuseml(&["webhook", "add", "labels"]).good();
    let (url, secret) = (format!("{}/hooks/shop/labels", world.url()), added.stdout().trim().to_owned());
    assert!(secret.starts_with("whsec_") && added.stderr().contains(&url), "{}", added.stderr());
    let pushed = world.fuseml(&["codeset", "push", "app", "--wait"]).bad(8);
    insta::assert_snapshot!("waits", world.steady(&pushed.stderr()));

    // Proven, and for the first time.
    let labelled = event("1", "com.example.labelled");
    assert_eq!(send(&url, "signed", "whsec_AAAAAAAAAAAAAAAAAAAAAAAA", labelled.clone(), json!({})).0, 401);
    assert_eq!(send(&format!("{url}x"), "signed", &secret, labelled.clone(), json!({})).0, 401);
    let (status, said) = send(&url, "binary-signed", &secret, labelled.clone(), json!({"alpha": 0.7}));
    assert_eq!(status, 422, "{said}");
    let sent = send(&url, "signed", &secret, labelled.clone(), json!({"alpha": 0.7}));
    assert_eq!(sent, (202, json!({"received": 1, "new": 1})));
    assert_eq!(send(&url, "signed", &secret, labelled, json!({"alpha": 0.9})).1["new"], 0);
    assert_eq!(send(&url, "signed", &secret, event("2", "com.example.labelled.more"), json!({})).0, 202);
    until("the run waits", || stands(&world, "awaiting-event"));
    until("the second event is settled", || world.json(&["event", "list"])[0]["outcome"].is_object());
    let list = world.fuseml(&["event", "list"]).good();
    insta::assert_snapshot!("events", world.steady(&format!("{}{}", list.stderr(), list.stdout())));
    let ticket = receiver.noted().pop().expect("a ticket");
    let model = ticket["body"]["model"].as_str().expect("model").to_owned();
    assert!(model.starts_with("model://shop/"), "{ticket}");
    assert_eq!(
        (&ticket["path"], &ticket["token"], &ticket["once"]),
        (&json!("/api/tickets"), &json!("s3cret-of-tickets"), &json!(true))
    );

    // What it waits for comes while nobody is there to take it, and after.
    world.kill();
    world.start();
    until("the run waits again", || stands(&world, "awaiting-event"));
    let sign_off = |subject: &str, ticket: &str| {
        let ticket = format!("ticket={ticket}");
        let send =
            ["event", "send", "com.example.signed-off", "--subject", subject, "--set", &ticket, "--set", "name=grace"];
        world.fuseml(&send).good();
    };
    sign_off(&model, "8");
    sign_off("model://shop/another", "7");
    sign_off(&model, "7");
    until("it is signed off", || {
        stands(&world, "production") && world.json(&["run", "show", "release/2"])["steps"][2]["state"] == "succeeded"
    });
    world.fuseml(&["artifact", "tag", &model, "production"]).good();
    until("it is released", || world.json(&["run", "show", "release/2"])["state"] == "succeeded");
    let watched = world.fuseml(&["run", "watch", "release/2"]).good();
    insta::assert_snapshot!("released", world.steady(&watched.stderr()));
    let told = receiver.noted().pop().expect("told");
    assert_eq!((&told["verified"], &told["type"]), (&json!(true), &json!("dev.fuseml.notice.v1")), "{told}");
    let short = told["data"]["message"].as_str().expect("message").to_owned();
    assert!(short.ends_with("is in production, says grace"), "{short}");
    assert_eq!((&told["source"], &told["data"]["run"]), (&json!("/projects/shop/runs/release/2"), &json!("release/2")));

    // A cancelled run waits no more.
    world.fuseml(&["run", "cancel", "release/1"]).good();
    until("it is cancelled", || world.json(&["run", "show", "release/1"])["state"] == "cancelled");
}

#[test]
fn what_an_endpoint_refuses_fails_the_step_and_what_nobody_is_told_stays_secret() {
    let (world, receiver) = shop();
    let template = "{schema_version: 1, name: ask, description: Asks, inputs: {},
        steps: {taken: {call: {endpoint: tickets, method: GET, path: a/taken}},
                alarm: {notify: {endpoint: room, message: 'It went wrong'}, runs: on-failure}}}";
    fs::write(world.folder.path().join("ask.yaml"), template).expect("template");
    let room = format!("{}/room", receiver.url);
    world.fuseml(&["endpoint", "add", "room", &room, "--format", "text"]).good();
    world.fuseml(&["pipeline", "add", "ask.yaml", "--name", "ask"]).good();
    let plan = world.fuseml(&["pipeline", "plan", "ask"]).good();
    insta::assert_snapshot!("planned", world.steady(&format!("{}{}", plan.stderr(), plan.stdout())));

    let failed = world.fuseml(&["run", "start", "ask", "--wait"]).bad(7);
    insta::assert_snapshot!("refused", world.steady(&failed.stderr()));
    let told = receiver.noted().pop().expect("told");
    let text = told["body"]["text"].as_str().expect("text").to_owned();
    assert!(text.starts_with("It went wrong\nask/1 in shop\ntaken failed: the endpoint tickets"), "{text}");

    let list = world.fuseml(&["endpoint", "list"]).good();
    insta::assert_snapshot!("endpoints", world.steady(&format!("{}{}", list.stderr(), list.stdout())));
    world.fuseml(&["server", "rotate-secret-key"]).good();
    world.fuseml(&["run", "start", "ask", "--wait"]).bad(7);
    assert_eq!(
        receiver.noted().last().map(|told| told["path"].clone()),
        Some(json!("/room")),
        "opened with the new key"
    );
    for secret in ["s3cret-path", "s3cret-of-tickets", "MfKQ9r8GKYqr"] {
        let grep = Command::new("grep").args(["-rlF", secret]).arg(world.data()).output().expect("grep");
        assert_eq!(String::from_utf8_lossy(&grep.stdout), "", "{secret} lies somewhere");
    }
    for wrong in [
        &["endpoint", "add", "files", "file:///etc/passwd"][..],
        &["endpoint", "add", "cloud", "http://169.254.169.254/latest/meta-data"],
        &["endpoint", "add", "login", "https://ada:pass@example.com"],
        &["endpoint", "add", "chat", "https://example.com"],
        &["webhook", "add", "git", "--codeset", "nothing"],
        &["endpoint", "remove", "nothing"],
    ] {
        let said = world.fuseml(wrong);
        assert!(!said.stderr().contains("pass@"), "{}", said.stderr());
        assert!(said.stderr().starts_with("error: "), "{wrong:?}: {}", said.stderr());
    }
}

#[test]
fn tokens_open_a_webhook_to_events_in_headers_and_in_batches() {
    let (world, _receiver) = shop();
    fs::write(world.folder.path().join("own"), "a-secret-of-my-own\n").expect("file");
    world.fuseml(&["webhook", "add", "labels", "--proof", "token", "--secret-file", "own"]).good();
    let url = format!("{}/hooks/shop/labels", world.url());

    let sent = send(&url, "binary", "a-secret-of-my-own", event("1", "com.example.labelled"), json!({"rows": 3}));
    assert_eq!(sent, (202, json!({"received": 1, "new": 1})));
    let batch = |id: &str| json!({"specversion": "1.0", "id": id, "source": "/b", "type": "com.example.batched", "data": {"rows": 1}});
    let client = reqwest::blocking::Client::new();
    let post = |body: Json| {
        let request = client.post(&url).bearer_auth("a-secret-of-my-own");
        let request = request.header("content-type", "application/cloudevents-batch+json").body(body.to_string());
        request.send().expect("answer")
    };
    let answer = post(json!([batch("1"), batch("2"), batch("2")]));
    assert_eq!((answer.status().as_u16(), answer.json::<Json>().expect("JSON")["new"].clone()), (202, json!(2)));
    let answer = post(json!([batch("3"), {"specversion": "1.0"}]));
    assert_eq!(answer.status().as_u16(), 422, "all or none");
    let types = world.json(&["event", "list"]);
    let types: Vec<_> = types.as_array().expect("list").iter().map(|it| it["type"].as_str().expect("type")).collect();
    assert_eq!(types, ["com.example.batched", "com.example.batched", "com.example.labelled"]);

    let asked = client.request(reqwest::Method::OPTIONS, &url).header("WebHook-Request-Origin", "labels.example");
    let asked = asked.send().expect("answer");
    assert_eq!(asked.headers()["webhook-allowed-origin"], "labels.example");
    assert_eq!(client.post(&url).bearer_auth(world.token()).body("{}").send().expect("answer").status(), 401);
    let large = client.post(&url).bearer_auth("a-secret-of-my-own").body(vec![b' '; 2 << 20]).send();
    assert!(large.map_or(true, |answer| answer.status() == 413), "more than a mebibyte");
    world.fuseml(&["webhook", "remove", "labels"]).good();
    assert_eq!(client.post(&url).bearer_auth("a-secret-of-my-own").body("{}").send().expect("answer").status(), 401);
}
