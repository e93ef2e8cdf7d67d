use super::*;
use fuseml_extension::fake::Fake;

const TRAINER: &str = r#"[{"name": "trainer", "kind": "trainer", "command": ["sh", "/train.sh"],
    "outputs": {"model": {"kind": "model", "path": "model"}},
    "parameters": {"learning-rate": {"type": "number", "default": "0.5"}}}]"#;

fn plan(previous: Option<Previous>, changed: &[&str]) -> Result<BuildPlan> {
    let changed_files = changed.iter().map(|path| (*path).to_owned()).collect();
    let codeset = Codeset { address: "code://p/c/1".to_owned(), name: "c".to_owned(), changed_files };
    DockerfileBuilder.plan(codeset, previous)
}

#[test]
fn only_code_with_a_dockerfile_and_runnables_is_its_own() {
    let fake = Fake::install();
    assert_eq!(DockerfileBuilder.detect().expect("no").confidence, 0);
    fake.file(DOCKERFILE, "FROM scratch\n");
    assert!(DockerfileBuilder.detect().expect("no").reason.contains("no runnables.json"));
    fake.file(RUNNABLES, TRAINER);
    assert_eq!(DockerfileBuilder.detect().expect("yes").confidence, 100);
}

#[test]
fn every_file_but_the_descriptions_decides_the_image() {
    let fake = Fake::install();
    fake.file(DOCKERFILE, "FROM scratch\nCOPY . /\n");
    fake.file(RUNNABLES, TRAINER);
    let first = plan(None, &[]).expect("plan");
    assert_eq!((first.rebuild, first.reason.as_str()), (true, "the image is new"));
    let environment = &first.environments[0];
    assert!(environment.python.is_none() && environment.requirements.is_empty());
    let trainer = &first.runnables[0];
    assert_eq!(trainer.parameters[0].target, "LEARNING_RATE");

    let previous = || Some(Previous { environment_digest: environment.digest.clone(), runnables: Vec::new() });
    fake.file(RUNNABLES, TRAINER.replace("0.5", "0.7"));
    let described = plan(previous(), &[RUNNABLES]).expect("plan");
    assert_eq!((described.rebuild, described.reason.as_str()), (false, "no file of the image changed"));
    fake.file("train.sh", "echo\n");
    assert_eq!(plan(previous(), &["train.sh", "README.md"]).expect("plan").reason, "train.sh and 1 more changed");
}

#[test]
fn descriptions_that_are_none_are_refused() {
    let fake = Fake::install();
    fake.file(DOCKERFILE, "FROM scratch\n");
    for (text, why) in [("[]", "names no runnable"), ("{}", "runnables.json: "), (r#"[{"name": "x"}]"#, "missing field")] {
        fake.file(RUNNABLES, text);
        let error = plan(None, &[]).expect_err(why);
        assert!(error.message.contains(why), "{error:?}");
    }
}
