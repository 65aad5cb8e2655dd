//! What is compared: each an Envoy's bootstrap, a request, and the status that it must get.

use latchkey_cli::command::render::Code;
use latchkey_testing::gateway::as_module;
use latchkey_testing::{Scratch, ecds, ecds_of, module, policies, repository, wasm};

/// One way to set up Envoy, and one request to it.
pub(crate) struct Variant {
    /// Names its files.
    pub(crate) id: &'static str,
    pub(crate) name: &'static str,
    /// The variant without any filter that it is held against.
    pub(crate) base: &'static str,
    pub(crate) bootstrap: String,
    pub(crate) request: Vec<u8>,
    pub(crate) status: u16,
    /// So many times fewer requests are sent.
    pub(crate) weight: usize,
}

/// Those whose id `is_wanted`, and what they are held against.
pub(crate) fn all(
    scratch: &Scratch,
    authorizer: u16,
    upstream: u16,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<Variant> {
    let mut variants = Variants { scratch, authorizer, all: Vec::new() };
    let (good, few) = (bearer(&policies::token(0)), Load::headers(FEW));
    let unknown = bearer("lk_live_000000000000000000unknown");
    let small = || policy(10, 1);

    variants.add("none", "no filter", "none", "", few.get(&good, 0), 200);
    variants.add(
        "native",
        "native api_key_auth and RBAC",
        "none",
        &native(),
        few.get(&good, 0),
        200,
    );
    variants.add("lua", "Lua", "none", &lua(), few.get(&good, 0), 200);
    variants.add("noop", "no-op Wasm filter of the SDK", "none", &noop(), few.get(&good, 0), 200);
    let ext_authz = ext_authz(authorizer);
    variants.add(
        "ext_authz",
        "ext_authz to a local nginx",
        "none",
        &ext_authz,
        few.get(&good, 0),
        200,
    );
    let bare = variants.latchkey("allow", &small());
    let guarded = bare.clone() + GUARD;
    variants.add("allow", "Latchkey allows", "none", &bare, few.get(&good, 0), 200);
    variants.add(
        "guarded",
        "Latchkey allows, with guard",
        "none",
        &guarded,
        few.get(&good, 0),
        200,
    );
    variants.add(
        "unknown",
        "Latchkey refuses an unknown key",
        "none",
        &bare,
        few.get(&unknown, 0),
        401,
    );
    variants.add(
        "scope",
        "Latchkey refuses for its scopes",
        "none",
        &bare,
        few.post(&good, 0, JSON, ""),
        403,
    );
    let module = variants.module("module", &small());
    let module_guarded = module.clone() + GUARD;
    for (id, name, filter, key, status) in [
        ("module", "native module allows", &module, &good, 200),
        ("module-guarded", "native module allows, with guard", &module_guarded, &good, 200),
        ("module-unknown", "native module refuses an unknown key", &module, &unknown, 401),
    ] {
        variants.add(id, name, "none", filter, few.get(key, 0), status);
    }
    // A policy of a million keys is rendered only where it is measured: that takes a while.
    for (id, name, keys) in [
        ("module-1000000", "native module with 1,000,000 keys", 1_000_000),
        ("keys-10000", "Latchkey with 10,000 keys", 10_000),
        ("keys-1000000", "Latchkey with 1,000,000 keys", 1_000_000),
    ] {
        if !is_wanted(id) {
            continue;
        }
        let policy = policy(keys, 1);
        let filter = if id.starts_with("module") {
            variants.module(id, &policy)
        } else {
            variants.latchkey(id, &policy)
        };
        variants.add(
            id,
            name,
            "none",
            &filter,
            few.get(&bearer(&policies::token(keys / 2)), 0),
            200,
        );
    }
    for (id, name, rules) in [
        ("rules-100", "Latchkey with 100 rules", 100),
        ("rules-10000", "Latchkey with 10,000 rules", 10_000),
    ] {
        let filter = variants.latchkey(id, &policy(10, rules));
        variants.add(id, name, "none", &filter, few.get(&good, rules - 1), 200);
    }

    let many = Load::headers(MANY);
    variants.add("none-25", "no filter, 25 headers", "none-25", "", many.get(&good, 0), 200);
    variants.add("noop-25", "no-op, 25 headers", "none-25", &noop(), many.get(&good, 0), 200);
    variants.add("native-25", "native, 25 headers", "none-25", &native(), many.get(&good, 0), 200);
    variants.add(
        "allow-25",
        "Latchkey allows, 25 headers",
        "none-25",
        &bare,
        many.get(&good, 0),
        200,
    );

    variants.add(
        "module-25",
        "native module allows, 25 headers",
        "none-25",
        &module,
        many.get(&good, 0),
        200,
    );

    for (size, [none, noop_id, allow], names) in [
        (
            0,
            ["none-0k", "noop-0k", "allow-0k"],
            ["no filter, no body", "no-op, no body", "Latchkey, no body"],
        ),
        (
            10_000,
            ["none-10k", "noop-10k", "allow-10k"],
            ["no filter, 10 KB", "no-op, 10 KB", "Latchkey, 10 KB"],
        ),
        (
            1_000_000,
            ["none-1m", "noop-1m", "allow-1m"],
            ["no filter, 1 MB", "no-op, 1 MB", "Latchkey, 1 MB"],
        ),
    ] {
        // A key that may read may post here.
        let policy = policy(10, 1).replacen("items:{action}", "items:read", 1);
        let (body, latchkey) = ("x".repeat(size), variants.latchkey(allow, &policy));
        let mut all = vec![
            (none, names[0], String::new(), JSON),
            (noop_id, names[1], noop(), JSON),
            (allow, names[2], latchkey.clone(), JSON),
        ];
        if size == 10_000 {
            // It may ask for another method, which the key may not use, so it is read.
            let form = "application/x-www-form-urlencoded";
            all.push(("form-10k", "Latchkey, 10 KB of a form", latchkey, form));
        }
        for (id, name, filter, kind) in all {
            variants.add(id, name, none, &filter, few.post(&good, 0, kind, &body), 200);
            let last = variants.all.last_mut().unwrap();
            last.bootstrap = bootstrap(&filter, Some(upstream), authorizer);
            last.weight = if size > 100_000 { 10 } else { 1 };
        }
    }
    let wanted = variants.all.iter().filter(|variant| is_wanted(variant.id));
    let bases: Vec<&str> = wanted.map(|variant| variant.base).collect();
    variants.all.retain(|variant| is_wanted(variant.id) || bases.contains(&variant.id));
    variants.all
}

struct Variants<'a> {
    scratch: &'a Scratch,
    authorizer: u16,
    all: Vec<Variant>,
}

impl Variants<'_> {
    fn add(
        &mut self,
        id: &'static str,
        name: &'static str,
        base: &'static str,
        filter: &str,
        request: Vec<u8>,
        status: u16,
    ) {
        let bootstrap = bootstrap(filter, None, self.authorizer);
        self.all.push(Variant { id, name, base, bootstrap, request, status, weight: 1 });
    }

    /// Latchkey with this policy, from a file of its own, as it is shipped.
    fn latchkey(&self, id: &str, policy: &str) -> String {
        self.discovered(id, &ecds(self.scratch, policy, &wasm()))
    }

    /// The same as a native module.
    fn module(&self, id: &str, policy: &str) -> String {
        let module = module().display().to_string();
        as_module(&self.discovered(id, &ecds_of(self.scratch, policy, Code::Module(&module))))
    }

    fn discovered(&self, id: &str, ecds: &str) -> String {
        let folder = format!("latchkey-{id}");
        std::fs::create_dir(self.scratch.file(&folder)).unwrap();
        self.scratch.replace(&format!("{folder}/ecds.yaml"), ecds);
        latchkey_in(&self.scratch.file(&folder).display().to_string())
    }
}

/// Latchkey with the policy that a folder's `ecds.yaml` holds.
pub(crate) fn latchkey_in(folder: &str) -> String {
    format!(
        "
          - name: latchkey
            config_discovery:
              config_source:
                resource_api_version: V3
                path_config_source: {{path: {folder}/ecds.yaml, watched_directory: {{path: {folder}}}}}
              type_urls: [type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm]"
    )
}

/// The native module with the policy that a folder's `ecds.yaml` holds.
pub(crate) fn as_module_in(folder: &str) -> String {
    as_module(&latchkey_in(folder))
}

/// A request that the rule of [`policy`] is for, with a key as [`bearer`] writes it.
pub(crate) fn get(key: &str) -> Vec<u8> {
    Load::headers(FEW).get(key, 0)
}

/// A policy as users have them: the key's account goes to the upstream.
pub(crate) fn policy(keys: usize, rules: usize) -> String {
    let policy = policies::with(keys, rules);
    format!(r#"{{"upstream_headers":{{"x-account-id":"{{key.account}}"}},{}"#, &policy[1..])
}

/// An Envoy that answers by itself, or asks an upstream.
pub(crate) fn bootstrap(filters: &str, upstream: Option<u16>, authorizer: u16) -> String {
    let cluster = |name: &str, port: u16| {
        format!(
            "
  - name: {name}
    type: STATIC
    load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}}}]}}]}}"
        )
    };
    let route = match upstream {
        Some(_) => "route: {cluster: upstream}",
        None => "direct_response: {status: 200, body: {inline_string: ok}}",
    };
    format!(
        "node: {{id: bench, cluster: bench}}
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: ingress
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          use_remote_address: true
          route_config: {{virtual_hosts: [{{name: all, domains: [\"*\"], routes: [{{match: {{prefix: \"/\"}}, {route}}}]}}]}}
          http_filters:{filters}
          - name: envoy.filters.http.router
            typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:{}{}
",
        cluster("authorizer", authorizer),
        upstream.map_or(String::new(), |port| cluster("upstream", port)),
    )
}

const GUARD: &str = "
          - name: guard
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  latchkey-allowed:
                    permissions: [{any: true}]
                    principals: [{filter_state: {key: wasm.latchkey, string_match: {prefix: \"allow \"}}}]";

/// Envoy's own key filter, and RBAC for the method.
fn native() -> String {
    format!(
        "
          - name: api_key
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth
              credentials: [{{key: {}, client: ws_000000}}]
              key_sources: [{{header: authorization}}]
              forwarding: {{header: x-account-id, hide_credentials: true}}
          - name: methods
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
              rules:
                action: ALLOW
                policies:
                  reading:
                    permissions: [{{header: {{name: \":method\", string_match: {{exact: GET}}}}}}]
                    principals: [{{any: true}}]",
        policies::token(0)
    )
}

/// The same in Lua, which has no SHA-256: a table of tokens.
fn lua() -> String {
    format!(
        "
          - name: lua
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua
              default_source_code:
                inline_string: |
                  local accounts = {{['{}'] = 'ws_000000'}}
                  local allowed = {{GET = true, HEAD = true}}
                  function envoy_on_request(handle)
                    local headers = handle:headers()
                    local value = headers:get('authorization')
                    local scheme, token = (value or ''):match('^(%a+) +(%S+)$')
                    local account = scheme and scheme:lower() == 'bearer' and accounts[token]
                    if not account then
                      handle:respond({{[':status'] = '401'}}, 'unauthorized')
                    elseif not allowed[headers:get(':method')] then
                      handle:respond({{[':status'] = '403'}}, 'forbidden')
                    else
                      headers:remove('authorization')
                      headers:replace('x-account-id', account)
                    end
                  end",
        policies::token(0)
    )
}

fn noop() -> String {
    format!(
        "
          - name: noop
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: noop
                vm_config: {{runtime: envoy.wasm.runtime.v8, code: {{local: {{filename: {}}}}}}}",
        repository("dist/noop.wasm").display()
    )
}

fn ext_authz(port: u16) -> String {
    format!(
        "
          - name: ext_authz
            typed_config:
              \"@type\": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              http_service:
                server_uri: {{uri: \"http://127.0.0.1:{port}\", cluster: authorizer, timeout: 1s}}
                authorization_response: {{allowed_upstream_headers: {{patterns: [{{exact: x-account-id}}]}}}}"
    )
}

pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// A client's headers, beside its key.
struct Load(&'static str);

impl Load {
    fn headers(headers: &'static str) -> Load {
        Load(headers)
    }

    fn get(&self, key: &str, service: usize) -> Vec<u8> {
        let target = format!("/v1/service{service}/items/7");
        format!("GET {target} HTTP/1.1\r\n{}{key}\r\n", self.0).into_bytes()
    }

    /// A request that sends something of that media type.
    fn post(&self, key: &str, service: usize, kind: &str, body: &str) -> Vec<u8> {
        let target = format!("/v1/service{service}/items/7");
        let (headers, length) = (self.0, body.len());
        format!(
            "POST {target} HTTP/1.1\r\n{headers}{key}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }
}

/// What no rule and no reading of the policy's looks into.
const JSON: &str = "application/json";

/// With the key, 5 headers.
const FEW: &str = "host: api.example.com\r\nuser-agent: okhttp/4.12.0\r\naccept: application/json\r\n\
accept-encoding: gzip\r\n";

/// With the key, 25 headers, as of a browser behind two proxies.
const MANY: &str = "host: api.example.com\r\nconnection: keep-alive\r\ncache-control: no-cache\r\npragma: no-cache\r\n\
sec-ch-ua: \"Chromium\";v=\"142\", \"Not:A-Brand\";v=\"24\"\r\nsec-ch-ua-mobile: ?0\r\nsec-ch-ua-platform: \"Linux\"\r\n\
user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
accept: application/json, text/plain, */*\r\norigin: https://app.example.com\r\nsec-fetch-site: same-site\r\n\
sec-fetch-mode: cors\r\nsec-fetch-dest: empty\r\nreferer: https://app.example.com/reports/2026/11\r\n\
accept-encoding: gzip, deflate, br, zstd\r\naccept-language: en-GB,en;q=0.9,de;q=0.8\r\ndnt: 1\r\npriority: u=1, i\r\n\
cookie: theme=dark; session_hint=1; consent=necessary%2Cstatistics; _ga=GA1.1.1234567890.1700000000\r\n\
x-requested-with: XMLHttpRequest\r\nx-client-version: 7.3.1\r\nx-trace: 4bf92f3577b34da6a3ce929d0e0e4736\r\n\
x-tenant-hint: eu-1\r\nif-none-match: \"5d8c72a5edda8d6a\"\r\n";
