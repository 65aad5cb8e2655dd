//! What it takes Envoy to load many keys, and to replace them while they serve.

use super::variants::{bootstrap, latchkey_in, policy};
use latchkey_testing::{Envoy, Scratch, ecds, until, wasm};

/// VMs that are configured each time: the canary's, the main thread's and the one worker's.
const VMS: f64 = 3.0;

/// Loading a policy of so many keys.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) keys: usize,
    /// Size of the policy as JSON, in MB.
    pub(crate) megabytes: f64,
    /// In place of a policy of ten keys.
    pub(crate) first: Step,
    /// In place of itself, but for one key.
    pub(crate) update: Step,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Processor time a VM, in seconds.
    pub(crate) seconds: f64,
    /// Memory of the whole process afterwards, in MB.
    pub(crate) resident: f64,
}

pub(crate) fn measured(scratch: &Scratch) -> Vec<Load> {
    [1_000, 100_000, 1_000_000].map(|keys| load(scratch, keys)).to_vec()
}

fn load(scratch: &Scratch, keys: usize) -> Load {
    println!("loading {keys} keys");
    let folder = format!("scale-{keys}");
    std::fs::create_dir(scratch.file(&folder)).unwrap();
    let file = format!("{folder}/ecds.yaml");
    let write = |policy: &str| scratch.replace(&file, &ecds(scratch, policy, &wasm()));
    write(&policy(10, 1));
    let filter = latchkey_in(&scratch.file(&folder).display().to_string());
    let envoy = Envoy::start_quietly(scratch, &folder, &bootstrap(&filter, None, 1));
    let reloads = || {
        let name = "extension_config_discovery.http_filter.latchkey.config_reload";
        envoy.stats().get(name).copied().unwrap_or_default()
    };
    until("the first policy", || (reloads() > 0).then_some(()));
    let step = |policy: &str| {
        let before = (envoy.processor_time(), reloads());
        write(policy);
        until("the policy", || (reloads() > before.1).then_some(()));
        let seconds = (envoy.processor_time() - before.0) as f64 / 1e9 / VMS;
        Step { seconds, resident: envoy.resident_memory() as f64 / 1e6 }
    };
    let text = policy(keys, 1);
    let first = step(&text);
    let update = step(&policy(keys + 1, 1));
    Load { keys, megabytes: text.len() as f64 / 1e6, first, update }
}
