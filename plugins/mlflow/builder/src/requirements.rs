//! What pip is asked to install: PEP 508 requirements in one canonical spelling, out of pip's line format.
//!
//! Lines that would install from somewhere else than the host's package index, or from a folder that is not in
//! the image, are refused with the reason rather than dropped.

use crate::yaml::{Node, Place};
use fuseml_extension::{Result, files};

/// Requirements and every file that was read for them.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    pub list: Vec<String>,
    pub files: Vec<String>,
}

impl Requirements {
    /// Items of a YAML list, in pip's line format.
    pub(crate) fn add_list(&mut self, items: &[Node]) -> Result<()> {
        items.iter().try_for_each(|item| self.add_line(&item.place, item.text("a requirement")?))
    }

    /// A whole requirements file.
    pub(crate) fn add_file(&mut self, file: &str, text: &str) -> Result<()> {
        self.files.push(file.to_owned());
        let mut lines = (1..).zip(text.lines());
        while let Some((number, line)) = lines.next() {
            let mut whole = line.to_owned();
            while whole.ends_with('\\') {
                whole.pop();
                whole.push_str(lines.next().map_or("", |(_, line)| line));
            }
            self.add_line(&Place { file: file.into(), line: number }, &whole)?;
        }
        Ok(())
    }

    /// One line of pip's format.
    pub(crate) fn add_line(&mut self, place: &Place, line: &str) -> Result<()> {
        let line = without_comment(line);
        if line.is_empty() {
            return Ok(());
        }
        if let Some(path) = included(line) {
            return self.include(place, path.trim());
        }
        if line.starts_with('-') {
            return Err(option_refused(place, line));
        }
        let requirement = canonical(place, line)?;
        check_mlflow(place, &requirement)?;
        // pip itself is the installer and comes with the image.
        if name_of(&requirement) != "pip" {
            self.list.push(requirement);
        }
        Ok(())
    }

    fn include(&mut self, place: &Place, path: &str) -> Result<()> {
        let Some(file) = beside(&place.file, path) else {
            let message = format!("`{path}` lies outside the codeset; include a file that is in it");
            return Err(place.invalid("path-outside", message));
        };
        if self.files.contains(&file) {
            return Ok(()); // once is enough, and a circle ends here
        }
        match files::read_text_if_there(&file)? {
            Some(text) => self.add_file(&file, &text),
            None => Err(place.invalid("no-such-file", format!("it includes `{file}`, which is not in the codeset"))),
        }
    }
}

/// The path of a file named in another, relative to the codeset; `None` where it would leave it.
pub(crate) fn beside(file: &str, path: &str) -> Option<String> {
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    if path.starts_with('/') {
        return None;
    }
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// pip's rule: `#` starts a comment at the line's start or after a space.
fn without_comment(line: &str) -> &str {
    let start = line.char_indices().find(|(at, c)| {
        *c == '#' && line.get(..*at).is_none_or(|before| before.is_empty() || before.ends_with(char::is_whitespace))
    });
    start.and_then(|(at, _)| line.get(..at)).unwrap_or(line).trim()
}

fn included(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("--requirement").or_else(|| line.strip_prefix("-r"))?;
    Some(rest.trim_start_matches([' ', '=', '\t']))
}

fn option_refused(place: &Place, line: &str) -> fuseml_extension::Error {
    let option = line.split([' ', '=']).next().unwrap_or(line);
    let message = match option {
        "-e" | "--editable" => {
            "a project in the codeset cannot be installed: its code is staged beside the run, so \
                                import it from there and list what it needs"
        }
        "-c" | "--constraint" => "constraint files are not read; write the bounds into the requirements",
        "-i" | "--index-url" | "--extra-index-url" | "-f" | "--find-links" | "--no-index" | "--trusted-host" => {
            "where packages come from is set up where images are built, not in the project; remove the line"
        }
        _ => "only requirements and `-r FILE` are understood; remove the option",
    };
    place.unsupported("pip-option", format!("`{option}`: {message}"))
}

/// `name[extras]specifiers; marker` or `name[extras] @ url; marker`, without needless spaces.
fn canonical(place: &Place, line: &str) -> Result<String> {
    let refuse = |why: &str| place.invalid("requirement", format!("`{line}` {why}"));
    if line.chars().any(char::is_control) || line.contains(" --") {
        return Err(refuse("is more than one requirement; write `name==version`, without options"));
    }
    if line.starts_with(['.', '/']) || line.starts_with("file:") {
        let message = format!("`{line}` is a path; packages are installed from the package index only");
        return Err(place.unsupported("requirement-path", message));
    }
    let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    if rest.starts_with([':', '+', '/']) {
        return Err(refuse("is a bare URL; write `name @ url`"));
    }
    let bounded = |name: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        edge(name.chars().next()) && edge(name.chars().last())
    };
    if !bounded(name) {
        return Err(refuse("does not start with the name of a package; write `name==version`"));
    }
    let (extras, rest) = match rest.trim_start().strip_prefix('[') {
        None => (String::new(), rest),
        Some(after) => {
            let (inside, rest) = after.split_once(']').ok_or_else(|| refuse("has a `[` without its `]`"))?;
            (format!("[{}]", without_spaces(inside)), rest)
        }
    };
    let rest = rest.trim();
    if let Some(url) = rest.strip_prefix('@') {
        return Ok(format!("{name}{extras} @ {}", url.trim()));
    }
    let (specifiers, marker) = rest.split_once(';').map_or((rest, None), |(rest, marker)| (rest, Some(marker.trim())));
    let specifiers = without_spaces(specifiers.trim().trim_start_matches('(').trim_end_matches(')'));
    if !(specifiers.is_empty() || specifiers.split(',').all(is_specifier)) {
        return Err(refuse("is not `name` followed by conditions such as `==1.5` or `>=1.5,<2`"));
    }
    Ok(match marker {
        None => format!("{name}{extras}{specifiers}"),
        Some(marker) => format!("{name}{extras}{specifiers}; {marker}"),
    })
}

fn is_specifier(text: &str) -> bool {
    let version = text.trim_start_matches(['=', '<', '>', '!', '~']);
    let operator = text.strip_suffix(version).unwrap_or_default();
    ["==", "===", "!=", "~=", ">=", "<=", ">", "<"].contains(&operator)
        && version.starts_with(|c: char| c.is_ascii_alphanumeric())
        && version.chars().all(|c| c.is_ascii_alphanumeric() || ".*+!-_".contains(c))
}

fn without_spaces(text: &str) -> String {
    text.split_whitespace().collect()
}

/// The name by which the package index knows it.
pub(crate) fn name_of(requirement: &str) -> String {
    let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
    requirement.split_at(end.unwrap_or(requirement.len())).0.to_ascii_lowercase().replace(['_', '.'], "-")
}

/// Before an image is built for minutes only to end in pip's conflict report.
fn check_mlflow(place: &Place, requirement: &str) -> Result<()> {
    let pinned = requirement.strip_prefix("mlflow==").and_then(|version| version.split('.').next());
    match pinned.and_then(|major| major.parse::<u32>().ok()) {
        Some(major) if major < 3 => Err(place.unsupported(
            "mlflow-version",
            format!("`{requirement}` is older than the MLflow 3 that trains and serves here; write `mlflow>=3`"),
        )),
        _ => Ok(()),
    }
}
