//! What the server acknowledged survives `kill -9`; what it submitted it does not submit twice.

use fuseml_tests::{Mlflow, World, until};
use nix::sys::signal::Signal;
use reqwest::Method;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::Duration,
};

/// The example, made to wait for a file before it trains.
fn patient_example(world: &World) -> (String, PathBuf) {
    let code = world.example();
    let go = world.folder.path().join("go");
    let begun = world.folder.path().join("begun");
    let text = fs::read_to_string(code.join("train.py")).expect("train.py");
    let wait = format!(
        "if __name__ == '__main__':\n    import os, time\n    open({begun:?}, 'a').write('x')\n    while not os.path.exists({go:?}):\n        time.sleep(0.05)\n"
    );
    let (head, tail) = text.split_once("\nimport ").expect("train.py imports something");
    fs::write(code.join("train.py"), format!("{head}\n{wait}\nimport {tail}")).expect("train.py");
    (code.display().to_string(), go)
}

fn state(world: &World) -> String {
    world.json(&["run", "list"])[0]["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_server_killed_in_the_middle_of_training_ends_the_run_right_and_nothing_twice() {
    let mlflow = Mlflow::start();
    killed_in_the_middle(&mlflow, World::with_mlflow(Some(&mlflow)));
}

#[test]
fn what_survives_on_a_file_survives_on_postgresql() {
    let mlflow = Mlflow::start();
    killed_in_the_middle(&mlflow, World::on_postgres_with_mlflow(&mlflow));
}

fn killed_in_the_middle(mlflow: &Mlflow, mut world: World) {
    let (code, go) = patient_example(&world);
    world.fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full", "--input", "mlflow_code=code://*"]).good();
    world.fuseml(&["push", &code, "--name", "myapp"]).good();
    let begun = world.folder.path().join("begun");
    until("training begins", || begun.exists());

    world.kill();
    world.start();
    assert_eq!(state(&world), "running");
    world.kill();
    fs::write(&go, "").expect("go");
    world.start();

    until("the run ends", || state(&world) != "running");
    let run = &world.json(&["run", "list"])[0];
    assert_eq!(run["state"], "succeeded", "{run}");
    assert_eq!(fs::read_to_string(&begun).expect("begun"), "x", "trained once");
    let versions = mlflow.get("/api/2.0/mlflow/model-versions/search").expect("versions");
    assert_eq!(versions["model_versions"].as_array().map(Vec::len), Some(1), "registered once");
    assert_eq!(world.json(&["artifact", "list", "--kind", "model"]).as_array().map(Vec::len), Some(1));

    // A service outlives a killed server and is found again; a stopped one comes back.
    let answers = || {
        let url = world.json(&["service", "list"])[0]["url"].as_str().expect("url").to_owned();
        let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
        world.http(reqwest::Method::POST, &url, Some(serde_json::from_str(&request).expect("JSON"))).0 == 200
    };
    assert!(answers());
    world.kill();
    world.start();
    let answers = || {
        let url = world.json(&["service", "list"])[0]["url"].as_str().expect("url").to_owned();
        let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
        world.http(reqwest::Method::POST, &url, Some(serde_json::from_str(&request).expect("JSON"))).0 == 200
    };
    assert!(answers(), "the same process answers");
}

#[test]
fn a_stopped_server_brings_its_services_back_and_a_cancelled_run_leaves_nothing() {
    let mut world = World::with_mlflow(None);
    let (code, go) = patient_example(&world);
    world.fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full", "--input", "mlflow_code=code://*"]).good();
    world.fuseml(&["push", &code, "--name", "myapp"]).good();
    let begun = world.folder.path().join("begun");
    until("training begins", || begun.exists());

    world.fuseml(&["run", "cancel", "full/1"]).good();
    until("the run ends", || state(&world) != "running");
    assert_eq!(state(&world), "cancelled");
    assert!(world.json(&["artifact", "list", "--kind", "model"]).as_array().is_some_and(Vec::is_empty));

    fs::write(&go, "").expect("go");
    world.fuseml(&["run", "start", "full", "--wait"]).good();
    world.stop();
    world.start();
    until("the service is back", || world.json(&["service", "list"])[0]["state"] == "ready");
}

#[test]
fn a_server_after_a_power_cut_goes_on_with_what_the_one_before_it_drove() {
    let mut world = World::new();
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    let folder = world.folder.path().to_owned();
    fs::write(
        folder.join("ask.yaml"),
        "{schema_version: 1, name: ask, description: d, steps: {ask: {approve: {message: m}}}}",
    )
    .expect("template");
    world.fuseml(&["pipeline", "add", "ask.yaml", "--name", "ask"]).good();
    world.fuseml(&["run", "start", "ask"]).good();
    until("it asks", || world.json(&["run", "show", "ask/1"])["steps"][0]["state"] == "awaiting-approval");
    world.kill();
    // Another boot, and nothing that was locked is there.
    let forget = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); \
                  db.execute('UPDATE servers SET machine = \"another boot\"'); db.commit()";
    let database = world.data().join("catalog.db");
    let done = std::process::Command::new("python3").arg("-c").arg(forget).arg(database).status().expect("python3");
    assert!(done.success());
    fs::remove_dir_all(world.data().join("servers")).expect("servers");

    world.start();

    assert_eq!(world.json(&["server", "list"]).as_array().map(Vec::len), Some(1));
    assert_eq!(world.json(&["server", "list"])[0]["open_runs"], 1);
    world.fuseml(&["run", "approve", "ask/1", "--wait"]).good();
}

/// How often the server is killed.
const KILLS: usize = 12;
/// Jobs of each run.
const JOBS: usize = 5;

/// Writes down where it ran, which is a folder of each try's own, and makes something.
fn marking(name: &str, marks: &Path) -> String {
    let mark = format!("echo \"$PWD\" >> {}", marks.display());
    format!(
        "schema_version: 1\nname: {name}\nkind: {name}\n\
         command: [sh, -c, '{mark}; sleep 0.2; mkdir out; echo \"$PWD $N\" > out/made.txt']\n\
         inputs: {{in: {{kind: dataset}}}}\noutputs: {{out: {{kind: dataset, path: out}}}}\n\
         parameters: {{n: {{type: integer, default: 0}}}}\n"
    )
}

const MARKED: &str = "
schema_version: 1
name: marked
description: A chain with a sweep in it
inputs: {in: {kind: dataset}}
steps:
  first: {run: {kind: marking}, inputs: {in: '${inputs.in}'}, reuse: off}
  each: {run: {kind: marking}, inputs: {in: '${steps.first.out}'}, each: {n: [1, 2, 3]}, reuse: off}
  last: {run: {kind: marking}, inputs: {in: '${steps.first.out}'}, after: [each], reuse: off}
";

/// A project whose pipeline writes down each job that begins.
fn marked_project(world: &World) -> PathBuf {
    let folder = world.folder.path();
    let marks = folder.join("marks");
    world.fuseml(&["project", "create", "shop"]).good();
    world.fuseml(&["project", "set", "shop"]).good();
    fs::write(folder.join("runnable.yaml"), marking("marking", &marks)).expect("runnable");
    world.fuseml(&["runnable", "register", "runnable.yaml"]).good();
    fs::write(folder.join("marked.yaml"), MARKED).expect("template");
    world.fuseml(&["pipeline", "add", "marked.yaml", "--name", "marked", "--input", "in=data://shop/rows"]).good();
    marks
}

/// Pushes other rows each time while servers die; answers the address that somebody acknowledged.
fn pushed_while(world: &mut World, number: usize, dies: impl FnOnce(&mut World)) -> String {
    let rows = world.folder.path().join("rows");
    fs::create_dir_all(&rows).expect("folder");
    fs::write(rows.join("rows.csv"), format!("n\n{number}\n")).expect("rows");
    let push = world.begin(&["dataset", "push", "rows"]);
    dies(world);
    let said = push.wait_with_output().expect("push");
    let address = match said.status.success() {
        true => String::from_utf8(said.stdout).expect("text"),
        // Nobody said that it was there, so whoever pushed it pushes it again.
        false => world.fuseml(&["dataset", "push", "rows"]).good().stdout(),
    };
    address.trim().to_owned()
}

/// Every push has its run, every run went well, every job began once, all that was made is there and nothing else is.
fn nothing_lost_and_nothing_twice(world: &World, marks: &Path, mut acknowledged: Vec<String>, how: &str) {
    let runs = || world.json(&["run", "list", "--limit", "1000"]).as_array().expect("runs").clone();
    until("every push has its run, and each has ended", || {
        let runs = runs();
        runs.len() >= acknowledged.len() && runs.iter().all(|run| run["state"] != "running")
    });
    let runs = runs();
    for run in &runs {
        assert_eq!(run["state"], "succeeded", "{how}: {run}");
    }
    let mut started: Vec<_> =
        runs.iter().map(|run| run["cause"]["artifact"].as_str().expect("cause").to_owned()).collect();
    started.sort();
    acknowledged.sort();
    assert_eq!(started, acknowledged, "each push started one run, {how}");
    for address in &acknowledged {
        world.fuseml(&["artifact", "verify", address]).good();
    }
    let marks = fs::read_to_string(marks).expect("marks");
    let mut places: Vec<_> = marks.lines().collect();
    let begun = places.len();
    places.sort_unstable();
    places.dedup();
    let jobs = acknowledged.len() * JOBS;
    assert_eq!((places.len(), begun), (jobs, jobs), "each job began once, {how}");
    until(&format!("nothing is left of what jobs worked with, {how}"), || {
        places.iter().all(|place| !Path::new(place).exists())
    });
    for run in &runs {
        for step in run["steps"].as_array().expect("steps") {
            for made in step["outputs"].as_object().expect("outputs").values() {
                world.fuseml(&["artifact", "verify", made["artifact"].as_str().expect("address")]).good();
            }
        }
    }
}

#[test]
fn servers_that_are_killed_at_random_under_load_lose_nothing_and_do_nothing_twice() {
    let mut world = World::new();
    let marks = marked_project(&world);
    let (mut acknowledged, mut waited) = (Vec::new(), Vec::new());
    for number in 0..KILLS {
        let wait = rand::random_range(0..700);
        waited.push(wait);
        acknowledged.push(pushed_while(&mut world, number, |world| {
            sleep(Duration::from_millis(wait));
            world.kill();
            world.start();
        }));
    }
    nothing_lost_and_nothing_twice(&world, &marks, acknowledged, &format!("after {waited:?} ms"));
}

#[test]
fn whichever_of_several_servers_is_killed_under_load_the_others_lose_nothing_and_do_nothing_twice() {
    let mut world = World::on_postgres();
    let mut beside: Vec<_> = ["second.log", "third.log"].map(|log| world.beside(log).0).into();
    let marks = marked_project(&world);
    let (mut acknowledged, mut killed) = (Vec::new(), Vec::new());
    for number in 0..KILLS {
        let (wait, which) = (rand::random_range(0..700), rand::random_range(0..3_usize));
        killed.push((which, wait));
        acknowledged.push(pushed_while(&mut world, number, |world| {
            sleep(Duration::from_millis(wait));
            // Whoever goes on has all the work until another comes.
            match which {
                0 => {
                    world.kill();
                    sleep(Duration::from_millis(wait));
                    world.start();
                }
                other => {
                    beside.remove(other - 1);
                    sleep(Duration::from_millis(wait));
                    beside.push(world.beside(&format!("beside-{number}.log")).0);
                }
            }
        }));
    }
    nothing_lost_and_nothing_twice(&world, &marks, acknowledged, &format!("killed after ms: {killed:?}"));
    let servers = world.json(&["server", "list"]);
    assert_eq!(servers.as_array().map(Vec::len), Some(3), "{servers}");
}

#[test]
fn a_server_that_slept_too_long_finds_its_runs_with_another_and_does_them_no_harm() {
    let world = World::on_postgres();
    let (second, url) = world.beside("second.log");
    let marks = marked_project(&world);
    // What is done by hand is done by the server that is asked.
    let rows = world.folder.path().join("rows");
    fs::create_dir_all(&rows).expect("folder");
    fs::write(rows.join("rows.csv"), "n\n1\n").expect("rows");
    let pushed = world.fuseml(&["--server", &url, "dataset", "push", "rows"]).good().stdout();
    until("the first job begins", || marks.exists());
    let driver = || {
        let servers = world.json(&["server", "list"]);
        let drives = |server: &&serde_json::Value| server["open_runs"] == 1;
        servers.as_array().expect("servers").iter().find(drives).map(|server| server["url"].clone())
    };
    assert_eq!(driver(), Some(url.clone().into()));

    second.tell(Signal::SIGSTOP);

    nothing_lost_and_nothing_twice(&world, &marks, vec![pushed.trim().to_owned()], "asleep");
    second.tell(Signal::SIGCONT);
    until("it is awake", || world.json(&["server", "list"]).as_array().map(Vec::len) == Some(2));
    world.fuseml(&["--server", &url, "run", "start", "marked", "--wait"]).good();
    let runs = world.json(&["run", "list"]);
    assert!(runs.as_array().expect("runs").iter().all(|run| run["state"] == "succeeded"), "{runs}");
}

#[test]
fn a_person_speaks_to_any_server_and_a_service_outlives_the_one_that_started_it() {
    let mlflow = Mlflow::start();
    let mut world = World::on_postgres_with_mlflow(&mlflow);
    let (_second, url) = world.beside("second.log");
    let (code, _) = patient_example(&world);
    fs::write(world.folder.path().join("go"), "").expect("go");
    world.fuseml(&["pipeline", "add", "mlflow-end-to-end", "--name", "full", "--input", "mlflow_code=code://*"]).good();
    world.fuseml(&["--server", &url, "push", &code, "--name", "app", "--wait"]).good();
    let answers = |world: &World, base: &str| {
        let path = world.json(&["--server", base, "service", "list"])[0]["url"].as_str().expect("url").to_owned();
        assert!(path.starts_with(base), "each says its own address: {path}");
        let request = fs::read_to_string(world.folder.path().join("wine/request.json")).expect("request");
        world.http(Method::POST, &path, Some(serde_json::from_str(&request).expect("JSON"))).0
    };
    let services = world.json(&["service", "list"]);
    assert_eq!(services[0]["state"], "ready", "{services}");
    assert_eq!([answers(&world, &world.url()), answers(&world, &url)], [200, 200]);

    // In order: the one that goes leaves what runs to the one that stays.
    world.stop();

    until("the other is alone", || world.json(&["server", "list"]).as_array().map(Vec::len) == Some(1));
    assert_eq!(world.url(), url, "who asks for no server finds the one that lives");
    assert_eq!(answers(&world, &url), 200);

    // What one is told of rights holds on the other.
    world.start();
    let health = || world.fuseml(&["--server", &url, "extension", "list"]).good().stdout();
    assert!(health().contains("ok"), "{}", health());
    let first = world.json(&["server", "list"])[1]["url"].as_str().expect("url").to_owned();
    world.fuseml(&["--server", &first, "extension", "revoke-grant", "mlflow", "http"]).good();
    until("the right is gone there, too", || health().contains("failing"));
}

#[test]
fn an_upload_goes_on_at_whichever_server_its_next_part_comes_to() {
    let world = World::on_postgres();
    let (_second, url) = world.beside("second.log");
    world.fuseml(&["project", "create", "shop"]).good();
    let servers = [world.json(&["server", "list"])[0]["url"].as_str().expect("url").to_owned(), url];
    let client = reqwest::blocking::Client::new();
    let ask = |server: usize, method: Method, path: &str, body: &'static str| {
        let request = client.request(method, format!("{}{path}", servers[server])).bearer_auth(world.token());
        request.body(body).send().expect("answer")
    };
    let begun = ask(0, Method::POST, "/v2/shop/data/rows/blobs/uploads/", "");
    let location = begun.headers()["location"].to_str().expect("location").to_owned();
    let path = location.strip_prefix(&servers[0]).unwrap_or(&location);

    for (server, part) in [(1, "from "), (0, "one "), (1, "to the "), (0, "other")] {
        assert_eq!(ask(server, Method::PATCH, path, part).status(), 202, "{part}");
    }
    let digest = "sha256:1abadc1973a6be3c39876b69a2498f231b629502d6e9a30d1f8981ffbff13093";
    assert_eq!(ask(1, Method::PUT, &format!("{path}?digest={digest}"), "").status(), 201);

    let blob = ask(0, Method::GET, &format!("/v2/shop/data/rows/blobs/{digest}"), "");
    assert_eq!(blob.text().expect("text"), "from one to the other");
    assert_eq!(ask(0, Method::PATCH, path, "more").status(), 404, "it has ended");
}

#[test]
fn runs_that_an_earlier_version_left_go_on_where_they_stood() {
    let mut world = World::without_server();
    fs::create_dir_all(world.data()).expect("folder");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/paused-runs.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(fixture).arg("-C").arg(world.data()).status().expect("tar");
    assert!(unpacked.success());
    world.start();
    world.fuseml(&["project", "set", "shop"]).good();

    // One that was paused before it began, one that asks, one that failed.
    world.fuseml(&["run", "resume", "chain/1", "--wait"]).bad(8);
    world.fuseml(&["run", "resume", "chain/3", "--wait"]).bad(8);
    for (run, took) in [("chain/1", "7\n"), ("chain/2", "8\n"), ("chain/3", "9\n")] {
        world.fuseml(&["run", "approve", run, "review", "--wait"]).good();
        assert_eq!(world.fuseml(&["run", "logs", run, "--step", "take"]).good().stdout(), took, "{run}");
    }
    // Its pipeline starts as before, and takes what was made then.
    let again = world.fuseml(&["run", "start", "chain", "--input", "n=8", "--wait"]).bad(8);
    assert!(again.stderr().contains("reused from chain/2"), "{}", again.stderr());
}
