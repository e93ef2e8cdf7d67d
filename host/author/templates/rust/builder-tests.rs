use super::*;
use fuseml_extension::fake::Fake;

fn plan(previous: Option<Previous>) -> Result<BuildPlan> {
    let codeset = Codeset { address: "codeset://p/c".to_owned(), name: "c".to_owned(), changed_files: Vec::new() };
    JobBuilder.plan(codeset, previous)
}

#[test]
fn only_a_codeset_with_a_job_is_its_own() {
    let fake = Fake::install();
    assert_eq!(JobBuilder.detect().expect("no").confidence, 0);
    assert_eq!(plan(None).expect_err("nothing to plan").code, "no-job");
    fake.file("job.py", "print(1)");
    assert_eq!(JobBuilder.detect().expect("yes").confidence, 100);
}

#[test]
fn requirements_decide_the_environment() {
    let fake = Fake::install();
    fake.file("job.py", "print(1)");
    fake.file("requirements.txt", "# tools\nscikit-learn>=1.5\n");
    let first = plan(None).expect("plan");
    assert!(first.rebuild);
    let environment = &first.environments[0];
    assert_eq!(environment.requirements, ["scikit-learn>=1.5"]);

    let previous = || Some(Previous { environment_digest: environment.digest.clone(), runnables: Vec::new() });
    assert!(!plan(previous()).expect("same").rebuild);
    fake.file("requirements.txt", "scikit-learn>=1.6\n");
    assert!(plan(previous()).expect("changed").rebuild);
}
