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
    assert!(error.message.contains("make gives model and code"), "{error}");
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

#[test]
fn what_a_template_names_is_its_own_whatever_the_steps_of_its_parts_are_called() {
    let two = template(
        "name: two, inputs: {},
        steps: {b: {run: {kind: first}}, c: {run: {kind: second}, inputs: {x: '${steps.b.model}'}, after: [b]}},
        outputs: {model: {from: '${steps.c.model}'}}",
    );
    let one = template(
        "name: one, inputs: {}, steps: {z: {run: {kind: third}}}, outputs: {model: {from: '${steps.z.model}'}}",
    );
    let whole = template(
        "name: whole, inputs: {},
        steps: {a: {template: two}, a-b: {template: one}, last: {run: {kind: last}, inputs: {x: '${steps.a-b.model}'}, after: [a-b]}}",
    );

    let flat = whole.flattened(&[("two".to_owned(), two), ("one".to_owned(), one)].into()).expect("flat");

    let needs = |step: &str| {
        let step = flat.step(&step.parse().expect(step)).expect(step);
        step.needs().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((needs("a-c").as_str(), needs("last").as_str()), ("a-b", "a-b-z"));
}

#[test]
fn a_part_takes_what_another_part_makes() {
    let make = template(
        "name: make, inputs: {}, steps: {work: {run: {kind: maker}}}, outputs: {model: {kind: model, from: '${steps.work.model}'}}",
    );
    let take = template(
        "name: take, inputs: {model: {kind: model}}, steps: {work: {run: {kind: taker}, inputs: {model: '${inputs.model}'}}}",
    );
    let whole = template(
        "name: whole, inputs: {},
        steps: {one: {template: make}, two: {template: take, inputs: {model: '${steps.one.model}'}, after: [one]}}",
    );

    let flat = whole.flattened(&[("make".to_owned(), make), ("take".to_owned(), take)].into()).expect("flat");

    let two = flat.step(&"two-work".parse().expect("name")).expect("step");
    assert_eq!(two.references()[0].to_string(), "${steps.one-work.model}");
}

#[test]
fn what_comes_after_a_part_does_not_wait_for_what_is_there_for_failures() {
    let part = template(
        "name: part, inputs: {},
        steps: {work: {run: {kind: x}}, clean: {run: {kind: cleaner}, runs: always}, alarm: {run: {kind: z}, runs: on-failure}}",
    );
    let whole = template(
        "name: whole, inputs: {mode: {type: text}},
        steps: {make: {template: part, when: {value: '${inputs.mode}', in: [full]}},
                next: {run: {kind: next}, after: [make, make]},
                told: {run: {kind: teller}, runs: on-failure, after: [make]}}",
    );

    let flat = whole.flattened(&[("part".to_owned(), part)].into()).expect("flat");

    let step = |name: &str| flat.step(&name.parse().expect(name)).expect(name);
    let after = |name: &str| step(name).after.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    assert_eq!(after("next"), "make-work make-clean");
    assert_eq!(after("told"), "make-work make-clean make-alarm");
    for name in ["make-work", "make-clean", "make-alarm"] {
        assert!(step(name).when.is_some(), "{name} is of a part that is skipped whole");
    }
}

#[test]
fn a_value_that_is_known_decides_a_condition_and_an_output_passes_through_several_parts() {
    let part = template(
        "name: part, inputs: {mode: {type: text, default: full}, x: {kind: model}},
        steps: {work: {run: {kind: w}, when: {value: '${inputs.mode}', in: [full]}}},
        outputs: {x: {kind: model, from: '${inputs.x}'}}",
    );
    let whole = template(
        "name: whole, inputs: {m: {kind: model}},
        steps: {one: {template: part, inputs: {x: '${inputs.m}'}},
                two: {template: part, inputs: {x: '${steps.one.x}'}, parameters: {mode: quick}},
                last: {run: {kind: l}, inputs: {x: '${steps.two.x}'}}}",
    );

    let flat = whole.flattened(&[("part".to_owned(), part)].into()).expect("flat");

    let said = |name: &str| match &flat.step(&name.parse().expect(name)).expect(name).when {
        Some(When::Said { said, one_of, .. }) => format!("{said} in {one_of:?}"),
        other => format!("{other:?}"),
    };
    assert_eq!((said("one-work"), said("two-work")), ("full in [\"full\"]".into(), "quick in [\"full\"]".into()));
    let last = flat.step(&"last".parse().expect("name")).expect("last");
    assert_eq!(last.references()[0].to_string(), "${inputs.m}");
}

#[test]
fn what_a_part_is_given_is_checked_as_if_it_stood_there() {
    let code = "inputs: {code: '${inputs.src}'}";
    for (given, said) in [
        ("train.alpha: '0.7'", "`alpha` is in `each` and in `parameters`"),
        ("alphas: '0.1,0.1'", "`alpha` has `0.1` twice"),
        ("alphas: ''", "`alpha` has no value"),
        ("alphas: '${inputs.src.attributes.alphas}'", "it is a list, or a value of the template's inputs"),
    ] {
        let error = whole(&format!("{code}, parameters: {{{given}}}")).expect_err(said);
        assert!(error.message.contains(said), "{error}");
    }
}
