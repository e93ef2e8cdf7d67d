//! Reads conditions.

use super::{Comparison, Condition, Field, LONGEST_CONDITION, Limit, Order, Test};
use crate::{Error, Kind, Result};
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use winnow::{
    ModalResult, Parser,
    ascii::multispace0,
    combinator::{alt, cut_err, delimited, eof, fail, not, opt, preceded, repeat, separated, terminated},
    error::{ContextError, ErrMode, StrContext, StrContextValue},
    token::{any, none_of, one_of, take_while},
};

/// Parentheses within parentheses.
const DEEPEST: usize = 32;

const FIELDS: &str = "kind, project, name, version, tag, created, origin, input, output, text, attribute.<name>, metric.<name>, \
                      label.<name>, or the name of an attribute or metric";

fn plain(c: char) -> bool {
    c.is_alphanumeric() || "_-./:+@*".contains(c)
}

/// Whether a value can stand without quotes.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(plain) && !matches!(text, "and" | "or" | "not" | "in" | "has")
}

pub(super) fn parse(text: &str) -> Result<Condition> {
    if text.len() > LONGEST_CONDITION {
        let message = format!("a condition has at most {LONGEST_CONDITION} bytes; this one has {}", text.len());
        return Err(Error::invalid("condition", message));
    }
    let mut depth = 0_usize;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(Error::invalid(
                "condition",
                format!("a condition has at most {DEEPEST} parentheses in another"),
            ));
        }
    }
    terminated(condition, (multispace0, eof)).parse(text).map_err(|error| {
        let at = error.offset();
        let place = match text.get(at..).map(str::trim_start) {
            Some("") | None => "at its end".to_owned(),
            Some(rest) => format!("at `{}`", rest.chars().take(20).collect::<String>().escape_debug()),
        };
        let why = match error.inner().to_string() {
            why if why.is_empty() => "it is not understood there".to_owned(),
            why => why.replace('\n', "; "),
        };
        let column = text.get(..at).map_or(at, |before| before.chars().count()) + 1;
        Error::invalid("condition", format!("the condition is wrong {place} (character {column}): {why}"))
    })
}

fn expected(what: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(what))
}

fn condition(input: &mut &str) -> ModalResult<Condition> {
    Ok(joined(listed(all, "or").parse_next(input)?, Condition::Any))
}

fn all(input: &mut &str) -> ModalResult<Condition> {
    Ok(joined(listed(one, "and").parse_next(input)?, Condition::All))
}

/// One, and one after each word.
fn listed<'a>(
    mut item: impl FnMut(&mut &'a str) -> ModalResult<Condition>,
    between: &'static str,
) -> impl FnMut(&mut &'a str) -> ModalResult<Vec<Condition>> {
    move |input| {
        let mut list = vec![item(input)?];
        while opt(word(between)).parse_next(input)?.is_some() {
            list.push(cut_err(&mut item).parse_next(input)?);
        }
        Ok(list)
    }
}

fn joined(mut list: Vec<Condition>, of: impl FnOnce(Vec<Condition>) -> Condition) -> Condition {
    match (list.len(), list.pop()) {
        (1, Some(one)) => one,
        (_, last) => {
            list.extend(last);
            of(list)
        }
    }
}

fn one(input: &mut &str) -> ModalResult<Condition> {
    let nots: usize = repeat(0.., word("not")).fold(|| 0, |count, ()| count + 1).parse_next(input)?;
    let inner = alt((
        delimited((multispace0, '('), cut_err(condition), cut_err((multispace0, ')')).context(expected("`)`"))),
        test.map(Condition::Is),
    ))
    .parse_next(input)?;
    // Two of them say nothing.
    Ok(if nots % 2 == 1 { Condition::Not(Box::new(inner)) } else { inner })
}

/// A word of the language, not the beginning of a longer one.
fn word<'a>(word: &'static str) -> impl Parser<&'a str, (), ErrMode<ContextError>> {
    (multispace0, word, not(one_of(plain))).void()
}

fn test(input: &mut &str) -> ModalResult<Test> {
    if opt(word("has")).parse_next(input)?.is_some() {
        let (field, _) = cut_err(field).parse_next(input)?;
        return Ok(Test { field, comparison: Comparison::Has });
    }
    let (field, is_bare) = field.context(expected(FIELDS)).parse_next(input)?;
    if opt(word("in")).parse_next(input)?.is_some() {
        let values = separated(1.., value, (multispace0, ','));
        let list = delimited((multispace0, '('), values, (multispace0, ')'));
        let values: Vec<String> =
            cut_err(list).context(expected("values in parentheses, such as (a, b)")).parse_next(input)?;
        return checked(Test { field, comparison: Comparison::In(values) });
    }
    let sign = preceded(multispace0, alt(("!=", "<=", ">=", "=", "<", ">", "~")));
    let sign = cut_err(sign).context(expected("one of = != < <= > >= ~ in")).parse_next(input)?;
    let order = match sign {
        "<" => Some(Order::Less),
        "<=" => Some(Order::AtMost),
        ">" => Some(Order::Greater),
        ">=" => Some(Order::AtLeast),
        _ => None,
    };
    let Some(order) = order else {
        let value = cut_err(value).context(expected("a value")).parse_next(input)?;
        let comparison = match sign {
            "=" => Comparison::Equals(value),
            "!=" => Comparison::Differs(value),
            _ => Comparison::Contains(value),
        };
        return checked(Test { field, comparison });
    };
    let field = match field {
        Field::Attribute(name) if is_bare => Field::Metric(name),
        other => other,
    };
    let limit = match &field {
        Field::Created => cut_err(value.verify_map(|text| time(&text)).map(Limit::Time))
            .context(expected("a time, such as 2026-11-23 or 2026-11-23T10:00:00Z"))
            .parse_next(input)?,
        Field::Attribute(_) | Field::Metric(_) | Field::Label(_) => {
            let number = |text: String| text.parse::<f64>().ok().filter(|number| number.is_finite());
            cut_err(value.verify_map(number).map(Limit::Number)).context(expected("a number")).parse_next(input)?
        }
        _ => {
            return cut_err(fail)
                .context(expected("= != ~ or in: only numbers and times are compared by size"))
                .parse_next(input);
        }
    };
    Ok(Test { field, comparison: Comparison::Ordered(order, limit) })
}

/// What can be compared with what.
fn checked(test: Test) -> ModalResult<Test> {
    let refuse = |what: &'static str| {
        let mut error = ContextError::new();
        error.push(expected(what));
        Err(ErrMode::Cut(error))
    };
    let values: &[String] = match &test.comparison {
        Comparison::Equals(value) | Comparison::Differs(value) => std::slice::from_ref(value),
        Comparison::In(values) => values,
        _ => &[],
    };
    match &test.field {
        Field::Kind | Field::Input | Field::Output if values.iter().any(|value| value.parse::<Kind>().is_err()) => {
            refuse("a kind: codeset, runnable, model or dataset")
        }
        Field::Origin if values.iter().any(|value| !matches!(value.as_str(), "push" | "run" | "registered")) => {
            refuse("push, run or registered")
        }
        Field::Text if !matches!(test.comparison, Comparison::Contains(_)) => refuse("`~` after text"),
        Field::Created | Field::Metric(_) if matches!(test.comparison, Comparison::Contains(_)) => {
            refuse("no `~`: it is no text")
        }
        Field::Created => refuse("< <= > or >= after created"),
        Field::Metric(_) if values.iter().any(|value| value.parse::<f64>().is_err()) => refuse("a number"),
        _ => Ok(test),
    }
}

/// The field, and whether it is a name that may be a metric as well.
fn field(input: &mut &str) -> ModalResult<(Field, bool)> {
    multispace0.parse_next(input)?;
    let begin = take_while(1.., |c: char| c.is_alphanumeric() || "_-/:+@*".contains(c));
    let begin: &str = preceded(not(alt((word("and"), word("or"), word("in")))), begin).parse_next(input)?;
    let known = match begin {
        "kind" => Some(Field::Kind),
        "project" => Some(Field::Project),
        "name" => Some(Field::Name),
        "version" => Some(Field::Version),
        "tag" => Some(Field::Tag),
        "created" => Some(Field::Created),
        "origin" => Some(Field::Origin),
        "input" => Some(Field::Input),
        "output" => Some(Field::Output),
        "text" => Some(Field::Text),
        _ => None,
    };
    if let Some(field) = known.filter(|_| !input.starts_with('.')) {
        return Ok((field, false));
    }
    let of: Option<fn(String) -> Field> = match begin {
        "attribute" => Some(Field::Attribute),
        "metric" => Some(Field::Metric),
        "label" => Some(Field::Label),
        _ => None,
    };
    if let Some(of) = of.filter(|_| input.starts_with('.')) {
        let name = cut_err(preceded('.', text)).context(expected("a name")).parse_next(input)?;
        return Ok((of(name), false));
    }
    let rest: &str = take_while(0.., plain).parse_next(input)?;
    Ok((Field::Attribute(format!("{begin}{rest}")), true))
}

fn value(input: &mut &str) -> ModalResult<String> {
    preceded(multispace0, text).parse_next(input)
}

/// In quotes or plain.
fn text(input: &mut &str) -> ModalResult<String> {
    let quoted = |quote: char| {
        let inner = repeat(0.., alt((preceded('\\', any), none_of([quote, '\\']))));
        delimited(
            quote,
            inner.fold(String::new, |mut text, c: char| {
                text.push(c);
                text
            }),
            cut_err(quote).context(expected("the closing quote")),
        )
    };
    let bare = take_while(1.., plain).verify(|text: &str| is_plain(text)).map(ToOwned::to_owned);
    alt((quoted('\''), quoted('"'), bare)).parse_next(input)
}

/// A moment, or the beginning of a day in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let of_day = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(of_day)
}
