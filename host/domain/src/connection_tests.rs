//! Templates that leave out what their runnables say.

use super::*;
use crate::{Address, Attributes, Beside, Image};

struct Nothing;

impl Beside for Nothing {
    fn script(&self, path: &str) -> Result<String> {
        Err(Error::not_found("script", path))
    }
    fn component(&self, _: &Name, path: &str) -> Result<Image> {
        Err(Error::not_found("component", path))
    }
}

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

/// Of slots in YAML.
fn runnable(of: &str, kind: &str, inputs: &str, outputs: &str) -> Runnable {
    let text = format!(
        "{{schema_version: 1, name: {of}, kind: {kind}, command: [x], inputs: {{{inputs}}}, outputs: {{{outputs}}}}}"
    );
    Runnable::parse(&text, of, &Nothing).expect("runnable")
}

fn converter(of: &str, from: &str, to: &str) -> Converter {
    let slot = |format: &str, what: &str| format!("x: {{kind: dataset, {what}: {{format: {format}}}}}");
    let runnable = runnable(of, "converter", &slot(from, "requires"), &slot(to, "provides"));
    let address: Address = format!("runnable://p/{of}/1").parse().expect("address");
    Converter::of(&address, &runnable).expect("converter")
}

fn template(inputs: &str, steps: &str) -> Template {
    let text = format!("{{schema_version: 1, name: t, description: d, inputs: {{{inputs}}}, steps: {{{steps}}}}}");
    Template::parse(&text, "t").expect("template")
}

fn candidates(of: &[(&str, Vec<Runnable>)]) -> Candidates {
    of.iter().map(|(step, runnables)| (name(step), runnables.clone())).collect()
}

fn shown(connected: &Connected) -> Vec<String> {
    connected.connections.iter().map(|it| format!("{}.{} = {}", it.step, it.input, it.from)).collect()
}

#[test]
fn what_a_step_leaves_out_is_taken_from_the_one_thing_that_fits() {
    let steps =
        "clean: {run: {kind: cleaner}}, train: {run: {kind: trainer}}, alarm: {run: {kind: alarm}, runs: on-failure}";
    let template = template("code: {kind: codeset}, raw: {kind: dataset}, alpha: {type: text, default: '1'}", steps);
    let clean =
        runnable("clean", "cleaner", "data: {kind: dataset}", "clean: {kind: dataset, provides: {state: clean}}");
    let trainer =
        "code: {kind: codeset}, data: {kind: dataset, requires: {state: clean}}, old: {kind: model, optional: true}";
    let trainer = runnable("trainer", "trainer", trainer, "model: {kind: model}");
    let alarm = runnable("alarm", "alarm", "code: {kind: codeset}", "");
    let of = candidates(&[("clean", vec![clean]), ("train", vec![trainer]), ("alarm", vec![alarm])]);
    let connected = template.connected(&of, &[]).expect("connected");
    assert_eq!(
        shown(&connected),
        [
            "clean.data = ${inputs.raw}",
            "train.code = ${inputs.code}",
            "train.data = ${steps.clean.clean}",
            "alarm.code = ${inputs.code}",
        ]
    );
    let train = connected.template.step(&name("train")).expect("train");
    assert_eq!(train.needs().into_iter().collect::<Vec<_>>(), [name("clean")], "it waits for what it takes");
    assert_eq!(connected.template.connected(&of, &[]).expect("again").connections, [], "nothing is left out any more");
}

#[test]
fn of_several_runnables_the_newest_that_can_be_connected_counts_and_what_is_not_known_is_left_alone() {
    let template = template("raw: {kind: dataset}", "use: {run: {kind: user}}, build: {run: {kind: later}}");
    let newer = runnable("newer", "user", "model: {kind: model}", "");
    let older = runnable("older", "user", "data: {kind: dataset}", "");
    let of = candidates(&[("use", vec![newer.clone(), older]), ("build", Vec::new())]);
    let connected = template.connected(&of, &[]).expect("connected");
    assert_eq!((shown(&connected), connected.open), (vec!["use.data = ${inputs.raw}".to_owned()], vec![name("build")]));
    let refused = template.connected(&candidates(&[("use", vec![newer])]), &[]).expect_err("nothing fits");
    assert_eq!(
        refused.message,
        "step use: `newer` needs the input `model`, a model; nothing above gives that: there is ${inputs.raw} (a dataset)"
    );
}

#[test]
fn what_does_not_fit_or_fits_twice_is_refused_with_the_candidates() {
    let of = |inputs: &str| candidates(&[("s", vec![runnable("r", "k", inputs, "")])]);
    let two = "a: {kind: dataset, requires: {format: csv}}, b: {kind: dataset}";
    let csv = "data: {kind: dataset, requires: {format: csv}}";
    for (inputs, step, slots, why) in [
        (two, "", csv, None),
        (
            two,
            "",
            "data: {kind: dataset}",
            Some("could be ${inputs.a} (a dataset with format=csv) and ${inputs.b} (a dataset)"),
        ),
        (
            "a: {kind: model}",
            "",
            csv,
            Some("a dataset with format=csv; nothing above gives that: there is ${inputs.a} (a model)"),
        ),
        ("", "", csv, Some("there is none")),
        ("a: {kind: model}", "inputs: {data: '${inputs.a}'}", csv, Some("and ${inputs.a} is a model")),
        ("a: {kind: dataset}", "inputs: {dada: '${inputs.a}'}", csv, Some("has no input `dada`; it has data")),
        (
            "a: {kind: dataset, requires: {format: png}}",
            "inputs: {data: '${inputs.a}'}",
            csv,
            Some("takes a dataset with format=csv, and ${inputs.a} is a dataset with format=png"),
        ),
    ] {
        let template = template(inputs, &format!("s: {{run: {{kind: k}}, {step}}}"));
        match (template.connected(&of(slots), &[]), why) {
            (Ok(_), None) => {}
            (Err(error), Some(why)) => assert!(error.message.contains(why), "{inputs} {step}: {error}"),
            (found, _) => panic!("{inputs} {step}: {:?}", found.map(|it| shown(&it))),
        }
    }
    let taken = template("", "a: {run: {kind: k}}, b: {run: {kind: l}, inputs: {in: '${steps.a.modle}'}}");
    let giver = runnable("giver", "k", "", "model: {kind: model}");
    let taker = runnable("taker", "l", "in: {kind: model}", "");
    let refused = taken.connected(&candidates(&[("a", vec![giver]), ("b", vec![taker])]), &[]);
    assert_eq!(
        refused.expect_err("a slip").message,
        "step b: ${steps.a.modle}: `giver` gives no `modle`; it gives model"
    );
}

fn converted(template: &Template, of: &Candidates, format: &str, converters: &[Converter]) -> Vec<String> {
    let attributes = Attributes::from([("format".to_owned(), format.to_owned())]);
    let forms = [(name("data"), Form { kind: crate::Kind::Dataset, attributes, is_whole: true })].into();
    let converted = template.converted(of, &forms, converters).expect("converted");
    let takes = |step: &Step| {
        let work = step.work().expect("work");
        let inputs: Vec<_> = work.inputs.values().map(ToString::to_string).collect();
        format!("{}: {}", step.name, inputs.join(" "))
    };
    converted.steps.iter().map(takes).collect()
}

#[test]
fn the_shortest_chain_of_converters_is_put_in_once_for_all_who_need_it() {
    let converters = [
        converter("csv-to-json", "csv", "json"),
        converter("json-to-parquet", "json", "parquet"),
        converter("csv-to-arrow", "csv", "arrow"),
        converter("arrow-to-json", "arrow", "json"),
    ];
    let steps =
        "a: {run: {kind: k}, inputs: {in: '${inputs.data}'}}, b: {run: {kind: k}, inputs: {in: '${inputs.data}'}}";
    let template = template("data: {kind: dataset}", steps);
    let takes = |format: &str| {
        runnable(&format!("takes-{format}"), "k", &format!("in: {{kind: dataset, requires: {{format: {format}}}}}"), "")
    };
    let of = |runnables: &[Runnable]| candidates(&[("a", runnables.to_vec()), ("b", runnables.to_vec())]);
    let as_written = ["a: ${inputs.data}", "b: ${inputs.data}"];

    let parquet = of(&[takes("parquet")]);
    assert_eq!(
        converted(&template, &parquet, "csv", &converters),
        [
            "csv-to-json: ${inputs.data}",
            "json-to-parquet: ${steps.csv-to-json.x}",
            "a: ${steps.json-to-parquet.x}",
            "b: ${steps.json-to-parquet.x}",
        ]
    );
    assert_eq!(converted(&template, &parquet, "parquet", &converters), as_written, "it fits as it is");
    assert_eq!(converted(&template, &parquet, "png", &converters), as_written, "nothing helps; its step will say so");
    let either = of(&[takes("parquet"), takes("csv")]);
    assert_eq!(converted(&template, &either, "csv", &converters), as_written, "an older runnable takes it as it is");
    assert_eq!(template.connected(&parquet, &converters).expect("connected").connections, []);
}

#[test]
fn what_is_converted_for_a_step_waits_for_what_that_waits_for() {
    let steps = "ask: {approve: {message: m}}, a: {run: {kind: k}, inputs: {in: '${inputs.data}'}, after: [ask]}, b: {run: \
                 {kind: k}, inputs: {in: '${inputs.data}'}}";
    let template = template("data: {kind: dataset}", steps);
    let takes = runnable("takes", "k", "in: {kind: dataset, requires: {format: json}}", "");
    let of = candidates(&[("a", vec![takes.clone()]), ("b", vec![takes])]);
    let attributes = Attributes::from([("format".to_owned(), "csv".to_owned())]);
    let forms = [(name("data"), Form { kind: crate::Kind::Dataset, attributes, is_whole: true })].into();
    let converted = template.converted(&of, &forms, &[converter("csv-to-json", "csv", "json")]).expect("converted");
    let after = |step: &str| converted.step(&name(step)).expect(step).after.clone();
    assert_eq!((after("csv-to-json"), after("csv-to-json-2")), (vec![name("ask")], vec![]));
}

#[test]
fn a_converter_that_is_put_in_takes_no_name_that_is_taken() {
    let steps = "csv-to-json: {run: {kind: k}, inputs: {in: '${inputs.data}'}}";
    let taken = template("data: {kind: dataset}", steps);
    let takes = runnable("takes", "k", "in: {kind: dataset, requires: {format: json}}", "");
    let of = candidates(&[("csv-to-json", vec![takes])]);
    let steps = converted(&taken, &of, "csv", &[converter("csv-to-json", "csv", "json")]);
    assert_eq!(steps, ["csv-to-json-2: ${inputs.data}", "csv-to-json: ${steps.csv-to-json-2.x}"]);
}

#[test]
fn what_has_to_be_asked_something_is_no_converter_that_could_be_put_in() {
    let address: Address = "runnable://p/r/1".parse().expect("address");
    let is = |kind: &str, inputs: &str, outputs: &str| {
        Converter::of(&address, &runnable("r", kind, inputs, outputs)).is_some()
    };
    assert!(is("converter", "a: {kind: dataset}, b: {kind: model, optional: true}", "c: {kind: dataset}"));
    assert!(!is("trainer", "a: {kind: dataset}", "c: {kind: dataset}"));
    assert!(!is("converter", "a: {kind: dataset}, b: {kind: model}", "c: {kind: dataset}"));
    assert!(!is("converter", "a: {kind: dataset}", "c: {kind: dataset}, d: {kind: dataset}"));
    let mut asks = runnable("r", "converter", "a: {kind: dataset}", "c: {kind: dataset}");
    asks.parameters = runnable_with_parameter().parameters;
    assert!(Converter::of(&address, &asks).is_none());
}

fn runnable_with_parameter() -> Runnable {
    let text = "{schema_version: 1, name: r, kind: k, command: [x], parameters: {p: {type: text}}}";
    Runnable::parse(text, "r", &Nothing).expect("runnable")
}
