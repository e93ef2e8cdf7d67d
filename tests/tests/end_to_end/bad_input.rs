//! Bad input gets an error that names it, says why and what to do next, and leaves nothing behind.

use fuseml_tests::{Mlflow, World, copy, free_port};
use std::{fs, net::TcpListener, path::Path};

const TRAIN: &str = "print('training')\n";
const CONDA: &str = "name: x\ndependencies:\n  - python=3.11\n  - pip:\n      - mlflow>=3.1,<4\n      - scikit-learn>=1.5,<2\n      - pandas>=2.2\n";
const PROJECT: &str = "name: x\nconda_env: conda.yaml\nentry_points:\n  main:\n    parameters:\n      alpha: {type: float, default: 0.5}\n    command: \"python train.py {alpha}\"\n";

/// The extension with a time limit on training, for tests of the limit.
fn hurried_extension(world: &World) -> String {
    let from = std::env::var("FUSEML_TEST_EXTENSION").expect("cargo xtask test");
    let to = world.folder.path().join("hurried");
    copy(Path::new(&from), &to);
    let template = to.join("templates/mlflow-training.yaml");
    let text = fs::read_to_string(&template).expect("template");
    fs::write(&template, text.replace("trainer}\n", "trainer}\n    timeout: 20s\n")).expect("template");
    to.display().to_string()
}

#[test]
fn commands_that_cannot_be_done_say_why_and_what_to_do() {
    let world = World::with_mlflow(None);
    world
        .fuseml(&["pipeline", "add", "mlflow-training", "--name", "training", "--input", "mlflow_code=code://*"])
        .good();
    let mut said = String::new();
    for (code, line) in [
        (3, "project set nowhere"),
        (5, "project create myproj"),
        (2, "project create My_Project!"),
        (3, "pipeline list --project nowhere"),
        (3, "pipeline add no-such-template --name x"),
        (2, "pipeline add mlflow-training --name x"),
        (2, "pipeline add mlflow-training --name x --input code=code://*"),
        (2, "pipeline add mlflow-training --name x --input mlflow_code=model://*"),
        (2, "pipeline add mlflow-training --name x --input mlflow_code=code:/*"),
        (2, "pipeline add mlflow-training --name x --input mlflow_code"),
        (2, "pipeline add mlflow-training --name x --input mlflow_code=code://* --param nope.alpha=1"),
        (5, "pipeline add mlflow-training --name training --input mlflow_code=code://*"),
        (3, "pipeline remove nothing"),
        (2, "artifact show modle://myproj/x"),
        (2, "artifact show code://myproj/a/b/c/d"),
        (3, "artifact show model://myproj/4c88e8f2"),
        (3, "lineage model://myproj/4c88e8f2"),
        (2, "artifact list --kind models"),
        (3, "run show training/7"),
        (2, "run show training"),
        (3, "run start training"),
        (2, "codeset push does-not-exist"),
        (3, "extension show nothing"),
        (3, "extension configure nothing --set a=b"),
        (2, "extension configure mlflow --set port=1"),
        (2, "extension configure mlflow --set endpoint=mlflow.example"),
        (6, "project list --data elsewhere"),
        (6, "project list --server http://127.0.0.1:1"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let answer = world.fuseml(&words).bad(code);
        said.push_str(&format!("$ fuseml {line}\n{}{}\n", answer.stdout(), answer.stderr()));
    }
    insta::assert_snapshot!(world.steady(&said));
    assert_eq!(world.json(&["pipeline", "list"]).as_array().map(Vec::len), Some(1), "nothing was added");
}

#[test]
fn extensions_that_are_none_are_refused_and_leave_nothing() {
    let world = World::new();
    let component = |text: &str| wat::parse_str(text).expect("component");
    let manifest = |world: &str, extra: &str| {
        format!(
            "schema_version = 1\nname = \"bad\"\nversion = \"0.1.0\"\ntitle = \"Bad\"\ndescription = \"d\"\nlicense = \"MIT\"\n{extra}\n[[components]]\nname = \"c\"\nworld = \"{world}\"\nfile = \"c.wasm\"\n"
        )
    };
    const BUILDER: &str = "fuseml:builder/builder@0.1.0";
    let cases: Vec<(&str, String, Vec<u8>)> = vec![
        ("a text instead of a component", manifest(BUILDER, ""), b"hello".to_vec()),
        ("a core module", manifest(BUILDER, ""), component("(module)")),
        ("a component that exports nothing", manifest(BUILDER, ""), component("(component)")),
        (
            "a component that imports what no world has",
            manifest(BUILDER, ""),
            component("(component (import \"evil:host/shell\" (instance (export \"run\" (func)))))"),
        ),
        ("a world that nobody knows", manifest("fuseml:oven/oven@0.1.0", ""), component("(component)")),
        ("a key that nobody knows", manifest(BUILDER, "grants = [\"http\"]"), component("(component)")),
        ("a truncated component", manifest(BUILDER, ""), component("(component)")[..7].to_vec()),
    ];
    let mut said = String::new();
    for (what, manifest, bytes) in cases {
        let folder = world.folder.path().join("extension");
        fs::create_dir_all(&folder).expect("folder");
        fs::write(folder.join("extension.toml"), manifest).expect("manifest");
        fs::write(folder.join("c.wasm"), bytes).expect("component");
        let answer = world.fuseml(&["extension", "install", "extension", "--grant", "all"]).bad(2);
        let error =
            answer.stderr().lines().skip_while(|line| !line.starts_with("error")).collect::<Vec<_>>().join("\n");
        said.push_str(&format!("{what}\n  {error}\n"));
    }
    insta::assert_snapshot!(world.steady(&said));
    assert!(world.json(&["extension", "list"]).as_array().is_some_and(Vec::is_empty));
    let left: Vec<_> = fs::read_dir(world.data().join("extensions")).expect("folder").collect();
    assert!(left.is_empty(), "{left:?}");

    let from = std::env::var("FUSEML_TEST_EXTENSION").expect("cargo xtask test");
    world.fuseml(&["extension", "install", &from]).bad(4);
    assert!(world.json(&["extension", "list"]).as_array().is_some_and(Vec::is_empty), "nobody granted it");
}

#[test]
fn code_that_cannot_become_a_model_says_where_it_went_wrong() {
    let world = World::with_mlflow(None);
    world
        .fuseml(&["pipeline", "add", "mlflow-training", "--name", "training", "--input", "mlflow_code=code://*"])
        .good();
    let cases: [(&str, &[(&str, &str)]); 6] = [
        ("no-project", &[("train.py", TRAIN)]),
        ("broken-project", &[("MLproject", "name: x\nentry_points: [\n"), ("train.py", TRAIN)]),
        (
            "no-such-package",
            &[
                ("MLproject", PROJECT),
                ("conda.yaml", &CONDA.replace("pandas", "no-such-package-of-fuseml")),
                ("train.py", TRAIN),
            ],
        ),
        (
            "exits-1",
            &[
                ("MLproject", PROJECT),
                ("conda.yaml", CONDA),
                ("train.py", "import sys\nprint('no data here')\nsys.exit(1)\n"),
            ],
        ),
        ("no-model", &[("MLproject", PROJECT), ("conda.yaml", CONDA), ("train.py", TRAIN)]),
        (
            "wrong-parameter",
            &[("MLproject", &PROJECT.replace("{alpha}", "{beta}")), ("conda.yaml", CONDA), ("train.py", TRAIN)],
        ),
    ];
    for (name, files) in cases {
        let path = world.code(name, files);
        let answer = world.fuseml(&["push", &path, "--wait"]).bad(7);
        let said = answer.stderr();
        let expected: &[&str] = match name {
            "no-project" => &["MLproject", "failed"],
            "broken-project" => &["MLproject", "line"],
            "no-such-package" => &["no-such-package-of-fuseml", "fuseml run logs training/"],
            "exits-1" => &["no data here", "exited with code 1", "fuseml run logs training/"],
            "no-model" => &["logged no model"],
            _ => &["beta"],
        };
        for words in expected {
            assert!(said.contains(words), "{name} should say `{words}`:\n{said}");
        }
        assert!(!said.contains("panicked") && !said.contains("Backtrace"), "{said}");
    }
    assert!(world.json(&["artifact", "list", "--kind", "model"]).as_array().is_some_and(Vec::is_empty));
}

#[test]
fn code_that_never_ends_is_stopped_after_its_time_limit() {
    let world = World::with_mlflow(None);
    let extension = hurried_extension(&world);
    world.fuseml(&["extension", "upgrade", "mlflow", &extension]).good();
    world
        .fuseml(&["pipeline", "add", "mlflow-training", "--name", "training", "--input", "mlflow_code=code://*"])
        .good();
    let train = "import time\ntime.sleep(3600)\n";
    let path = world.code("hangs", &[("MLproject", PROJECT), ("conda.yaml", CONDA), ("train.py", train)]);

    let answer = world.fuseml(&["push", &path, "--wait"]).bad(7);

    assert!(answer.stderr().contains("stopped after its time limit of 20 s"), "{}", answer.stderr());
    assert!(world.json(&["artifact", "list", "--kind", "model"]).as_array().is_some_and(Vec::is_empty));
}

#[test]
fn an_mlflow_server_that_is_down_or_answers_garbage_is_named() {
    let world = World::with_mlflow(None);
    let down = format!("endpoint=http://127.0.0.1:{}", free_port());
    let answer = world.fuseml(&["extension", "configure", "mlflow", "--set", &down]).good();
    assert!(answer.stderr().contains("its tool does not answer"), "{}", answer.stderr());
    assert!(answer.stderr().contains(down.trim_start_matches("endpoint=")), "{}", answer.stderr());

    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let garbage = format!("endpoint=http://{}", listener.local_addr().expect("address"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = std::io::Write::write_all(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n<ha!>",
            );
        }
    });
    let answer = world.fuseml(&["extension", "configure", "mlflow", "--set", &garbage]).good();
    assert!(answer.stderr().contains("its tool does not answer"), "{}", answer.stderr());

    let mlflow = Mlflow::start();
    let right = format!("endpoint={}", mlflow.url);
    let answer = world.fuseml(&["extension", "configure", "mlflow", "--set", &right]).good();
    assert!(answer.stderr().contains("Its tool answers."), "{}", answer.stderr());
}

#[test]
fn a_port_or_a_data_folder_in_use_is_refused() {
    let world = World::new();
    let second = world.fuseml(&["server", "start", "--listen", "127.0.0.1:0"]).bad(5);
    insta::assert_snapshot!("second_server", world.steady(&second.stderr()));

    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let address = listener.local_addr().expect("address").to_string();
    let taken = world.fuseml(&["server", "start", "--listen", &address, "--data", "elsewhere"]).bad(6);
    assert!(taken.stderr().contains(&address) && taken.stderr().contains("--listen"), "{}", taken.stderr());
    assert!(!world.folder.path().join("elsewhere/catalog.db").exists());
}

/// The disk of the contents is full in mid-push: an error that says so, nothing half there, and room again for others.
#[test]
fn a_full_disk_refuses_a_push_and_takes_the_next_one_that_fits() {
    let mut world = World::without_server();
    world.start_on_a_small_disk(8);
    world.fuseml(&["project", "create", "ml"]).good();
    world.fuseml(&["project", "set", "ml"]).good();
    let folder = world.folder.path();
    let bytes =
        |count: u32| (0..count).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect::<Vec<_>>();
    std::fs::create_dir(folder.join("many")).expect("folder");
    for number in 0..300_u32 {
        let file: Vec<u8> = [number.to_le_bytes().to_vec(), bytes(100_000)].concat();
        std::fs::write(folder.join(format!("many/{number}")), file).expect("file");
    }
    std::fs::write(folder.join("large"), bytes(20_000_000)).expect("file");
    std::fs::write(folder.join("small"), bytes(1_000_000)).expect("file");

    for too_much in ["large", "many"] {
        let refused = world.fuseml(&["dataset", "push", too_much, "--name", "d"]).bad(6);
        assert!(refused.stderr().contains("no space is left on the disk"), "{too_much}: {}", refused.stderr());
        assert_eq!(world.json(&["artifact", "list"]), serde_json::json!([]), "{too_much}");
    }
    world.fuseml(&["store", "gc", "--older-than", "0s"]).good();
    world.fuseml(&["dataset", "push", "small", "--name", "d"]).good();
    world.fuseml(&["artifact", "verify", "data/d"]).good();
}
