//! The catalog's promises, on a real database file.

use fuseml_catalog::{Author, CHANNEL, Catalog, Listener, RunFilter};
use fuseml_database::{on_each_database, testing::Stand};
use fuseml_domain::{
    Address, Attributes, Cause, Concurrency, Descriptor, ErrorKind, Identity, Instance, Kind, Location, Name, Origin,
    Pipeline, Replica, Run, RunCommand, RunState, Signal, Starts, StepEvent, StepResult, StepState, Store, Template,
    Unstarted, Value,
    port::{ArtifactEvents as _, Build, Catalog as _, Change, InstanceState as _, Participation, Role, Started},
};
use indexmap::IndexMap;
use jiff::Timestamp;
use std::collections::BTreeMap;
use uuid::Uuid;

const TEMPLATE: &str = "
schema_version: 1
name: train
description: trains
inputs: {code: {kind: codeset}}
steps: {train: {run: {kind: trainer}, inputs: {code: '${inputs.code}'}}}
outputs: {model: {kind: model, from: '${steps.train.model}'}}
";

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

async fn open(stand: &Stand) -> Catalog {
    Catalog::open(&stand.place).await.expect("catalog")
}

async fn with_project(stand: &Stand) -> Catalog {
    let catalog = open(stand).await;
    catalog.create_project(&name("shop")).await.expect("project");
    catalog
}

fn artifact(kind: Kind, series: &str, id: &str) -> Descriptor {
    Descriptor {
        address: Address::of_version(kind, &name("shop"), &name(series), &name(id)),
        name: name(series),
        id: name(id),
        digest: None,
        created: Timestamp::now(),
        attributes: Attributes::new(),
        metrics: BTreeMap::new(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("git", "x"),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Push { reference: "main".into(), subject: "first".into() },
    }
}

fn pipeline(name_of: &str) -> Pipeline {
    let template = Template::parse(TEMPLATE, "train.yaml").expect("template");
    let inputs = [("code".to_owned(), "code://*".to_owned())].into();
    Pipeline::new(name("shop"), name(name_of), template, &inputs, BTreeMap::new(), Timestamp::now()).expect("pipeline")
}

fn run_of(pipeline: &Pipeline, root: &Descriptor) -> Run {
    let address = root.address.clone();
    let cause = Cause { reason: "pushed".into(), artifact: Some(address.clone()), root: Some(address), chain: vec![] };
    Run::new(pipeline, IndexMap::new(), cause, Timestamp::now()).expect("run")
}

async fn an_artifact_is_found_by_every_form_of_its_address(stand: Stand) {
    let catalog = with_project(&stand).await;
    let first = artifact(Kind::Codeset, "app", "aaaa1111");
    let second = artifact(Kind::Codeset, "app", "aaaa2222");
    let model = artifact(Kind::Model, "app", "bbbb3333");
    catalog.register(&[first.clone(), second.clone(), model.clone()]).await.expect("register");

    for (address, found) in [
        ("code://shop/app/aaaa1111", &first),
        ("code://shop/app/aaaa1", &first),
        ("code://shop/app", &second),
        ("code://shop/aaaa2", &second),
        ("model://shop/bbbb3333", &model),
        ("model://shop/bb", &model),
        ("model://shop/app", &model),
    ] {
        assert_eq!(&catalog.artifact(&address.parse().expect(address)).await.expect(address), found, "{address}");
    }
}

async fn an_address_of_nothing_or_of_several_says_so(stand: Stand) {
    let catalog = with_project(&stand).await;
    catalog
        .register(&[artifact(Kind::Codeset, "app", "aaaa1111"), artifact(Kind::Codeset, "app", "aaaa2222")])
        .await
        .expect("register");
    for (address, code) in [
        ("code://shop/app/aaaa", "ambiguous"),
        ("code://shop/app/ffff", "unknown-artifact"),
        ("code://shop/other", "unknown-artifact"),
        ("code://nowhere/app", "unknown-project"),
        ("code://shop/app@production", "unknown-tag"),
    ] {
        assert_eq!(
            catalog.artifact(&address.parse().expect(address)).await.expect_err(address).code,
            code,
            "{address}"
        );
    }
}

async fn registering_twice_makes_one_artifact_and_one_event(stand: Stand) {
    let catalog = with_project(&stand).await;
    let code = artifact(Kind::Codeset, "app", "aaaa1111");
    assert_eq!(catalog.register(std::slice::from_ref(&code)).await.expect("first"), 1);
    assert_eq!(catalog.register(std::slice::from_ref(&code)).await.expect("second"), 0);
    assert_eq!(catalog.pending_events(10).await.expect("events").len(), 1);
}

async fn a_settled_event_starts_nothing_again_even_after_reopening(stand: Stand) {
    let catalog = with_project(&stand).await;
    let code = artifact(Kind::Codeset, "app", "aaaa1111");
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    catalog.register(std::slice::from_ref(&code)).await.expect("register");
    let event = catalog.pending_events(10).await.expect("events").remove(0);

    let frozen = Unstarted { pipeline: name("other"), reason: "it is frozen".to_owned() };
    let runs = vec![run_of(&pipeline, &code)];
    let started = catalog.settle(&event, runs, vec![frozen.clone()]).await.expect("settle").runs;
    assert_eq!(started[0].label(), "training/1");
    catalog.close().await;

    let catalog = open(&stand).await;
    let again = catalog.settle(&event, vec![run_of(&pipeline, &code)], Vec::new()).await.expect("settle again");
    assert_eq!(again, Started::default());
    assert_eq!(catalog.unstarted(&code.address, &code.id).await.expect("unstarted"), [frozen]);
    assert_eq!(catalog.open_runs().await.expect("runs"), started);
    let following = catalog.following(&code.address, &code.id).await.expect("following");
    assert!(following.is_quiet() && !following.is_settled(), "its run goes on");
    let before = catalog.run(started[0].id).await.expect("run");
    let staged = StepEvent::Staged { workload: "w".to_owned(), runnable: None, note: None, reuse: None };
    let step = &before.steps[0];
    let after = before.after(&step.name, step.version, [(staged, Timestamp::now())]).expect("next");
    catalog.save(&[&Change::of(&before, after)]).await.expect("save");
    assert_ne!(catalog.following(&code.address, &code.id).await.expect("following"), following, "it moved");
}

async fn changes_of_labels_and_tags_are_one_event_until_it_is_worked_through_as_the_artifact_is_then(stand: Stand) {
    let catalog = with_project(&stand).await;
    let (model, pipeline) = (artifact(Kind::Model, "app", "bbbb3333"), pipeline("training"));
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    catalog.register(std::slice::from_ref(&model)).await.expect("register");
    let ada = Author { by: "ada".to_owned(), reason: None };
    let label = |value: &str| [("stage".to_owned(), Some(value.to_owned()))];
    let pending = async || catalog.pending_events(10).await.expect("events");

    // What comes with the registration is seen by whoever works through that.
    catalog.tag(&model.address, &name("candidate"), &ada).await.expect("tag");
    let [registered] = pending().await.try_into().expect("one event");
    assert_eq!((registered.before.clone(), registered.touched), (None, 1));
    assert_eq!(registered.artifact.tags, ["candidate"]);
    catalog.settle(&registered, Vec::new(), Vec::new()).await.expect("settle");

    catalog.label(&model.address, &label("approved"), &ada).await.expect("label");
    let [early] = pending().await.try_into().expect("one event");
    catalog.tag(&model.address, &name("production"), &ada).await.expect("tag");
    let runs = || vec![run_of(&pipeline, &model)];
    let nothing = catalog.settle(&early, runs(), Vec::new()).await.expect("settle");
    assert_eq!(nothing, Started::default(), "it was chosen by what the artifact is no more");
    let [late] = pending().await.try_into().expect("the same event");
    let before = late.before.clone().expect("what was before");
    assert_eq!((before.tags.as_slice(), before.labels.len(), late.touched), (&["candidate".to_owned()][..], 0, 1));
    assert_eq!(before.told(&late.artifact), "was tagged production and labelled stage=approved by ada");
    let refused = Unstarted { pipeline: name("other"), reason: "first".to_owned() };
    assert_eq!(catalog.settle(&late, runs(), vec![refused]).await.expect("settle").runs.len(), 1);
    assert!(pending().await.is_empty());

    // The same again is no change; who follows registrations hears of none.
    catalog.label(&model.address, &label("approved"), &ada).await.expect("label");
    catalog.tag(&model.address, &name("production"), &ada).await.expect("tag");
    assert!(pending().await.is_empty());
    catalog.untag(&model.address, &name("production"), &ada).await.expect("untag");
    let [event] = pending().await.try_into().expect("one event");
    let last = Unstarted { pipeline: name("other"), reason: "last".to_owned() };
    catalog.settle(&event, Vec::new(), vec![last.clone()]).await.expect("settle");
    assert_eq!(catalog.unstarted(&model.address, &model.id).await.expect("unstarted"), [last]);
    let followed = catalog.since(None, 0, 10).await.expect("followed");
    assert_eq!(followed.len(), 1, "{followed:?}");
}

async fn a_transition_brings_everything_or_nothing(stand: Stand) {
    let catalog = with_project(&stand).await;
    let code = artifact(Kind::Codeset, "app", "aaaa1111");
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    catalog.register(std::slice::from_ref(&code)).await.expect("register");
    let event = catalog.pending_events(10).await.expect("events").remove(0);
    let mut run =
        catalog.settle(&event, vec![run_of(&pipeline, &code)], Vec::new()).await.expect("settle").runs.remove(0);

    let model = artifact(Kind::Model, "app", "bbbb3333");
    let outputs = [("model".to_owned(), Value::Artifact(model.address.clone()))].into();
    let before = run.clone();
    run.apply(&name("train"), 0, StepEvent::Succeeded { outputs, note: None }, Timestamp::now()).expect("apply");
    let part = |slot: &str, role, artifact: &Descriptor| Participation {
        step: name("train"),
        slot: slot.into(),
        role,
        artifact: artifact.address.clone(),
    };
    let digest = fuseml_domain::Digest::of(b"environment");
    let change = Change {
        artifacts: vec![model.clone()],
        lineage: vec![part("code", Role::Used, &code), part("model", Role::Made, &model)],
        build: Some(Build {
            codeset: code.address.clone(),
            environment_digest: digest,
            image: None,
            runnables: vec![],
        }),
        ..Change::of(&before, run.clone())
    };
    catalog.save(&[&change]).await.expect("save");

    let stale = catalog.save(&[&change]).await.expect_err("the same transition twice");
    assert_eq!((stale.kind, stale.code.as_str()), (ErrorKind::Conflict, "stale-run"));
    assert_eq!(catalog.run(run.id).await.expect("run"), run, "all of it, its template and its steps");
    assert_eq!(run.state, RunState::Succeeded);
    assert_eq!(catalog.artifact(&model.address).await.expect("model"), model);
    assert_eq!(catalog.pending_events(10).await.expect("events")[0].run, Some(run.id));
    assert!(catalog.last_build(&name("shop"), &name("app")).await.expect("build").is_some());
    let lineage = catalog.lineage(&model.address, None).await.expect("lineage");
    let edges: Vec<_> =
        lineage.edges.iter().map(|edge| (edge.distance, edge.role.as_str(), edge.artifact.as_str())).collect();
    assert_eq!(edges, [(-1, "used", "code://shop/app/aaaa1111"), (-1, "made", "model://shop/bbbb3333")]);
}

async fn transitions_that_follow_each_other_are_saved_together_or_not_at_all(stand: Stand) {
    let catalog = with_project(&stand).await;
    let (code, model) = (artifact(Kind::Codeset, "app", "aaaa1111"), artifact(Kind::Model, "app", "bbbb3333"));
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let run = catalog.start(run_of(&pipeline, &code)).await.expect("start").runs.remove(0);
    let staged = StepEvent::Staged { workload: "w".into(), runnable: None, note: None, reuse: None };
    let after = |run: &Run, event| run.after(&name("train"), 0, [(event, Timestamp::now())]).expect("transition");
    let first = after(&run, staged);
    let second = after(&first, StepEvent::Submitted);
    let third = after(&second, StepEvent::Failed { message: "no".into(), may_pass: false });
    let changes = [
        Change::of(&run, first.clone()),
        Change { artifacts: vec![model.clone()], ..Change::of(&first, second.clone()) },
        Change::of(&second, third.clone()),
    ];

    catalog.save(&changes.each_ref()).await.expect("save");

    assert_eq!(catalog.run(run.id).await.expect("run"), third);
    assert_eq!(catalog.artifact(&model.address).await.expect("model"), model);
    let transitions = catalog.transitions_after(0, 10).await.expect("transitions");
    let states: Vec<_> = transitions.iter().map(|it| (&*it.after["train"], it.before.get("train"))).collect();
    let told = |states: &[(&str, Option<&String>)]| {
        states.iter().map(|(after, before)| format!("{} > {after}", before.map_or("", |it| it))).collect::<Vec<_>>()
    };
    assert_eq!(told(&states), [" > ready", "ready > staging", "staging > running", "running > failed"]);
    let other = artifact(Kind::Model, "app", "cccc4444");
    let late = Change { artifacts: vec![other.clone()], ..Change::of(&first, second) };
    assert_eq!(catalog.save(&[&late, &changes[2]]).await.expect_err("it was changed").code, "stale-run");
    assert_eq!(catalog.artifact(&other.address).await.expect_err("nothing of it").kind, ErrorKind::NotFound);
    assert_eq!(catalog.transitions_after(0, 10).await.expect("transitions"), transitions);
}

async fn a_request_to_cancel_is_kept_and_an_ended_run_ignores_it(stand: Stand) {
    let catalog = with_project(&stand).await;
    let code = artifact(Kind::Codeset, "app", "aaaa1111");
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let run = catalog.start(run_of(&pipeline, &code)).await.expect("start").runs.remove(0);

    let cancel = async || catalog.command(run.id, RunCommand::Cancel, "ada", None).await;
    assert!(cancel().await.expect("cancel").cancel_requested);
    let stored = catalog.run(run.id).await.expect("run");
    assert_eq!((stored.cancel_requested, stored.revision), (true, 1));

    let mut run = stored.clone();
    run.apply(&name("train"), 0, StepEvent::Cancelled, Timestamp::now()).expect("apply");
    assert_eq!(run.steps[0].state, StepState::Cancelled);
    catalog.save(&[&Change::of(&stored, run.clone())]).await.expect("save");
    assert_eq!(cancel().await.expect_err("ended").kind, ErrorKind::Conflict);
    assert_eq!(catalog.run(run.id).await.expect("run").revision, run.revision);
}

async fn a_paused_run_is_open_and_what_a_job_made_is_found_by_what_decided_it(stand: Stand) {
    let catalog = with_project(&stand).await;
    let (code, shop) = (artifact(Kind::Codeset, "app", "aaaa1111"), name("shop"));
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let run = catalog.start(run_of(&pipeline, &code)).await.expect("start").runs.remove(0);
    let mut run = catalog.command(run.id, RunCommand::Pause, "ada", Some("lunch".into())).await.expect("pause");
    assert_eq!(catalog.open_runs().await.expect("open"), [run.clone()]);
    assert_eq!(catalog.command(run.id, RunCommand::Pause, "ada", None).await.expect_err("again").code, "command");

    let result = |alpha: &str, run: &str| StepResult {
        pipeline: name("training"),
        run: run.to_owned(),
        step: name("train"),
        identity: Identity {
            runnable: "runnable://shop/trainer/1".parse().expect("address"),
            environment: None,
            inputs: BTreeMap::new(),
            parameters: [("alpha".to_owned(), alpha.to_owned())].into(),
            variables: fuseml_domain::Digest::of(b"none"),
        },
        outputs: BTreeMap::new(),
        seconds: 1.5,
    };
    for (alpha, label) in [("1", "training/1"), ("2", "training/2"), ("1", "training/3")] {
        run.revision += 1;
        let change = Change { result: Some(result(alpha, label)), ..Change::of(&run, run.clone()) };
        catalog.save(&[&change]).await.expect("save");
    }
    let found = async |alpha: &str| {
        let identity = result(alpha, "").identity.digest();
        catalog.result(&shop, &identity).await.expect("result").map(|result| result.run)
    };
    assert_eq!(found("1").await.as_deref(), Some("training/3"), "the last one counts");
    assert_eq!((found("2").await.as_deref(), found("3").await), (Some("training/2"), None));
    let all = catalog.results(&shop, &name("training"), &name("train"), 10).await.expect("results");
    let runs: std::collections::BTreeSet<_> = all.iter().map(|result| result.run.as_str()).collect();
    assert_eq!(runs, ["training/2", "training/3"].into());
    assert_eq!(catalog.results(&shop, &name("training"), &name("train"), 1).await.expect("results").len(), 1);
}

async fn runs_of_one_pipeline_wait_for_replace_or_spare_each_other(stand: Stand) {
    let catalog = with_project(&stand).await;
    let code = artifact(Kind::Codeset, "app", "aaaa1111");
    let schedule = Some("0 3 * * * Europe/Berlin".parse().expect("schedule"));
    let starts = Starts { schedule, ..Starts::default() };
    let pipeline = pipeline("training").starting(starts).expect("pipeline");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let run = |concurrency| Run { concurrency, ..run_of(&pipeline, &code) };
    let states = async || {
        let open = catalog.open_runs().await.expect("open");
        open.iter().map(|run| (run.number, run.state, run.cancel_requested)).collect::<Vec<_>>()
    };

    catalog.start(run(Concurrency::Queue)).await.expect("first");
    catalog.start(run(Concurrency::Queue)).await.expect("second");
    assert_eq!(states().await, [(1, RunState::Running, false), (2, RunState::Queued, false)]);
    assert_eq!(catalog.begin_next(&name("shop"), &name("training")).await.expect("next"), None, "the first still runs");
    let spared = catalog.start(run(Concurrency::Skip)).await.expect_err("it runs");
    assert_eq!((spared.kind, spared.code.as_str()), (ErrorKind::Conflict, "not-now"));
    let started = catalog.start(run(Concurrency::Replace)).await.expect("third");
    assert_eq!((started.runs[0].number, started.replaced.len()), (3, 2));
    let expected = [(1, RunState::Running, true), (2, RunState::Queued, true), (3, RunState::Running, false)];
    assert_eq!(states().await, expected);

    // A time of a schedule starts one run, whoever looks at the clock.
    let (scheduled, upto) = catalog.scheduled().await.expect("scheduled").remove(0);
    assert_eq!((scheduled, upto.as_millisecond()), (pipeline.clone(), pipeline.created.as_millisecond()));
    let due = pipeline.created + jiff::SignedDuration::from_hours(3);
    let start = async || catalog.start_scheduled(run(Concurrency::Parallel), due).await.expect("start").runs.len();
    assert_eq!((start().await, start().await), (1, 0));
    let later = due + jiff::SignedDuration::from_hours(24);
    catalog.pass_schedule(&name("shop"), &name("training"), later).await.expect("passed");
    assert_eq!(catalog.scheduled().await.expect("scheduled")[0].1.as_millisecond(), later.as_millisecond());
}

async fn runs_are_listed_newest_first_and_by_what_began_them(stand: Stand) {
    let catalog = with_project(&stand).await;
    let pipeline = pipeline("training");
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let [old, new] = ["aaaa1111", "aaaa2222"].map(|id| artifact(Kind::Codeset, "app", id));
    for code in [&old, &new] {
        catalog.start(run_of(&pipeline, code)).await.expect("start").runs.remove(0);
    }
    let labels = async |filter| {
        let runs = catalog.list_runs(&name("shop"), &filter).await.expect("runs");
        runs.iter().map(Run::label).collect::<Vec<_>>()
    };
    let all = RunFilter { limit: 10, ..RunFilter::default() };
    assert_eq!(labels(all.clone()).await, ["training/2", "training/1"]);
    assert_eq!(labels(RunFilter { root: Some(old.address.clone()), ..all.clone() }).await, ["training/1"]);
    assert_eq!(labels(RunFilter { limit: 1, ..all }).await, ["training/2"]);
}

async fn a_pipeline_name_is_taken_once_and_unknown_things_are_named(stand: Stand) {
    let catalog = with_project(&stand).await;
    catalog.add_pipeline(&pipeline("training")).await.expect("pipeline");
    assert_eq!(catalog.add_pipeline(&pipeline("training")).await.expect_err("taken").code, "pipeline-exists");
    assert_eq!(catalog.create_project(&name("shop")).await.expect_err("taken").code, "project-exists");
    assert_eq!(catalog.pipeline(&name("shop"), &name("other")).await.expect_err("unknown").code, "unknown-pipeline");
    assert_eq!(catalog.template("other").await.expect_err("unknown").code, "unknown-template");
    assert_eq!(catalog.instance(&name("other")).await.expect_err("unknown").code, "unknown-instance");
}

async fn an_instances_state_is_its_own(stand: Stand) {
    let catalog = with_project(&stand).await;
    let [mine, other] = [name("mine"), name("other")];
    for instance in [&mine, &other] {
        let manifest = fuseml_domain::Manifest::parse(&format!(
            "schema_version = 1\nname = \"{instance}\"\nversion = \"0.1.0\"\ntitle = \"T\"\ndescription = \"d\"\nlicense = \"MIT\""
        ));
        let version = fuseml_catalog::InstalledVersion {
            manifest: manifest.expect("manifest"),
            components: BTreeMap::new(),
            templates: Vec::new(),
            installed: Timestamp::now(),
            origin: None,
            revoked: None,
        };
        let configured = Instance {
            name: instance.clone(),
            extension: instance.clone(),
            settings: Attributes::new(),
            grants: Default::default(),
            scope: Default::default(),
            zone: None,
            budget: Default::default(),
            record: false,
            enabled: true,
        };
        catalog.install_extension(&version, &configured).await.expect("install");
    }
    assert!(catalog.compare_and_set(&mine, "cursor", None, b"1").await.expect("set"));
    assert!(!catalog.compare_and_set(&mine, "cursor", None, b"2").await.expect("set"));
    assert!(catalog.compare_and_set(&mine, "cursor", Some(b"1"), b"2").await.expect("set"));
    catalog.set(&mine, "cursor-b", Some(b"x")).await.expect("set");
    catalog.set(&mine, "other", Some(b"y")).await.expect("set");

    assert_eq!(catalog.get(&mine, "cursor").await.expect("get").as_deref(), Some(b"2".as_slice()));
    assert_eq!(catalog.get(&other, "cursor").await.expect("get"), None);
    assert_eq!(catalog.list_keys(&mine, "cursor", None, 10).await.expect("keys"), ["cursor", "cursor-b"]);
    assert_eq!(catalog.list_keys(&mine, "", Some("cursor-b"), 10).await.expect("keys"), ["other"]);
    catalog.set(&mine, "cursor", None).await.expect("delete");
    assert_eq!(catalog.get(&mine, "cursor").await.expect("get"), None);
}

async fn the_end_of_one_push_leaves_the_note_of_another(stand: Stand) {
    let catalog = with_project(&stand).await;
    let first = catalog.begin_push(&name("shop"), &name("app")).await.expect("begin");
    let second = catalog.begin_push(&name("shop"), &name("app")).await.expect("begin");
    catalog.end_push(first).await.expect("end");
    let pending = catalog.pending_pushes().await.expect("pending");
    assert_eq!(pending, [(second, name("shop"), name("app"))]);
}

fn server(url: &str) -> Replica {
    Replica { id: Uuid::now_v7(), url: url.to_owned(), machine: "m".to_owned(), pid: 1 }
}

async fn a_run_is_its_servers_until_that_is_gone_and_then_whoevers_takes_it_first(stand: Stand) {
    let (ada, ben) = (server("http://ada"), server("http://ben"));
    let catalog = with_project(&stand).await;
    let [adas, bens] = [&ada, &ben].map(|it| catalog.clone().held_by(it.id));
    for replica in [&ada, &ben] {
        catalog.renew_lease(replica).await.expect("lease");
    }
    let (code, pipeline) = (artifact(Kind::Codeset, "app", "aaaa1111"), pipeline("training"));
    catalog.add_pipeline(&pipeline).await.expect("pipeline");
    let mut runs = Vec::new();
    for _ in 0..3 {
        runs.extend(adas.start(run_of(&pipeline, &code)).await.expect("start").runs);
    }
    let run = runs[0].clone();
    let begun = |run: &Run| {
        let mut next = run.clone();
        next.apply(&name("train"), 0, StepEvent::Skipped { reason: "no".into() }, Timestamp::now()).expect("apply");
        Change::of(run, next)
    };

    // The other may tell it something, and may not drive it.
    assert!(bens.take_over_runs(|all| all).await.expect("look").is_empty());
    assert!(!bens.claim_run(run.id).await.expect("claim"));
    assert_eq!(bens.save(&[&begun(&run)]).await.expect_err("not held").code, "lease-lost");
    let run = bens.command(run.id, RunCommand::Pause, "ben", None).await.expect("told");
    assert_eq!(adas.held_runs().await.expect("held")[0], (run.id, run.revision));
    assert_eq!(catalog.runs_by_server().await.expect("runs"), [(ada.id.to_string(), 3)]);

    catalog.end_lease(ada.id).await.expect("end");

    // Its share, then the rest.
    let taken = bens.take_over_runs(|all| all.div_ceil(2)).await.expect("taken");
    assert_eq!(taken.iter().map(|run| run.number).collect::<Vec<_>>(), [1, 2]);
    assert!(bens.claim_run(runs[2].id).await.expect("claim"));
    assert_eq!(adas.save(&[&begun(&run)]).await.expect_err("lost").code, "lease-lost");
    assert!(adas.held_runs().await.expect("held").is_empty());
    let stored = bens.run(runs[1].id).await.expect("run");
    bens.save(&[&begun(&stored)]).await.expect("it is ben's");
    let all = catalog.replicas().await.expect("servers");
    assert_eq!(all, [(ben, false)]);
}

async fn what_was_pushed_to_a_living_server_is_its_own_to_finish(stand: Stand) {
    let ada = server("http://ada");
    let catalog = with_project(&stand).await;
    catalog.renew_lease(&ada).await.expect("lease");
    let push = catalog.clone().held_by(ada.id).begin_push(&name("shop"), &name("app")).await.expect("begin");
    assert!(catalog.pending_pushes().await.expect("pending").is_empty());
    catalog.end_lease(ada.id).await.expect("end");
    assert_eq!(catalog.pending_pushes().await.expect("pending"), [(push, name("shop"), name("app"))]);
}

#[tokio::test]
async fn what_one_server_tells_the_others_hear_and_itself_does_not() {
    let stand = Stand::postgres().await;
    let catalog = with_project(&stand).await;
    let [ada, ben] = [server("http://ada"), server("http://ben")].map(|it| catalog.clone().held_by(it.id));
    let mut listener = Listener::on(&stand.place, CHANNEL).await.expect("listener").expect("PostgreSQL tells");

    ada.tell(&Signal::Arrived(name("shop"))).await.expect("told");

    let heard = listener.next().await.expect("heard").expect("text");
    assert_eq!(ben.signal_of(&heard), Some(Signal::Arrived(name("shop"))));
    assert_eq!(ada.signal_of(&heard), None);
    assert_eq!(ben.signal_of("[\"x\", {\"later\": 1}]"), Some(Signal::Missed));
}

on_each_database! {
    a_run_is_its_servers_until_that_is_gone_and_then_whoevers_takes_it_first,
    what_was_pushed_to_a_living_server_is_its_own_to_finish,
    an_artifact_is_found_by_every_form_of_its_address,
    an_address_of_nothing_or_of_several_says_so,
    registering_twice_makes_one_artifact_and_one_event,
    a_settled_event_starts_nothing_again_even_after_reopening,
    changes_of_labels_and_tags_are_one_event_until_it_is_worked_through_as_the_artifact_is_then,
    a_transition_brings_everything_or_nothing,
    transitions_that_follow_each_other_are_saved_together_or_not_at_all,
    a_request_to_cancel_is_kept_and_an_ended_run_ignores_it,
    runs_are_listed_newest_first_and_by_what_began_them,
    a_pipeline_name_is_taken_once_and_unknown_things_are_named,
    an_instances_state_is_its_own,
    the_end_of_one_push_leaves_the_note_of_another,
    runs_of_one_pipeline_wait_for_replace_or_spare_each_other,
    a_paused_run_is_open_and_what_a_job_made_is_found_by_what_decided_it,
}
