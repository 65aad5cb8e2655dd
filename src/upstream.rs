//! What frameworks read of a request otherwise than it stands: the letters of a path, its suffix, the method, and
//! parameters in other places than the query.
//!
//! A policy says by `upstream` which of these an upstream may do. Each is another reading of the request, which must
//! be allowed as well as the one that stands, by the rule that decides about it.

use std::borrow::Cow;

use crate::config::Word;
use crate::form::Kinds;

/// The readings that a request has beside the one that stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Readings {
    /// Whose letters pass for each other where a path is compared.
    pub(crate) letters: Letters,
    /// What of a path's last segment is taken for a format.
    pub(crate) suffix: Suffix,
    /// Whether the parts between the commas of a path's last segment are each a path of its own.
    pub(crate) parts: bool,
    /// Whether the name of a script in a path, and what stands before or behind it, is the server's.
    pub(crate) scripts: bool,
    /// Whether a route's last parameter takes all that follows in a path.
    pub(crate) rest: bool,
    /// Whether a path's last segment counts alone, whatever stands between it and where it is looked for.
    pub(crate) shorter: bool,
    /// Whether HEAD runs what GET does.
    pub(crate) head_as_get: bool,
    /// Whether `_method` in the query of a POST is its method.
    pub(crate) method_in_query: bool,
    /// The same in its form.
    pub(crate) method_in_form: bool,
    /// The same in its JSON.
    pub(crate) method_in_json: bool,
    /// Whether these three count in whatever is no GET, not in a POST alone.
    pub(crate) method_of_any: bool,
    /// Which requests' forms hold parameters as the query does.
    pub(crate) form: Bodies,
    /// The same of the members of a JSON object.
    pub(crate) json: Bodies,
    /// The same of XML, YAML, TOML, MessagePack, CBOR and BSON.
    pub(crate) markup: Bodies,
    /// The bodies that may be read in the query's place, and not only beside it; not with GET and HEAD.
    pub(crate) alone: Kinds,
    /// Whether they are, whatever they hold, and not only where they lead to a rule by what they hold.
    pub(crate) is_always_alone: bool,
    /// Which headers of a parameter's name hold it as the query does.
    pub(crate) headers: Headers,
    /// The same of a cookie.
    pub(crate) cookies: bool,
}

/// The headers that may be taken for parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Headers {
    #[default]
    None,
    /// All but [`USUAL_HEADERS`].
    Unusual,
    All,
}

/// The headers that clients send of themselves: what Spring leaves out.
const USUAL_HEADERS: [&str; 11] = [
    "accept",
    "authorization",
    "connection",
    "cookie",
    "from",
    "host",
    "origin",
    "priority",
    "range",
    "referer",
    "upgrade",
];

impl Headers {
    /// Whether they include one, by its name in lower case. A pseudo-header is none.
    pub(crate) fn include(self, name: &str) -> bool {
        let is_one = match self {
            Headers::None => false,
            Headers::Unusual => !USUAL_HEADERS.contains(&name),
            Headers::All => true,
        };
        is_one && !name.starts_with(':')
    }
}

/// Letters that are compared whatever their case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Letters {
    #[default]
    None,
    Ascii,
    Any,
}

/// A format at the end of a path, behind a dot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Suffix {
    #[default]
    None,
    /// One of [`FORMATS`].
    Usual,
    /// Any of letters and digits.
    Word,
    /// Whatever stands behind the last dot.
    Any,
}

/// The requests of which a body is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bodies {
    #[default]
    None,
    /// All but GET.
    Changing,
    All,
}

impl Bodies {
    pub(crate) fn include(self, method: &str) -> bool {
        match self {
            Bodies::None => false,
            Bodies::Changing => method != "GET",
            Bodies::All => true,
        }
    }
}

/// Formats as paths usually name them.
pub(crate) const FORMATS: [&str; 22] = [
    "atom", "csv", "htm", "html", "ics", "js", "json", "jsonld", "jsonp", "md", "ndjson", "pdf",
    "rss", "text", "tsv", "txt", "xhtml", "xls", "xlsx", "xml", "yaml", "yml",
];

impl Suffix {
    /// What of a segment stands before its suffix, if it has one.
    pub(crate) fn cut(self, segment: &str) -> Option<&str> {
        let (name, suffix) = segment.rsplit_once('.')?;
        let is_one = match self {
            Suffix::None => false,
            Suffix::Usual => FORMATS.iter().any(|usual| usual.eq_ignore_ascii_case(suffix)),
            Suffix::Word => suffix.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            Suffix::Any => true,
        };
        (is_one && !name.is_empty() && !suffix.is_empty()).then_some(name)
    }
}

impl Letters {
    /// A text in one case of its letters.
    pub(crate) fn folded(self, text: &str) -> Cow<'_, str> {
        let is_same = match self {
            Letters::None => true,
            Letters::Ascii => !text.bytes().any(|byte| byte.is_ascii_uppercase()),
            Letters::Any => !text.bytes().any(|byte| byte.is_ascii_uppercase() || !byte.is_ascii()),
        };
        if is_same {
            return Cow::Borrowed(text);
        }
        let mut folded = String::with_capacity(text.len());
        for character in text.chars() {
            folded.push(match self {
                Letters::Any => in_one_case(character),
                Letters::Ascii | Letters::None => character.to_ascii_lowercase(),
            });
        }
        Cow::Owned(folded)
    }
}

/// A letter in one case, of Latin, Greek, Cyrillic and fullwidth ones. The standard library's tables would be as
/// large as half of what is decided here, so neighbours pass for each other where capital and small letters alternate.
fn in_one_case(character: char) -> char {
    let code = u32::from(character.to_ascii_lowercase());
    let lower = match code {
        0x17f => u32::from('s'),
        0x212a => u32::from('k'),
        0x3c2 => 0x3c3,
        0xc0..=0xde | 0x391..=0x3ab | 0x410..=0x42f | 0xff21..=0xff3a => code.wrapping_add(0x20),
        0x400..=0x40f => code.wrapping_add(0x50),
        0x139..=0x148 | 0x178..=0x17e => code.wrapping_add(1) & !1,
        0x100..=0x24f | 0x460..=0x52f | 0x1e00..=0x1eff => code | 1,
        _ => code,
    };
    char::from_u32(lower).unwrap_or(character)
}

impl Readings {
    /// What any upstream may do, as far as it is known.
    pub(crate) const CAUTIOUS: Readings = Readings {
        letters: Letters::Any,
        suffix: Suffix::Usual,
        parts: true,
        scripts: true,
        // Most paths go on, or end as others do: these two are for whom they are known of.
        rest: false,
        shorter: false,
        head_as_get: true,
        method_in_query: true,
        method_in_form: true,
        // A policy without rules about the query holds no JSON.
        method_in_json: false,
        method_of_any: true,
        form: Bodies::All,
        json: Bodies::All,
        markup: Bodies::All,
        // With any body, each request with a query would be judged as one without.
        alone: Kinds::ALL,
        is_always_alone: false,
        // Every client sends the others: a parameter of such a name would be one more of each request.
        headers: Headers::Unusual,
        cookies: true,
    };

    /// What the request says and nothing else.
    pub(crate) const EXACT: Readings = Readings {
        letters: Letters::None,
        suffix: Suffix::None,
        parts: false,
        scripts: false,
        rest: false,
        shorter: false,
        head_as_get: false,
        method_in_query: false,
        method_in_form: false,
        method_in_json: false,
        method_of_any: false,
        form: Bodies::None,
        json: Bodies::None,
        markup: Bodies::None,
        alone: Kinds::NONE,
        is_always_alone: false,
        headers: Headers::None,
        cookies: false,
    };

    /// What one or the other does.
    pub(crate) fn and(self, other: Readings) -> Readings {
        Readings {
            letters: self.letters.max(other.letters),
            suffix: self.suffix.max(other.suffix),
            parts: self.parts | other.parts,
            scripts: self.scripts | other.scripts,
            rest: self.rest | other.rest,
            shorter: self.shorter | other.shorter,
            head_as_get: self.head_as_get | other.head_as_get,
            method_in_query: self.method_in_query | other.method_in_query,
            method_in_form: self.method_in_form | other.method_in_form,
            method_in_json: self.method_in_json | other.method_in_json,
            method_of_any: self.method_of_any | other.method_of_any,
            form: self.form.max(other.form),
            json: self.json.max(other.json),
            markup: self.markup.max(other.markup),
            alone: self.alone.and(other.alone),
            is_always_alone: self.is_always_alone | other.is_always_alone,
            headers: self.headers.max(other.headers),
            cookies: self.cookies | other.cookies,
        }
    }

    /// The other texts that a path's last segment may be taken for: parts of it, and these without their suffix.
    pub(crate) fn tails(self, last: &str, was_encoded: bool) -> Vec<(Deviation, &str)> {
        let mut tails = Vec::new();
        if self.suffix == Suffix::Any && was_encoded {
            // Rails parts them before it decodes, so of the dots here any may be the last to it.
            let names = last.match_indices('.').filter_map(|(at, _)| last.get(..at));
            let names = names.filter(|name| !name.is_empty());
            tails.extend(names.map(|name| (Deviation::Suffix, name)));
        } else if let Some(name) = self.suffix.cut(last) {
            tails.push((Deviation::Suffix, name));
        }
        if self.parts && last.bytes().any(|byte| byte == b',') {
            for part in last.split(',').filter(|part| !part.is_empty()) {
                tails.push((Deviation::Part, part));
                tails.extend(self.suffix.cut(part).map(|name| (Deviation::Part, name)));
            }
        }
        tails
    }
}

impl Readings {
    /// Whether a request of this method may ask for another by a parameter.
    pub(crate) fn may_override(self, method: &str) -> bool {
        method == "POST" || (self.method_of_any && method != "GET")
    }

    fn told(self) -> Vec<&'static str> {
        let bodies = |which, all, changing| match which {
            Bodies::None => None,
            Bodies::Changing => Some(changing),
            Bodies::All => Some(all),
        };
        let letters = match self.letters {
            Letters::None => None,
            Letters::Ascii => Some("the path in any case of ASCII letters"),
            Letters::Any => Some("the path in any letter case"),
        };
        let suffix = match self.suffix {
            Suffix::None => None,
            Suffix::Usual => Some("the path without a usual suffix"),
            Suffix::Word => Some("the path without a suffix of letters and digits"),
            Suffix::Any => Some("the path without any suffix"),
        };
        let said = |is_read: bool, text| is_read.then_some(text);
        let method = |is_read: bool, of_post, of_any| {
            is_read.then_some(if self.method_of_any { of_any } else { of_post })
        };
        [
            letters,
            suffix,
            said(self.parts, "each part of the last segment between commas"),
            said(self.scripts, "the path before and behind a script's name"),
            said(self.rest, "a path as a shorter one whose last parameter takes the rest"),
            said(self.shorter, "the last segment behind each shorter path"),
            said(self.head_as_get, "HEAD as GET"),
            method(
                self.method_in_query,
                "`_method` in the query of a POST",
                "`_method` in the query of all but a GET",
            ),
            method(
                self.method_in_form,
                "`_method` in a form of a POST",
                "`_method` in a form of all but a GET",
            ),
            said(self.method_in_json, "`_method` in JSON of a POST"),
            bodies(
                self.form,
                "fields of a form, with any method",
                "fields of a form, but not with GET",
            ),
            bodies(
                self.json,
                "members of JSON, with any method",
                "members of JSON, but not with GET",
            ),
            bodies(
                self.markup,
                "elements of XML and its like, with any method",
                "elements of XML and its like, but not with GET",
            ),
            said(
                self.alone.urlencoded,
                "an urlencoded form in place of the query, but not with GET",
            ),
            said(self.alone.multipart, "a form of several parts in place of the query"),
            said(self.alone.json, "JSON in place of the query, but not with GET"),
            said(self.alone.markup, "XML and its like in place of the query"),
            said(self.headers != Headers::None, "headers of parameters' names"),
            said(self.cookies, "cookies of parameters' names"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// How an upstream comes to another reading of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// By the fields of a form, or the members of JSON, taken for the query's.
    Body,
    /// By running for HEAD what runs for GET (RFC 9110 section 9.3.2).
    Head,
    /// By a header or a cookie taken for a parameter of the query.
    Header,
    /// By comparing paths whatever the case of their letters.
    Letters,
    /// By another method that the request asks for.
    Method,
    /// By parting a path's last segment at its commas.
    Part,
    /// By giving a route's last parameter all that follows in the path.
    Rest,
    /// By taking a script's name, and what stands before or behind it, for the server's part of a path.
    Script,
    /// By what stands behind a `;` in the path.
    Semicolon,
    /// By looking for the path's last segment behind a shorter path.
    Shorter,
    /// By taking a format off the path's end.
    Suffix,
}

impl Deviation {
    /// What explanations call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Deviation::Body => "with the body's parameters",
            Deviation::Head => "as GET",
            Deviation::Header => "with headers' and cookies' parameters",
            Deviation::Letters => "in other letters",
            Deviation::Method => "by another method",
            Deviation::Part => "a part between commas",
            Deviation::Rest => "with the rest in its last parameter",
            Deviation::Script => "without a script's name",
            Deviation::Semicolon => "without what follows `;`",
            Deviation::Shorter => "its end behind a shorter path",
            Deviation::Suffix => "without the suffix",
        }
    }
}

macro_rules! frameworks {
    ($($name:ident { $($field:ident: $value:expr),* } $measured:literal, $does:literal, $switch:literal;)+) => {
        /// What each framework does.
        const FRAMEWORKS: &[(&str, Readings)] =
            &[$((stringify!($name), Readings { $($field: $value,)* ..Readings::EXACT }),)+];

        /// The frameworks that a policy's `upstream` may name, in alphabetical order.
        pub const UPSTREAMS: &[Upstream] = &[$(Upstream {
            name: stringify!($name),
            measured: $measured,
            does: $does,
            switch: $switch,
        },)+];
    };
}

/// What people are told of a framework that a policy may name as its `upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in a policy.
    pub name: &'static str,
    /// The versions that were held to it.
    pub measured: &'static str,
    /// What it reads otherwise than a request stands.
    pub does: &'static str,
    /// What of its own makes it read so, or ends it.
    pub switch: &'static str,
}

impl Upstream {
    /// What the policy does about it: the readings that must be allowed as well, in a few words each.
    pub fn readings(&self) -> Vec<&'static str> {
        let framework = FRAMEWORKS.iter().find(|(name, _)| *name == self.name);
        framework.map(|(_, readings)| readings.told()).unwrap_or_default()
    }
}

frameworks! {
    actix {} "actix-web 4.18", "nothing", "none";
    axum { head_as_get: true, form: Bodies::Changing, alone: Kinds { urlencoded: true, ..Kinds::NONE }, is_always_alone: true }
        "axum 0.8 with axum-extra 0.12", "the extractor `Form` takes the query of GET, and of every other method the form", "use `Query`";
    chi { method_in_query: true, method_in_form: true, form: Bodies::All }
        "chi 5.5", "`r.FormValue` takes the fields of a form, a multipart one of any method; gorilla's handler takes `_method`",
        "use `r.URL.Query()`; leave gorilla's `HTTPMethodOverrideHandler` out";
    django { head_as_get: true } "Django 5.2", "nothing but HEAD", "none";
    drf { head_as_get: true, suffix: Suffix::Word }
        "Django REST framework 3.18", "`DefaultRouter` takes a format of letters and digits off the path",
        "`include_format_suffixes = False`";
    echo { rest: true, form: Bodies::All, json: Bodies::All, alone: Kinds { json: true, markup: true, ..Kinds::NONE }, is_always_alone: true, markup: Bodies::All, method_in_query: true, method_in_form: true }
        "echo 4.16 and 5.4", "a route's last parameter takes the rest of the path; `Bind` and `FormValue` take fields of forms, `Bind` members of JSON and elements of XML; `MethodOverride` takes `_method`",
        "bind the query with `BindQueryParams`; a route for `/docs/:id/*` ends the first; leave `MethodOverride` out";
    express { head_as_get: true, letters: Letters::Ascii, method_in_query: true, method_in_form: true, method_in_json: true, form: Bodies::All, json: Bodies::All }
        "Express 4.22 and 5.3 with method-override 3.0", "compares paths in any letter case; the middleware `method-override` takes `_method` of a query and of a body if it is told to; `request.param` of Express 4 takes the fields of a parsed body",
        "`case sensitive routing`; use `request.query`";
    fastapi { head_as_get: true } "FastAPI 0.165", "nothing but HEAD, where a route is Starlette's own", "none";
    fastify { head_as_get: true } "Fastify 4.29 and 5.12", "nothing but HEAD by default", "`caseSensitive: false` makes it Express's; then write `[fastify, express]`";
    fiber { head_as_get: true, letters: Letters::Ascii, form: Bodies::All, json: Bodies::All, markup: Bodies::All, headers: Headers::All, cookies: true }
        "Fiber 2.52 and 3.1", "compares paths in any letter case; `FormValue` and `Bind` take fields of a body, with GET, too; `Bind().All` takes headers and cookies",
        "`CaseSensitive: true`; bind with `Query`, or tag each field for `header` and `cookie`, too";
    flask { head_as_get: true, form: Bodies::Changing }
        "Flask 3.1", "`request.values` takes the fields of a form", "use `request.args`";
    gin { form: Bodies::All, json: Bodies::Changing, alone: Kinds { urlencoded: false, ..Kinds::ALL }, is_always_alone: true, markup: Bodies::Changing, method_in_query: true, method_in_form: true }
        "gin 1.12", "`ShouldBind` takes fields of forms, members of JSON, and what stands in XML, YAML and TOML; gorilla's handler takes `_method`",
        "use `ShouldBindQuery`";
    go { head_as_get: true, form: Bodies::All, method_in_query: true, method_in_form: true }
        "Go 1.26 net/http with gorilla's handlers 1.5", "`r.FormValue` takes the fields of a form, a multipart one of any method; gorilla's handler takes `_method`",
        "use `r.URL.Query()`; leave gorilla's `HTTPMethodOverrideHandler` out";
    hapi { head_as_get: true } "hapi 21.4", "nothing but HEAD by default", "`router.isCaseSensitive: false` makes it Express's; then write `[hapi, express]`";
    hono { head_as_get: true, method_in_query: true, method_in_form: true, method_of_any: true }
        "Hono 4.13 on Node", "the middleware `methodOverride` takes `_method` of a form, and of a query if it is told to, with any method but GET", "leave `methodOverride` out";
    jersey { head_as_get: true, method_in_query: true, form: Bodies::Changing }
        "Jersey 3.1 on Grizzly", "`HttpMethodOverrideFilter` takes `_method` of the query, and makes of a POST's form the query of the GET that it asks for", "leave that filter out";
    koa { head_as_get: true, letters: Letters::Ascii }
        "Koa 2 and 3.3 with @koa/router 13.1", "compares paths in any letter case", "`sensitive: true`";
    laravel { head_as_get: true, scripts: true, method_in_query: true, method_in_form: true, method_in_json: true, form: Bodies::Changing, json: Bodies::All }
        "Laravel 8.83", "takes `/index.php` off a path; `input` takes fields of forms and members of JSON, with GET, too, whatever a content type says before `/json`; `_method` in each of them",
        "use `$request->query()`";
    nestjs { head_as_get: true, letters: Letters::Ascii, method_in_query: true, method_in_form: true, method_in_json: true }
        "NestJS 11.2 on Express", "as Express, but for `request.param`", "as Express";
    php { head_as_get: true, form: Bodies::Changing, cookies: true, scripts: true }
        "PHP 8", "a script's path ends at its name; `$_REQUEST` has the fields of a form, and without a `php.ini` cookies as well", "`request_order = G`, or use `$_GET`";
    rails { head_as_get: true, suffix: Suffix::Any, method_in_form: true, form: Bodies::All, json: Bodies::All }
        "Rails 6.1 and 7", "takes whatever stands behind the last dot for a format; `params` has fields of forms and members of JSON, with GET, too; `_method` in a form",
        "`format: false` on routes; `config.api_only` takes no `_method`; use `request.query_parameters`";
    sinatra { head_as_get: true, method_in_form: true, form: Bodies::All }
        "Sinatra 3.0", "`params` has the fields of a form; `_method` in one", "`disable :method_override`";
    spring { head_as_get: true, method_in_query: true, method_in_form: true, form: Bodies::All, headers: Headers::Unusual }
        "Spring Boot 3.5 on Tomcat, Jetty and Undertow", "parameters are a form's as well as the query's, with Undertow of a GET, too; from Spring 6.2 on `@ModelAttribute` is bound to headers as well; `HiddenHttpMethodFilter` takes `_method`",
        "`spring.mvc.hiddenmethod.filter.enabled`, off by default; bind with `@RequestParam`";
    symfony { head_as_get: true, scripts: true, method_in_query: true, method_in_form: true, form: Bodies::Changing }
        "Symfony 5.4, 6 and 7", "takes `/index.php` off a path; `Request::get` takes the fields of a form; with method override `_method` in the query and in a form",
        "`http_method_override: false`; use `$request->query`";
    trpc { parts: true, shorter: true }
        "tRPC 11.25", "runs a procedure for each part between commas; the adapter for Express takes what follows the last `/`", "`allowBatching: false`; the standalone adapter. Behind Express write `[trpc, express]`";
    webflux { head_as_get: true, method_in_form: true, form: Bodies::All, headers: Headers::Unusual }
        "Spring Boot 3.5 on Netty", "`@ModelAttribute` is bound to the fields of a form, too, and from Spring 6.2 on to headers; `HiddenHttpMethodFilter` takes `_method` in one",
        "bind with `@RequestParam`";
}

impl Word for Readings {
    const WORDS: &'static [(&'static str, Readings)] = FRAMEWORKS;
}
