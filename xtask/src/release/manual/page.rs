//! A manual page in roff from one in Markdown: headings, paragraphs, lists, tables and code.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

use super::VERSION;

/// What the pages belong to.
pub const MANUAL: &str = "Toehold";

/// Makes the page. Its first line is `# name(section): what it is`.
pub fn from_markdown(text: &str) -> Result<String> {
    let (title, rest) = text.split_once('\n').unwrap_or((text, ""));
    let parts = title
        .strip_prefix("# ")
        .and_then(|title| title.split_once("): "));
    let parts = parts.and_then(|(name, tagline)| Some((name.split_once('(')?, tagline)));
    let ((name, section), tagline) = parts
        .with_context(|| format!("{title} is no title like `# init(8): the first program`"))?;
    let mut page = Roff::new();
    let source = format!("toehold {VERSION}");
    page.control("TH", [name, section, "\"\"", source.as_str(), MANUAL]);
    page.control("SH", ["NAME"]);
    page.text([roman(format!("{name} - {tagline}"))]);
    Ok(ascii(&(page.render() + &body(rest))))
}

/// The page's sections.
pub fn body(text: &str) -> String {
    let mut writer = Writer::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        writer.event(event);
    }
    // As they are typed: see `Roff::render`.
    writer.page.to_roff().replace('\'', "\\*(Aq")
}

/// Letters that not every terminal and formatter has, by their numbers.
pub fn ascii(page: &str) -> String {
    let mut text = String::with_capacity(page.len());
    for letter in page.chars() {
        if letter.is_ascii() {
            text.push(letter);
        } else {
            let _ = write!(text, "\\[u{:04X}]", u32::from(letter));
        }
    }
    text
}

#[derive(Default)]
struct Writer {
    page: Roff,
    /// The paragraph, heading or cell that is being read.
    line: Vec<Inline>,
    style: Style,
    /// The names of a table's columns; empty outside of tables.
    columns: Vec<String>,
    /// The cells of the row that is being read.
    cells: Vec<Vec<Inline>>,
    /// Items of a list are no paragraphs.
    in_item: bool,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Style {
    #[default]
    Roman,
    Bold,
    Italic,
    /// Code that is a block of its own.
    Block,
}

impl Writer {
    fn event(&mut self, event: Event) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.style == Style::Block => {
                for line in text.lines() {
                    self.page.text([roman(line)]);
                }
            }
            Event::Text(text) => self.line.push(match self.style {
                Style::Bold => bold(text.as_ref()),
                Style::Italic => italic(text.as_ref()),
                _ => roman(text.as_ref()),
            }),
            Event::Code(text) => self.line.push(bold(text.as_ref())),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag) {
        match tag {
            Tag::Strong => self.style = Style::Bold,
            Tag::Emphasis => self.style = Style::Italic,
            Tag::Paragraph if !self.in_item => drop(self.page.control("PP", [])),
            Tag::Item => {
                self.page.control("IP", ["\\(bu", "2"]);
                self.in_item = true;
            }
            Tag::CodeBlock(_) => {
                self.page
                    .control("PP", [])
                    .control("RS", ["4"])
                    .control("EX", []);
                self.style = Style::Block;
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong | TagEnd::Emphasis => self.style = Style::Roman,
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph => self.flush(),
            TagEnd::Item => {
                self.flush();
                self.in_item = false;
            }
            TagEnd::CodeBlock => {
                self.page.control("EE", []).control("RE", []);
                self.style = Style::Roman;
            }
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => {
                let cells = std::mem::take(&mut self.cells);
                self.columns = cells.iter().map(|cell| plain(cell)).collect();
            }
            TagEnd::TableRow => self.row(),
            TagEnd::Table => self.columns.clear(),
            _ => {}
        }
    }

    fn heading(&mut self, level: HeadingLevel) {
        let title = plain(&std::mem::take(&mut self.line));
        match level {
            HeadingLevel::H1 | HeadingLevel::H2 => {
                self.page.control("SH", [title.to_uppercase().as_str()])
            }
            _ => self.page.control("SS", [title.as_str()]),
        };
    }

    /// The first column is the term, the last one explains it; what is between goes behind with the column's name.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells);
        let (Some(last), false) = (cells.pop(), cells.is_empty()) else {
            return;
        };
        self.page.control("TP", []);
        self.page.text(cells.remove(0));
        self.line = last;
        for (name, cell) in self.columns.iter().skip(1).zip(cells) {
            if !cell.is_empty() {
                self.line.push(roman(format!("; {name}: ")));
                self.line.extend(cell);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.page.text(std::mem::take(&mut self.line));
        }
    }
}

fn plain(line: &[Inline]) -> String {
    let texts = line.iter().map(|part| match part {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text.as_str(),
        Inline::LineBreak => " ",
    });
    texts.collect()
}
