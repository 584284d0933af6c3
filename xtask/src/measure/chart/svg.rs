//! SVG as text: elements, with everything in them escaped.

use std::fmt::{Display, Write};

/// A picture that grows.
#[derive(Default)]
pub struct Svg {
    text: String,
}

/// Characters that mean something to XML are written as references; those that it has no way to write, as `�`.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' => escaped.push('\n'),
            '\0'..=' ' if character != ' ' => escaped.push('\u{FFFD}'),
            '\u{7F}'..='\u{9F}' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            _ => escaped.push(character),
        }
    }
    escaped
}

impl Svg {
    /// Goes on with another's elements.
    pub fn append(&mut self, other: Self) {
        self.text.push_str(&other.text);
    }

    /// What comes as it is: styles, patterns.
    pub fn raw(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    /// `<name attributes>text</name>`, with what a pointer that rests there shows.
    fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &dyn Display)],
        title: Option<&str>,
        text: &str,
    ) {
        let _ = write!(self.text, "<{name}");
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"{}\"", escaped(&value.to_string()));
        }
        let title = title.map(|title| format!("<title>{}</title>", escaped(title)));
        let content = title.unwrap_or_default() + &escaped(text);
        let _ = match content.as_str() {
            "" => writeln!(self.text, "/>"),
            content => writeln!(self.text, ">{content}</{name}>"),
        };
    }

    /// A rectangle; `span` is left and right, `band` top and height.
    pub fn bar(&mut self, class: &str, span: (f64, f64), band: (f64, f64), title: Option<&str>) {
        self.element(
            "rect",
            &[
                ("class", &class),
                ("x", &Short(span.0)),
                ("y", &Short(band.0)),
                ("width", &Short(span.1 - span.0)),
                ("height", &Short(band.1)),
            ],
            title,
            "",
        );
    }

    pub fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.element(
            "line",
            &[
                ("class", &class),
                ("x1", &Short(from.0)),
                ("y1", &Short(from.1)),
                ("x2", &Short(to.0)),
                ("y2", &Short(to.1)),
            ],
            None,
            "",
        );
    }

    /// Text with its base line at `y`; `class` says on which side of `x`.
    pub fn text(&mut self, class: &str, x: f64, y: f64, text: &str) {
        self.element(
            "text",
            &[("class", &class), ("x", &Short(x)), ("y", &Short(y))],
            None,
            text,
        );
    }

    /// The whole picture.
    pub fn finish(self, width: f64, height: f64, title: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
             <title>{}</title>\n{}</svg>\n",
            escaped(title),
            self.text
        )
    }
}

/// A length with two decimals at most.
struct Short(f64);

impl Display for Short {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(formatter, "{}", (self.0 * 100.0).round() / 100.0)
    }
}
