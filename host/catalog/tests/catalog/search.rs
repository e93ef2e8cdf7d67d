//! What a condition finds in the database is what it says of each artifact, on both databases.

use fuseml_catalog::{ArtifactSearch, Author, Catalog, DatabasePlace};
use fuseml_database::{on_each_database, testing::Stand};
use fuseml_domain::{
    Address, Attributes, Changed, Condition, Descriptor, Kind, Location, Name, NothingBeside, Origin, Runnable,
    Selector, Store, port::Catalog as _,
};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

fn artifact(project: &str, kind: Kind, series: &str, number: usize) -> Descriptor {
    let id = name(&format!("{number:08x}"));
    let address = Address::of_version(kind, &name(project), &name(series), &id);
    let begun: Timestamp = "2026-01-01T00:00:00Z".parse().expect("time");
    Descriptor {
        address,
        name: name(series),
        id,
        digest: None,
        created: begun + SignedDuration::from_mins(number as i64),
        attributes: Attributes::new(),
        metrics: BTreeMap::new(),
        labels: Attributes::new(),
        tags: Vec::new(),
        location: Location::new("contents", "x"),
        store: Store::BuiltIn,
        runnable: None,
        origin: Origin::Registered { by: "ada".to_owned() },
    }
}

/// What takes models of a framework, or code and a dataset.
fn runnable(project: &str, number: usize) -> Descriptor {
    let text = match number % 2 {
        0 => {
            "{schema_version: 1, name: score, kind: predictor, command: [a], inputs: {model: {kind: model, requires: {framework: sklearn}}}}"
        }
        _ => {
            "{schema_version: 1, name: train, kind: trainer, command: [a], inputs: {code: {kind: codeset}, data: {kind: dataset}}, outputs: {model: {kind: model}}}"
        }
    };
    let runnable = Runnable::parse(text, "test", &NothingBeside).expect("runnable");
    let mut artifact = artifact(project, Kind::Runnable, &runnable.name.clone(), number);
    artifact.runnable = Some(Box::new(runnable));
    artifact
}

/// Artifacts of two projects with everything that can be asked for.
fn zoo(count: usize) -> Vec<Descriptor> {
    let frameworks = ["sklearn", "tensorflow", "torch", "Sk\u{e9}learn", "it's", ""];
    let made = |number: usize| {
        let project = if number.is_multiple_of(3) { "bank" } else { "shop" };
        if number % 21 == 20 {
            return runnable(project, number);
        }
        let kind = if number.is_multiple_of(4) { Kind::Dataset } else { Kind::Model };
        let mut artifact = artifact(project, kind, ["wine", "fraud", "churn"][number % 3], number);
        if !number.is_multiple_of(5) {
            let framework = frameworks[number % frameworks.len()].to_owned();
            artifact.attributes.insert("framework".to_owned(), framework);
            artifact.attributes.insert("epochs".to_owned(), (number % 50).to_string());
            artifact.metrics.insert("accuracy".to_owned(), (number % 101) as f64 / 100.0);
        }
        if number.is_multiple_of(7) {
            artifact.attributes.insert("long".to_owned(), format!("{}{}", "x".repeat(300), number % 2));
            artifact.labels.insert("team".to_owned(), ["a", "b"][number % 2].to_owned());
        }
        if number.is_multiple_of(11) {
            artifact.origin = Origin::Run { run: format!("train/{number}"), step: name("train"), project: None };
        }
        artifact
    };
    (0..count).map(made).collect()
}

async fn filled(stand: &Stand, artifacts: &[Descriptor]) -> Catalog {
    let catalog = Catalog::open(&stand.place).await.expect("catalog");
    for project in ["shop", "bank"] {
        catalog.create_project(&name(project)).await.expect("project");
    }
    for some in artifacts.chunks(1_000) {
        catalog.register(some).await.expect("registered");
    }
    catalog
}

/// Everything that is found, page after page.
async fn all(catalog: &Catalog, project: Option<&str>, condition: &str, limit: u32) -> Vec<String> {
    let condition = (!condition.is_empty()).then(|| condition.parse::<Condition>().expect(condition));
    let mut search = ArtifactSearch { project: project.map(name), condition, limit, ..ArtifactSearch::default() };
    let mut found = Vec::new();
    loop {
        let page = catalog.search(&search).await.expect("page");
        assert!(page.artifacts.len() <= limit as usize);
        found.extend(page.artifacts.iter().map(|artifact| artifact.address.to_string()));
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            return found;
        }
    }
}

async fn a_condition_finds_in_the_database_what_it_says(stand: Stand) {
    let mut artifacts = zoo(600);
    let catalog = filled(&stand, &artifacts).await;
    let author = Author { by: "ada".to_owned(), reason: None };
    for (at, tag) in [(3, "production"), (10, "production"), (11, "staging")] {
        let tagged = catalog.tag(&artifacts[at].address, &name(tag), &author).await.expect("tag");
        artifacts[at] = tagged;
    }
    for condition in [
        "",
        "kind = model",
        "kind = dataset or kind = model",
        "project = bank",
        "project != bank and name in (wine, fraud)",
        "name ~ IN",
        "version = 000000",
        "version != 0000001",
        "version in (00000010, 00000020)",
        "framework = sklearn",
        "framework = 'it\\'s'",
        "framework = ''",
        "framework != sklearn",
        "framework ~ SK",
        "framework in (sklearn, torch) and accuracy > 0.5",
        "not framework = sklearn",
        "not (framework = sklearn or framework ~ torch)",
        "not framework ~ sk",
        "has framework",
        "not has framework",
        "has missing",
        "accuracy > 0.9",
        "accuracy >= 0.5 and accuracy < 0.52",
        "metric.accuracy = 0.5",
        "metric.accuracy != 0.5",
        "metric.accuracy in (0.1, 0.2)",
        "not accuracy > 0.1",
        "attribute.epochs > 45",
        "attribute.epochs = 7",
        "label.team = a",
        "label.team != a",
        "has label.team and kind = model",
        "tag = production",
        "tag != production and tag != staging",
        "has tag",
        "not has tag and label.team = b",
        "tag in (production, staging)",
        "origin = run",
        "not origin = run",
        "created > 2026-01-01T05:00:00Z",
        "created <= 2026-01-01T00:30:00Z",
        "not created > 2026-01-01T00:30:00Z",
        "input = model",
        "input != model",
        "input in (codeset, model) and project = shop",
        "not has output",
        "output = model and runnable-kind = trainer",
        "text ~ team",
        "text ~ tensor",
        "not text ~ tensor",
        "text ~ 'K\u{c9}LEARN'",
        "text ~ production or framework ~ 'xtensorflow'",
        "tag ~ ODUCT and kind = dataset",
        "attribute.long ~ xxxxxxxxxxxxxxx1",
    ] {
        let parsed = (!condition.is_empty()).then(|| condition.parse::<Condition>().expect(condition));
        for (project, limit) in [(None, 1_000), (None, 7), (Some("shop"), 50)] {
            let fits = |artifact: &&Descriptor| {
                project.is_none_or(|project| **artifact.project() == *project)
                    && parsed.as_ref().is_none_or(|condition| condition.matches(artifact))
            };
            let mut expected: Vec<_> = artifacts.iter().filter(fits).map(|it| it.address.to_string()).collect();
            expected.reverse();
            assert_eq!(all(&catalog, project, condition, limit).await, expected, "{condition} in {project:?}");
        }
    }
    for selector in [
        "model://*",
        "model://* where accuracy > 0.9",
        "model://shop/wine where framework = torch and not has tag",
        "model://*@production where accuracy < 0.2",
        "data://*/fraud where label.team = b",
        "data://* where label.team = nobody",
    ] {
        let selector: Selector = selector.parse().expect(selector);
        let expected = artifacts.iter().rev().find(|it| **it.project() == *"shop" && selector.matches(it));
        let newest = catalog.newest(&name("shop"), &selector).await.expect("newest");
        assert_eq!(newest.as_ref(), expected, "{selector}");
    }
    // What a runnable takes is more than the kind of its input.
    let model = artifacts
        .iter()
        .find(|it| it.kind() == Kind::Model && it.attributes.get("framework").is_some_and(|it| it == "sklearn"));
    let search = ArtifactSearch { taking: model.cloned().map(Box::new), limit: 1_000, ..ArtifactSearch::default() };
    let taking = catalog.search(&search).await.expect("page").artifacts;
    let expected = artifacts
        .iter()
        .rev()
        .filter(|it| it.runnable.as_ref().is_some_and(|one| one.takes(model.expect("one")).is_some()));
    assert!(!taking.is_empty());
    assert_eq!(taking, expected.cloned().collect::<Vec<_>>());
    // Texts that are longer than what an index keeps.
    for (condition, count) in [
        (format!("attribute.long = {}0", "x".repeat(300)), 43),
        (format!("attribute.long = {}", "x".repeat(300)), 0),
        (format!("not attribute.long = {}0", "x".repeat(300)), 557),
    ] {
        assert_eq!(all(&catalog, None, &condition, 1_000).await.len(), count);
    }
}

async fn what_is_rare_is_found_among_many_and_pages_hold_together_while_more_comes(stand: Stand) {
    let mut artifacts = zoo(12_000);
    artifacts[17].attributes.insert("framework".to_owned(), "rare".to_owned());
    artifacts[18].metrics.insert("loss".to_owned(), -1.0);
    let catalog = filled(&stand, &artifacts).await;

    assert_eq!(all(&catalog, None, "framework = rare", 10).await.len(), 1);
    assert_eq!(all(&catalog, None, "metric.loss < 0", 10).await.len(), 1);
    // Letters have an index, and what has them is in the first page.
    for (letters, count) in [("text ~ RAR", 1), ("framework ~ rare and kind = model", 1), ("text ~ zzz", 0)] {
        let search =
            ArtifactSearch { condition: Some(letters.parse().expect(letters)), limit: 10, ..ArtifactSearch::default() };
        let page = catalog.search(&search).await.expect("page");
        assert_eq!((page.artifacts.len(), page.next_page_token), (count, None), "{letters}");
    }
    // Nothing says where two letters are: they are looked for in portions, each page with a token to go on.
    assert_eq!(all(&catalog, None, "framework ~ ra", 10).await.len(), 1);

    let mut search = ArtifactSearch {
        condition: Some("framework = torch".parse().expect("condition")),
        limit: 100,
        ..ArtifactSearch::default()
    };
    let mut seen = BTreeSet::new();
    for round in 0.. {
        let page = catalog.search(&search).await.expect("page");
        for artifact in &page.artifacts {
            assert!(seen.insert(artifact.address.clone()), "{} came twice", artifact.address);
        }
        let mut more = artifact("shop", Kind::Model, "late", 100_000 + round);
        more.attributes.insert("framework".to_owned(), "torch".to_owned());
        catalog.register(&[more]).await.expect("registered");
        search.page_token = page.next_page_token;
        if search.page_token.is_none() {
            break;
        }
    }
    let torch = |artifact: &&Descriptor| artifact.attributes.get("framework").is_some_and(|it| it == "torch");
    assert_eq!(seen.len(), artifacts.iter().filter(torch).count());
    for token in ["x", "-1", "0", "1.5"] {
        let search = ArtifactSearch { page_token: Some(token.to_owned()), ..ArtifactSearch::default() };
        assert_eq!(catalog.search(&search).await.expect_err(token).code, "page-token");
    }
}

async fn letters_are_found_where_they_are_now(stand: Stand) {
    let (mut long, other) = (artifact("shop", Kind::Model, "wine", 1), artifact("shop", Kind::Model, "fraud", 2));
    // More letters than the index keeps of one artifact.
    for (number, letter) in ('\u{4e00}'..'\u{9000}').enumerate().step_by(4_000) {
        let text: String = (letter..).take(1_300).collect();
        long.attributes.insert(format!("text-{number}"), text);
    }
    let catalog = filled(&stand, &[long.clone(), other.clone()]).await;
    let author = Author { by: "ada".to_owned(), reason: None };
    let found = async |letters: &str| all(&catalog, None, &format!("text ~ '{letters}'"), 10).await;
    let (long, other) = (long.address.clone(), other.address.clone());

    assert_eq!(found("\u{4e10}\u{4e11}\u{4e12}").await, [long.to_string()]);
    assert_eq!(found("\u{4e10}\u{4e12}\u{4e11}").await, [""; 0]);
    catalog.label(&other, &[("team".to_owned(), Some("Goldfinch".to_owned()))], &author).await.expect("label");
    assert_eq!(found("ldfin").await, [other.to_string()]);
    catalog.label(&other, &[("team".to_owned(), None)], &author).await.expect("label");
    assert_eq!(found("ldfin").await, [""; 0]);

    // A catalog that is older than the index.
    let url = match &stand.place {
        DatabasePlace::Sqlite(path) => format!("sqlite://{}", path.display()),
        DatabasePlace::Postgres(url) => url.to_string(),
    };
    let pool = sqlx::AnyPool::connect(&url).await.expect("database");
    sqlx::query("DELETE FROM artifact_grams").execute(&pool).await.expect("emptied");
    assert_eq!(found("fraud").await, [""; 0]);
    catalog.close().await;
    let catalog = Catalog::open(&stand.place).await.expect("catalog");
    assert_eq!(all(&catalog, None, "text ~ fraud", 10).await, [other.to_string()]);
}

async fn a_tag_moves_and_both_versions_and_the_history_say_so(stand: Stand) {
    let (one, two) = (artifact("shop", Kind::Model, "wine", 1), artifact("shop", Kind::Model, "wine", 2));
    let other = artifact("shop", Kind::Model, "fraud", 3);
    let catalog = filled(&stand, &[one.clone(), two.clone(), other.clone()]).await;
    let author = |reason: &str| Author { by: "ada".to_owned(), reason: Some(reason.to_owned()) };
    let tagged: Address = "model://shop/wine@production".parse().expect("address");
    let production = name("production");
    assert_eq!(catalog.artifact(&tagged).await.expect_err("nothing").code, "unknown-tag");

    catalog.tag(&one.address, &production, &author("first")).await.expect("tag");
    catalog.tag(&one.address, &production, &author("again")).await.expect("tag");
    catalog.tag(&other.address, &production, &author("of another series")).await.expect("tag");
    assert_eq!(catalog.artifact(&tagged).await.expect("tagged").address, one.address);
    catalog.tag(&two.address, &production, &author("better")).await.expect("tag");

    assert_eq!(catalog.artifact(&tagged).await.expect("tagged").address, two.address);
    assert!(catalog.artifact(&one.address).await.expect("artifact").tags.is_empty());
    assert_eq!(catalog.artifact(&other.address).await.expect("artifact").tags, ["production"]);
    let any = "model://*@production".parse().expect("selector");
    let newest = catalog.newest(&name("shop"), &any).await.expect("newest").expect("tagged");
    assert_eq!(newest.address, other.address);
    let labels = [("team".to_owned(), Some("fraud".to_owned())), ("gone".to_owned(), None)];
    catalog.label(&one.address, &labels, &author("who owns it")).await.expect("label");
    assert_eq!(catalog.untag(&one.address, &production, &author("")).await.expect_err("not there").code, "unknown-tag");
    catalog.untag(&two.address, &production, &author("it fails")).await.expect("untag");
    assert_eq!(catalog.artifact(&tagged).await.expect_err("nothing").code, "unknown-tag");

    let history = catalog.history(&one.address, 100).await.expect("history");
    let changes: Vec<&Changed> = history.iter().filter_map(|entry| Some(&entry.change.as_ref()?.what)).collect();
    assert_eq!(
        changes,
        [
            &Changed::Untagged { tag: production.clone(), to: None },
            &Changed::Labelled { label: "team".to_owned(), value: "fraud".to_owned() },
            &Changed::Tagged { tag: production.clone(), from: Some(one.address.clone()) },
            &Changed::Untagged { tag: production.clone(), to: Some(two.address.clone()) },
            &Changed::Tagged { tag: production, from: None },
        ]
    );
    assert_eq!(history.iter().filter(|entry| entry.origin.is_some()).count(), 2, "both versions");
    assert!(history.iter().all(|entry| entry.change.as_ref().is_none_or(|change| change.by == "ada")));
}

async fn two_who_move_one_tag_leave_it_at_one_version(stand: Stand) {
    let artifacts: Vec<_> = (0..8).map(|number| artifact("shop", Kind::Model, "wine", number)).collect();
    let catalog = filled(&stand, &artifacts).await;
    let moves = artifacts.iter().map(|artifact| {
        let (catalog, address) = (catalog.clone(), artifact.address.clone());
        tokio::spawn(async move { catalog.tag(&address, &name("production"), &Author::default()).await })
    });
    for done in moves.collect::<Vec<_>>() {
        done.await.expect("task").expect("moved");
    }

    let mut holding = 0;
    for artifact in &artifacts {
        holding += catalog.artifact(&artifact.address).await.expect("artifact").tags.len();
    }
    assert_eq!(holding, 1);
    assert_eq!(all(&catalog, None, "tag = production", 10).await.len(), 1);
}

async fn labels_that_nobody_could_use_change_nothing(stand: Stand) {
    let one = artifact("shop", Kind::Model, "wine", 1);
    let catalog = filled(&stand, std::slice::from_ref(&one)).await;
    let set = |label: &str, value: &str| {
        vec![("fine".to_owned(), Some("x".to_owned())), (label.to_owned(), Some(value.to_owned()))]
    };
    let bomb: Vec<_> = (0..65).map(|number| (format!("l{number}"), Some(String::new()))).collect();
    for labels in [
        set("", "x"),
        set("a b", "x"),
        set(&"x".repeat(64), "x"),
        set("\u{444}", "x"),
        set("line", "a\nb"),
        set("long", &"x".repeat(256)),
        bomb,
    ] {
        assert_eq!(catalog.label(&one.address, &labels, &Author::default()).await.expect_err("label").code, "label");
    }
    assert!(catalog.artifact(&one.address).await.expect("artifact").labels.is_empty());
}

on_each_database! {
    a_condition_finds_in_the_database_what_it_says,
    what_is_rare_is_found_among_many_and_pages_hold_together_while_more_comes,
    a_tag_moves_and_both_versions_and_the_history_say_so,
    two_who_move_one_tag_leave_it_at_one_version,
    labels_that_nobody_could_use_change_nothing,
    letters_are_found_where_they_are_now,
}
