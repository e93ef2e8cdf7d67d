use super::*;
use crate::{Descriptor, Name};
use proptest::prelude::*;

fn name(text: &str) -> Name {
    text.parse().expect(text)
}

fn model() -> Descriptor {
    let attributes = [("framework", "sklearn"), ("epochs", "20"), ("note", "Red and white wine")];
    Descriptor {
        attributes: attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        metrics: [("accuracy".to_owned(), 0.93)].into(),
        labels: [("team".to_owned(), "fraud".to_owned()), ("a b".to_owned(), "it's".to_owned())].into(),
        tags: vec!["production".to_owned(), "v1".to_owned()],
        ..crate::testing::model(&name("shop"), &name("wine"), &name("4c88e8f252be"))
    }
}

#[test]
fn a_condition_finds_what_it_says() {
    let model = model();
    for (text, expected) in [
        ("kind = model", true),
        ("kind = dataset", false),
        ("project=shop and name=wine", true),
        ("version = 4c88", true),
        ("version != 4c88", false),
        ("framework = sklearn", true),
        ("framework in (tensorflow, sklearn)", true),
        ("framework ~ SKL", true),
        ("framework != sklearn", false),
        ("framework != tensorflow", true),
        ("missing != tensorflow", false),
        ("not missing = tensorflow", true),
        ("has framework and not has missing", true),
        ("accuracy > 0.9", true),
        ("accuracy >= 0.93 and accuracy <= 0.93", true),
        ("accuracy < 0.9 or accuracy > 0.95", false),
        ("metric.accuracy = 0.930", true),
        ("attribute.epochs >= 20", true),
        ("epochs = 20", true),
        ("label.team = fraud", true),
        ("label.'a b' = \"it's\"", true),
        ("label.team = 'fr\\aud'", true),
        ("tag = production", true),
        ("tag != production", false),
        ("tag != staging", true),
        ("tag in (staging, v1)", true),
        ("created > 2026-10-31", true),
        ("created > 2026-11-01T12:00:00Z", false),
        ("created >= 2026-11-01T12:00:00Z", true),
        ("origin = run", true),
        ("text ~ 'white wine'", true),
        ("text ~ FRAUD", true),
        ("text ~ beer", false),
        ("input = model", false),
        ("has output", false),
        ("not (kind = model and framework = tensorflow)", true),
        ("kind = dataset or kind = model and framework = sklearn", true),
        ("not not kind = model", true),
        ("  kind   =   model  ", true),
        ("((kind = model))", true),
        ("android = x or notion = y or kind = model", true),
    ] {
        let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.matches(&model), expected, "{text}");
    }
}

#[test]
fn what_is_wrong_is_shown_where_it_is() {
    for (text, expected) in [
        ("", "at its end (character 1)"),
        ("kind", "at its end (character 5): expected one of = != < <= > >= ~ in"),
        ("kind = ", "expected a value"),
        ("kind = banana", "a kind: codeset, runnable, model or dataset"),
        ("kind > model", "only numbers and times are compared by size"),
        ("kind = model and", "at its end"),
        ("kind = model or or name = x", "at `or name = x` (character 17)"),
        ("(kind = model", "expected `)`"),
        ("kind = model)", "at `)` (character 13)"),
        ("accuracy > much", "expected a number"),
        ("accuracy > nan", "expected a number"),
        ("metric.accuracy = much", "expected a number"),
        ("created > yesterday", "expected a time"),
        ("created = 2026-01-01", "< <= > or >= after created"),
        ("text = x", "`~` after text"),
        ("framework in ()", "expected values in parentheses"),
        ("label. = x", "expected a name"),
        ("name = 'open", "expected the closing quote"),
        ("name = a b", "at `b` (character 10)"),
        ("name = x; drop", "at `; drop` (character 9)"),
        ("origin = elsewhere", "push, run or registered"),
    ] {
        let refused = text.parse::<Condition>().expect_err(text);
        assert!(refused.message.contains(expected), "{text}: {refused}");
    }
    let bomb = "(".repeat(100_000);
    assert!(bomb.parse::<Condition>().is_err());
    assert!("(".repeat(2_000).parse::<Condition>().is_err());
    let long = format!("name = {}", "x".repeat(LONGEST_CONDITION));
    assert!(long.parse::<Condition>().expect_err("long").message.contains("at most 4096 bytes"));
    let nots = format!("{}kind = model", "not ".repeat(1_000));
    assert!(nots.parse::<Condition>().is_ok());
}

fn a_field() -> impl Strategy<Value = Field> {
    prop_oneof![
        Just(Field::Name),
        Just(Field::Tag),
        "[a-z]{1,4}|.{1,6}".prop_map(Field::Attribute),
        "[a-z]{1,4}|.{1,6}".prop_map(Field::Label),
    ]
}

fn a_test() -> impl Strategy<Value = Condition> {
    let comparison = prop_oneof![
        Just(Comparison::Has),
        ".{0,8}".prop_map(Comparison::Equals),
        ".{0,8}".prop_map(Comparison::Differs),
        ".{0,8}".prop_map(Comparison::Contains),
        proptest::collection::vec(".{0,5}", 1..4).prop_map(Comparison::In),
    ];
    let numbers = ("[a-z]{1,4}", -1e6..1e6_f64).prop_map(|(name, number)| Test {
        field: Field::Metric(name),
        comparison: Comparison::Ordered(Order::AtMost, Limit::Number(number)),
    });
    prop_oneof![(a_field(), comparison).prop_map(|(field, comparison)| Test { field, comparison }), numbers,]
        .prop_map(Condition::Is)
}

fn a_condition() -> impl Strategy<Value = Condition> {
    a_test().prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Condition::All),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Condition::Any),
            inner
                .prop_filter("said once", |one| !matches!(one, Condition::Not(_)))
                .prop_map(|one| Condition::Not(Box::new(one))),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(condition in a_condition()) {
        let text = condition.to_string();
        prop_assume!(text.len() <= LONGEST_CONDITION);
        prop_assert_eq!(text.parse::<Condition>(), Ok(condition), "{}", text);
    }

    #[test]
    fn no_text_breaks_the_parser(text in ".{0,200}") {
        let _ = text.parse::<Condition>();
    }
}

#[test]
fn facts_are_what_conditions_ask_for() {
    let facts = facts(&model());
    let of = |field: &Field| facts.iter().filter(|fact| fact.field == *field).cloned().collect::<Vec<_>>();
    assert_eq!(of(&Field::Attribute("epochs".to_owned()))[0].number, Some(20.0));
    assert_eq!(of(&Field::Attribute("framework".to_owned()))[0].number, None);
    assert_eq!(of(&Field::Metric("accuracy".to_owned()))[0].number, Some(0.93));
    assert_eq!(of(&Field::Tag).len(), 2);
}
