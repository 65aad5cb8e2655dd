//! The bounds of a policy and of a request. Each is enforced in one place.

/// Largest configuration that is read, in bytes.
pub const CONFIGURATION_BYTES: usize = 256 * 1024 * 1024;

/// Largest key ring, in keys.
pub const KEYS: usize = 1_000_000;

/// The memory of a VM, in bytes: Envoy lets none have more (1.40.0).
pub const VM_BYTES: usize = 1024 * 1024 * 1024;

/// Most bytes of headers that are held at a time in a VM, of all requests whose bodies are awaited: a part of
/// what a VM may have, which many clients that never end their bodies would fill.
pub const HELD_BYTES: usize = 64 * 1024 * 1024;

/// Most preflights at a time, in a VM or of a worker, whose headers have gone ahead and whose body is not known
/// to be none: they are nobody's, and each takes a request of the upstream's.
pub const PREFLIGHTS_AHEAD: usize = 64;

/// What is left for all else that requests take in a VM, bodies that are judged say, in bytes.
pub const REQUEST_BYTES: usize = 32 * 1024 * 1024;

/// Most rules.
pub const RULES: usize = 10_000;

/// Largest part of a configuration besides its `keys`, in bytes.
pub const POLICY_BYTES: usize = 4 * 1024 * 1024;

/// How many times its size that part takes at most once it is compiled.
pub(crate) const POLICY_GROWTH: usize = 30;

/// Most key types.
pub const KEY_TYPES: usize = 10_000;

/// Most credential sources, and most headers that are set.
pub const HEADERS: usize = 100;

/// Most segments of a rule's path.
pub const SEGMENTS: usize = 128;

/// Most templates with placeholders in one condition: each may stand for many values.
pub const TEMPLATES: usize = 64;

/// Most attributes of one key.
pub const ATTRIBUTES: usize = 32;

/// Longest attribute name, attribute value, account or key name, in bytes.
pub const ATTRIBUTE_BYTES: usize = 256;

/// Most scopes, and most origins, of one key or key type.
pub const GRANTS: usize = 1_000;

/// Longest token that is looked up, in bytes.
pub const TOKEN_BYTES: usize = 512;

/// Longest hint at a token, in bytes: enough for a prefix and four characters, too short for a
/// token.
pub const HINT_BYTES: usize = 32;

/// Longest identifier of a key, a key type or an attribute, in bytes.
pub const IDENTIFIER_BYTES: usize = 64;

/// Most scopes that one request can be made to need by repeating a parameter, and most that a decision
/// tells of.
pub const REQUIRED_SCOPES: usize = 256;

/// Most rules that may match by some occurrences of a parameter only; a request with more is refused.
pub const READINGS: usize = 32;

/// Most paths that a path may be to upstreams that read it otherwise, by commas say or in any letter case, and most
/// segments of a path that is looked at so; a request with more is refused.
pub const PATHS: usize = 256;

/// Most rules that may decide about all paths that a path may be, by all methods; a request with more is refused.
pub(crate) const MATCHES: usize = 2_048;

/// Most occurrences of a parameter that a rule's `query` is held against; a request with more is refused.
pub const OCCURRENCES: usize = 64;

/// How much of a header's values is looked through for one that a rule names, in bytes; a longer one could be read
/// as any.
pub const LIST_BYTES: usize = 1_024;

/// Most pieces of a query that a rule or a credential is looked for in, empty ones and those behind a `;`
/// included, and most cookies in which a credential is looked for; a request with more is refused.
pub const PARAMETERS: usize = 1_000;

/// Longest list of scopes that a challenge tells, in bytes.
pub const CHALLENGE_BYTES: usize = 1_024;

/// Most findings that are told one by one.
pub const FINDINGS: usize = 1_000;

/// Most keys for which metrics are kept per key unless the configuration says otherwise.
pub const KEYS_WITH_METRICS: usize = 1_000;

/// Largest form or JSON body that is judged, in bytes: what Envoy holds unless it is told otherwise.
pub const BODY_BYTES: usize = 1024 * 1024;

/// Longest name of a value in a JSON body that is followed, the names around it included, in bytes.
pub(crate) const BODY_NAME: usize = 1024;

/// How deep the values of a JSON body are followed.
pub(crate) const BODY_DEPTH: usize = 8;

/// Largest `max_depth` of a GraphQL rule.
pub const GRAPHQL_DEPTH: usize = 100;

/// Largest `max_bytes` of a GraphQL rule, in bytes: what Envoy holds unless it is told otherwise. A body
/// of JSON takes some 32 times as much memory while it is judged.
pub const GRAPHQL_BYTES: usize = 1024 * 1024;

/// Most tokens of a GraphQL request, spaces and comments included. A token takes some 200 bytes.
pub const GRAPHQL_TOKENS: usize = 15_000;

/// Most documents of a GraphQL request, those of a batch and of its URL.
pub const GRAPHQL_DOCUMENTS: usize = 100;

/// Most different fields of a GraphQL request: those of its roots, and those with fields of their own.
pub const GRAPHQL_FIELDS: usize = 500;
