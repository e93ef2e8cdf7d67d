//! Steps and what they wait for, as DOT or Mermaid.

use clap::ValueEnum;
use fuseml_domain::{Run, Template};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Notation {
    Mermaid,
    Dot,
}

/// A template's steps; for a run with their states.
pub(crate) fn draw(template: &Template, run: Option<&Run>, notation: Notation) -> String {
    let number: BTreeMap<_, usize> = template.steps.iter().enumerate().map(|(at, step)| (&step.name, at)).collect();
    let mut text = match notation {
        Notation::Dot => "digraph steps {\n  rankdir=LR;\n  node [fontname=\"sans-serif\", shape=box];\n".to_owned(),
        Notation::Mermaid => "flowchart LR\n".to_owned(),
    };
    for (at, step) in template.steps.iter().enumerate() {
        let state = run.and_then(|run| run.step(&step.name)).map(|step| format!(" ({})", step.state));
        // A name has no character that would end the label.
        let label = format!("{}{}", step.name, state.unwrap_or_default());
        let is_question = step.is_patient();
        text += &match (notation, is_question) {
            (Notation::Dot, true) => format!("  s{at} [label=\"{label}\", shape=diamond];\n"),
            (Notation::Dot, false) => format!("  s{at} [label=\"{label}\"];\n"),
            (Notation::Mermaid, true) => format!("  s{at}{{\"{label}\"}}\n"),
            (Notation::Mermaid, false) => format!("  s{at}[\"{label}\"]\n"),
        };
    }
    for step in &template.steps {
        for need in step.needs() {
            let (Some(from), Some(to)) = (number.get(&need), number.get(&step.name)) else { continue };
            text += &match notation {
                Notation::Dot => format!("  s{from} -> s{to};\n"),
                Notation::Mermaid => format!("  s{from} --> s{to}\n"),
            };
        }
    }
    if notation == Notation::Dot {
        text += "}\n";
    }
    text
}
