//! `latchkey key new`: a new key, whose token is shown once.

use std::io::Write;

use anyhow::{Result, bail};
use clap::Args;

use super::{
    Expiry, Files, attributes_once, parse_attribute, parse_expiry, parse_id, parse_prefix, print,
    secret_fields, tell, text, texts,
};
use crate::Exit;
use crate::document::{Document, Fields};
use crate::keyfile::{Change, KeyFile};
use crate::style::warn;
use crate::time;

/// Mint a key and print its token, once
///
/// The token alone goes to standard output. It is the prefix, 30 random characters of base62 and
/// their CRC-32 in 6 more, as GitHub's tokens have it; or what the key type's `prefix` and
/// `format` in the policy say. With LATCHKEY_PEPPER in the environment the file gets its
/// HMAC-SHA-256, else its SHA-256.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLE)]
pub(super) struct Arguments {
    #[command(flatten)]
    files: Files,
    /// What logs, metrics and headers call the key
    #[arg(long, value_parser = parse_id)]
    id: String,
    /// A name for people
    #[arg(long)]
    name: Option<String>,
    /// Key type, as the policy's `key_types` names it
    #[arg(long = "type", value_name = "TYPE", value_parser = parse_id)]
    key_type: Option<String>,
    /// Workspace, organization or account that the key belongs to
    #[arg(long)]
    account: Option<String>,
    /// Scope that the key grants, such as `reports:read`, instead of its type's; may be repeated
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// What the token starts with; default the type's prefix
    #[arg(long, value_parser = parse_prefix)]
    prefix: Option<String>,
    /// When the key ends: a span of time such as `90d`, a date such as `2027-01-01`, whose first
    /// second in UTC is meant, or a time such as `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "WHEN", value_parser = parse_expiry)]
    expires: Option<Expiry>,
    /// Attribute, `NAME=VALUE`; may be repeated
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = parse_attribute)]
    attributes: Vec<(String, String)>,
    /// Browser origin that the key is good from; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Address or network of the clients that the key is good for, such as `203.0.113.0/24`, instead of its type's; may be repeated
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<String>,
    /// Show the token as a QR code as well, on standard error
    #[arg(long)]
    qr: bool,
}

const EXAMPLE: &str = "\
Example:
  TOKEN=$(latchkey key new --keys keys.yaml --policy policy.yaml --id ci-2026 --type read-only \\
      --account ws_1 --expires 90d)";

pub(super) fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<Exit> {
    let Arguments { files, id, .. } = arguments;
    let file = KeyFile::lock_or_create(&files.keys)?;
    if file.keys().any(|key| key.id() == id) {
        bail!("{} has a key `{id}` already (ids are unique)", files.keys.display());
    }
    let now = time::now();
    let expires = arguments.expires.map(|expires| expires.resolve(now)).transpose()?;
    let (key_type, prefix) = (arguments.key_type.as_deref(), arguments.prefix.as_deref());
    let token = match files.shape(&file, key_type, prefix)? {
        Ok(shape) => shape.mint()?,
        Err(exit) => return Ok(exit),
    };
    if file.lacks_pepper() {
        warn(format_args!(
            "{} has keys that are hashed with a pepper, and this one is not: LATCHKEY_PEPPER is not set",
            files.keys.display()
        ));
    }
    let [hash, hint, created] = secret_fields(&token, now)?;
    let mut fields = vec![("id".to_owned(), text(id)), hash, hint, created];
    fields.extend(arguments.own_fields(expires)?);
    if let Some(exit) = files.commit(&file, &[Change::Add(Fields(fields))])? {
        return Ok(exit);
    }
    let end = match expires {
        None => "it does not expire".to_owned(),
        Some(expires) => format!("it expires at {}", time::display(expires)),
    };
    tell(format_args!("key `{id}` is in {}; {end}", files.keys.display()));
    tell(format_args!("proxies accept it once it is pushed (`latchkey push`)"));
    tell(format_args!("its token is shown this once; only its hash is kept"));
    print(&token, id, arguments.qr, output)
}

impl Arguments {
    /// What the key has besides its id, its token and its creation.
    fn own_fields(&self, expires: Option<i64>) -> Result<Vec<(String, Document)>> {
        let mut fields = Vec::new();
        let mut field = |name: &str, value| fields.push((name.to_owned(), value));
        for (name, value) in
            [("type", &self.key_type), ("name", &self.name), ("account", &self.account)]
        {
            if let Some(value) = value {
                field(name, text(value));
            }
        }
        if !self.scopes.is_empty() {
            field("scopes", texts(&self.scopes));
        }
        if let Some(expires) = expires {
            field("expires_at", text(time::display(expires)));
        }
        if !self.origins.is_empty() {
            field("origins", texts(&self.origins));
        }
        if !self.addresses.is_empty() {
            field("addresses", texts(&self.addresses));
        }
        attributes_once(self.attributes.iter().map(|(name, _)| name))?;
        let attributes = self.attributes.iter().map(|(name, value)| (name.clone(), text(value)));
        let attributes: Vec<(String, Document)> = attributes.collect();
        if !attributes.is_empty() {
            field("attributes", Document::Object(Fields(attributes)));
        }
        Ok(fields)
    }
}
