//! docs/recipes, each walked on a real Envoy as a reader would: the policy and the parts of its bootstrap taken from the page, the
//! commands typed, the answers compared with what the page shows. `cargo test --workspace --test recipes NAME` walks one.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};

use latchkey_testing::{Gateway, Setup};
use serde_json::{Map, Value};

#[path = "support/page.rs"]
mod page;
mod support;

use page::{Shell, blocks, steps};
use support::{Directory, TestCommand, repository, wasm};

/// A test for each page, by the page's name.
macro_rules! recipes {
    ($($name:ident),* $(,)?) => {
        const RECIPES: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            walk(stringify!($name));
        })*
    };
}

recipes! {
    addresses,
    anonymous_limit,
    basic,
    caches,
    cors,
    from_api_key_auth,
    from_ext_authz,
    from_kong,
    grpc,
    health_checks,
    leak,
    limits,
    persisted_queries,
    streams,
    two_policies,
}

#[test]
fn each_page_is_walked_and_listed() {
    let list = page("README");
    let links = list
        .lines()
        .filter_map(|line| line.strip_prefix("- [")?.split_once("](")?.1.split_once(".md)"));
    let listed: BTreeSet<String> = links.map(|(name, _)| name.to_owned()).collect();
    let names = RECIPES.iter().map(|name| name.replace('_', "-"));
    let walked: BTreeSet<String> = names.collect();
    let files = fs::read_dir(repository("docs/recipes")).unwrap();
    let files = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = files
        .map(|file| file.strip_suffix(".md").unwrap().to_owned())
        .filter(|name| name != "README")
        .collect();
    assert_eq!((&walked, &listed), (&pages, &pages));
}

fn page(name: &str) -> String {
    fs::read_to_string(repository(&format!("docs/recipes/{name}.md"))).unwrap()
}

/// Does what a page says. Envoy starts with the first command that asks it, with the policy as it is then.
fn walk(name: &str) {
    let page = page(&name.replace('_', "-"));
    let directory = Directory::new();
    let here = Here::new(&page, &directory);
    std::os::unix::fs::symlink(wasm(), directory.file("latchkey.wasm")).unwrap();
    let mut shell = Shell::new(directory.path());
    let packages = repository(".tools/recipes");
    assert!(packages.is_dir(), "no packages of Python: run `envoy/install-tools recipes`");
    shell.run(&format!("export PYTHONPATH='{}'", packages.display()));
    let mut parts = Vec::new();
    // What stands in a command that asks Envoy: a port of its own, or a program that asks it.
    let mut asking = vec!["10000", "10002", "9901"];
    let folder = directory.path().to_owned();
    // The folder, until Envoy has it.
    let (mut directory, mut running) = (Some(directory), None);
    for (language, block) in blocks(&page) {
        if language != "console" {
            let (first, rest) = block.split_once('\n').unwrap();
            let place = first.strip_prefix("# ").unwrap_or_else(|| panic!("what is `{first}`?"));
            if language == "yaml" && !place.ends_with(".yaml") {
                parts.push((place.to_owned(), here.replaced(rest)));
            } else {
                if block.contains(":10000") {
                    asking.push(place);
                }
                fs::write(folder.join(place), here.replaced(&format!("{block}\n"))).unwrap();
            }
            continue;
        }
        for (command, answer) in steps(block) {
            if asking.iter().any(|own| command.contains(own))
                && let Some(directory) = directory.take()
            {
                running = Some(start(directory, &here, std::mem::take(&mut parts)));
            }
            let got = shell.step(&here.replaced(command), answer, |got| here.hidden(got));
            // Neither a token nor a failure is left out.
            for own in ["demo_", "error: "] {
                let is_shown = !got.contains(own) || answer.contains(own);
                assert!(is_shown, "$ {command}\n{answer}\n\nleaves out `{own}`\n\n{got}");
            }
        }
    }
    assert!(running.is_some() && parts.is_empty(), "nothing is asked of Envoy");
}

/// Envoy with the bootstrap of `envoy/envoy.yaml`, the parts of a page at their places, and the policy that is in the folder.
fn start(directory: Directory, here: &Here, parts: Vec<(String, String)>) -> Gateway {
    let with_keys = directory.file("keys.yaml").exists();
    let keys = if with_keys { " --keys keys.yaml" } else { "" };
    let policy = TestCommand::new(&directory, &format!("render policy.yaml{keys} --to json"));
    let (front, admin) = (here.port("10000"), here.port("9901"));
    let change = move |bootstrap: &str| {
        let mut bootstrap: Value = yaml_serde::from_str(bootstrap).unwrap();
        bootstrap["admin"]["address"]["socket_address"]["port_value"] = admin.into();
        let listener = &mut bootstrap["static_resources"]["listeners"][0];
        listener["address"]["socket_address"]["port_value"] = front.into();
        for (place, part) in &parts {
            let part =
                yaml_serde::from_str(part).unwrap_or_else(|error| panic!("{place}: {error}"));
            put(&mut bootstrap, place, part);
        }
        bootstrap.to_string()
    };
    let setup = Setup::new(policy.output()).change_bootstrap(change);
    let setup = match here.own_upstream {
        Some(port) => setup.upstream(SocketAddr::from(([127, 0, 0, 1], port))),
        None => setup,
    };
    setup.start_in(directory)
}

/// Puts a part to its place in a bootstrap: a list where it says, a map over what is there.
fn put(bootstrap: &mut Value, place: &str, part: Value) {
    if place == "bootstrap" {
        return merge(bootstrap, part);
    }
    let resources = &mut bootstrap["static_resources"];
    match place {
        "clusters" => return insert(&mut resources["clusters"], None, part),
        "cluster upstream" => return merge(&mut resources["clusters"][0], part),
        "listeners" => return insert(&mut resources["listeners"], None, part),
        _ => {}
    }
    let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    match place {
        "connection manager" => merge(manager, part),
        "http_filters, before latchkey" => {
            insert(&mut manager["http_filters"], Some("latchkey"), part)
        }
        "http_filters, behind the guard" => {
            insert(&mut manager["http_filters"], Some("envoy.filters.http.router"), part)
        }
        "json_format" => {
            merge(&mut manager["access_log"][0]["typed_config"]["log_format"]["json_format"], part)
        }
        "virtual host" => merge(&mut manager["route_config"]["virtual_hosts"][0], part),
        "routes, first" => {
            let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
            let Value::Array(mut all) = part else { panic!("{place} is a list") };
            all.append(routes.as_array_mut().unwrap());
            *routes = Value::Array(all);
        }
        _ => panic!("there is no place `{place}`"),
    }
}

fn merge(into: &mut Value, part: Value) {
    let Value::Object(fields) = part else { panic!("{part} is no map") };
    let own: &mut Map<String, Value> = into.as_object_mut().unwrap();
    own.extend(fields);
}

/// Puts a list before the item of that name, or behind all.
fn insert(into: &mut Value, before: Option<&str>, part: Value) {
    let Value::Array(items) = part else { panic!("{part} is no list") };
    let list = into.as_array_mut().unwrap();
    let index = match before {
        Some(name) => list.iter().position(|own| own["name"] == name).unwrap(),
        None => list.len(),
    };
    list.splice(index..index, items);
}

/// What a reader has of this machine in place of what the page names: ports and a folder.
struct Here {
    /// From the page's text to this machine's.
    names: Vec<(String, String)>,
    /// Where the page's own upstream listens.
    own_upstream: Option<u16>,
}

impl Here {
    fn new(page: &str, directory: &Directory) -> Here {
        // All are open until each has a port of its own.
        let (mut names, mut listeners) = (Vec::new(), Vec::new());
        for port in ["9901", "10000", "10001", "10002", "10003"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            names.push((port.to_owned(), listener.local_addr().unwrap().port().to_string()));
            listeners.push(listener);
        }
        names.push(("/etc/latchkey".to_owned(), directory.path().display().to_string()));
        let mut here = Here { names, own_upstream: None };
        here.own_upstream = page.contains("10001").then(|| here.port("10001"));
        here
    }

    fn port(&self, of_page: &str) -> u16 {
        self.replaced(of_page).parse().unwrap()
    }

    fn replaced(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (page, here)| text.replace(page, here))
    }

    fn hidden(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (page, here)| text.replace(here, page))
    }
}
