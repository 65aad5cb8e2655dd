//! A workload behind a control plane, and what it must answer, whatever the mesh.

use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use latchkey_testing::{Connection, Load, Scratch, repository, system, until};

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
    /// How many updates the proxies have refused.
    fn refusals(&self) -> u64;
    /// The admin port of a proxy.
    fn admin(&self) -> SocketAddr;
}

/// A workload.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    /// `--to …` and all that follows.
    pub(crate) arguments: String,
    /// The filter, and others that cannot be had, each with a name.
    pub(crate) wasm: String,
    pub(crate) bad: [(&'static str, String); 2],
}

pub(crate) const READ_KEY: &str = "Bearer flk_ro_demo0000000000000000000000000000";

/// `latchkey`'s answer.
pub(crate) fn latchkey(scratch: &Scratch, arguments: &str) -> String {
    run(scratch, arguments).unwrap_or_else(|said| panic!("latchkey {arguments}: {said}"))
}

/// What `latchkey` prints, or all that it says where it fails.
fn run(scratch: &Scratch, arguments: &str) -> Result<String, String> {
    let ran = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--manifest-path"])
        .arg(repository("Cargo.toml"))
        .args(["-p", "latchkey-cli", "--"])
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
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    authorization: Option<&str>,
) -> Option<(u16, String)> {
    let authorization =
        authorization.map(|value| format!("authorization: {value}\r\n")).unwrap_or_default();
    let mut connection = Connection::open(address).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: api.example.com\r\ncontent-length: 0\r\n{authorization}\r\n"
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

impl Site {
    /// No key, a read key, a read key that writes.
    pub(crate) fn answers(&self) -> [String; 3] {
        [("GET", None), ("GET", Some(READ_KEY)), ("POST", Some(READ_KEY))]
            .map(|(method, key)| kind(ask(self.address, method, "/v1/reports", key)))
    }

    pub(crate) fn wait_for(&self, what: &str, expected: [&str; 3]) {
        let start = Instant::now();
        let mut last = self.answers();
        while last != expected {
            assert!(
                start.elapsed() < latchkey_testing::PATIENCE,
                "{what}: {last:?}, not {expected:?}"
            );
            thread::sleep(Duration::from_millis(5));
            last = self.answers();
        }
        println!(
            "{}: {what}: {last:?} after {:.1} s",
            self.arguments,
            start.elapsed().as_secs_f64()
        );
    }

    pub(crate) fn render(&self, scratch: &Scratch, policy: &Value, wasm: &str) -> String {
        scratch.write("policy.json", &policy.to_string());
        latchkey(scratch, &format!("render policy.json {} {wasm}", self.arguments))
    }

    /// Waits until nothing passes, and sees that it stays so.
    pub(crate) fn refuses_everything(&self, what: &str) {
        let is_refused =
            |answers: &[String; 3]| answers.iter().all(|answer| answer.starts_with(['4', '5']));
        until(what, || is_refused(&self.answers()).then_some(()));
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let answers = self.answers();
            assert!(is_refused(&answers), "{what}: {answers:?}");
            thread::sleep(Duration::from_millis(50));
        }
        println!("{}: {what}: {:?}", self.arguments, self.answers());
    }

    /// Waits until `doctor` has nothing against the proxy: the guard may come after the plugin.
    fn is_protected(&self, plane: &dyn Plane, scratch: &Scratch) {
        let told = until("doctor to say protected", || {
            run(scratch, &format!("doctor --admin http://{}", plane.admin())).ok()
        });
        println!("{}: doctor: {}", self.arguments, told.lines().last().unwrap_or_default());
    }

    /// Takes the workload through everything that happens to a proxy in its life.
    pub(crate) fn goes_through_life(&self, plane: &mut dyn Plane, scratch: &Scratch) {
        let judged = ["401", "200", "403 scope"];
        let guarded = ["403 guard"; 3];
        self.wait_for("before", ["200"; 3]);

        let first = self.render(scratch, &policy("first", None), &self.wasm);
        for (what, wasm) in &self.bad {
            let without = self.render(scratch, &policy("first", None), wasm);
            plane.apply(&without);
            self.refuses_everything(what);
            plane.apply(&first);
            self.wait_for("the module is there", judged);
            self.is_protected(plane, scratch);
            plane.apply(&without);
            self.refuses_everything(what);
            plane.delete(&without);
            self.wait_for("all taken away", ["200"; 3]);
        }

        plane.apply(&first);
        self.wait_for("judged", judged);
        self.is_protected(plane, scratch);

        // A new policy under load: every request of a good key is answered, by one policy or the other.
        let new_key = "flk_ro_new00000000000000000000000000000";
        let second = self.render(scratch, &policy("second", Some(new_key)), &self.wasm);
        let load = Load::start(self.address, &[READ_KEY; 4]);
        load.goes_on();
        let bearer = format!("Bearer {new_key}");
        assert_eq!(ask(self.address, "GET", "/v1/reports", Some(&bearer)).unwrap().0, 401);
        let start = Instant::now();
        plane.apply(&second);
        until("the new key to count", || {
            (ask(self.address, "GET", "/v1/reports", Some(&bearer))?.0 == 200).then_some(())
        });
        let seconds = start.elapsed().as_secs_f64();
        load.goes_on();
        let statuses = load.stop().concat();
        let lost = statuses.iter().filter(|status| **status != 200).count();
        println!(
            "{}: a new policy: {seconds:.1} s, {lost} of {} requests lost",
            self.arguments,
            statuses.len()
        );
        assert_eq!(lost, 0);

        // A policy that the filter refuses: the one before stays.
        let before = plane.refusals();
        let broken = second.replace("\"realm\": \"second\"", "\"realm\": 5");
        assert_ne!(broken, second);
        plane.apply(&broken);
        until("the refusal", || (plane.refusals() > before).then_some(()));
        assert_eq!(self.answers(), judged);
        assert_eq!(ask(self.address, "GET", "/v1/reports", Some(&bearer)).unwrap().0, 200);
        println!("{}: a refused policy: the one before stays", self.arguments);
        plane.apply(&second);
        // Offered again unchanged, which is no refusal.
        let (_, guard) = second.split_once("---\n").unwrap();
        thread::sleep(Duration::from_secs(1));
        plane.apply(guard);
        thread::sleep(Duration::from_secs(1));
        self.is_protected(plane, scratch);

        // Without its control plane, and with it again.
        plane.stop();
        assert_eq!(self.answers(), judged);
        plane.start();
        plane.apply(&first);
        let start = Instant::now();
        until("the control plane to be heard again", || {
            let answer = ask(self.address, "GET", "/v1/reports", Some(&bearer))?;
            assert!(answer.0 == 200 || answer.0 == 401, "{answer:?}");
            (answer.0 == 401).then_some(())
        });
        println!(
            "{}: the control plane is back after {:.1} s",
            self.arguments,
            start.elapsed().as_secs_f64()
        );
        assert_eq!(self.answers(), judged);

        // The plugin taken away, the guard not.
        let (plugin, _) = first.split_once("---\n").unwrap();
        plane.delete(plugin);
        self.wait_for("the plugin taken away", guarded);
        plane.apply(&first);
        self.wait_for("judged again", judged);
        plane.delete(&first);
        self.wait_for("all taken away", ["200"; 3]);
    }

    /// Two policies on two workloads of one control plane do not mix.
    pub(crate) fn stands_beside(&self, other: &Site, plane: &mut dyn Plane, scratch: &Scratch) {
        let own = self.render(scratch, &policy("own", None), &self.wasm);
        let mut writing = policy("other", None);
        writing["key_types"]["read-only"]["scopes"] = json!(["*:read", "*:write"]);
        let others = other.render(scratch, &writing, &other.wasm);
        plane.apply(&own);
        plane.apply(&others);
        self.wait_for("one policy", ["401", "200", "403 scope"]);
        other.wait_for("the other policy", ["401", "200", "200"]);
        plane.delete(&own);
        self.wait_for("one policy taken away", ["200"; 3]);
        assert_eq!(other.answers(), ["401", "200", "200"]);
        plane.delete(&others);
        other.wait_for("the other policy taken away", ["200"; 3]);
    }

    /// Takes the filter as an image from a registry.
    pub(crate) fn takes_images(&self, images: &[String], plane: &mut dyn Plane, scratch: &Scratch) {
        for image in images {
            let rendered = self.render(scratch, &policy("image", None), &format!("--wasm {image}"));
            plane.apply(&rendered);
            self.wait_for(&format!("the image {image}"), ["401", "200", "403 scope"]);
            plane.delete(&rendered);
            self.wait_for("all taken away", ["200"; 3]);
        }
    }

    /// Lets in keys and sessions in one header, and a broken session not.
    pub(crate) fn takes_sessions(&self, plane: &mut dyn Plane, scratch: &Scratch) {
        let systems = repository("envoy/systems");
        let systems = systems.display();
        let demo = std::fs::read_to_string(repository("envoy/systems/flowyte.demo")).unwrap();
        let session = demo.split("Bearer ").find(|rest| rest.starts_with("eyJ")).unwrap();
        let session = format!("Bearer {}", session.split('\'').next().unwrap());
        let rendered = latchkey(
            scratch,
            &format!(
                "render {systems}/flowyte.yaml {} {} --issuer https://auth.flowyte.example \
                 --audience https://api.flowyte.example --jwks {systems}/flowyte.jwks.json",
                self.arguments, self.wasm
            ),
        );
        plane.apply(&rendered);
        let statuses = || {
            let broken = session.replace(".eyJ", ".eyI");
            let key = "Bearer flowyte_sk_demoAgents0000000000000000000000";
            [None, Some(&*session), Some(&*broken), Some(key)]
                .map(|bearer| ask(self.address, "GET", "/v1/agents", bearer).map(|answer| answer.0))
        };
        let expected = [401, 200, 401, 200].map(Some);
        until("sessions to be taken", || {
            let statuses = statuses();
            (statuses == expected).then_some(())
        });
        println!(
            "{}: sessions: none 401, session 200, broken session 401, key 200",
            self.arguments
        );
        plane.delete(&rendered);
        self.wait_for("sessions taken away", ["200"; 3]);
    }
}
