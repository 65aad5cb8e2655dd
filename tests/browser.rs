//! Publishable keys in a real browser: pages of two origins that ask for a chat through Envoy.
//!
//! It takes Chromium: `envoy/install-tools chromium`. Where it cannot be had,
//! `LATCHKEY_SKIP_BROWSER=1` leaves this out.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test helper fails by panicking"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use latchkey_testing::gateway::replaced;
use latchkey_testing::{Gateway, Scratch, Setup, repository, system};

/// What a page does: each request's status and the start of its answer, one a line.
const PAGE: &str = r#"<!doctype html><pre id="answers">nothing</pre><script>
const ask = async (method, path) => {
  const headers = {authorization: "Bearer flowyte_pk_demoWidget0000000000000000000000", "content-type": "application/json"};
  try {
    const answer = await fetch("http://api.example.test:PORT" + path, {method, headers, body: method === "POST" ? "{}" : undefined});
    return answer.status + " " + (await answer.text()).slice(0, 60);
  } catch (error) {
    return String(error);
  }
};
(async () => {
  const answers = [
    await ask("POST", "/v1/agents/ag_demo/chat"),
    await ask("POST", "/v1/agents/ag_other/chat"),
    await ask("GET", "/v1/agents"),
  ];
  // What a page may send without asking first, and without an Origin: it sees nothing of the answer.
  const silent = await fetch("http://api.example.test:PORT/v1/agents/ag_demo/chat", {mode: "no-cors"});
  answers.push(silent.type + " " + silent.status);
  document.getElementById("answers").textContent = answers.join("\n");
})();
</script>"#;

#[test]
fn a_page_of_a_listed_origin_chats_and_others_get_no_data() {
    if is_skipped() {
        return;
    }
    let (listed, other) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let subdomain = format!("http://eu.shop.example.org:{}/", port(&listed));
    let shop = format!("http://shop.example.test:{}", port(&listed));
    let others = [
        // A look-alike, another port, another host, and a page without an origin of its own (`null`).
        format!("http://shop.example.test.evil.test:{}/", port(&listed)),
        format!("http://shop.example.test:{}/", port(&other)),
        format!("http://evil.test:{}/", port(&listed)),
        format!("{shop}/sandboxed"),
        // What only looks like a subdomain.
        format!("http://shop.example.org.evil.test:{}/", port(&listed)),
        format!("http://evilshop.example.org:{}/", port(&listed)),
        format!("http://shop.example.org:{}/", port(&listed)),
    ];
    let gateway = gateway(&shop);
    let page = PAGE.replace("PORT", &gateway.address.port().to_string());
    for listener in [listed, other] {
        let page = page.clone();
        thread::spawn(move || serve(&listener, &page));
    }

    let answers = answers_in(&format!("{shop}/"));
    let refused = "403 {\"error\":{\"code\":\"forbidden\"";
    assert!(
        answers[0].starts_with(r#"200 {"method":"POST","path":"/v1/agents/ag_demo/chat""#),
        "{answers:#?}"
    );
    assert!(answers[1..3].iter().all(|answer| answer.contains(refused)), "{answers:#?}");
    assert_eq!(answers[3], "opaque 0");
    let log = gateway.access_log_text();
    // The browser asked first, and Envoy's CORS filter answered.
    assert_eq!(log.lines().filter(|line| line.contains("OPTIONS")).count(), 3);
    assert_eq!(log.lines().filter(|line| line.contains("deny missing_credential")).count(), 1);
    assert_eq!(gateway.reports().len(), 1);

    let answers = answers_in(&subdomain);
    assert!(answers[0].starts_with("200 "), "{answers:#?}");
    assert!(answers[1..3].iter().all(|answer| answer.contains(refused)), "{answers:#?}");
    assert_eq!(gateway.reports().len(), 1);

    for page in others {
        let answers = answers_in(&page);
        assert_eq!(answers[..3], ["TypeError: Failed to fetch"; 3], "{page}");
        assert_eq!(answers[3], "opaque 0");
        // The upstream may have been asked by preflights, and by nothing else.
        let reports = gateway.reports();
        assert!(reports.iter().all(|report| report.method == "OPTIONS"), "{page}: {reports:#?}");
    }
}

/// What CORS keeps from pages is one thing, what a key may do another: where CORS lists every origin,
/// a page of another origin reads a refusal.
#[test]
fn the_keys_origins_decide_where_cors_lets_every_page_in() {
    if is_skipped() {
        return;
    }
    let other = bind();
    let gateway = gateway_with("http://shop.example.test", |text| {
        replaced(text, "exact: http://shop.example.test", "prefix: http")
    });
    let page = PAGE.replace("PORT", &gateway.address.port().to_string());
    let address = format!("http://evil.test:{}/", other.local_addr().unwrap().port());
    thread::spawn(move || serve(&other, &page));
    let answers = answers_in(&address);
    let refused = |answer: &String| answer.contains("403 {\"error\":{\"code\":\"forbidden\"");
    assert!(answers[..3].iter().all(refused), "{answers:#?}");
    assert!(gateway.reports().is_empty());
}

fn is_skipped() -> bool {
    let is_skipped = std::env::var_os("LATCHKEY_SKIP_BROWSER").is_some();
    if is_skipped {
        println!("LATCHKEY_SKIP_BROWSER is set: NOTHING WAS TESTED IN A BROWSER");
    }
    is_skipped
}

/// Flowyte on Envoy, where its demo's publishable key and its CORS policy are for this origin, and for the
/// subdomains of `shop.example.org` under its scheme and port.
fn gateway(origin: &str) -> Gateway {
    gateway_with(origin, str::to_owned)
}

fn gateway_with(origin: &str, change: impl Fn(&str) -> String + 'static) -> Gateway {
    const DEMO: &str = "https://shop.example.com";
    const SUBDOMAINS: &str = "*.shop.example.org";
    const EXPRESSION: &str = r"([a-z0-9_-]+\.)+shop\.example\.org";
    let on_subdomains = |host: &str| origin.replace("shop.example.test", host);
    let policy = replaced(&system("flowyte"), DEMO, origin);
    let policy = replaced(&policy, &format!("https://{SUBDOMAINS}"), &on_subdomains(SUBDOMAINS));
    let keys = std::fs::read_to_string(repository("envoy/systems/flowyte.jwks.json")).unwrap();
    let (origin, expression) = (origin.to_owned(), on_subdomains(EXPRESSION));
    Setup::new(policy)
        .system("flowyte")
        .change_bootstrap(move |text| {
            let text = replaced(text, &format!("https://{EXPRESSION}"), &expression);
            change(&replaced(&text, DEMO, &origin))
        })
        .file("jwks.json", keys)
        .start()
}

/// The lines that a page shows when all its requests are answered.
fn answers_in(address: &str) -> Vec<String> {
    let profile = Scratch::new();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP *.test 127.0.0.1,MAP *.example.org 127.0.0.1"])
        .arg("--virtual-time-budget=20000")
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", address])
        .output()
        .unwrap_or_else(|error| {
            panic!("no `chromium` ({error}): run `envoy/install-tools chromium`")
        });
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = page.split_once("id=\"answers\">").unwrap_or_else(|| panic!("{output:?}"));
    let (answers, _) = rest.split_once("</pre>").unwrap();
    answers.lines().map(str::to_owned).collect()
}

fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Answers every request with the page, under `/sandboxed` as one without an origin of its own.
fn serve(listener: &TcpListener, page: &str) {
    for stream in listener.incoming().flatten() {
        let (mut stream, page) = (stream, page.to_owned());
        thread::spawn(move || {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let is_sandboxed = request.starts_with(b"GET /sandboxed");
            let sandbox = "content-security-policy: sandbox allow-scripts\r\n";
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n{}",
                if is_sandboxed { sandbox } else { "" }
            );
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len());
        });
    }
}
