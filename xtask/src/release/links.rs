//! Links in a page that ships without the repository around it.

use pulldown_cmark::{Event, Options, Parser, Tag};

/// The page with those links that lead to the web, within it, or to what ships beside it, as `ships` knows. Of others the text stays.
pub fn shipped(page: &str, ships: impl Fn(&str) -> bool) -> String {
    let mut text = page.to_owned();
    let events = Parser::new_ext(page, Options::ENABLE_TABLES).into_offset_iter();
    let links = events.filter_map(|(event, place)| match event {
        Event::Start(Tag::Link { dest_url, .. }) => Some((dest_url, place)),
        _ => None,
    });
    // From the end, so that places stay right.
    let links: Vec<_> = links.collect();
    for (target, place) in links.into_iter().rev() {
        let leads = target.contains("://") || target.starts_with('#') || ships(&target);
        let named = page[place.clone()].strip_prefix('[');
        let named = named.and_then(|link| link.rsplit_once("]("));
        if let (false, Some((name, _))) = (leads, named) {
            text.replace_range(place, name);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shipped;

    #[test]
    fn only_links_that_lead_somewhere_stay() {
        let page = "see [a](A.md), [b](../b.md), [`c`](../../c.rs) and [d](https://d.example/e), [f](#f)\n\n\
            | [g](g.rs) | h |\n|---|---|\n| [i](i.rs) | [j](A.md) |\n\n```\n[k](k.rs)\n```\n";
        let expected = "see [a](A.md), b, `c` and [d](https://d.example/e), [f](#f)\n\n\
            | g | h |\n|---|---|\n| i | [j](A.md) |\n\n```\n[k](k.rs)\n```\n";
        assert_eq!(shipped(page, |target| target == "A.md"), expected);
    }
}
