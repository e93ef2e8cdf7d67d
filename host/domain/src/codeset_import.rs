//! Codesets that come from an outside repository, and follow it (S109–S110).

use crate::{Error, Name, Result};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

/// Between two looks at an outside repository, at the least.
pub const SHORTEST_INTERVAL: SignedDuration = SignedDuration::from_secs(10);

/// Where a codeset comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodesetImport {
    pub project: Name,
    pub name: Name,
    /// `https` or `http`, without a login.
    pub url: Url,
    /// Of these branches alone; all of them if empty.
    #[serde(default)]
    pub branches: Vec<String>,
    /// How often it is looked at; only when somebody asks if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<SignedDuration>,
    /// Who presents the token, if there is one: many hosts take any name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub by: String,
    pub created: Timestamp,
    /// How the last look ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<ImportOutcome>,
}

/// How a look at the outside repository ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOutcome {
    pub at: Timestamp,
    /// Versions that were new.
    pub registered: usize,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Failures since the last success.
    #[serde(default)]
    pub failures: u32,
}

impl CodesetImport {
    /// Refuses what leads into this machine's files, holds a login that everybody could read, or is no branch.
    ///
    /// # Errors
    /// `invalid`, with what to write instead.
    pub fn check(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::invalid("import", why));
        if !matches!(self.url.scheme(), "https" | "http") || self.url.host_str().is_none() {
            return refuse(format!(
                "`{}` is no repository that can be imported: only https:// and http:// are",
                self.url
            ));
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return refuse(format!(
                "the address of {} holds a login, which everybody could read; give it with --token-stdin",
                self.url.host_str().unwrap_or_default()
            ));
        }
        if self.url.query().is_some() || self.url.fragment().is_some() {
            return refuse("a repository's address ends with its path".to_owned());
        }
        if let Some(branch) = self.branches.iter().find(|branch| !is_branch(branch)) {
            return refuse(format!("`{}` is no branch", branch.escape_debug()));
        }
        if self.every.is_some_and(|every| every < SHORTEST_INTERVAL) {
            return refuse("an outside repository is looked at every ten seconds at most".to_owned());
        }
        Ok(())
    }

    /// When it is looked at next: after failures later and later, a day at most.
    pub fn next(&self) -> Option<Timestamp> {
        let every = self.every?;
        let Some(last) = &self.last else { return Some(self.created) };
        let longer = 1_i32 << last.failures.min(10);
        Some(last.at + (every.saturating_mul(longer)).min(every.max(SignedDuration::from_hours(24))))
    }
}

/// What git allows as a branch's name, and nothing that it would read as something else.
fn is_branch(name: &str) -> bool {
    let allowed = |c: char| c.is_alphanumeric() || "/._-+#@".contains(c);
    !name.is_empty()
        && name.len() <= 200
        && name.chars().all(allowed)
        && name.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock"))
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn import(url: &str) -> CodesetImport {
        let name: Name = "app".parse().expect("name");
        CodesetImport {
            project: name.clone(),
            name,
            url: url.parse().expect("url"),
            branches: Vec::new(),
            every: Some(SignedDuration::from_hours(1)),
            user: None,
            by: "ada".to_owned(),
            created: Timestamp::UNIX_EPOCH,
            last: None,
        }
    }

    #[test]
    fn what_leads_elsewhere_or_holds_a_login_is_refused() {
        import("https://git.example/team/app.git").check().expect("import");
        for url in
            ["file:///etc", "ssh://git@h/x", "ext::sh", "https://ada:secret@h/x", "https://h/x?y", "https://t@h/x"]
        {
            let refused = import(url).check().expect_err(url);
            assert!(!refused.message.contains("secret"), "{refused}");
        }
        for branch in ["", "-x", "a..b", "a b", "a:b", "refs/*", "a/.b", "a@{1}", "a.lock", "x."] {
            let wrong = CodesetImport { branches: vec![branch.to_owned()], ..import("https://h/x") };
            assert!(wrong.check().is_err(), "{branch}");
        }
        let often = CodesetImport { every: Some(SignedDuration::from_secs(1)), ..import("https://h/x") };
        assert!(often.check().is_err());
    }

    #[test]
    fn who_fails_is_looked_at_later_and_later_but_at_least_daily() {
        let mut import = import("https://h/x");
        assert_eq!(import.next(), Some(import.created));
        for (failures, hours) in [(0, 1), (1, 2), (3, 8), (5, 24), (99, 24)] {
            import.last = Some(ImportOutcome { at: Timestamp::UNIX_EPOCH, registered: 0, error: None, failures });
            assert_eq!(import.next(), Some(Timestamp::UNIX_EPOCH + SignedDuration::from_hours(hours)), "{failures}");
        }
        import.every = None;
        assert_eq!(import.next(), None);
    }
}
