//! `--target`: the workload of a mesh that is protected.

use super::kubernetes::{is_dns_subdomain, is_label_name, is_label_value};
use crate::exit::Usage;

/// A workload of Istio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    /// A Gateway of the Gateway API, by name.
    Gateway(String),
    /// A gateway of Istio's own, by labels.
    Ingress(Labels),
    /// Pods with a sidecar, by labels.
    Sidecar(Labels),
    /// A waypoint of ambient mode, by the name of its Gateway.
    Waypoint(String),
}

/// What a policy of Envoy Gateway is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attachment {
    /// A Gateway, or one of its listeners.
    Gateway { name: String, listener: Option<String> },
    /// An HTTPRoute.
    Route(String),
}

/// Names, each another, and values, in the order given.
pub(super) type Labels = Vec<(String, String)>;

impl Workload {
    /// # Errors
    /// Wrong usage, with every kind of target.
    pub(super) fn parse(target: Option<&str>) -> Result<Workload, Usage> {
        let target = target.ok_or_else(|| missing("istio", WORKLOADS))?;
        let parsed = match (target.split_once(':'), target.split_once('/')) {
            (Some(("ingress", rest)), _) => labels(target, rest)?.map(Workload::Ingress),
            (Some(("sidecar", rest)), _) => labels(target, rest)?.map(Workload::Sidecar),
            (_, Some(("gateway", rest))) => name(rest).map(Workload::Gateway),
            (_, Some(("waypoint", rest))) => name(rest).map(Workload::Waypoint),
            _ => None,
        };
        parsed.ok_or_else(|| unknown(target, WORKLOADS))
    }
}

impl Attachment {
    /// # Errors
    /// Wrong usage, with every kind of target.
    pub(super) fn parse(target: Option<&str>) -> Result<Attachment, Usage> {
        let target = target.ok_or_else(|| missing("envoy-gateway", ATTACHMENTS))?;
        let parsed = match target.split_once('/') {
            Some(("gateway", rest)) => {
                let (gateway, listener) = match rest.split_once('/') {
                    Some((gateway, listener)) => (gateway, Some(listener)),
                    None => (rest, None),
                };
                name(gateway)
                    .filter(|_| listener.is_none_or(is_dns_subdomain))
                    .map(|name| Attachment::Gateway { name, listener: listener.map(str::to_owned) })
            }
            Some(("route", rest)) => name(rest).map(Attachment::Route),
            Some(("class", _)) => {
                return Err(Usage {
                    message: format!(
                        "`--target {target}` is not possible: Envoy Gateway attaches neither a filter \
                         nor a guard to a GatewayClass"
                    ),
                    help: "where Gateways are merged, name each of them: `--target gateway/NAME`\n"
                        .to_owned(),
                });
            }
            _ => None,
        };
        parsed.ok_or_else(|| unknown(target, ATTACHMENTS))
    }
}

const WORKLOADS: &str = "\
a gateway of Istio's own, by labels:  --target ingress:istio=ingressgateway
a Gateway of the Gateway API:         --target gateway/web
pods with a sidecar, by labels:       --target sidecar:app=orders,version=v1
a waypoint of ambient mode:           --target waypoint/orders
";

const ATTACHMENTS: &str = "\
a Gateway:              --target gateway/eg
one of its listeners:   --target gateway/eg/https
an HTTPRoute:           --target route/orders
each of several Gateways that are merged, in place of class/NAME:  --target gateway/eg
";

fn missing(form: &str, help: &str) -> Usage {
    Usage {
        message: format!("`--to {form}` needs `--target`, which says what is protected"),
        help: help.to_owned(),
    }
}

fn unknown(target: &str, help: &str) -> Usage {
    Usage { message: format!("`--target {target}` is not a target"), help: help.to_owned() }
}

/// `LABEL=VALUE`, divided by commas; `None` if it is not that.
///
/// # Errors
/// Wrong usage: of a label named twice only one value would count.
fn labels(target: &str, text: &str) -> Result<Option<Labels>, Usage> {
    let mut labels = Labels::new();
    for item in text.split(',') {
        let label = item.split_once('=');
        let Some((label, value)) =
            label.filter(|(label, value)| is_label_name(label) && is_label_value(value))
        else {
            return Ok(None);
        };
        if labels.iter().any(|(known, _)| known == label) {
            let message = format!("`--target {target}` names the label `{label}` twice");
            return Err(Usage::new(message));
        }
        labels.push((label.to_owned(), value.to_owned()));
    }
    Ok(Some(labels))
}

fn name(text: &str) -> Option<String> {
    is_dns_subdomain(text).then(|| text.to_owned())
}
