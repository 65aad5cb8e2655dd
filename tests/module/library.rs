//! What the built library needs of the machine that it runs on, and of Envoy.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use latchkey_testing::module;

/// Names without the beginning `envoy_dynamic_module_callback_`: what each tested Envoy must have, since one that is missing
/// keeps the module from being loaded.
const CALLBACKS: [&str; 19] = [
    "http_add_header",
    "http_filter_config_define_counter",
    "http_filter_config_define_gauge",
    "http_filter_config_scheduler_commit",
    "http_filter_config_scheduler_delete",
    "http_filter_config_scheduler_new",
    "http_filter_get_attribute_string",
    "http_filter_increment_counter",
    "http_filter_set_gauge",
    "http_get_body_chunks",
    "http_get_body_chunks_size",
    "http_get_filter_state_bytes",
    "http_get_headers",
    "http_get_headers_size",
    "http_send_response",
    "http_set_filter_state_bytes",
    "http_set_header",
    "log",
    "log_enabled",
];

/// Names without the beginning `envoy_dynamic_module_on_`: what Envoy demands, and what it calls if it is there.
const HOOKS: [&str; 22] = [
    "http_filter_config_destroy",
    "http_filter_config_new",
    "http_filter_config_scheduled",
    "http_filter_destroy",
    "http_filter_downstream_above_write_buffer_high_watermark",
    "http_filter_downstream_below_write_buffer_low_watermark",
    "http_filter_http_callout_done",
    "http_filter_http_stream_complete",
    "http_filter_http_stream_data",
    "http_filter_http_stream_headers",
    "http_filter_http_stream_reset",
    "http_filter_http_stream_trailers",
    "http_filter_new",
    "http_filter_request_body",
    "http_filter_request_headers",
    "http_filter_request_trailers",
    "http_filter_response_body",
    "http_filter_response_headers",
    "http_filter_response_trailers",
    "http_filter_scheduled",
    "http_filter_stream_complete",
    "program_init",
];

/// The parts of the C library, whatever the processor.
const LIBRARIES: [&str; 6] = [
    "ld-linux-aarch64.so.1",
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libpthread.so.0",
];

/// The oldest C library that it must run on: major and minor version.
const GLIBC: (u32, u32) = (2, 28);

#[test]
fn the_library_needs_an_old_c_library_and_these_functions_of_envoy() {
    for library in [module(), arm()] {
        let symbols = readelf(&library, &["--dyn-syms", "--wide"]);
        let symbols: Vec<Vec<&str>> =
            symbols.lines().map(|line| line.split_whitespace().collect()).collect();
        // Of `Num: Value Size Type Bind Vis Ndx Name`.
        let names = |is_own: bool| -> BTreeSet<&str> {
            let named = symbols.iter().filter(|own| own.len() >= 8 && own[0] != "Num:");
            let wanted = named.filter(|own| (own[6] != "UND") == is_own);
            wanted.map(|own| own[7]).collect()
        };
        let needed: BTreeSet<&str> = names(false)
            .into_iter()
            .filter_map(|name| name.strip_prefix("envoy_dynamic_module_callback_"))
            .collect();
        assert_eq!(needed, CALLBACKS.into(), "{}", library.display());
        let exported: BTreeSet<&str> = names(true)
            .into_iter()
            .map(|name| name.strip_prefix("envoy_dynamic_module_on_").unwrap_or(name))
            .collect();
        assert_eq!(exported, HOOKS.into(), "{}", library.display());

        let dynamic = readelf(&library, &["--dynamic", "--wide"]);
        let libraries: Vec<&str> = dynamic
            .lines()
            .filter(|line| line.contains("(NEEDED)"))
            .filter_map(|line| line.split(['[', ']']).nth(1))
            .collect();
        assert!(libraries.iter().all(|own| LIBRARIES.contains(own)), "{libraries:?}");

        let versions = readelf(&library, &["--version-info", "--wide"]);
        let versions: BTreeSet<(u32, u32)> = versions
            .split_whitespace()
            .filter_map(|word| word.trim_end_matches(')').strip_prefix("GLIBC_")?.split_once('.'))
            .map(|(major, minor)| (major, minor.split('.').next().unwrap_or_default()))
            .map(|(major, minor)| (major.parse().unwrap(), minor.parse().unwrap()))
            .collect();
        assert!(!versions.is_empty());
        assert!(versions.iter().all(|version| *version <= GLIBC), "{versions:?}");
    }
}

#[test]
fn the_library_names_no_folder_of_the_machine_that_built_it() {
    let text = String::from_utf8_lossy(&std::fs::read(module()).unwrap()).into_owned();
    for folder in [env!("CARGO_MANIFEST_DIR"), "/.cargo/", "index.crates.io"] {
        assert!(!text.contains(folder), "{folder}");
    }
}

/// The library for ARM.
fn arm() -> std::path::PathBuf {
    let name = format!("dist/arm64/liblatchkey-{}.so", env!("CARGO_PKG_VERSION"));
    latchkey_testing::repository(&name)
}

fn readelf(library: &Path, options: &[&str]) -> String {
    let output = Command::new("readelf").args(options).arg(library).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run `readelf`: {error}"));
    assert!(output.status.success(), "readelf {options:?} {}", library.display());
    String::from_utf8(output.stdout).unwrap()
}
