//! Links between pages lead somewhere: in the repository, and in the book that `make book` makes of them.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use latchkey_testing::{Scratch, repository};

/// What has pages, besides the folder itself.
const ROOMS: [&str; 5] = ["deploy", "docs", "envoy", "ops", "release"];

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let root = repository("");
    let mut pages = files(&root, "md", false);
    pages.extend(ROOMS.iter().flat_map(|room| files(&root.join(room), "md", true)));
    let pages: BTreeMap<PathBuf, String> =
        pages.into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect();
    let mut dead = Vec::new();
    let mut count = 0;
    for (page, text) in &pages {
        let text = without_code(text);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            count += 1;
            let headings = |place: &Path| pages.get(place).map(|text| headings(text));
            if !leads_somewhere(page, link, headings) {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(count > 100, "{count} links");
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn every_page_is_in_the_book_and_every_link_of_it_leads_somewhere() {
    let scratch = Scratch::new();
    let book = scratch.path().join("book");
    assert!(repository(".tools/mdbook").is_file(), "no mdbook: run `envoy/install-tools mdbook`");
    let built = Command::new(repository("docs/build-book")).arg(&book).output().unwrap();
    let complaint = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success() && complaint.is_empty(), "{complaint}");

    let pages = files(&repository("docs"), "md", true).into_iter();
    let pages = pages.filter(|page| !page.ends_with("SUMMARY.md"));
    let missing: Vec<PathBuf> = pages
        .map(|page| page.strip_prefix(repository("")).unwrap().with_extension("html"))
        .filter(|page| !book.join(page).is_file())
        .collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");

    let pages = files(&book, "html", true).into_iter();
    // Of all pages in one, and of one at no known place.
    let pages = pages.filter(|page| !page.ends_with("print.html") && !page.ends_with("404.html"));
    let pages: BTreeMap<PathBuf, String> =
        pages.map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect();
    let mut dead = BTreeSet::new();
    for (page, text) in &pages {
        for link in attributes(text, "href").chain(attributes(text, "src")) {
            let anchors = |place: &Path| {
                let text = pages.get(place)?;
                Some(attributes(text, "id").map(str::to_owned).collect())
            };
            if !link.ends_with("print.html") && !leads_somewhere(page, link, anchors) {
                dead.insert(format!("{}: {link}", page.strip_prefix(&book).unwrap().display()));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
}

#[test]
fn anchors_are_those_of_github() {
    let page =
        "# A `key`, from [Kong](x.md)\n```\n# no heading\n```\n## What's new?\n## What's new?\n";
    let expected = ["a-key-from-kong", "whats-new", "whats-new-1"].map(str::to_owned);
    assert_eq!(headings(page), BTreeSet::from(expected));
}

/// Whether a link of a page leads to a file, and to an anchor that the file has; a link to elsewhere is taken for good.
fn leads_somewhere(
    page: &Path,
    link: &str,
    anchors: impl Fn(&Path) -> Option<BTreeSet<String>>,
) -> bool {
    if link.contains("://") || link.starts_with("mailto:") || link.starts_with("data:") {
        return true;
    }
    let (file, anchor) = link.split_once('#').map_or((link, None), |(file, own)| (file, Some(own)));
    let place =
        if file.is_empty() { page.to_owned() } else { plain(&page.parent().unwrap().join(file)) };
    let has = |anchor: &str| anchors(&place).is_some_and(|anchors| anchors.contains(anchor));
    place.exists() && anchor.is_none_or(has)
}

/// A path without `..` and `.`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// The anchors that GitHub gives the headings of a page.
fn headings(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let text = without_fences(page);
    for heading in text.lines().filter(|line| line.starts_with('#')) {
        let mut words = heading.trim_start_matches('#').trim().split("](");
        let first = words.next().unwrap().to_owned();
        let heading = words.fold(first, |text, rest| text + rest.split_once(')').unwrap().1);
        let anchor: String = heading
            .to_lowercase()
            .chars()
            .filter(|own| own.is_alphanumeric() || matches!(own, ' ' | '-' | '_'))
            .map(|own| if own == ' ' { '-' } else { own })
            .collect();
        let mut names = std::iter::once(anchor.clone());
        let mut numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let is_new = |name: &String| !anchors.contains(name);
        let name = names.find(is_new).or_else(|| numbered.find(is_new)).unwrap();
        anchors.insert(name);
    }
    anchors
}

/// A page without its blocks of code.
fn without_fences(page: &str) -> String {
    let mut is_code = false;
    let mut text = String::new();
    for line in page.lines() {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        if !is_code && !is_fence {
            text += line;
            text.push('\n');
        }
    }
    text
}

/// The same without code in its lines.
fn without_code(page: &str) -> String {
    let text = without_fences(page);
    let prose = text.lines().filter(|line| !line.starts_with("    "));
    prose.map(|line| line.split('`').step_by(2).collect::<String>() + "\n").collect()
}

/// The values of an attribute in a page of HTML.
fn attributes<'a>(page: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let start = format!(" {name}=\"");
    let parts: Vec<&str> = page.split(&*start).skip(1).collect();
    parts.into_iter().map(|rest| rest.split('"').next().unwrap())
}

/// The files of that kind in a folder, and in those below it.
fn files(folder: &Path, kind: &str, is_deep: bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && is_deep {
            files.extend(self::files(&path, kind, true));
        } else if path.extension().is_some_and(|own| own == kind) {
            files.push(path);
        }
    }
    files
}
