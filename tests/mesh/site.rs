//! Workloads behind a control plane, and what each must answer, whatever the mesh and whatever happens.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use latchkey_testing::{Connection, Load, PATIENCE, Scratch, repository, system, until};

use super::process::target;

/// A control plane and what was applied to it.
pub(crate) trait Plane {
    /// Puts resources into force, those of the same kind and name being replaced.
    fn apply(&mut self, yaml: &str);
    /// Takes resources away.
    fn delete(&mut self, yaml: &str);
    /// Ends it, as when its node is lost; the proxies stay.
    fn stop(&mut self);
    /// Starts it anew, with what was applied.
    fn start(&mut self);
    /// The admin port of each proxy.
    fn admins(&self) -> Vec<SocketAddr>;

    /// What each proxy answers to a `GET` of its admin port.
    fn admin(&self, path: &str) -> Vec<String> {
        let ask = |admin| ask(admin, &format!("GET {path}"), &[]).unwrap().1;
        self.admins().into_iter().map(ask).collect()
    }

    /// How many updates the proxies have refused.
    fn refusals(&self) -> u64 {
        let stats = self.admin("/stats").concat();
        let counts = stats.lines().filter_map(|line| line.split_once(": "));
        let refused = counts.filter(|(name, _)| {
            name.ends_with(".update_rejected") || name.ends_with(".config_fail")
        });
        refused.map(|(_, count)| count.parse::<u64>().unwrap()).sum()
    }
}

/// A workload.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    /// `--to …` and all that follows.
    pub(crate) arguments: String,
    /// The option that names the filter.
    pub(crate) filter: String,
    /// The same of others that cannot be had, each with what it is.
    pub(crate) bad: Vec<(&'static str, String)>,
    /// The same of it as an image, by its tag and by its digest.
    pub(crate) images: Vec<String>,
}

/// Workloads of one control plane, protected at the same time, each by resources of its own.
pub(crate) struct Sites<'a> {
    pub(crate) sites: Vec<Site>,
    pub(crate) plane: &'a mut dyn Plane,
    pub(crate) scratch: &'a Scratch,
}

/// No key, a read key, a read key that writes.
type Answers = [String; 3];

const OPEN: [&str; 3] = ["200"; 3];
const JUDGED: [&str; 3] = ["401", "200", "403 scope"];
const GUARDED: [&str; 3] = ["403 guard"; 3];

const READ_KEY: &str = "Bearer flk_ro_demo0000000000000000000000000000";

/// `latchkey`'s answer.
pub(crate) fn latchkey(scratch: &Scratch, arguments: &str) -> String {
    run(scratch, arguments).unwrap_or_else(|said| panic!("latchkey {arguments}: {said}"))
}

/// What `latchkey` prints, or all that it says where it fails.
fn run(scratch: &Scratch, arguments: &str) -> Result<String, String> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let program = BUILT.get_or_init(|| {
        let cargo = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "-p", "latchkey-cli"])
            .current_dir(repository(""))
            .status();
        assert!(cargo.unwrap().success());
        target("debug/latchkey")
    });
    let ran = Command::new(program)
        .args(arguments.split_whitespace())
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let output = String::from_utf8(ran.stdout).unwrap();
    let error = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { Ok(output) } else { Err(format!("{error}{output}")) }
}

/// flokit with another realm, so that nothing is as it was, and with one more read key if it has a hash.
pub(crate) fn policy(realm: &str, key: Option<&str>) -> Value {
    let mut policy: Value = serde_json::from_str(&system("flokit")).unwrap();
    policy["realm"] = json!(realm);
    if let Some(token) = key {
        let mut key = policy["keys"][0].clone();
        key["id"] = json!("new");
        key["hash"] =
            json!(format!("sha256:{}", hex::encode(<sha2::Sha256 as sha2::Digest>::digest(token))));
        policy["keys"].as_array_mut().unwrap().push(key);
    }
    policy
}

/// Status and body of one request; none where nothing answers.
fn ask(address: SocketAddr, request: &str, headers: &[(&str, &str)]) -> Option<(u16, String)> {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut connection = Connection::open(address).ok()?;
    let request = format!(
        "{request} HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 0\r\n{headers}\r\n"
    );
    connection.write(request.as_bytes()).ok()?;
    let response = connection.response(false).ok()?;
    Some((response.status, response.text()))
}

/// What an answer is.
fn kind(answer: Option<(u16, String)>) -> String {
    match answer {
        None => "none".to_owned(),
        Some((status, body)) if body.starts_with("RBAC: access denied") => {
            format!("{status} guard")
        }
        Some((status, body)) if body.contains("requires a read-write key") => {
            format!("{status} scope")
        }
        Some((status, _)) => status.to_string(),
    }
}

/// The resource that carries the policy; what follows it are the guard and what verifies sessions.
fn plugin(rendered: &str) -> &str {
    rendered.split_once("---\n").unwrap().0
}

/// What `spec` is to have, where that stands in comments since it is for resources that are there already.
pub(crate) fn commented_specs(text: &str) -> Vec<Value> {
    let spec = |rest: &str| {
        let lines = rest.lines().map_while(|line| line.strip_prefix("# "));
        yaml_serde::from_str(&lines.collect::<Vec<_>>().join("\n")).unwrap()
    };
    text.split("# spec:\n").skip(1).map(spec).collect()
}

impl Site {
    fn answers(&self) -> Answers {
        let key = [("authorization", READ_KEY)];
        [("GET", &[][..]), ("GET", &key), ("POST", &key)].map(|(method, headers)| {
            kind(ask(self.address, &format!("{method} /v1/reports"), headers))
        })
    }

    /// The status for a key; none where nothing answers.
    fn status(&self, key: &str) -> Option<u16> {
        let bearer = format!("Bearer {key}");
        Some(ask(self.address, "GET /v1/reports", &[("authorization", &bearer)])?.0)
    }

    pub(crate) fn render(&self, scratch: &Scratch, policy: &Value, filter: &str) -> String {
        scratch.write("policy.json", &policy.to_string());
        latchkey(scratch, &format!("render policy.json {} {filter}", self.arguments))
    }

    fn tell(&self, what: &str) {
        println!("{}: {what}", self.arguments);
    }
}

impl Sites<'_> {
    /// What protects each.
    fn rendered(&self, policy: &Value) -> Vec<String> {
        let render = |site: &Site| site.render(self.scratch, policy, &site.filter);
        self.sites.iter().map(render).collect()
    }

    fn apply(&mut self, rendered: &[String]) {
        self.plane.apply(&rendered.join("---\n"));
    }

    fn delete(&mut self, rendered: &[String]) {
        self.plane.delete(&rendered.join("---\n"));
        self.wait_for("all taken away", OPEN);
    }

    fn wait_for(&self, what: &str, expected: [&str; 3]) {
        self.wait_until(what, |site| (site.answers() == expected).then(|| format!("{expected:?}")));
    }

    /// Waits until each has something to tell.
    fn wait_until(&self, what: &str, told: impl Fn(&Site) -> Option<String>) {
        let start = Instant::now();
        let mut waiting: Vec<&Site> = self.sites.iter().collect();
        while !waiting.is_empty() {
            waiting.retain(|site| match told(site) {
                None => true,
                Some(text) => {
                    let seconds = start.elapsed().as_secs_f64();
                    site.tell(&format!("{what}: {text} after {seconds:.1} s"));
                    false
                }
            });
            for site in &waiting {
                let is_late = start.elapsed() > PATIENCE;
                if is_late {
                    self.tell_what_doctor_says();
                    panic!("{}: {what}: {:?}", site.arguments, site.answers());
                }
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn tell_what_doctor_says(&self) {
        let _ =
            Command::new("cp").arg("-a").arg(self.scratch.path()).arg("/tmp/mesh-keep").status();
        for admin in self.plane.admins() {
            let said = run(self.scratch, &format!("doctor --admin http://{admin}"));
            println!("doctor: {}", said.unwrap_or_else(|said| said));
        }
    }

    /// Waits until nothing passes, and sees that it stays so.
    fn refuse_everything(&self, what: &str) {
        let is_refused =
            |answers: &Answers| answers.iter().all(|answer| answer.starts_with(['4', '5']));
        self.wait_until(what, |site| {
            let answers = site.answers();
            is_refused(&answers).then(|| format!("{answers:?}"))
        });
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            for site in &self.sites {
                let answers = site.answers();
                assert!(is_refused(&answers), "{}: {what}: {answers:?}", site.arguments);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `doctor` has nothing against the proxies: the guard may come after the plugin.
    fn are_protected(&self) {
        for admin in self.plane.admins() {
            let told = until("doctor to say protected", || {
                run(self.scratch, &format!("doctor --admin http://{admin}")).ok()
            });
            println!("doctor: {}", told.lines().last().unwrap_or_default());
        }
    }

    /// Everything that happens to a proxy in its life.
    pub(crate) fn go_through_life(&mut self) {
        self.wait_for("before", OPEN);
        for index in 0..self.sites[0].bad.len() {
            self.lack_their_module(index);
        }
        let first = self.protect();
        self.are_protected();
        let second = self.take_a_new_policy();
        self.keep_a_policy(&second);
        self.outlive_their_control_plane(&first);
        self.lose_their_plugins(&first);
    }

    /// Puts plugin and guard into force.
    pub(crate) fn protect(&mut self) -> Vec<String> {
        let rendered = self.rendered(&policy("first", None));
        self.apply(&rendered);
        self.wait_for("judged", JUDGED);
        rendered
    }

    /// The module cannot be had, at first and in place of a good one.
    fn lack_their_module(&mut self, index: usize) {
        let what = self.sites[0].bad[index].0;
        let own = policy("first", None);
        let good = self.rendered(&own);
        let without = |site: &Site| site.render(self.scratch, &own, &site.bad[index].1);
        let without: Vec<String> = self.sites.iter().map(without).collect();
        self.apply(&without);
        self.refuse_everything(what);
        self.apply(&good);
        self.wait_for("the module is there", JUDGED);
        self.are_protected();
        self.apply(&without);
        self.refuse_everything(what);
        self.delete(&without);
    }

    /// A new policy under load: every request of a good key is answered, by one policy or the other. It has one
    /// more key, [`NEW_KEY`].
    fn take_a_new_policy(&mut self) -> Vec<String> {
        let second = self.rendered(&policy("second", Some(NEW_KEY)));
        let load = |site: &Site| Load::start(site.address, &[READ_KEY; 2]);
        let loads: Vec<Load> = self.sites.iter().map(load).collect();
        for (site, load) in self.sites.iter().zip(&loads) {
            load.goes_on();
            assert_eq!(site.status(NEW_KEY), Some(401));
        }
        self.apply(&second);
        self.wait_until("a new policy", |site| {
            (site.status(NEW_KEY)? == 200).then(|| "in force".to_owned())
        });
        for (site, load) in self.sites.iter().zip(loads) {
            load.goes_on();
            let statuses = load.stop().concat();
            let lost = statuses.iter().filter(|status| **status != 200).count();
            site.tell(&format!("a new policy: {lost} of {} requests lost", statuses.len()));
            assert_eq!(lost, 0);
        }
        second
    }

    /// Of a native module whose file is not there Envoy refuses all that comes with it, the guard included: what was in
    /// force stays, an open gateway at first.
    pub(crate) fn lack_the_file_of_their_module(&mut self, filter: &str) {
        for expected in [OPEN, JUDGED] {
            if expected == JUDGED {
                self.protect();
            }
            let render = |site: &Site| site.render(self.scratch, &policy("lost", None), filter);
            let lost: Vec<String> = self.sites.iter().map(render).collect();
            let before = self.plane.refusals();
            self.apply(&lost);
            until("the refusal", || (self.plane.refusals() > before).then_some(()));
            for site in &self.sites {
                assert_eq!(site.answers(), expected, "{}", site.arguments);
                site.tell(&format!("a module whose file is not there: {expected:?} stays"));
            }
            self.delete(&lost);
        }
    }

    /// A policy that the filter refuses: the one before stays.
    fn keep_a_policy(&mut self, rendered: &[String]) {
        for (site, own) in self.sites.iter().zip(rendered) {
            let before = self.plane.refusals();
            let broken = own.replace("\"realm\": \"second\"", "\"realm\": 5");
            assert_ne!(&broken, own);
            self.plane.apply(&broken);
            until("the refusal", || (self.plane.refusals() > before).then_some(()));
            assert_eq!(site.answers(), JUDGED);
            assert_eq!(site.status(NEW_KEY), Some(200));
            site.tell("a refused policy: the one before stays");
            self.plane.apply(own);
            // Offered again unchanged, which is no refusal.
            let (_, guard) = own.split_once("---\n").unwrap();
            thread::sleep(Duration::from_secs(1));
            self.plane.apply(guard);
            thread::sleep(Duration::from_secs(1));
        }
        self.are_protected();
    }

    /// Without their control plane, and with it again, which has a policy without [`NEW_KEY`] then.
    fn outlive_their_control_plane(&mut self, rendered: &[String]) {
        self.plane.stop();
        for site in &self.sites {
            assert_eq!(site.answers(), JUDGED, "{}", site.arguments);
        }
        self.plane.start();
        self.apply(rendered);
        self.wait_until("the control plane is back", |site| {
            let status = site.status(NEW_KEY)?;
            assert!(matches!(status, 200 | 401), "{}: {status}", site.arguments);
            (status == 401).then(|| "a new policy".to_owned())
        });
        self.wait_for("the control plane is back", JUDGED);
    }

    /// The plugin taken away, the guard not.
    pub(crate) fn lose_their_plugins(&mut self, rendered: &[String]) {
        let plugins: Vec<&str> = rendered.iter().map(|own| plugin(own)).collect();
        self.plane.delete(&plugins.join("---\n"));
        self.wait_for("the plugin taken away", GUARDED);
        self.apply(rendered);
        self.wait_for("judged again", JUDGED);
        self.delete(rendered);
    }

    /// Policies of the workloads do not mix: each takes a key of its own, and one that is taken away leaves the others.
    pub(crate) fn stand_beside_each_other(&mut self) {
        let key = |index: usize| format!("flk_ro_site{index}000000000000000000000000000");
        let render = |(index, site): (usize, &Site)| {
            site.render(self.scratch, &policy("own", Some(&key(index))), &site.filter)
        };
        let rendered: Vec<String> = self.sites.iter().enumerate().map(render).collect();
        self.apply(&rendered);
        for (own, site) in self.sites.iter().enumerate() {
            // Open at first, or by the policy that its listener had last.
            until("a policy of its own", || {
                (site.answers() == JUDGED && site.status(&key(own)) == Some(200)).then_some(())
            });
            for index in (0..self.sites.len()).filter(|index| *index != own) {
                assert_eq!(site.status(&key(index)), Some(401), "{}", site.arguments);
            }
            site.tell("a policy of its own");
        }
        let (first, rest) = self.sites.split_first().unwrap();
        self.plane.delete(&rendered[0]);
        until("one policy taken away", || (first.answers() == OPEN).then_some(()));
        for site in rest {
            assert_eq!(site.answers(), JUDGED, "{}", site.arguments);
        }
        first.tell("taken away, which leaves the others");
        self.apply(&rendered[..1]);
        self.wait_for("a policy of its own again", JUDGED);
        self.delete(&rendered);
    }

    /// Takes the filter as an image from a registry.
    pub(crate) fn take_images(&mut self) {
        for index in 0..self.sites[0].images.len() {
            let own = policy("image", None);
            let render = |site: &Site| site.render(self.scratch, &own, &site.images[index]);
            let rendered: Vec<String> = self.sites.iter().map(render).collect();
            self.apply(&rendered);
            self.wait_for(["an image by its tag", "an image by its digest"][index], JUDGED);
            self.delete(&rendered);
        }
    }

    /// Lets in keys and sessions, and broken sessions not: in one header, or sessions in another.
    pub(crate) fn take_sessions(&mut self, header: Option<&str>) {
        let systems = repository("envoy/systems");
        let demo = fs::read_to_string(systems.join("flowyte.demo")).unwrap();
        let session = demo.split("Bearer ").find(|rest| rest.starts_with("eyJ")).unwrap();
        let session = format!("Bearer {}", session.split('\'').next().unwrap());
        let broken = session.replace(".eyJ", ".eyI");
        let key = ("authorization", "Bearer flowyte_sk_demoAgents0000000000000000000000");
        let name = header.unwrap_or("authorization");
        let mut cases = vec![
            ("nothing", vec![], 401),
            ("a session", vec![(name, &*session)], 200),
            ("a broken session", vec![(name, &*broken)], 401),
            ("a key", vec![key], 200),
        ];
        let mut policy = fs::read_to_string(systems.join("flowyte.yaml")).unwrap();
        let mut option = String::new();
        if let Some(header) = header {
            // Istio leaves claims there only.
            policy = policy.replace("payload: session", "payload: payload");
            option = format!("--session-header {header}");
            cases.extend([
                ("a session where keys are", vec![("authorization", &*session)], 401),
                ("a session and a key", vec![(header, &*session), key], 401),
            ]);
        }
        self.scratch.write("sessions.yaml", &policy);
        let render = |site: &Site| {
            let options = format!(
                "--issuer https://auth.flowyte.example --audience https://api.flowyte.example \
                 --jwks {}/flowyte.jwks.json {option}",
                systems.display()
            );
            latchkey(
                self.scratch,
                &format!("render sessions.yaml {} {} {options}", site.arguments, site.filter),
            )
        };
        let rendered: Vec<String> = self.sites.iter().map(render).collect();
        self.apply(&rendered);
        self.wait_until(&format!("sessions in {name}"), |site| {
            let told = cases.iter().map(|(what, headers, status)| {
                let own = ask(site.address, "GET /v1/agents", headers)?.0;
                (own == *status).then(|| format!("{what} {status}"))
            });
            Some(told.collect::<Option<Vec<String>>>()?.join(", "))
        });
        self.delete(&rendered);
    }
}

const NEW_KEY: &str = "flk_ro_new00000000000000000000000000000";
