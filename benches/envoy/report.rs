//! The figures, written as a table, a plot and JSON.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Sample;
use super::push::{Push, QUIET};
use super::scale::Load;
use super::variants::Variant;
use latchkey_testing::{repository, wasm};

pub(crate) struct Report<'a> {
    rows: Vec<Row<'a>>,
    rounds: usize,
    requests: usize,
}

/// A variant's figures in microseconds: medians of all rounds, and the quartiles of what it adds.
struct Row<'a> {
    variant: &'a Variant,
    processor: f64,
    added: f64,
    low: f64,
    high: f64,
    p50: f64,
    p99: f64,
}

/// What is aimed at, and what was reached.
struct Target {
    what: &'static str,
    aim: String,
    reached: String,
    is_met: bool,
}

impl<'a> Report<'a> {
    pub(crate) fn new(
        variants: &'a [Variant],
        samples: &[Vec<Sample>],
        rounds: usize,
        requests: usize,
    ) -> Report<'a> {
        let base_of =
            |variant: &Variant| variants.iter().position(|other| other.id == variant.base).unwrap();
        let row = |(index, variant): (usize, &'a Variant)| {
            let (own, base) = (&samples[index], &samples[base_of(variant)]);
            let added = own.iter().zip(base).map(|(own, base)| own.processor - base.processor);
            let added = sorted(added);
            Row {
                variant,
                processor: quantile(&sorted(own.iter().map(|sample| sample.processor)), 0.5),
                added: quantile(&added, 0.5),
                low: quantile(&added, 0.25),
                high: quantile(&added, 0.75),
                p50: quantile(&sorted(own.iter().map(|sample| sample.p50)), 0.5),
                p99: quantile(&sorted(own.iter().map(|sample| sample.p99)), 0.5),
            }
        };
        let rows = variants.iter().enumerate().map(row).collect();
        Report { rows, rounds, requests }
    }

    pub(crate) fn write(&self, scale: &[Load], pushes: &[Push], cores: usize) {
        let folder = repository("docs/benchmarks");
        let machine = self.machine(cores);
        let table = self.table(&machine, scale, pushes);
        fs::write(folder.join("results.md"), &table).unwrap();
        fs::write(folder.join("results.svg"), self.plot()).unwrap();
        let json = serde_json::to_string_pretty(&self.json(&machine, scale, pushes)).unwrap();
        fs::write(folder.join("results.json"), json + "\n").unwrap();
        println!("{table}");
    }

    fn row(&self, id: &str) -> &Row<'a> {
        self.rows.iter().find(|row| row.variant.id == id).unwrap()
    }

    fn targets(&self, pushes: &[Push]) -> Vec<Target> {
        let ratio = |what, one: &str, other: &str, most: f64| {
            let reached = self.row(one).added / self.row(other).added;
            Target {
                what,
                aim: format!("at most {most}"),
                reached: format!("{reached:.2}"),
                is_met: reached <= most,
            }
        };
        let size = fs::metadata(wasm()).unwrap().len() as f64 / 1e3;
        // What a body takes beyond the request that brings it, of what it takes without a filter. A megabyte
        // is 64 calls of the module, which no-op filters get as well.
        let body = self.row("allow-1m").added - self.row("allow-0k").added;
        let body = body / self.row("none-1m").processor;
        let of_module: Vec<&Push> = pushes.iter().filter(|push| push.is_module).collect();
        let stall = of_module.iter().map(|push| push.stall).fold(0.0, f64::max);
        let held = |push: &Push| push.memory[1] - push.memory[0];
        let rings = held(of_module[of_module.len() - 1]) / held(of_module[0]);
        let mut targets = vec![
            ratio("an allowed request, of what the no-op adds", "allow", "noop", 2.0),
            ratio("the same with 25 headers", "allow-25", "noop-25", 2.0),
            ratio("an allowed request, of what ext_authz adds", "allow", "ext_authz", 0.25),
            ratio("refusing an unknown key, of allowing", "unknown", "allow", 1.0),
            ratio("1,000,000 keys, of 10", "keys-1000000", "allow", 1.2),
            ratio(
                "an allowed request in the native module, of api_key_auth and RBAC",
                "module",
                "native",
                1.0,
            ),
            ratio("the same with 25 headers", "module-25", "native-25", 1.2),
            ratio(
                "an allowed request in the native module, of the Wasm filter",
                "module",
                "allow",
                0.3,
            ),
            ratio(
                "refusing an unknown key in the native module, of allowing",
                "module-unknown",
                "module",
                1.0,
            ),
            ratio("1,000,000 keys in the native module, of 10", "module-1000000", "module", 1.1),
            ratio("10,000 rules, of 1", "rules-10000", "allow", 1.5),
            Target {
                what: "a body of 1 MB beside its request, of what it costs without a filter",
                aim: "nothing: at most 0.05".to_owned(),
                reached: format!("{body:.2}"),
                is_met: body <= 0.05,
            },
            Target {
                what: "the module",
                aim: "below 500 KB".to_owned(),
                reached: format!("{size:.1} KB"),
                is_met: size < 500.0,
            },
        ];
        targets.extend([
            Target {
                what: "the longest wait while the native module's many keys are replaced",
                aim: "at most 5 ms".to_owned(),
                reached: format!("{stall:.1} ms"),
                is_met: stall <= 5.0,
            },
            Target {
                what: "memory of many keys in the native module, with 8 workers of 2",
                aim: "at most 1.05".to_owned(),
                reached: format!("{rings:.2}"),
                is_met: rings <= 1.05,
            },
        ]);
        targets
    }

    /// What it ran on, a line each.
    fn machine(&self, cores: usize) -> Vec<(&'static str, String)> {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
        let envoy = output(&repository(".tools/envoy").display().to_string(), &["--version"]);
        let envoy = envoy.split("version: ").last().and_then(|version| version.split('/').nth(1));
        vec![
            ("machine", format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))),
            ("kernel", output("uname", &["-sr"])),
            ("Envoy", envoy.unwrap_or_default().to_owned()),
            ("Rust", output("rustc", &["--version"])),
            ("commit", output("git", &["describe", "--always", "--dirty"])),
            ("date", output("date", &["-u", "+%Y-%m-%d"])),
            (
                "command",
                format!("BENCH_ROUNDS={} BENCH_REQUESTS={} make bench", self.rounds, self.requests),
            ),
        ]
    }

    fn table(&self, machine: &[(&str, String)], scale: &[Load], all: &[Push]) -> String {
        let mut text = "# What a request costs in Envoy\n\nWritten by `make bench`; README.md says how to read it.\n\n".to_owned();
        for (what, value) in machine {
            writeln!(text, "- {what}: {value}").unwrap();
        }
        text += "\n## Targets\n\nRatios of medians in this run.\n\n| | aim | reached | |\n| --- | --- | ---: | --- |\n";
        for target in self.targets(all) {
            let met = if target.is_met { "met" } else { "not met" };
            writeln!(text, "| {} | {} | {} | {met} |", target.what, target.aim, target.reached)
                .unwrap();
        }
        text += "\n## Variants\n\nMicroseconds. *Processor* is what Envoy's process spends on a request; *added* is what of it is more than without any filter in the same round, with quartiles; p50 and p99 are the client's latencies.\n\n![What each variant adds](results.svg)\n\n";
        text += &self.rows();
        text += "\n## Many keys\n\nProcessor time of Envoy for a policy, a VM (there are three: the canary's, the main thread's, the worker's), with the YAML that Envoy reads it from; memory of the whole process.\n\n| keys | JSON | first load | memory | update beside the old one | memory |\n| ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for load in scale {
            writeln!(
                text,
                "| {} | {:.1} MB | {:.2} s | {:.0} MB | {:.2} s | {:.0} MB |",
                load.keys,
                load.megabytes,
                load.first.seconds,
                load.first.resident,
                load.update.seconds,
                load.update.resident
            )
            .unwrap();
        }
        text += "\n## Replacing many keys\n\n";
        text += &pushes(all);
        text
    }

    /// The table of variants.
    pub(crate) fn rows(&self) -> String {
        let mut text = "| | processor | added | quartiles | p50 | p99 |\n| --- | ---: | ---: | ---: | ---: | ---: |\n".to_owned();
        for row in &self.rows {
            let added = if row.variant.id == row.variant.base {
                "|".to_owned()
            } else {
                format!("{:.1} | {:.1} to {:.1}", row.added, row.low, row.high)
            };
            writeln!(
                text,
                "| {} | {:.1} | {added} | {:.0} | {:.0} |",
                row.variant.name, row.processor, row.p50, row.p99
            )
            .unwrap();
        }
        text
    }

    /// Bars of what each variant adds, with their quartiles.
    fn plot(&self) -> String {
        const LEFT: f64 = 270.0;
        const WIDTH: f64 = 560.0;
        const STEP: usize = 24;
        let rows: Vec<&Row> =
            self.rows.iter().filter(|row| row.variant.id != row.variant.base).collect();
        let most = rows.iter().map(|row| row.high).fold(1.0, f64::max);
        let x = |value: f64| LEFT + value.max(0.0) / most * WIDTH;
        let height = rows.len() * STEP + 50;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 920 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"920\" height=\"{height}\" fill=\"#fff\"/>\n<text x=\"10\" y=\"22\" font-weight=\"bold\">Processor time that a filter adds to a request, µs (median and quartiles)</text>\n"
        );
        for (index, row) in rows.iter().enumerate() {
            let y = 36 + index * STEP;
            let (text, middle) = (y + 15, y + 10);
            let colour =
                if row.variant.name.starts_with("Latchkey") { "#2b6cb0" } else { "#a0aec0" };
            let (name, added) = (row.variant.name, row.added);
            let (low, end, high) = (x(row.low), x(added), x(row.high));
            let width = end - LEFT;
            writeln!(svg, "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{name}</text><rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.1}\" height=\"14\" fill=\"{colour}\"/><path d=\"M{low:.1} {middle}H{high:.1}\" stroke=\"#1a202c\"/><text x=\"{:.1}\" y=\"{text}\">{added:.1}</text>", LEFT - 8.0, y + 3, high + 6.0).unwrap();
        }
        svg + "</svg>\n"
    }

    fn json(&self, machine: &[(&str, String)], scale: &[Load], pushes: &[Push]) -> Value {
        let rounded = |value: f64| (value * 100.0).round() / 100.0;
        let row = |row: &Row| {
            json!({
                "id": row.variant.id, "name": row.variant.name, "base": row.variant.base,
                "processor": rounded(row.processor), "added": rounded(row.added),
                "added_quartiles": [rounded(row.low), rounded(row.high)],
                "p50": rounded(row.p50), "p99": rounded(row.p99),
            })
        };
        let step = |step: super::scale::Step| json!({"seconds_a_vm": rounded(step.seconds), "resident_mb": rounded(step.resident)});
        let load = |load: &Load| json!({"keys": load.keys, "first": step(load.first), "update": step(load.update)});
        let push = |push: &Push| json!({"host": push.host(), "workers": push.workers, "keys": push.keys, "quiet_ms": rounded(push.quiet), "stall_ms": rounded(push.stall), "pause_ms": rounded(push.pause), "seconds": rounded(push.seconds), "memory_mb": push.memory.map(rounded)});
        let target = |target: Target| json!({"what": target.what, "aim": target.aim, "reached": target.reached, "met": target.is_met});
        json!({
            "run": machine.iter().map(|(what, value)| json!([what, value])).collect::<Vec<_>>(),
            "microseconds": self.rows.iter().map(row).collect::<Vec<_>>(),
            "loading": scale.iter().map(load).collect::<Vec<_>>(),
            "pushing": pushes.iter().map(push).collect::<Vec<_>>(),
            "targets": self.targets(pushes).into_iter().map(target).collect::<Vec<_>>(),
        })
    }
}

/// The table of pushes.
pub(crate) fn pushes(pushes: &[Push]) -> String {
    let quiet = QUIET.as_secs();
    let mut text = format!(
        "A policy of so many keys is replaced by one of a key more, while clients ask all the time, each again as soon as the others had their turn: the longest that one of them waited in {quiet} seconds before, and until the new key was let in by every worker. A virtual machine stands still when it has had its share of the real one: such times are taken off the waits, and the longest is told beside them. Memory is that of the whole process: with ten keys, with all, and at most during the push.\n\n| | workers | keys | longest wait, quiet | during the push | the machine stood still | processor | memory, 10 keys | all keys | peak |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
    );
    for push in pushes {
        let [few, all, peak] = push.memory;
        writeln!(
            text,
            "| {} | {} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} s | {few:.0} MB | {all:.0} MB | {peak:.0} MB |",
            push.host(), push.workers, push.keys, push.quiet, push.stall, push.pause, push.seconds
        )
        .unwrap();
    }
    text
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}
