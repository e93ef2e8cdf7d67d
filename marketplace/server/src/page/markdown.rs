//! Authors' Markdown as HTML: their own HTML, their pictures and odd links stay text.

use maud::{Markup, PreEscaped};
use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};

/// Longer texts are cut: nobody reads them here, and they cost.
const MOST: usize = 64 << 10;

pub(super) fn markdown(text: &str) -> Markup {
    let end = text.floor_char_boundary(MOST);
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let events = Parser::new_ext(&text[..end], options).filter_map(tame);
    let mut out = String::new();
    html::push_html(&mut out, events);
    PreEscaped(out)
}

fn tame(event: Event) -> Option<Event> {
    Some(match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Heading { level, .. }) => {
            Event::Start(Tag::Heading { level: lower(level), id: None, classes: Vec::new(), attrs: Vec::new() })
        }
        Event::End(TagEnd::Heading(level)) => Event::End(TagEnd::Heading(lower(level))),
        // What a picture shows is said in its text, which follows.
        Event::Start(Tag::Image { .. }) | Event::End(TagEnd::Image) => return None,
        Event::Start(Tag::Link { link_type, dest_url, id, .. }) => {
            let dest_url = if is_safe(&dest_url) { dest_url } else { CowStr::from("#") };
            Event::Start(Tag::Link { link_type, dest_url, title: CowStr::from(""), id })
        }
        other => other,
    })
}

fn is_safe(address: &str) -> bool {
    ["https://", "http://", "mailto:", "#"].iter().any(|begin| address.starts_with(begin))
}

/// The page has the two highest itself.
fn lower(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_author_writes_cannot_act() {
        for (text, never) in [
            ("<script>alert(1)</script>", "<script"),
            ("a <img src=x onerror=alert(1)> b", "<img"),
            ("[x](javascript:alert(1))", "javascript:"),
            ("[x](<java\nscript:alert(1)>)", "href=\"java"),
            ("[x](data:text/html,x)", "data:"),
            ("![alt](https://evil.example/x.png)", "evil.example"),
            ("[x](https://a.example \"title\\\" onclick=1\")", "onclick"),
        ] {
            let html = markdown(text).into_string();
            assert!(!html.contains(never), "{text}: {html}");
        }
        assert_eq!(markdown("# One\n\n`two`").into_string(), "<h3>One</h3>\n<p><code>two</code></p>\n");
    }
}
