//! What stands around the Envoys: processor cores, an upstream, and an authorization service.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;

use latchkey_testing::{Scratch, policies, until};

/// Keeps this process, and all that it starts from now on, on one core.
///
/// Client and Envoy take turns, as one waits for the other. On a core each, the time to wake an idle one would be counted, which
/// in a virtual machine is more than the request: 50 µs in place of 15, where four Envoys took turns.
pub(crate) fn share_a_core() {
    let first = cores().remove(0).to_string();
    let is_kept = succeeds("taskset", &["-apc", &first, &std::process::id().to_string()]);
    assert!(is_kept, "cannot keep this process on one core");
}

/// The cores on which this process may run, by number.
pub(crate) fn cores() -> Vec<usize> {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    let number = |text: &str| -> usize { text.parse().unwrap() };
    // `0-3,8` is five.
    let numbers = allowed.trim().split(',').flat_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        number(first)..=number(last)
    });
    numbers.collect()
}

/// Whether a program of util-linux does what it is asked for.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.unwrap_or_else(|error| panic!("no `{program}` ({error}): install util-linux")).success()
}

/// An nginx that lets in whose token stands in a table.
pub(crate) struct Authorizer {
    process: Child,
    pub(crate) port: u16,
}

impl Authorizer {
    pub(crate) fn start(scratch: &Scratch) -> Authorizer {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = scratch.file("nginx.conf");
        let folder = scratch.path().display();
        let token = policies::token(0);
        let configuration = format!(
            "daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
            events {{}}
            http {{
              access_log off; keepalive_requests 1000000000;
              client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
              uwsgi_temp_path {folder}; scgi_temp_path {folder};
              map $http_authorization $account {{ default ''; 'Bearer {token}' ws_000000; }}
              server {{
                listen 127.0.0.1:{port};
                if ($account = '') {{ return 401; }}
                location / {{ add_header x-account-id $account; return 200; }}
              }}
            }}"
        );
        fs::write(&file, configuration).unwrap();
        let process = Command::new("nginx")
            .args(["-e", &format!("{folder}/nginx.log"), "-c"])
            .arg(&file)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("no `nginx` ({error}): run `envoy/install-tools nginx`")
            });
        until("nginx", || TcpStream::connect(("127.0.0.1", port)).ok());
        Authorizer { process, port }
    }
}

impl Drop for Authorizer {
    fn drop(&mut self) {
        // The master takes its worker along, if it is asked to.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

/// An upstream in this process that reads a request whole and answers 200.
pub(crate) struct Upstream {
    pub(crate) port: u16,
}

impl Upstream {
    pub(crate) fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || serve(stream));
            }
        });
        Upstream { port }
    }
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 20]);
    loop {
        let whole = loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Request::new(&mut headers);
            if let httparse::Status::Complete(start) = head.parse(&bytes).ok()? {
                let mut headers = head.headers.iter();
                let length = headers.find(|header| header.name == "content-length");
                let length = length
                    .map_or(Some(0), |header| str::from_utf8(header.value).ok()?.parse().ok())?;
                break start + length;
            }
            read_more(&mut stream, &mut buffer, &mut bytes)?;
        };
        while bytes.len() < whole {
            read_more(&mut stream, &mut buffer, &mut bytes)?;
        }
        bytes.drain(..whole);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").ok()?;
    }
}

fn read_more(stream: &mut TcpStream, buffer: &mut [u8], bytes: &mut Vec<u8>) -> Option<()> {
    let count = stream.read(buffer).ok().filter(|count| *count > 0)?;
    bytes.extend_from_slice(&buffer[..count]);
    Some(())
}
