//! A request as it is written for curl.

mod form;

use std::io::{self, Read};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine};
use clap::{Arg, ArgAction, ArgMatches};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cases::{CaseRequest, Value};

/// The arguments that make a request.
#[derive(clap::Args, Debug)]
pub(super) struct RequestArguments {
    /// The method; default GET, with a body POST, with -I HEAD
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header, `name: value`; @FILE reads them from a file
    #[arg(short = 'H', long = "header", value_name = "HEADER", allow_hyphen_values = true)]
    headers: Vec<String>,
    /// A body; @FILE reads it from a file
    #[arg(
        short = 'd',
        long = "data",
        alias = "data-ascii",
        value_name = "BODY",
        allow_hyphen_values = true
    )]
    data: Vec<String>,
    /// A body as it is, a first @ too
    #[arg(long, value_name = "BODY", allow_hyphen_values = true)]
    data_raw: Vec<String>,
    /// A body; @FILE reads it from a file with its line ends
    #[arg(long, value_name = "BODY", allow_hyphen_values = true)]
    data_binary: Vec<String>,
    /// A field of a form, `name=text`, which is encoded; `name@FILE` reads the text from a file
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    data_urlencode: Vec<String>,
    /// A body of JSON; @FILE reads it from a file
    #[arg(long, value_name = "BODY", allow_hyphen_values = true)]
    json: Vec<String>,
    /// A part of a form, `name=value`; `name=@FILE` is that file, `name=<FILE` a value out of it
    #[arg(short = 'F', long = "form", value_name = "PART", allow_hyphen_values = true)]
    form: Vec<String>,
    /// A part of a form as it is, a first @ or < too
    #[arg(long, value_name = "PART", allow_hyphen_values = true)]
    form_string: Vec<String>,
    /// A parameter for the URL, as `--data-urlencode` has it; +PARAMETER is taken as it is
    #[arg(long, value_name = "PARAMETER", allow_hyphen_values = true)]
    url_query: Vec<String>,
    /// A file to upload with PUT, as the body
    #[arg(short = 'T', long, value_name = "FILE")]
    upload_file: Option<String>,
    /// Ask with GET, what -d says behind the URL's `?`
    #[arg(short = 'G', long = "get")]
    get: bool,
    /// Ask with HEAD
    #[arg(short = 'I', long = "head")]
    head: bool,
    /// Cookies, `name=value; …`
    #[arg(short = 'b', long = "cookie", value_name = "COOKIES")]
    cookies: Vec<String>,
    /// User and password, for a Basic `authorization`
    #[arg(short = 'u', long = "user", value_name = "USER:PASSWORD", allow_hyphen_values = true)]
    user: Option<String>,
    /// A token for a Bearer `authorization`
    #[arg(long, value_name = "TOKEN", allow_hyphen_values = true)]
    oauth2_bearer: Option<String>,
    /// The header `range`, without `bytes=`
    #[arg(short = 'r', long, value_name = "RANGE", allow_hyphen_values = true)]
    range: Option<String>,
    /// The header `user-agent`
    #[arg(short = 'A', long = "user-agent", value_name = "NAME")]
    user_agent: Option<String>,
    /// The header `referer`
    #[arg(short = 'e', long = "referer", value_name = "URL")]
    referer: Option<String>,
    /// The URL, in place of the argument
    #[arg(long = "url", value_name = "URL")]
    url_option: Option<String>,
    #[command(flatten)]
    _ignored: Ignored,
    /// The URL; what else curl is told, of transport and output, is taken and ignored, and so is the
    /// word `curl` before it
    #[arg(value_name = "URL", required_unless_present = "url_option")]
    urls: Vec<String>,
}

impl RequestArguments {
    /// The URL and the request for it.
    pub(super) fn request(&self) -> Result<(String, CaseRequest)> {
        let urls = without_prompt(&self.urls);
        let mut urls = urls.iter().chain(&self.url_option);
        let mut url = urls.next().context("there is no URL")?.clone();
        ensure!(urls.next().is_none(), "there is more than one URL: one request is explained");
        let mut body = self.body()?;
        if self.get {
            ensure!(!self.is_form(), "`-G` and `-F` exclude each other");
            if let Some(data) = body.take() {
                url = with_query(&url, &data);
            }
        }
        for parameter in &self.url_query {
            let plain = parameter.strip_prefix('+').map(|text| Ok(text.to_owned()));
            url = with_query(&url, &plain.unwrap_or_else(|| encoded(parameter))?);
        }
        ensure!(
            !without_prompt(&self.urls).iter().any(|word| word.contains(char::is_whitespace)),
            "a URL has no spaces: a whole command in quotes stands behind `--curl`"
        );
        let (authority, path) = split_url(&url)?;
        let mut request = CaseRequest {
            authority: authority.to_owned(),
            path: Some(path),
            ..CaseRequest::default()
        };
        let mut headers = self.headers()?;
        if let Some(file) = &self.upload_file {
            ensure!(body.is_none(), "`-T` and a body exclude each other");
            body = Some(read(file)?);
        } else if body.is_some() {
            let (form, json) = ("application/x-www-form-urlencoded", "application/json");
            if self.is_form() {
                let boundary = format!("; boundary={}", form::BOUNDARY);
                add(&mut headers, "content-type", "multipart/form-data");
                // A type that is given by its name has the boundary added, too.
                for (_, kind) in headers.iter_mut().filter(|(name, _)| name == "content-type") {
                    kind.push_str(&boundary);
                }
            } else if self.json.is_empty() {
                add(&mut headers, "content-type", form);
            } else {
                add(&mut headers, "content-type", json);
                add(&mut headers, "accept", json);
            }
        }
        request.body = body;
        if let Some((_, host)) = headers.iter().find(|(name, _)| name == "host") {
            request.authority.clone_from(host);
        }
        request.method = match &self.method {
            Some(method) => {
                ensure!(latchkey::is_token(method), "a method is a word, such as `GET`");
                method.clone()
            }
            None if self.head => "HEAD".to_owned(),
            None if self.upload_file.is_some() => "PUT".to_owned(),
            None if request.body.is_some() => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        // The proxy gives each request an id of its own.
        headers.retain(|(name, _)| name != "host" && name != "x-request-id");
        request.headers =
            headers.into_iter().map(|(name, value)| (name, Value(value.into_bytes()))).collect();
        Ok((url, request))
    }

    /// The headers, names in lower case. One that is given by its name wins over an option's.
    fn headers(&self) -> Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        for header in &self.headers {
            match header.strip_prefix('@') {
                Some(file) => {
                    let lines = read(file)?;
                    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
                        headers.extend(split_header(line)?);
                    }
                }
                None => headers.extend(split_header(header)?),
            }
        }
        if !self.cookies.is_empty() {
            for cookie in &self.cookies {
                ensure!(
                    cookie.contains('='),
                    "`-b` takes `name=value`; a file of cookies is not read"
                );
            }
            headers.push(("cookie".to_owned(), self.cookies.join("; ")));
        }
        if let Some(user) = &self.user {
            ensure!(user.contains(':'), "`-u` takes `user:password`");
            let basic = format!("Basic {}", BASE64_STANDARD.encode(user));
            add(&mut headers, "authorization", &basic);
        }
        let bearer = self.oauth2_bearer.as_ref().map(|token| format!("Bearer {token}"));
        let range = self.range.as_ref().map(|range| format!("bytes={range}"));
        for (name, value) in [
            ("authorization", &bearer),
            ("range", &range),
            ("user-agent", &self.user_agent),
            ("referer", &self.referer),
        ] {
            if let Some(value) = value {
                ensure!(
                    !value.contains(['\r', '\n', '\0']),
                    "the value of `{name}` has a line end, which HTTP forbids"
                );
                add(&mut headers, name, value);
            }
        }
        Ok(headers)
    }

    fn body(&self) -> Result<Option<String>> {
        let mut pieces = Vec::new();
        for data in &self.data {
            pieces.push(match data.strip_prefix('@') {
                Some(file) => read(file)?.replace(['\r', '\n', '\0'], ""),
                None => data.clone(),
            });
        }
        pieces.extend(self.data_raw.iter().cloned());
        for data in &self.data_binary {
            pieces.push(text_or_file(data)?);
        }
        for field in &self.data_urlencode {
            pieces.push(encoded(field)?);
        }
        if !self.json.is_empty() {
            ensure!(pieces.is_empty(), "`--json` and `--data` exclude each other");
            let pieces = self.json.iter().map(|data| text_or_file(data));
            return pieces.collect::<Result<String>>().map(Some);
        }
        if self.is_form() {
            ensure!(pieces.is_empty(), "`--form` and `--data` exclude each other");
            return form::body(&self.form, &self.form_string).map(Some);
        }
        Ok((!pieces.is_empty()).then(|| pieces.join("&")))
    }

    fn is_form(&self) -> bool {
        !self.form.is_empty() || !self.form_string.is_empty()
    }
}

/// What curl is told of transport and output, so that a command line can stay as it was copied.
#[derive(Debug)]
struct Ignored;

/// Long and short names of switches.
const IGNORED: [(&str, Option<char>); 78] = [
    ("basic", None),
    ("cert-status", None),
    ("compressed", None),
    ("compressed-ssh", None),
    ("create-dirs", None),
    ("disable", Some('q')),
    ("doh-cert-status", None),
    ("doh-insecure", None),
    ("fail", Some('f')),
    ("fail-early", None),
    ("fail-with-body", None),
    ("false-start", None),
    ("globoff", Some('g')),
    ("haproxy-protocol", None),
    ("http0.9", None),
    ("http1.0", Some('0')),
    ("http1.1", None),
    ("http2", None),
    ("http2-prior-knowledge", None),
    ("http3", None),
    ("http3-only", None),
    ("ignore-content-length", None),
    ("include", Some('i')),
    ("insecure", Some('k')),
    ("ipv4", Some('4')),
    ("ipv6", Some('6')),
    ("junk-session-cookies", Some('j')),
    ("keepalive", None),
    ("location", Some('L')),
    ("location-trusted", None),
    ("netrc", Some('n')),
    ("netrc-optional", None),
    ("no-alpn", None),
    ("no-buffer", Some('N')),
    ("no-clobber", None),
    ("no-keepalive", None),
    ("no-npn", None),
    ("no-progress-meter", None),
    ("no-sessionid", None),
    ("parallel", Some('Z')),
    ("parallel-immediate", None),
    ("path-as-is", None),
    ("post301", None),
    ("post302", None),
    ("post303", None),
    ("progress-bar", Some('#')),
    ("proxy-basic", None),
    ("proxy-insecure", None),
    ("proxytunnel", Some('p')),
    ("raw", None),
    ("remote-header-name", Some('J')),
    ("remote-name", Some('O')),
    ("remote-name-all", None),
    ("remote-time", Some('R')),
    ("remove-on-error", None),
    ("retry-all-errors", None),
    ("retry-connrefused", None),
    ("show-error", Some('S')),
    ("silent", Some('s')),
    ("ssl", None),
    ("ssl-allow-beast", None),
    ("ssl-no-revoke", None),
    ("ssl-reqd", None),
    ("ssl-revoke-best-effort", None),
    ("styled-output", None),
    ("suppress-connect-headers", None),
    ("tcp-fastopen", None),
    ("tcp-nodelay", None),
    ("tlsv1", Some('1')),
    ("tlsv1.0", None),
    ("tlsv1.1", None),
    ("tlsv1.2", None),
    ("tlsv1.3", None),
    ("tr-encoding", None),
    ("trace-ids", None),
    ("trace-time", None),
    ("verbose", Some('v')),
    ("xattr", None),
];

/// Long and short names of options with a value.
const IGNORED_VALUES: [(&str, Option<char>); 62] = [
    ("abstract-unix-socket", None),
    ("cacert", None),
    ("capath", None),
    ("cert", Some('E')),
    ("cert-type", None),
    ("ciphers", None),
    ("connect-timeout", None),
    ("connect-to", None),
    ("cookie-jar", Some('c')),
    ("crlfile", None),
    ("curves", None),
    ("dns-interface", None),
    ("dns-ipv4-addr", None),
    ("dns-ipv6-addr", None),
    ("dns-servers", None),
    ("doh-url", None),
    ("dump-header", Some('D')),
    ("expect100-timeout", None),
    ("happy-eyeballs-timeout-ms", None),
    ("haproxy-clientip", None),
    ("interface", None),
    ("keepalive-time", None),
    ("key-type", None),
    ("limit-rate", None),
    ("local-port", None),
    ("max-filesize", None),
    ("max-redirs", None),
    ("max-time", Some('m')),
    ("netrc-file", None),
    ("noproxy", None),
    ("output", Some('o')),
    ("output-dir", None),
    ("parallel-max", None),
    ("pass", None),
    ("pinnedpubkey", None),
    ("preproxy", None),
    ("proto", None),
    ("proto-default", None),
    ("proto-redir", None),
    ("proxy", Some('x')),
    ("proxy-cacert", None),
    ("proxy-header", None),
    ("proxy-user", Some('U')),
    ("proxy1.0", None),
    ("rate", None),
    ("resolve", None),
    ("retry", None),
    ("retry-delay", None),
    ("retry-max-time", None),
    ("socks4", None),
    ("socks4a", None),
    ("socks5", None),
    ("socks5-hostname", None),
    ("speed-limit", Some('Y')),
    ("speed-time", Some('y')),
    ("stderr", None),
    ("tls-max", None),
    ("tls13-ciphers", None),
    ("trace", None),
    ("trace-ascii", None),
    ("unix-socket", None),
    ("write-out", Some('w')),
];

impl clap::Args for Ignored {
    fn augment_args(command: clap::Command) -> clap::Command {
        let arg = |(long, short): (&'static str, Option<char>), action| {
            let arg = Arg::new(long).long(long).action(action).hide(true);
            short.map_or(arg.clone(), |short| arg.short(short))
        };
        command
            .args(IGNORED.map(|names| arg(names, ArgAction::Count)))
            .args(IGNORED_VALUES.map(|names| arg(names, ArgAction::Append)))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Ignored {
    fn from_arg_matches(_: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Ignored)
    }

    fn update_from_arg_matches(&mut self, _: &ArgMatches) -> Result<(), clap::Error> {
        Ok(())
    }
}

/// What stands behind the word `curl`, and behind the prompt before it.
fn without_prompt(words: &[String]) -> &[String] {
    let is_curl = |word: &str| {
        matches!(word, "curl" | "curl.exe") || (word.starts_with('/') && word.ends_with("/curl"))
    };
    match words {
        [curl, rest @ ..] if is_curl(curl) => rest,
        [prompt, curl, rest @ ..] if ["$", "#", "%", ">"].contains(&&**prompt) && is_curl(curl) => {
            rest
        }
        words => words,
    }
}

/// Adds a header, unless there is one of that name.
fn add(headers: &mut Vec<(String, String)>, name: &str, value: &str) {
    if headers.iter().all(|(known, _)| known != name) {
        headers.push((name.to_owned(), value.to_owned()));
    }
}

/// A URL with more in its query, without its fragment.
fn with_query(url: &str, query: &str) -> String {
    let address = url.split_once('#').map_or(url, |(address, _)| address);
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}{query}")
}

/// Text, or `@FILE`.
fn text_or_file(data: &str) -> Result<String> {
    data.strip_prefix('@').map_or_else(|| Ok(data.to_owned()), read)
}

/// A field of a form: `text`, `=text`, `name=text`, `@FILE` or `name@FILE`. The text is encoded, with
/// `+` for a space, the name is not.
fn encoded(field: &str) -> Result<String> {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let (name, text) = match field.find(['=', '@']).and_then(|mark| field.split_at_checked(mark)) {
        None => ("", field.to_owned()),
        Some((name, rest)) => match rest.strip_prefix('=') {
            Some(text) => (name, text.to_owned()),
            None => (name, text_or_file(rest)?),
        },
    };
    let text = utf8_percent_encode(&text, ENCODED).to_string().replace("%20", "+");
    Ok(if name.is_empty() { text } else { format!("{name}={text}") })
}

fn read(file: &str) -> Result<String> {
    let text = if file == "-" {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    text.with_context(|| format!("cannot read `{file}`"))
}

/// A header as curl takes it: `name: value`, `name;` for an empty one, `name:` for none.
///
/// Nothing of it is quoted in an error: it may be a token.
fn split_header(text: &str) -> Result<Option<(String, String)>> {
    let (name, value) = match text.split_once(':') {
        Some((name, value)) => (name, Some(value.trim()).filter(|value| !value.is_empty())),
        None => match text.trim_end().strip_suffix(';') {
            Some(name) => (name, Some("")),
            None => bail!("a header is `name: value`"),
        },
    };
    let name = name.trim().to_ascii_lowercase();
    ensure!(latchkey::is_token(&name), "a header is `name: value`");
    ensure!(
        value.is_none_or(|value| !value.contains(['\r', '\n', '\0'])),
        "the value of `{name}` has a line end, which HTTP forbids"
    );
    Ok(value.map(|value| (name, value.to_owned())))
}

/// The authority, and the path with its query.
fn split_url(url: &str) -> Result<(&str, String)> {
    let rest = match url.split_once("://") {
        Some((scheme, rest))
            if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) =>
        {
            rest
        }
        Some((scheme, _)) => bail!("a URL starts with `http://` or `https://`, not `{scheme}://`"),
        None => url,
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (authority, target) =
        rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    ensure!(!authority.is_empty(), "the URL names no host");
    ensure!(!authority.contains('@'), "a user in the URL is not understood: use `-u`");
    let is_sent = |byte: u8| byte > b' ' && byte != 0x7f;
    ensure!(target.bytes().all(is_sent), "the URL has a space: write `%20`");
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((authority, format!("{slash}{target}")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: RequestArguments,
    }

    fn request(arguments: &[&str]) -> Result<CaseRequest> {
        let arguments = ["explain"].iter().chain(arguments);
        Ok(Command::try_parse_from(arguments)?.arguments.request()?.1)
    }

    #[test]
    fn a_url_is_taken_apart() {
        for (url, authority, path) in [
            ("https://a.org:8443/x/../y?z=1#f", "a.org:8443", "/x/../y?z=1"),
            ("a.org", "a.org", "/"),
            ("http://a.org?x", "a.org", "/?x"),
            ("[::1]:80/x", "[::1]:80", "/x"),
        ] {
            let request = request(&[url]).unwrap();
            assert_eq!((&*request.authority, request.path.as_deref()), (authority, Some(path)));
        }
        assert!(request(&["-X", "GE T", "a.org"]).is_err());
        assert_eq!(request(&["HTTPS://a.org/x"]).unwrap().authority, "a.org");
        for url in ["ftp://a.org/", "https:///x", "https://u:p@a.org/", "https://a.org/a b"] {
            assert!(request(&[url]).is_err(), "{url}");
        }
    }

    #[test]
    fn a_body_makes_a_post() {
        let of = |arguments: &[&str]| {
            let request = request(&[arguments, &["a.org"]].concat()).unwrap();
            (request.method, request.body.unwrap_or_default())
        };
        assert_eq!(of(&[]), ("GET".into(), String::new()));
        assert_eq!(of(&["-d", "a=1", "-d", "b"]), ("POST".into(), "a=1&b".into()));
        assert_eq!(of(&["-d", "a", "-X", "PUT"]), ("PUT".into(), "a".into()));
        assert_eq!(of(&["-I"]), ("HEAD".into(), String::new()));
    }

    /// Method, path, body and headers, one a line.
    fn shown(arguments: &[&str]) -> String {
        let CaseRequest { method, path, body, headers, .. } = request(arguments).unwrap();
        let mut shown = format!("{method} {}", path.unwrap());
        for (name, value) in headers {
            shown.push_str(&format!("\n{name}: {}", std::str::from_utf8(&value.0).unwrap()));
        }
        shown + &body.map(|body| format!("\n\n{body}")).unwrap_or_default()
    }

    #[test]
    fn every_kind_of_body_is_taken() {
        const FORM: &str = "POST /\ncontent-type: application/x-www-form-urlencoded\n\n";
        for (arguments, body) in [
            (&["--data-raw", "@a", "--data-raw", "--b"][..], "@a&--b"),
            (&["--data-ascii", "a"], "a"),
            (&["--data-binary", "a\nb"], "a\nb"),
            (&["--data-urlencode", "a=b c&d", "--data-urlencode", "=é"], "a=b+c%26d&%C3%A9"),
            (&["--data-urlencode", "a~b"], "a~b"),
            (&["-d", ""], ""),
        ] {
            assert_eq!(shown(&[arguments, &["a.org"]].concat()), format!("{FORM}{body}"));
        }
        assert_eq!(
            shown(&["--json", "{", "--json", "}", "-H", "Accept: x", "a.org"]),
            "POST /\naccept: x\ncontent-type: application/json\n\n{}"
        );
        for wrong in [["--json", "a", "-d", "b"], ["--form", "a=1", "--data-raw", "b"]] {
            assert!(request(&[&wrong[..], &["a.org"]].concat()).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_form_is_made_of_its_parts() {
        let body = "--------------------------latchkey\r\n\
                    content-disposition: form-data; name=\"a\"\r\n\r\n\
                    1; b\r\n\
                    --------------------------latchkey\r\n\
                    content-disposition: form-data; name=\"c\"\r\n\r\n\
                    @d\r\n\
                    --------------------------latchkey--\r\n";
        let arguments = ["-F", "a=1; b;type=text/plain", "--form-string", "c=@d", "a.org"];
        let form = shown(&arguments).replace("content-type: text/plain\r\n", "");
        let boundary = "boundary=------------------------latchkey";
        assert_eq!(
            form,
            format!("POST /\ncontent-type: multipart/form-data; {boundary}\n\n{body}")
        );
        let typed = shown(&["-H", "content-type: multipart/mixed", "-F", "a=1", "a.org"]);
        assert!(
            typed.starts_with(&format!("POST /\ncontent-type: multipart/mixed; {boundary}\n\n"))
        );
        let named = shown(&["-F", "a=type=x;filename=b", "a.org"]);
        assert!(
            named.contains("name=\"a\"; filename=\"b\"\r\n")
                && named.contains("\r\n\r\ntype=x\r\n")
        );
        assert!(request(&["-F", "a", "a.org"]).is_err());
        assert!(request(&["-F", "a=@missing-file", "a.org"]).is_err());
    }

    #[test]
    fn a_parameter_may_be_added_to_the_url() {
        let arguments = ["--url-query", "a=b c", "--url-query", "+d=%20", "a.org/x?y#z", "-d", "e"];
        assert!(shown(&arguments).starts_with("POST /x?y&a=b+c&d=%20\n"));
        assert_eq!(shown(&["-G", "-d", "a=1", "--url-query", "b", "a.org"]), "GET /?a=1&b");
    }

    #[test]
    fn a_file_is_read_as_its_option_says() {
        let file = std::env::temp_dir().join(format!("latchkey-body-{}", std::process::id()));
        std::fs::write(&file, "a\n b\n").unwrap();
        let at = format!("@{}", file.display());
        let named = format!("n{at}");
        for (option, value, body) in [
            ("-d", &at, "a b"),
            ("--data-raw", &at, at.as_str()),
            ("--data-binary", &at, "a\n b\n"),
            ("--data-urlencode", &named, "n=a%0A+b%0A"),
            ("--json", &at, "a\n b\n"),
        ] {
            let request = request(&[option, value, "a.org"]).unwrap();
            assert_eq!(request.body.as_deref(), Some(body), "{option}");
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_get_has_its_data_in_the_url() {
        for (url, path) in [("a.org/x", "/x?a=1&b=2"), ("a.org/x?y#z", "/x?y&a=1&b=2")] {
            assert_eq!(shown(&["-G", "-d", "a=1", "-d", "b=2", url]), format!("GET {path}"));
        }
        assert_eq!(shown(&["--get", "-I", "-d", "a", "a.org"]), "HEAD /?a");
        assert_eq!(shown(&["-G", "a.org"]), "GET /");
    }

    #[test]
    fn options_that_stand_for_headers_give_way_to_headers() {
        let options = ["-A", "me", "-e", "https://b.org", "-u", "a:b"];
        assert_eq!(
            shown(&[&options[..], &["a.org"]].concat()),
            "GET /\nauthorization: Basic YTpi\nuser-agent: me\nreferer: https://b.org"
        );
        let headers = ["-H", "Authorization: x", "-H", "user-agent: y", "-H", "Referer: z"];
        assert_eq!(
            shown(&[&options[..], &headers[..], &["a.org"]].concat()),
            "GET /\nauthorization: x\nuser-agent: y\nreferer: z"
        );
        let error = request(&["-u", "secret", "a.org"]).unwrap_err();
        assert_eq!(error.to_string(), "`-u` takes `user:password`");
    }

    #[test]
    fn what_curl_is_told_of_transport_and_output_is_ignored() {
        let arguments = "-isSvkfL -vv --location --compressed --insecure --silent --show-error --fail \
                         --http1.1 --http2 -o /dev/null -m 5 --connect-timeout 2 --max-time 3.5 --retry-delay 1 \
                         --tls-max 1.3 --unix-socket /run/s --noproxy * -U p:q -J --output-dir o --basic -XPUT a.org";
        assert_eq!(shown(&arguments.split_whitespace().collect::<Vec<_>>()), "PUT /");
    }

    /// As copied from the network panel of Chrome, and from Postman.
    #[test]
    fn a_command_line_may_stay_as_it_was_copied() {
        assert_eq!(
            shown(&[
                "https://a.org/v1/x?y=1",
                "-X",
                "PATCH",
                "-H",
                "accept: */*",
                "-H",
                "content-type: application/json",
                "-b",
                "a=b; c=d",
                "-H",
                r#"sec-ch-ua: "Chromium";v="140""#,
                "--data-raw",
                "------WebKit",
                "--insecure"
            ]),
            "PATCH /v1/x?y=1\naccept: */*\ncontent-type: application/json\n\
             sec-ch-ua: \"Chromium\";v=\"140\"\ncookie: a=b; c=d\n\n------WebKit"
        );
        assert_eq!(
            shown(&[
                "--location",
                "--globoff",
                "--request",
                "POST",
                "https://a.org/v1",
                "--header",
                "Authorization: Bearer x",
                "--header",
                "Content-Type: application/json",
                "--data",
                "{\n}"
            ]),
            "POST /v1\nauthorization: Bearer x\ncontent-type: application/json\n\n{\n}"
        );
    }

    #[test]
    fn headers_are_as_for_curl() {
        let request = request(&[
            "-H",
            "X-A:  1 ",
            "-H",
            "x-b;",
            "-H",
            "x-c:",
            "-H",
            "Host: b.org",
            "-b",
            "k=v",
            "-b",
            "l=w",
            "--url",
            "a.org",
            "-d",
            "x",
        ])
        .unwrap();
        assert_eq!(request.authority, "b.org");
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), std::str::from_utf8(&value.0).unwrap()))
            .collect();
        assert_eq!(
            headers,
            [
                ("x-a", "1"),
                ("x-b", ""),
                ("cookie", "k=v; l=w"),
                ("content-type", "application/x-www-form-urlencoded")
            ]
        );
    }

    #[test]
    fn a_command_line_may_be_pasted_whole() {
        for arguments in [
            &["curl", "-X", "PUT", "https://a.org/v1"][..],
            &["curl.exe", "https://a.org/v1", "-X", "PUT", "--compressed"],
            &["curl", "--url", "https://a.org/v1", "-X", "PUT"],
            &["-X", "PUT", "curl", "https://a.org/v1"],
        ] {
            let request = request(arguments).unwrap();
            assert_eq!((&*request.authority, request.path.as_deref()), ("a.org", Some("/v1")));
            assert_eq!(request.method, "PUT");
        }
        for (arguments, message) in [
            (&["curl"][..], "there is no URL"),
            (&["curl", "a.org", "b.org"], "there is more than one URL: one request is explained"),
            (&["a.org", "curl"], "there is more than one URL: one request is explained"),
            (&["a.org", "--url", "b.org"], "there is more than one URL: one request is explained"),
        ] {
            assert_eq!(request(arguments).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn what_is_no_header_is_refused_without_being_quoted() {
        for header in ["secret", "se cret: x", ": x"] {
            let error = request(&["-H", header, "a.org"]).unwrap_err();
            assert_eq!(error.to_string(), "a header is `name: value`");
        }
    }
}
