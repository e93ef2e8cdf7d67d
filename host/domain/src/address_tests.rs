use super::*;
use proptest::prelude::*;

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?".prop_map(|text| text.parse().expect("the pattern makes names"))
}

fn kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(Kind::all().collect::<Vec<_>>())
}

prop_compose! {
    fn address()(kind in kind(), project in name(), name in name(), end in 0..3, last in name()) -> Address {
        Address {
            kind, project, name,
            version: (end == 1).then(|| last.clone()),
            tag: (end == 2).then(|| last.clone()),
        }
    }
}

proptest! {
    #[test]
    fn every_address_round_trips(address in address()) {
        prop_assert_eq!(address.to_string().parse::<Address>()?, address);
    }

    #[test]
    fn an_address_as_selector_is_exactly_that_address(address in address()) {
        prop_assert_eq!(address.to_string().parse::<Selector>()?.exact(), Some(address));
    }

    #[test]
    fn every_selector_round_trips(kind in kind(), project in proptest::option::of(name()), tag in proptest::option::of(name()),
                                  name in proptest::option::of(name()), least in proptest::option::of(-9.0..9.0)) {
        let condition = |least: f64| format!("accuracy > {least} and label.'a where b' = x").parse().expect("condition");
        let condition = least.map(condition).map(Box::new);
        let selector = Selector { kind, project, name, version: None, tag, condition };
        prop_assert_eq!(selector.to_string().parse::<Selector>()?, selector);
    }

    #[test]
    fn parsing_never_panics(text in ".{0,80}") {
        let _ = text.parse::<Address>();
        let _ = text.parse::<Selector>();
    }
}

#[test]
fn published_examples_parse_as_written() {
    for text in ["code://myproj/myapp/f3b0924", "model://myproj/4c88e8f252be0a8e1e8e3"] {
        assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
    }
    for text in
        ["code://*", "model://*", "model://myproj/*", "model://*@production", "model://* where metric.accuracy > 0.9"]
    {
        assert_eq!(text.parse::<Selector>().expect(text).to_string(), text);
    }
}

#[test]
fn malformed_addresses_say_what_is_wrong() {
    let cases = [
        ("myproj/app", "it has no scheme"),
        ("modle://p/a", "`modle` is not one of the schemes code, runnable, model, data"),
        ("code://p", "it needs a project and a name"),
        ("code://p/*", "`*` belongs to selectors"),
        ("code://p/a/b/c", "more than three parts"),
        ("code://p/a/b@c", "exclude each other"),
        ("code://P/a", "`P` is not a name"),
        ("code://p/../x", "`..` is not a name"),
    ];
    for (text, why) in cases {
        let error = text.parse::<Address>().expect_err(text);
        assert!(error.message.contains(why), "{text}: {}", error.message);
    }
}

#[test]
fn selectors_match_by_every_part_they_name() {
    let name = |text: &str| text.parse::<Name>().expect("name");
    let mut model = crate::testing::model(&name("shop"), &name("churn"), &name("4c88e8f2"));
    model.tags = vec!["production".to_owned()];
    model.metrics.insert("accuracy".to_owned(), 0.93);
    for (selector, matches) in [
        ("model://*", true),
        ("model://shop/*", true),
        ("model://*/churn", true),
        ("model://shop/churn/4c88", true),
        ("model://shop/4c88", true),
        ("model://*@production", true),
        ("model://*@staging", false),
        ("model://other/*", false),
        ("code://*", false),
        ("model://shop/churn/ffff", false),
        ("model://* where accuracy > 0.9", true),
        ("model://shop/*@production where accuracy > 0.95", false),
    ] {
        assert_eq!(selector.parse::<Selector>().expect(selector).matches(&model), matches, "{selector}");
    }
}
