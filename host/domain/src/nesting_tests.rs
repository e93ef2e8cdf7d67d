//! Parts of templates as they are taken apart.

use super::*;

fn template(text: &str) -> Template {
    Template::parse(&format!("{{schema_version: 1, description: d, {text}}}"), "t").expect(text)
}

/// A part that trains with a value and asks whether the model is good.
fn part() -> Template {
    template(
        "name: part,
        inputs: {code: {kind: codeset, requires: {branch: main}}, alphas: {type: text, default: '0.5'}, who: {type: text, default: '${inputs.code.attributes.author}'}},
        steps: {
          train: {run: {kind: trainer}, inputs: {code: '${inputs.code}'}, each: {alpha: '${inputs.alphas}'}, best: {highest: accuracy}, parameters: {who: '${inputs.who}'}},
          review: {approve: {message: ok?}, after: [train], when: {artifact: '${steps.train.model}', where: accuracy > 0.3}}},
        outputs: {model: {kind: model, from: '${steps.train.model}'}, code: {kind: codeset, from: '${inputs.code}'}}",
    )
}

fn whole(step: &str) -> Result<Template> {
    let whole = template(&format!(
        "name: whole,
        inputs: {{src: {{kind: codeset}}}},
        steps: {{
          check: {{run: {{kind: checker}}, inputs: {{code: '${{inputs.src}}'}}}},
          make: {{template: part, {step}}},
          publish: {{run: {{kind: publisher}}, inputs: {{model: '${{steps.make.model}}', code: '${{steps.make.code}}'}}, after: [make]}}}},
        outputs: {{model: {{kind: model, from: '${{steps.make.model}}'}}}}"
    ));
    whole.flattened(&[("part".to_owned(), part())].into())
}

#[test]
fn the_steps_of_a_part_stand_in_its_place_with_what_it_is_given() {
    let flat = whole(
        "inputs: {code: '${inputs.src}'}, parameters: {alphas: '0.1, 0.9', train.depth: '3'}, after: [check], agent: ray-jobs",
    )
    .expect("flat");

    let expected = template(
        "name: whole,
        inputs: {src: {kind: codeset, requires: {branch: main}}},
        steps: {
          check: {run: {kind: checker}, inputs: {code: '${inputs.src}'}},
          make-train: {run: {kind: trainer}, inputs: {code: '${inputs.src}'}, each: {alpha: ['0.1', '0.9']}, best: {highest: accuracy}, parameters: {who: '${inputs.src.attributes.author}', depth: '3'}, after: [check], agent: ray-jobs},
          make-review: {approve: {message: ok?}, after: [make-train, check], when: {artifact: '${steps.make-train.model}', where: accuracy > 0.3}},
          publish: {run: {kind: publisher}, inputs: {model: '${steps.make-train.model}', code: '${inputs.src}'}, after: [make-train, make-review]}},
        outputs: {model: {kind: model, from: '${steps.make-train.model}'}}",
    );
    assert_eq!(flat, expected);
}

#[test]
fn a_part_of_a_part_is_taken_apart_too_and_one_that_contains_itself_is_refused() {
    let middle = "name: middle, inputs: {code: {kind: codeset}},
        steps: {inner: {template: part, inputs: {code: '${inputs.code}'}}},
        outputs: {model: {kind: model, from: '${steps.inner.model}'}}";
    let outer = template(
        "name: outer, inputs: {code: {kind: codeset}},
        steps: {a: {template: middle, inputs: {code: '${inputs.code}'}}, b: {run: {kind: publisher}, inputs: {model: '${steps.a.model}'}}}",
    );
    let parts = BTreeMap::from([("middle".to_owned(), template(middle)), ("part".to_owned(), part())]);

    let flat = outer.flattened(&parts).expect("flat");

    let names: Vec<_> = flat.steps.iter().map(|step| &*step.name).collect();
    assert_eq!(names, ["a-inner-train", "a-inner-review", "b"]);

    let endless = template(&middle.replace("template: part", "template: middle"));
    let error = outer.flattened(&[("middle".to_owned(), endless)].into()).expect_err("endless");
    assert!(error.message.contains("the template middle contains itself"), "{error}");
}

#[test]
fn what_a_part_does_not_take_or_give_is_refused_with_the_place() {
    let code = "inputs: {code: '${inputs.src}'}";
    for (step, said) in [
        ("after: [check]", "step make: the template part needs the input `code`"),
        ("inputs: {code: '${inputs.src}', data: '${inputs.src}'}", "has no input `data`; it has code, alphas and who"),
        ("inputs: {code: '${inputs.src}', alphas: '${inputs.src}'}", "is a codeset, but a value is needed here"),
        ("inputs: {alphas: '${steps.check.x}'}, parameters: {code: x}", "is a codeset: say it in `inputs`"),
        (&format!("{code}, parameters: {{serve.x: '1'}}"), "has no step `serve` with parameters"),
        ("inputs: {code: '${steps.check.code}'}", "only attributes of the template's own inputs"),
    ] {
        let error = whole(step).expect_err(said);
        assert!(error.message.contains(said), "{error}");
    }
    let conditional = template(&format!(
        "name: whole, inputs: {{src: {{kind: codeset}}}}, steps: {{make: {{template: part, {code}}}, p: {{run: {{kind: x}}, inputs: {{url: '${{steps.make.url}}'}}}}}}"
    ));
    let error = conditional.flattened(&[("part".to_owned(), part())].into()).expect_err("no such output");
    assert!(error.message.contains("make gives code and model"), "{error}");
    assert!(conditional.flattened(&BTreeMap::new()).expect_err("nothing").message.contains("no template `part`"));
}

#[test]
fn a_part_that_is_skipped_is_skipped_whole() {
    let flat = whole("inputs: {code: '${inputs.src}'}, when: {value: '${inputs.src.attributes.branch}', in: [main]}");
    let flat = flat.expect("flat");

    let train = flat.step(&"make-train".parse().expect("name")).expect("train");
    assert_eq!(
        train.when.as_ref().map(ToString::to_string).as_deref(),
        Some("${inputs.src.attributes.branch} in (main)")
    );
}

#[test]
fn parts_that_would_take_for_ever_are_refused_though_they_have_no_steps() {
    let level = |number: usize, of: usize| {
        let steps: Vec<_> = (0..of).map(|at| format!("s{at}: {{template: t{}}}", number + 1)).collect();
        template(&format!("name: t{number}, steps: {{{}}}", steps.join(", ")))
    };
    for (levels, wide) in [(12, 4), (4_000, 1)] {
        let mut parts: BTreeMap<_, _> = (1..levels).map(|at| (format!("t{at}"), level(at, wide))).collect();
        parts.insert(format!("t{levels}"), level(levels, 0));

        let error = level(0, wide).flattened(&parts).expect_err("too much");

        assert!(error.message.contains("at most 1000 parts"), "{error}");
    }
}
