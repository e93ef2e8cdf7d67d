//! Search: one page of versions, completed to whole descriptors.

use crate::api::{Server, Version};
use crate::{descriptor, filter};
use fuseml_extension::store::{Query, Results};
use fuseml_extension::{Page, Result};

/// Each version costs a request for its logged model, and a call has a time limit.
const MOST: u32 = 50;

pub(crate) fn search(server: &Server, query: Query, page: &Page) -> Result<Results> {
    if query.kind != "model" {
        return Ok(Results { items: Vec::new(), next: None, unapplied: Vec::new() });
    }
    let (filter, unapplied) = filter::translate(query.conditions);
    let limit = page.limit.clamp(1, MOST);
    let answer = server.versions(&filter, limit, page.cursor.as_deref())?;
    let versions = with_aliases(server, answer.model_versions)?;
    let items = versions.into_iter().map(|version| descriptor::of_version(server, version)).collect::<Result<_>>()?;
    Ok(Results { items, next: answer.next_page_token.filter(|token| !token.is_empty()), unapplied })
}

/// The server's search leaves aliases out; they are asked for once a registered model.
fn with_aliases(server: &Server, mut versions: Vec<Version>) -> Result<Vec<Version>> {
    let mut names: Vec<String> = versions.iter().map(|version| version.name.clone()).collect();
    names.sort();
    names.dedup();
    for name in names {
        let aliases = server.aliases(&name)?;
        for version in versions.iter_mut().filter(|version| version.name == name) {
            let here = aliases.iter().filter(|(_, number)| *number == version.version);
            version.aliases = here.map(|(alias, _)| alias.clone()).collect();
        }
    }
    Ok(versions)
}
