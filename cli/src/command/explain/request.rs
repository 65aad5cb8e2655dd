//! A request as it is written for curl.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::cases::{CaseRequest, Value};

/// The arguments that make a request.
#[derive(clap::Args, Debug)]
pub(super) struct RequestArguments {
    /// The method; default GET, with -d POST, with -I HEAD
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    method: Option<String>,
    /// A header, `name: value`; @FILE reads them from a file
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// A body; @FILE reads it from a file
    #[arg(short = 'd', long = "data", value_name = "BODY")]
    data: Vec<String>,
    /// Cookies, `name=value; …`
    #[arg(short = 'b', long = "cookie", value_name = "COOKIES")]
    cookies: Vec<String>,
    /// Ask with HEAD
    #[arg(short = 'I', long = "head")]
    head: bool,
    /// The URL, in place of the argument
    #[arg(long = "url", value_name = "URL", conflicts_with = "url")]
    url_option: Option<String>,
    /// The URL
    #[arg(value_name = "URL", required_unless_present = "url_option")]
    url: Option<String>,
}

impl RequestArguments {
    /// The URL and the request for it.
    pub(super) fn request(&self) -> Result<(String, CaseRequest)> {
        let url = self.url.as_ref().or(self.url_option.as_ref()).context("there is no URL")?;
        let (authority, path) = split_url(url)?;
        let mut request = CaseRequest {
            authority: authority.to_owned(),
            path: Some(path),
            ..CaseRequest::default()
        };
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
        request.body = self.body()?;
        if request.body.is_some() && !has(&headers, "content-type") {
            let form = "application/x-www-form-urlencoded";
            headers.push(("content-type".to_owned(), form.to_owned()));
        }
        if let Some((_, host)) = headers.iter().find(|(name, _)| name == "host") {
            request.authority.clone_from(host);
        }
        request.method = match &self.method {
            Some(method) => method.clone(),
            None if self.head => "HEAD".to_owned(),
            None if request.body.is_some() => "POST".to_owned(),
            None => "GET".to_owned(),
        };
        // The proxy gives each request an id of its own.
        headers.retain(|(name, _)| name != "host" && name != "x-request-id");
        request.headers =
            headers.into_iter().map(|(name, value)| (name, Value(value.into_bytes()))).collect();
        Ok((url.clone(), request))
    }

    fn body(&self) -> Result<Option<String>> {
        let mut pieces = Vec::new();
        for data in &self.data {
            pieces.push(match data.strip_prefix('@') {
                Some(file) => read(file)?.replace(['\r', '\n', '\0'], ""),
                None => data.clone(),
            });
        }
        Ok((!pieces.is_empty()).then(|| pieces.join("&")))
    }
}

fn has(headers: &[(String, String)], name: &str) -> bool {
    headers.iter().any(|(own, _)| own == name)
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(Path::new(file)).with_context(|| format!("cannot read `{file}`"))
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
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let name = name.trim().to_ascii_lowercase();
    ensure!(!name.is_empty() && name.bytes().all(is_name), "a header is `name: value`");
    ensure!(
        value.is_none_or(|value| !value.contains(['\r', '\n', '\0'])),
        "the value of `{name}` has a line end, which HTTP forbids"
    );
    Ok(value.map(|value| (name, value.to_owned())))
}

/// The authority, and the path with its query.
fn split_url(url: &str) -> Result<(&str, String)> {
    let rest = match url.split_once("://") {
        Some(("http" | "https", rest)) => rest,
        Some((scheme, _)) => bail!("a URL starts with `http://` or `https://`, not `{scheme}://`"),
        None => url,
    };
    let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
    let (authority, target) =
        rest.split_at_checked(rest.find(['/', '?']).unwrap_or(rest.len())).unwrap_or((rest, ""));
    ensure!(!authority.is_empty(), "the URL names no host");
    ensure!(!authority.contains('@'), "a user in the URL is not understood: use `-H`");
    let is_sent = |byte: u8| byte > b' ' && byte != 0x7f;
    ensure!(target.bytes().all(is_sent), "the URL has a blank: write `%20`");
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
    fn what_is_no_header_is_refused_without_being_quoted() {
        for header in ["secret", "se cret: x", ": x"] {
            let error = request(&["-H", header, "a.org"]).unwrap_err();
            assert_eq!(error.to_string(), "a header is `name: value`");
        }
    }
}
