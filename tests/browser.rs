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

mod harness;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use harness::{Gateway, Scratch, Setup, repository};
use latchkey_cli::policy::Policy;

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
  document.getElementById("answers").textContent = answers.join("\n");
})();
</script>"#;

#[test]
fn a_page_of_a_listed_origin_chats_and_others_get_no_data() {
    if std::env::var_os("LATCHKEY_SKIP_BROWSER").is_some() {
        println!("LATCHKEY_SKIP_BROWSER is set: NOTHING WAS TESTED IN A BROWSER");
        return;
    }
    let (listed, other) = (bind(), bind());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let shop = format!("http://shop.example.test:{}", port(&listed));
    let others = [
        format!("http://shop.example.evil.test:{}", port(&listed)),
        format!("http://shop.example.test:{}", port(&other)),
    ];
    let gateway = gateway(&shop);
    let page = PAGE.replace("PORT", &gateway.address.port().to_string());
    for listener in [listed, other] {
        let page = page.clone();
        thread::spawn(move || serve(&listener, &page));
    }

    let answers = answers_in(&shop);
    assert!(
        answers[0].starts_with(r#"200 {"method":"POST","path":"/v1/agents/ag_demo/chat""#),
        "{answers:#?}"
    );
    assert!(answers[1].contains("403 {\"error\":{\"code\":\"forbidden\""), "{answers:#?}");
    assert!(answers[2].contains("403 {\"error\":{\"code\":\"forbidden\""), "{answers:#?}");
    // The browser asked first, and Envoy's CORS filter answered.
    let preflights = |log: &str| log.lines().filter(|line| line.contains("OPTIONS")).count();
    assert_eq!(preflights(&gateway.access_log_text()), 3);
    assert_eq!(gateway.reports().len(), 1);

    for origin in others {
        let answers = answers_in(&origin);
        assert_eq!(answers.len(), 3, "{answers:#?}");
        let refused = |answer: &String| answer.contains("403 {\"error\":{\"code\":\"forbidden\"");
        assert!(answers.iter().all(refused), "{origin}: {answers:#?}");
        assert!(gateway.reports().is_empty(), "{origin}");
    }
}

/// Flowyte on Envoy, its demo's publishable key being for this origin.
fn gateway(origin: &str) -> Gateway {
    let policy = Policy::load(&repository("envoy/systems/flowyte.yaml"), None).unwrap();
    let policy = String::from_utf8(policy.to_json().unwrap()).unwrap();
    let policy = harness::gateway::replaced(&policy, "https://shop.example.com", origin);
    let keys = std::fs::read_to_string(repository("envoy/systems/flowyte.jwks.json")).unwrap();
    Setup::new(policy).system("flowyte").file("jwks.json", keys).start()
}

/// The lines that a page shows when all its requests are answered.
fn answers_in(origin: &str) -> Vec<String> {
    let profile = Scratch::new();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--host-resolver-rules=MAP *.test 127.0.0.1", "--virtual-time-budget=20000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--dump-dom", &format!("{origin}/")])
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

/// Answers every request with the page.
fn serve(listener: &TcpListener, page: &str) {
    for stream in listener.incoming().flatten() {
        let (mut stream, page) = (stream, page.to_owned());
        thread::spawn(move || {
            let _ = stream.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n";
            let _ = write!(stream, "{head}content-length: {}\r\n\r\n{page}", page.len());
        });
    }
}
