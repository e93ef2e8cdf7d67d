//! Finding artifacts by condition, newest first.
//!
//! A page begins with whatever there is least of: an index of facts, or a kind of a project. Candidates are looked at in
//! portions, so that the time grows with the answer, not with the catalog; a page that took too many of them ends early
//! with a token to go on. SQL leaves candidates that might fit, the condition itself decides.

use crate::{Catalog, facts::LONGEST_TEXT, facts::cut, failed, from_json, grams};
use fuseml_database::{Dialect, Sql};
use fuseml_domain::{
    Comparison, Condition, Descriptor, Error, Field, Kind, Limit, Name, Order, Result, Runnable, Test,
};
use serde::{Deserialize, Serialize};

/// What is looked for.
#[derive(Debug, Clone, Default)]
pub struct ArtifactSearch {
    /// Of this project alone.
    pub project: Option<Name>,
    pub condition: Option<Condition>,
    /// Only runnables that take this artifact.
    pub taking: Option<Box<Descriptor>>,
    /// None that a sweep made and did not choose.
    pub without_held: bool,
    /// Artifacts in one page.
    pub limit: u32,
    pub page_token: Option<String>,
}

/// Artifacts that were found, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactPage {
    pub artifacts: Vec<Descriptor>,
    /// There may be more; a page can be empty and have this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_page_token: Option<String>,
}

/// What more artifacts have than this is common.
const COMMON: i64 = 2_000;
/// Candidates in the first portion for each artifact that is wanted, and in the largest one; portions for a page.
const FIRST_PORTION: i64 = 4;
const PORTION: i64 = 4_000;
const PORTIONS: usize = 12;

/// What a search looks through.
enum Begin {
    /// Artifacts with one of these texts in a field.
    Texts(String, Vec<String>),
    /// Artifacts with a number in a field.
    Numbers(String, Order, f64),
    /// Versions of one series.
    Name(String),
    /// Artifacts with all of these grams in their texts.
    Grams(Vec<i64>),
    Everything,
}

impl Catalog {
    /// A page of what fits.
    ///
    /// # Errors
    /// `invalid` for a token that was not given out here.
    pub async fn search(&self, search: &ArtifactSearch) -> Result<ArtifactPage> {
        let ArtifactSearch { project, condition, taking, without_held, limit, page_token } = search;
        let takes = |runnable: &Runnable| taking.as_ref().is_none_or(|artifact| runnable.takes(artifact).is_some());
        let wanted = (*limit).clamp(1, 1_000) as usize;
        let mut before = match page_token {
            Some(token) => {
                let row = token.parse().ok().filter(|row: &i64| *row > 0);
                row.ok_or_else(|| Error::invalid("page-token", "this page token was not given out here"))?
            }
            None => i64::MAX,
        };
        let needed = condition.as_ref().map(needed).unwrap_or_default();
        let begin = self.begin_with(&needed).await?;
        let fits = |artifact: &Descriptor| {
            condition.as_ref().is_none_or(|condition| condition.matches(artifact))
                && (taking.is_none() || artifact.runnable.as_deref().is_some_and(takes))
        };
        let mut artifacts = Vec::new();
        let mut next_portion = (wanted as i64 * FIRST_PORTION).min(PORTION);
        for _ in 0..PORTIONS {
            let (project, needed, dialect) = (project.as_ref(), &needed[..], self.database.dialect());
            let portion = Portion { begin: &begin, project, needed, before, rows: next_portion, dialect };
            next_portion = (portion.rows * 4).min(PORTION);
            let mut sql = Sql::new("SELECT a.row, a.document FROM artifacts a WHERE a.row IN (SELECT d.row FROM (");
            candidates(&mut sql, &portion);
            sql.push(") d)");
            if let Some(project) = project {
                sql.push(" AND a.project = ").push_bind(project.to_string());
            }
            if *without_held {
                sql.push(" AND a.held = 0");
            }
            if let Some(condition) = condition {
                sql.push(" AND ");
                compile(&mut sql, condition, Bound::Upper);
            }
            let room = wanted - artifacts.len();
            sql.push(" ORDER BY a.row DESC LIMIT ").push_bind(room as i64 + 1);
            let rows: Vec<(i64, String)> = sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?;
            let is_full = rows.len() > room;
            for (row, text) in rows {
                let artifact = from_json(&text)?;
                if artifacts.len() == wanted {
                    return Ok(page(artifacts, Some(before)));
                }
                before = row;
                if fits(&artifact) {
                    artifacts.push(artifact);
                }
            }
            if is_full {
                continue;
            }
            // What was not chosen was looked at too: the portion's end says how far.
            let mut sql = Sql::new("SELECT COALESCE(MIN(d.row), 0), COUNT(*) FROM (");
            candidates(&mut sql, &portion);
            sql.push(") d");
            let ends: Vec<(i64, i64)> = sql.rows().fetch_all(&self.database.pool).await.map_err(failed)?;
            match ends.first() {
                Some((row, count)) if *count == portion.rows => before = *row,
                _ => return Ok(page(artifacts, None)),
            }
            if artifacts.len() == wanted {
                break;
            }
        }
        Ok(page(artifacts, Some(before)))
    }

    /// The rarest of what an artifact must have.
    async fn begin_with(&self, needed: &[&Test]) -> Result<Begin> {
        let mut best = (COMMON, Begin::Everything);
        for test in needed {
            let Some(begin) = beginning(test) else { continue };
            let table = match begin {
                Begin::Name(_) => "artifacts c",
                Begin::Grams(_) => "artifact_grams",
                _ => "facts f",
            };
            let mut sql = Sql::new(format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} WHERE "));
            beginning_condition(&mut sql, &begin, self.database.dialect());
            sql.push(" LIMIT ").push_bind(best.0 + 1).push(") n");
            let count: Vec<i64> = sql.scalar().fetch_all(&self.database.pool).await.map_err(failed)?;
            let count = count.first().copied().unwrap_or_default();
            // Texts are in the order of artifacts, also where there are many of them; numbers have to be sorted.
            let is_ordered = match &begin {
                Begin::Texts(_, texts) => texts.len() == 1,
                Begin::Name(_) | Begin::Grams(_) => true,
                Begin::Numbers(..) | Begin::Everything => false,
            };
            if count <= best.0 || is_ordered && matches!(best.1, Begin::Everything) {
                best = (count.min(best.0), begin);
            }
        }
        Ok(best.1)
    }
}

fn page(artifacts: Vec<Descriptor>, next: Option<i64>) -> ArtifactPage {
    ArtifactPage { artifacts, next_page_token: next.map(|row| row.to_string()) }
}

/// What every artifact that fits must be.
fn needed(condition: &Condition) -> Vec<&Test> {
    match condition {
        Condition::All(list) => list.iter().flat_map(needed).collect(),
        Condition::Is(test) => vec![test],
        Condition::Any(_) | Condition::Not(_) => Vec::new(),
    }
}

/// An index of facts that serves a test.
fn beginning(test: &Test) -> Option<Begin> {
    if let Comparison::Contains(letters) = &test.comparison {
        let is_text =
            matches!(test.field, Field::Text | Field::Name | Field::Tag | Field::Attribute(_) | Field::Label(_));
        return grams::asked(letters).filter(|_| is_text).map(Begin::Grams);
    }
    let field = match &test.field {
        Field::Name => match &test.comparison {
            Comparison::Equals(value) => return Some(Begin::Name(value.clone())),
            _ => return None,
        },
        Field::Tag
        | Field::Origin
        | Field::Input
        | Field::Output
        | Field::Attribute(_)
        | Field::Label(_)
        | Field::Metric(_) => cut(&test.field.path()),
        _ => return None,
    };
    let is_number = matches!(test.field, Field::Metric(_));
    match &test.comparison {
        Comparison::Equals(value) if !is_number => Some(Begin::Texts(field, vec![cut(value)])),
        Comparison::In(values) if !is_number => {
            Some(Begin::Texts(field, values.iter().map(|value| cut(value)).collect()))
        }
        Comparison::Ordered(order, Limit::Number(number)) => Some(Begin::Numbers(field, *order, *number)),
        _ => None,
    }
}

fn beginning_condition(sql: &mut Sql, begin: &Begin, dialect: Dialect) {
    match begin {
        Begin::Texts(field, texts) => {
            sql.push("f.field = ").push_bind(field.clone()).push(" AND f.text IN ");
            list(sql, texts);
        }
        Begin::Numbers(field, order, number) => {
            sql.push("f.field = ").push_bind(field.clone());
            sql.push(format!(" AND f.number {} ", order.sign())).push_bind(*number);
        }
        Begin::Name(name) => drop(sql.push("c.name = ").push_bind(name.clone())),
        Begin::Grams(asked) => grams::having(sql, asked, dialect),
        Begin::Everything => drop(sql.push("1 = 1")),
    }
}

/// Which rows are looked at: those before one, newest first.
struct Portion<'a> {
    begin: &'a Begin,
    project: Option<&'a Name>,
    needed: &'a [&'a Test],
    before: i64,
    rows: i64,
    dialect: Dialect,
}

fn candidates(sql: &mut Sql, portion: &Portion<'_>) {
    let Portion { begin, project, needed, before, rows: portion, dialect } = *portion;
    match begin {
        Begin::Grams(_) => {
            let row = grams::row(dialect);
            sql.push(format!("SELECT {row} AS row FROM artifact_grams WHERE "));
            beginning_condition(sql, begin, dialect);
            sql.push(format!(" AND {row} < ")).push_bind(before);
            sql.push(format!(" ORDER BY {row} DESC LIMIT ")).push_bind(portion);
        }
        Begin::Everything | Begin::Name(_) => {
            sql.push("SELECT c.row FROM artifacts c WHERE c.row < ").push_bind(before);
            if let Some(project) = project {
                sql.push(" AND c.project = ").push_bind(project.to_string());
            }
            for test in needed {
                if let (Field::Kind | Field::Name | Field::Project, Comparison::Equals(value)) =
                    (&test.field, &test.comparison)
                {
                    sql.push(format!(" AND c.{} = ", test.field.path())).push_bind(named(&test.field, value));
                }
            }
            sql.push(" ORDER BY c.row DESC LIMIT ").push_bind(portion);
        }
        _ => {
            sql.push("SELECT DISTINCT f.artifact AS row FROM facts f WHERE ");
            beginning_condition(sql, begin, dialect);
            sql.push(" AND f.artifact < ").push_bind(before);
            sql.push(" ORDER BY f.artifact DESC LIMIT ").push_bind(portion);
        }
    }
}

fn list(sql: &mut Sql, values: &[String]) {
    for (at, value) in values.iter().enumerate() {
        sql.push(if at == 0 { "(" } else { ", " }).push_bind(value.clone());
    }
    sql.push(")");
}

/// Where SQL does not say exactly what a condition says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// It lets through all that fits, and perhaps more.
    Upper,
    /// It lets through only what fits, and perhaps less: within `not`.
    Lower,
}

impl Bound {
    fn other(self) -> Self {
        match self {
            Self::Upper => Self::Lower,
            Self::Lower => Self::Upper,
        }
    }
}

fn compile(sql: &mut Sql, condition: &Condition, bound: Bound) {
    let (all, word) = match condition {
        Condition::Is(test) => return compile_test(sql, test, bound),
        Condition::Not(one) => {
            sql.push("NOT (");
            compile(sql, one, bound.other());
            sql.push(")");
            return;
        }
        Condition::All(all) => (all, " AND "),
        Condition::Any(all) => (all, " OR "),
    };
    sql.push("(");
    for (at, one) in all.iter().enumerate() {
        if at > 0 {
            sql.push(word);
        }
        compile(sql, one, bound);
    }
    sql.push(")");
}

fn compile_test(sql: &mut Sql, test: &Test, bound: Bound) {
    let column = match &test.field {
        Field::Kind => "a.kind",
        Field::Project => "a.project",
        Field::Name => "a.name",
        Field::Version => return compile_version(sql, &test.comparison, bound),
        Field::Created => return compile_created(sql, &test.comparison, bound),
        Field::Text => return unsure(sql, bound),
        Field::Tag
        | Field::Origin
        | Field::Input
        | Field::Output
        | Field::Attribute(_)
        | Field::Metric(_)
        | Field::Label(_) => return compile_fact(sql, test, bound),
    };
    match &test.comparison {
        Comparison::Has => drop(sql.push("1 = 1")),
        Comparison::Equals(value) => drop(sql.push(format!("{column} = ")).push_bind(named(&test.field, value))),
        Comparison::Differs(value) => drop(sql.push(format!("{column} <> ")).push_bind(named(&test.field, value))),
        Comparison::In(values) => {
            let values: Vec<String> = values.iter().map(|value| named(&test.field, value)).collect();
            sql.push(format!("{column} IN "));
            list(sql, &values);
        }
        Comparison::Contains(_) | Comparison::Ordered(..) => unsure(sql, bound),
    }
}

/// A kind has more names than one.
fn named(field: &Field, value: &str) -> String {
    match field {
        Field::Kind => value.parse::<Kind>().map_or_else(|_| value.to_owned(), |kind| kind.name().to_owned()),
        _ => value.to_owned(),
    }
}

/// SQL cannot tell.
fn unsure(sql: &mut Sql, bound: Bound) {
    sql.push(if bound == Bound::Upper { "1 = 1" } else { "1 = 0" });
}

fn compile_version(sql: &mut Sql, comparison: &Comparison, bound: Bound) {
    let begins = |sql: &mut Sql, value: &str| {
        // `~` sorts after every character of an id.
        sql.push("(a.id >= ").push_bind(value.to_owned()).push(" AND a.id < ").push_bind(format!("{value}~")).push(")");
    };
    match comparison {
        Comparison::Equals(value) => begins(sql, value),
        Comparison::Differs(value) => {
            sql.push("NOT ");
            begins(sql, value);
        }
        Comparison::In(values) => {
            sql.push("(1 = 0");
            for value in values {
                sql.push(" OR ");
                begins(sql, value);
            }
            sql.push(")");
        }
        Comparison::Has => drop(sql.push("1 = 1")),
        Comparison::Contains(_) | Comparison::Ordered(..) => unsure(sql, bound),
    }
}

/// Columns know milliseconds, documents more.
fn compile_created(sql: &mut Sql, comparison: &Comparison, bound: Bound) {
    let Comparison::Ordered(order, Limit::Time(time)) = comparison else {
        return match comparison {
            Comparison::Has => drop(sql.push("1 = 1")),
            _ => unsure(sql, bound),
        };
    };
    let sign = match (order, bound) {
        (Order::Less | Order::AtMost, Bound::Upper) => "<=",
        (Order::Less | Order::AtMost, Bound::Lower) => "<",
        (Order::Greater | Order::AtLeast, Bound::Upper) => ">=",
        (Order::Greater | Order::AtLeast, Bound::Lower) => ">",
    };
    sql.push(format!("a.created {sign} ")).push_bind(time.as_millisecond());
}

fn compile_fact(sql: &mut Sql, test: &Test, bound: Bound) {
    let path = test.field.path();
    let values: &[String] = match &test.comparison {
        Comparison::Equals(value) | Comparison::Differs(value) => std::slice::from_ref(value),
        Comparison::In(values) => values,
        _ => &[],
    };
    let is_cut = |text: &String| text.chars().count() >= LONGEST_TEXT || text.contains('\0');
    if is_cut(&path) || values.iter().any(is_cut) {
        return unsure(sql, bound);
    }
    let is_number = matches!(test.field, Field::Metric(_));
    let exists = |sql: &mut Sql, negated: bool| {
        sql.push(if negated { "NOT EXISTS" } else { "EXISTS" });
        sql.push(" (SELECT 1 FROM facts f WHERE f.artifact = a.row AND f.field = ").push_bind(path.clone());
    };
    let among = |sql: &mut Sql| match is_number {
        true => {
            sql.push(" AND +f.number IN (");
            for (at, number) in values.iter().filter_map(|value| value.parse::<f64>().ok()).enumerate() {
                sql.push(if at == 0 { "" } else { ", " }).push_bind(number);
            }
            sql.push(")");
        }
        false => {
            sql.push(" AND f.text IN ");
            list(sql, values);
        }
    };
    match &test.comparison {
        Comparison::Equals(_) | Comparison::In(_) => {
            exists(sql, false);
            among(sql);
            sql.push(")");
        }
        Comparison::Differs(_) => {
            // Each tag or slot is a value of its own: to differ means that none is the same. Other fields have to be there.
            if !matches!(test.field, Field::Tag | Field::Input | Field::Output) {
                exists(sql, false);
                sql.push(") AND ");
            }
            exists(sql, true);
            among(sql);
            sql.push(")");
        }
        Comparison::Ordered(order, Limit::Number(number)) => {
            exists(sql, false);
            // The plus keeps SQLite from the index of numbers: what this artifact has is few, what has such a number many.
            sql.push(format!(" AND +f.number {} ", order.sign())).push_bind(*number).push(")");
        }
        Comparison::Contains(_) if bound == Bound::Lower => unsure(sql, bound),
        Comparison::Contains(_) | Comparison::Has => {
            exists(sql, false);
            sql.push(")");
        }
        Comparison::Ordered(_, Limit::Time(_)) => unsure(sql, bound),
    }
}
