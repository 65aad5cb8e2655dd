//! Which options mean something to which forms.

use clap::ValueEnum;

use super::{Arguments, Form};
use crate::exit::Usage;

/// An option, whether it was given, and the forms for which it means something.
type Row = (&'static str, fn(&Arguments) -> bool, &'static [Form]);

const MESHES: &[Form] = &[Form::Istio, Form::EnvoyGateway];

/// All but those that every form has.
const OPTIONS: [Row; 13] = [
    (
        "wasm",
        |given| given.wasm.is_some(),
        &[Form::Envoy, Form::Ecds, Form::Istio, Form::EnvoyGateway],
    ),
    ("module", |given| given.module.is_some(), &[Form::Envoy, Form::Ecds, Form::EnvoyGateway]),
    ("sha256", |given| given.sha256.is_some(), MESHES),
    ("target", |given| given.target.is_some(), MESHES),
    ("namespace", |given| given.namespace.is_some(), MESHES),
    ("name", |given| given.name.is_some(), &[Form::Ecds, Form::Istio, Form::EnvoyGateway]),
    ("mesh-version", |given| given.mesh_version.is_some(), MESHES),
    ("guard", |given| given.guard.is_some(), &[Form::EnvoyGateway]),
    ("port", |given| given.port.is_some(), &[Form::EnvoyGateway]),
    ("issuer", |given| given.issuer.is_some(), VERIFYING),
    ("jwks", |given| given.jwks.is_some(), VERIFYING),
    ("audience", |given| given.audience.is_some(), VERIFYING),
    ("session-header", |given| given.session_header.is_some(), VERIFYING),
];

/// Those with what verifies sessions.
const VERIFYING: &[Form] = &[Form::Envoy, Form::Istio, Form::EnvoyGateway];

/// Sees that each option that was given means something to the form.
///
/// # Errors
/// Wrong usage: one does not.
pub(super) fn check(arguments: &Arguments) -> Result<(), Usage> {
    let form = arguments.to;
    let is_ignored = |(_, is_given, forms): &&Row| is_given(arguments) && !forms.contains(&form);
    let Some((option, _, forms)) = OPTIONS.iter().find(is_ignored) else { return Ok(()) };
    let forms: Vec<String> = forms.iter().map(|form| shown(*form)).collect();
    let forms = match forms.split_last() {
        Some((last, before)) if !before.is_empty() => format!("{} and {last}", before.join(", ")),
        _ => forms.concat(),
    };
    Err(Usage::new(format!("`--{option}` is for {forms}, not for {}", shown(form))))
}

/// `--to FORM`, in backticks.
fn shown(form: Form) -> String {
    let value = form.to_possible_value();
    format!("`--to {}`", value.as_ref().map_or("", |value| value.get_name()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Args, Command};

    /// An option that is not in the table would be ignored where it means nothing.
    #[test]
    fn every_option_is_in_the_table() {
        let command = Arguments::augment_args(Command::new("render"));
        let every_form = ["keys", "to"];
        let options = command.get_opts().filter(|option| !option.is_hide_set());
        let mut names: Vec<_> = options.filter_map(|option| option.get_long()).collect();
        names.retain(|name| !every_form.contains(name));
        assert_eq!(names, OPTIONS.map(|(name, ..)| name));
    }
}
