//! HTTP/1.1 by hand: bytes in, parsed responses out, so that a test can send what no client would.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use latchkey_cli::cases::{CaseRequest, Value};

use super::PATIENCE;

/// A connection that stays open between requests, unless Envoy closes it.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// What came after the last response.
    rest: Vec<u8>,
}

/// A response, over HTTP/1 or HTTP/2.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    /// In order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Response {
    /// The values of every header of that name.
    pub fn values(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(given, _)| given == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Connection {
    pub fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Connection { stream, rest: Vec::new() })
    }

    /// This end of the connection, as the access log names it.
    pub fn client(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Reads the next response; that to a HEAD has no body, whatever its headers say.
    pub fn response(&mut self, is_head: bool) -> io::Result<Response> {
        loop {
            if let Some(response) = self.parsed(is_head, false)? {
                return Ok(response);
            }
            let mut bytes = [0; 65536];
            let count = self.stream.read(&mut bytes)?;
            if count == 0 {
                let response = self.parsed(is_head, true)?;
                return response.ok_or_else(|| io::ErrorKind::UnexpectedEof.into());
            }
            self.rest.extend_from_slice(&bytes[..count]);
        }
    }

    /// The response at the start of what was read; none while it is not whole.
    fn parsed(&mut self, is_head: bool, is_end: bool) -> io::Result<Option<Response>> {
        let mut headers = [httparse::EMPTY_HEADER; 256];
        let mut head = httparse::Response::new(&mut headers);
        let start = match head.parse(&self.rest).map_err(io::Error::other)? {
            httparse::Status::Complete(start) => start,
            httparse::Status::Partial => return Ok(None),
        };
        let owned = |header: &httparse::Header<'_>| {
            (header.name.to_ascii_lowercase(), header.value.to_vec())
        };
        let status = head.code.unwrap_or_default();
        let headers = head.headers.iter().map(owned).collect();
        let mut response = Response { status, headers, body: Vec::new() };
        if (100..200).contains(&status) {
            self.rest.drain(..start);
            return self.parsed(is_head, is_end);
        }
        let body = &self.rest[start..];
        let length = response.values("content-length").first().and_then(|text| text.parse().ok());
        let end = if is_head || matches!(status, 204 | 304) {
            start
        } else if response.values("transfer-encoding") == ["chunked"] {
            let Some((whole, length)) = unchunked(body)? else { return Ok(None) };
            response.body = whole;
            start + length
        } else {
            match length {
                Some(length) if body.len() < length => return Ok(None),
                None if !is_end => return Ok(None),
                length => {
                    response.body = body[..length.unwrap_or(body.len())].to_vec();
                    start + response.body.len()
                }
            }
        };
        self.rest.drain(..end);
        Ok(Some(response))
    }
}

/// The bytes of a request: its headers as they stand, `host` first, the body's framing last.
pub fn bytes(request: &CaseRequest) -> Vec<u8> {
    let target = request.path.as_deref().unwrap_or(&request.authority);
    let mut bytes =
        format!("{} {target} HTTP/1.1\r\nhost: {}\r\n", request.method, request.authority)
            .into_bytes();
    for (name, Value(value)) in &request.headers {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if let Some(body) = &request.body {
        bytes.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).into_bytes());
    } else if !request.chunks.is_empty() {
        bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in request.chunks.iter().filter(|chunk| !chunk.is_empty()) {
            bytes.extend(format!("{:x}\r\n{chunk}\r\n", chunk.len()).into_bytes());
        }
        bytes.extend(b"0\r\n\r\n");
    } else {
        bytes.extend(b"\r\n");
    }
    bytes
}

/// A chunked body and the number of bytes it took; none while it is not whole.
fn unchunked(mut bytes: &[u8]) -> io::Result<Option<(Vec<u8>, usize)>> {
    let all = bytes.len();
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(bytes).map_err(|_| io::ErrorKind::InvalidData)?;
        let httparse::Status::Complete((start, size)) = size else { return Ok(None) };
        let end = start + usize::try_from(size).map_err(io::Error::other)?;
        let Some(chunk) = bytes.get(start..end) else { return Ok(None) };
        let Some(next) = bytes.get(end + 2..) else { return Ok(None) };
        body.extend_from_slice(chunk);
        bytes = next;
        if size == 0 {
            return Ok(Some((body, all - bytes.len())));
        }
    }
}
