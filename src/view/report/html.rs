//! Pieces of an HTML document.

use std::fmt::Write as _;

use crate::error::Result;
use crate::view::plot::{Picture, data_uri};

/// A whole document.
pub(super) fn document(title: &str, body: &str) -> String {
    let title = escaped(title);
    let style = include_str!("style.css");
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}</main>\n\
         <footer>Written by celldec {version}</footer>\n</body>\n</html>\n"
    )
}

/// Text with everything that HTML gives a meaning made harmless.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A section with a heading; `body` is HTML.
pub(super) fn section(heading: &str, body: &str) -> String {
    format!(
        "<section>\n<h2>{}</h2>\n{body}</section>\n",
        escaped(heading)
    )
}

/// A paragraph of text.
pub(super) fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

/// A picture with a description for those who do not see it.
pub(super) fn figure(picture: &Picture, description: &str) -> Result<String> {
    let source = data_uri("image/svg+xml", picture.to_svg()?.as_bytes());
    let (width, height) = picture.size();
    // On a narrow page a picture is scrolled rather than shrunk until its text is too small.
    Ok(format!(
        "<div class=\"wide\"><img src=\"{source}\" alt=\"{}\" width=\"{width}\" \
         height=\"{height}\" style=\"min-width: min(36rem, {width}px)\"></div>\n",
        escaped(description)
    ))
}

/// A table of text; columns that are not in `texts` hold numbers.
pub(super) struct Table {
    html: String,
    texts: &'static [usize],
}

impl Table {
    pub fn new(header: &[&str], texts: &'static [usize]) -> Self {
        let mut table = Self {
            html: "<div class=\"wide\"><table>\n<thead>".into(),
            texts,
        };
        table.line("th", header);
        table.html.push_str("</thead>\n<tbody>\n");
        table
    }

    pub fn row<T: AsRef<str>>(&mut self, fields: &[T]) {
        self.line("td", fields);
        self.html.push('\n');
    }

    pub fn finish(mut self) -> String {
        self.html.push_str("</tbody>\n</table></div>\n");
        self.html
    }

    fn line<T: AsRef<str>>(&mut self, tag: &str, fields: &[T]) {
        self.html.push_str("<tr>");
        for (column, field) in fields.iter().enumerate() {
            let class = if self.texts.contains(&column) {
                ""
            } else {
                " class=\"number\""
            };
            // Writing into a string cannot fail.
            let _ = write!(
                self.html,
                "<{tag}{class}>{}</{tag}>",
                escaped(field.as_ref())
            );
        }
        self.html.push_str("</tr>");
    }
}

/// A list of names and values.
pub(super) fn definitions(entries: &[(String, String)]) -> String {
    let mut html = String::from("<dl>\n");
    for (name, value) in entries {
        let _ = writeln!(
            html,
            "<div><dt>{}</dt><dd>{}</dd></div>",
            escaped(name),
            escaped(value)
        );
    }
    html.push_str("</dl>\n");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let hostile = "<script>alert(\"1\")</script>&'\u{0}";
        let expected = "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;&#39; ";
        assert_eq!(escaped(hostile), expected);
        let mut table = Table::new(&["<a>", "n"], &[0]);
        table.row(&[hostile, "1"]);
        let html = table.finish();
        assert!(html.contains("<th>&lt;a&gt;</th><th class=\"number\">n</th>"));
        assert!(html.contains(&format!("<td>{expected}</td><td class=\"number\">1</td>")));
    }
}
