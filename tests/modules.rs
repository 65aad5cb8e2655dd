//! The modules of a package form no circle: a file that two others need knows neither of them.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use latchkey_testing::repository;

/// Which modules a module names. A folder is one module with the file of its name.
type Uses = BTreeMap<String, BTreeSet<String>>;

#[test]
fn the_modules_of_core_and_filter_form_no_circle() {
    for package in ["src", "filter/src"] {
        assert_eq!(circles(&uses(&repository(package))), Vec::<Vec<String>>::new(), "{package}");
    }
}

#[test]
fn a_circle_is_found() {
    let uses = |text: &str| {
        let line = |line: &str| {
            let (name, code) = line.split_once(": ").unwrap();
            (name.to_owned(), names(code))
        };
        text.lines().map(line).collect::<Uses>()
    };
    let found =
        uses("a: use crate::b::B;\nb: use crate::{d, c::C};\nc: crate::a::f(); // crate::d\nd: ");
    assert_eq!(circles(&found), [["a", "b", "c"]]);
    assert_eq!(
        circles(&uses("a: use crate::b::B;\nb: // use crate::a;")),
        Vec::<Vec<String>>::new()
    );
}

/// What each module of a package uses, but for its tests.
fn uses(package: &Path) -> Uses {
    let mut files = Vec::new();
    collect(package, &mut files);
    let mut uses = Uses::new();
    for file in files {
        let inner = file.strip_prefix(package).unwrap();
        let module = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if matches!(module, "lib" | "main") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("\n#[cfg(test)]\n").next().unwrap_or_default();
        uses.entry(module.to_owned()).or_default().extend(names(code));
    }
    assert!(uses.len() > 3, "no modules in `{}`", package.display());
    for (module, used) in &mut uses {
        used.remove(module);
    }
    let known: BTreeSet<String> = uses.keys().cloned().collect();
    for (module, used) in &uses {
        // A name that the root hands on would hide where it comes from.
        let unknown: Vec<_> = used.difference(&known).collect();
        assert!(unknown.is_empty(), "`{module}` uses {unknown:?}, which are no modules");
    }
    uses
}

fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension() {
            _ if path.is_dir() => collect(&path, files),
            Some(extension) if extension == "rs" => files.push(path),
            _ => {}
        }
    }
}

/// What follows `crate::` in some code: a name, or each first name of a list in braces.
fn names(code: &str) -> BTreeSet<String> {
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let mut depth = 0;
        let mut is_first = true;
        for word in
            rest.split_inclusive(|character: char| !character.is_alphanumeric() && character != '_')
        {
            let name = word.trim_end_matches(|character: char| {
                !character.is_alphanumeric() && character != '_'
            });
            if is_first && !name.is_empty() {
                names.insert(name.to_owned());
                is_first = false;
            }
            match word.chars().last() {
                Some('{') => depth += 1,
                Some('}') => depth -= 1,
                Some(',') if depth == 1 => is_first = true,
                _ => {}
            }
            if depth == 0 && !is_first {
                break;
            }
        }
    }
    names
}

/// The modules that lead to each other, in sets.
fn circles(uses: &Uses) -> Vec<Vec<String>> {
    let reached = |from: &str| {
        let mut reached = BTreeSet::new();
        let mut next = vec![from];
        while let Some(module) = next.pop() {
            for used in uses.get(module).into_iter().flatten() {
                if reached.insert(used.as_str()) {
                    next.push(used);
                }
            }
        }
        reached
    };
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        uses.keys().map(|module| (module.as_str(), reached(module))).collect();
    let circle = |module: &str| -> Vec<String> {
        let others = reach[module].iter().filter(|other| reach[**other].contains(module));
        others.map(|other| (*other).to_owned()).collect()
    };
    let all: BTreeSet<Vec<String>> = uses.keys().map(|module| circle(module)).collect();
    all.into_iter().filter(|circle| !circle.is_empty()).collect()
}
