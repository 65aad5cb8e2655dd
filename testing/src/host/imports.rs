//! What the filter calls of proxy-wasm 0.2.1 and of WASI, with Envoy's answers. A function that stands
//! in neither list traps when it is called.

use std::collections::BTreeMap;

use wasmi::{Caller, Error, Extern, ExternType, Linker, Memory, Module, StoreLimits, Val};

use super::headers::HeaderMap;
use super::{LogLine, Metric, Outcome};

/// What the host calls act on: the VM's surroundings, and the stream that is being served.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) configuration: Option<Vec<u8>>,
    pub(crate) environment: Vec<String>,
    pub(crate) nanoseconds: u64,
    pub(crate) failing: Vec<String>,
    pub(crate) logs: Vec<LogLine>,
    pub(crate) calls: Vec<String>,
    pub(crate) metrics: BTreeMap<String, Metric>,
    /// Names by the ids that were given out.
    metric_ids: Vec<String>,
    /// In milliseconds, by root context.
    pub(crate) tick_periods: BTreeMap<u32, u32>,
    /// The context that is being called.
    pub(crate) context: u32,
    pub(crate) request: HeaderMap,
    pub(crate) trailers: HeaderMap,
    /// What of the request's body is there to be read.
    pub(crate) body: Vec<u8>,
    /// By their paths, whose parts are joined with NUL.
    pub(crate) properties: BTreeMap<String, Vec<u8>>,
    pub(crate) response: HeaderMap,
    pub(crate) reply: Option<Outcome>,
    pub(crate) filter_state: BTreeMap<String, Vec<u8>>,
    pub(crate) limits: StoreLimits,
    /// From where on lines are logged: 0 is trace, 2 is info.
    pub(crate) log_level: u32,
}

impl Stage {
    pub(crate) fn new(environment: &[(&str, &str)]) -> Stage {
        Stage {
            configuration: None,
            environment: environment
                .iter()
                .map(|(name, value)| format!("{name}={value}\0"))
                .collect(),
            nanoseconds: 0,
            failing: Vec::new(),
            logs: Vec::new(),
            calls: Vec::new(),
            metrics: BTreeMap::new(),
            metric_ids: Vec::new(),
            tick_periods: BTreeMap::new(),
            context: 0,
            request: HeaderMap::default(),
            trailers: HeaderMap::default(),
            body: Vec::new(),
            properties: BTreeMap::new(),
            response: HeaderMap::default(),
            reply: None,
            filter_state: BTreeMap::new(),
            limits: StoreLimits::default(),
            log_level: 0,
        }
    }
}

/// Links every import of the module.
pub(crate) fn linker(module: &Module) -> Linker<Stage> {
    let mut linker = Linker::new(module.engine());
    for import in module.imports() {
        let ExternType::Func(signature) = import.ty() else {
            panic!("`{}` is not a function", import.name());
        };
        let name = import.name().to_owned();
        let answer = if import.module() == "env" { proxy_wasm } else { wasi };
        let call = move |mut caller: Caller<'_, Stage>, arguments: &[Val], results: &mut [Val]| {
            caller.data_mut().calls.push(name.clone());
            let arguments: Vec<u64> = arguments.iter().map(unsigned).collect();
            let status = if caller.data().failing.contains(&name) {
                INTERNAL_FAILURE
            } else {
                answer(&mut Border(caller), &name, &arguments)?
            };
            if let Some(result) = results.first_mut() {
                *result = Val::I32(status.cast_signed());
            }
            Ok(())
        };
        linker.func_new(import.module(), import.name(), signature.clone(), call).unwrap();
    }
    linker
}

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const INTERNAL_FAILURE: u32 = 10;

/// The functions of the module `env`. Every answer is a status of proxy-wasm.
fn proxy_wasm(border: &mut Border<'_>, name: &str, arguments: &[u64]) -> Result<u32, Error> {
    match (name, arguments) {
        ("proxy_log", &[level, text, size]) => {
            let text = border.read(text, size)?;
            border.stage().logs.push(LogLine::new(level as u32, &text));
        }
        ("proxy_get_log_level", &[into]) => {
            let level = border.stage().log_level;
            border.write(into, &level.to_le_bytes())?;
        }
        ("proxy_get_current_time_nanoseconds", &[into]) => {
            let now = border.stage().nanoseconds;
            border.write(into, &now.to_le_bytes())?;
        }
        ("proxy_set_tick_period_milliseconds", &[period]) => {
            let stage = border.stage();
            stage.tick_periods.insert(stage.context, period as u32);
        }
        ("proxy_get_buffer_bytes", &[kind, start, limit, data, size]) => {
            const REQUEST_BODY: u64 = 0;
            const PLUGIN_CONFIGURATION: u64 = 7;
            let stage = border.stage();
            let bytes = match kind {
                REQUEST_BODY => Some(stage.body.clone()),
                PLUGIN_CONFIGURATION => stage.configuration.clone(),
                _ => None,
            };
            let Some(bytes) = bytes else { return Ok(NOT_FOUND) };
            let start = (start as usize).min(bytes.len());
            let end = start.saturating_add(limit as usize).min(bytes.len());
            border.hand_over(&bytes[start..end], data, size)?;
        }
        ("proxy_get_header_map_pairs", &[map, data, size]) => {
            let Some(map) = border.map(map) else { return Ok(BAD_ARGUMENT) };
            let pairs = serialized(map.entries());
            border.hand_over(&pairs, data, size)?;
        }
        ("proxy_set_header_map_pairs", &[map, data, size]) => {
            let pairs = deserialized(&border.read(data, size)?);
            let Some(map) = border.map(map) else { return Ok(BAD_ARGUMENT) };
            *map = HeaderMap::new(&pairs);
        }
        ("proxy_replace_header_map_value", &[map, name, name_size, value, value_size]) => {
            let (name, value) =
                (border.read_text(name, name_size)?, border.read(value, value_size)?);
            let Some(map) = border.map(map) else { return Ok(BAD_ARGUMENT) };
            map.replace(&name, &value);
        }
        ("proxy_remove_header_map_value", &[map, name, name_size]) => {
            let name = border.read_text(name, name_size)?;
            let Some(map) = border.map(map) else { return Ok(BAD_ARGUMENT) };
            map.remove(&name);
        }
        ("proxy_set_property", &[name, name_size, value, value_size]) => {
            let (name, value) =
                (border.read_text(name, name_size)?, border.read(value, value_size)?);
            border.stage().filter_state.insert(name, value);
        }
        ("proxy_get_property", &[path, path_size, data, size]) => {
            let path = border.read_text(path, path_size)?;
            let Some(value) = border.stage().properties.get(&path).cloned() else {
                return Ok(NOT_FOUND);
            };
            border.hand_over(&value, data, size)?;
        }
        (
            "proxy_send_local_response",
            &[status, _, _, body, body_size, headers, headers_size, _grpc_status],
        ) => {
            let headers = deserialized(&border.read(headers, headers_size)?);
            let body = border.read(body, body_size)?;
            let status = u16::try_from(status).unwrap();
            assert!(border.stage().reply.is_none(), "a second reply to one request");
            border.stage().reply = Some(Outcome::Reply { status, headers, body });
        }
        ("proxy_define_metric", &[kind, name, name_size, into]) => {
            let name = border.read_text(name, name_size)?;
            let stage = border.stage();
            let fresh = match kind {
                0 => Metric::Counter(0),
                1 => Metric::Gauge(0),
                _ => return Ok(BAD_ARGUMENT),
            };
            stage.metrics.entry(name.clone()).or_insert(fresh);
            stage.metric_ids.push(name);
            let id = stage.metric_ids.len() as u32 - 1;
            border.write(into, &id.to_le_bytes())?;
        }
        ("proxy_increment_metric", &[id, offset]) => match border.metric(id) {
            Some(Metric::Counter(value) | Metric::Gauge(value)) => {
                *value = value.wrapping_add(offset);
            }
            None => return Ok(NOT_FOUND),
        },
        ("proxy_record_metric", &[id, recorded]) => match border.metric(id) {
            Some(Metric::Counter(value)) => *value += recorded,
            Some(Metric::Gauge(value)) => *value = recorded,
            None => return Ok(NOT_FOUND),
        },
        _ => return Err(Error::new(format!("`{name}` is not provided by this host"))),
    }
    Ok(OK)
}

/// The functions of the module `wasi_snapshot_preview1`. Every answer is an errno of WASI.
fn wasi(border: &mut Border<'_>, name: &str, arguments: &[u64]) -> Result<u32, Error> {
    match (name, arguments) {
        ("environ_sizes_get", &[count, size]) => {
            let environment = border.stage().environment.clone();
            border.write(count, &(environment.len() as u32).to_le_bytes())?;
            border.write(size, &(environment.concat().len() as u32).to_le_bytes())?;
        }
        ("environ_get", &[mut pointers, mut texts]) => {
            for variable in border.stage().environment.clone() {
                border.write(pointers, &(texts as u32).to_le_bytes())?;
                border.write(texts, variable.as_bytes())?;
                pointers += 4;
                texts += variable.len() as u64;
            }
        }
        ("fd_write", &[descriptor, vectors, count, written]) => {
            const STANDARD_OUTPUT: u64 = 1;
            let (info, error) = (2, 4);
            let level = if descriptor == STANDARD_OUTPUT { info } else { error };
            let mut text = Vec::new();
            for vector in 0..count {
                let vector = border.read(vectors + vector * 8, 8)?;
                text.extend(border.read(word(&vector, 0), word(&vector, 1))?);
            }
            border.stage().logs.push(LogLine::new(level, &text));
            border.write(written, &(text.len() as u32).to_le_bytes())?;
        }
        _ => return Err(Error::new(format!("`{name}` is not provided by this host"))),
    }
    Ok(OK)
}

/// One host call: the module's memory on the one side, the stage on the other.
struct Border<'a>(Caller<'a, Stage>);

impl Border<'_> {
    fn stage(&mut self) -> &mut Stage {
        self.0.data_mut()
    }

    fn map(&mut self, kind: u64) -> Option<&mut HeaderMap> {
        match kind {
            0 => Some(&mut self.stage().request),
            1 => Some(&mut self.stage().trailers),
            2 => Some(&mut self.stage().response),
            _ => None,
        }
    }

    fn metric(&mut self, id: u64) -> Option<&mut Metric> {
        let stage = self.stage();
        let name = stage.metric_ids.get(id as usize)?;
        stage.metrics.get_mut(name)
    }

    fn memory(&self) -> Memory {
        self.0.get_export("memory").and_then(Extern::into_memory).unwrap()
    }

    fn read(&self, pointer: u64, size: u64) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; size as usize];
        self.memory().read(&self.0, pointer as usize, &mut bytes).map_err(Error::from)?;
        Ok(bytes)
    }

    fn read_text(&self, pointer: u64, size: u64) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.read(pointer, size)?).into_owned())
    }

    fn write(&mut self, pointer: u64, bytes: &[u8]) -> Result<(), Error> {
        self.memory().write(&mut self.0, pointer as usize, bytes).map_err(Error::from)
    }

    /// Copies bytes into memory that the module allocates for them; nothing is a null pointer.
    fn hand_over(&mut self, bytes: &[u8], pointer_at: u64, size_at: u64) -> Result<(), Error> {
        let mut pointer = [Val::I32(0)];
        if !bytes.is_empty() {
            let allocate = self.0.get_export("proxy_on_memory_allocate");
            let allocate = allocate.and_then(Extern::into_func).unwrap();
            let size = i32::try_from(bytes.len()).unwrap();
            allocate.call(&mut self.0, &[Val::I32(size)], &mut pointer)?;
            self.write(unsigned(&pointer[0]), bytes)?;
        }
        self.write(pointer_at, &(unsigned(&pointer[0]) as u32).to_le_bytes())?;
        self.write(size_at, &(bytes.len() as u32).to_le_bytes())
    }
}

/// An argument as a number: addresses are unsigned, and the few signed ones wrap around.
fn unsigned(value: &Val) -> u64 {
    match value {
        Val::I32(value) => u64::from(value.cast_unsigned()),
        Val::I64(value) => value.cast_unsigned(),
        other => panic!("no host call takes `{other:?}`"),
    }
}

/// Pairs as proxy-wasm writes them: their number, all sizes, then names and values, each with a
/// NUL behind it. No pairs are no bytes.
pub(crate) fn serialized(pairs: &[(String, Vec<u8>)]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
    }
    bytes
}

fn deserialized(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let count = if bytes.is_empty() { 0 } else { word(bytes, 0) as usize };
    let mut texts = &bytes[bytes.len().min(4 + count * 8)..];
    let mut next = |size: u64| {
        let (text, rest) = texts.split_at(size as usize);
        texts = &rest[1..];
        text
    };
    let pair = |index: usize| {
        let name = String::from_utf8(next(word(bytes, 1 + 2 * index)).to_vec()).unwrap();
        (name, next(word(bytes, 2 + 2 * index)).to_vec())
    };
    (0..count).map(pair).collect()
}

/// The little-endian word at an index.
fn word(bytes: &[u8], index: usize) -> u64 {
    let bytes = bytes[4 * index..4 * index + 4].try_into().unwrap();
    u64::from(u32::from_le_bytes(bytes))
}
