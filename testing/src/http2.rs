//! HTTP/2 with prior knowledge: what HTTP/1 cannot say, such as methods that nobody registered; and an upstream
//! that shows a request's trailers.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use h2::{RecvStream, client, server};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use latchkey_cli::cases::{CaseRequest, Value};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::{PATIENCE, Response};

/// Sends one request over a connection of its own; the response, and the client's address.
pub fn exchange(address: SocketAddr, request: &CaseRequest) -> (Response, SocketAddr) {
    exchange_with_trailers(address, request, HeaderMap::new())
}

/// The same with trailers behind the body.
pub fn exchange_with_trailers(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> (Response, SocketAddr) {
    try_exchange(address, request, trailers).unwrap_or_else(|error| panic!("HTTP/2: {error}"))
}

/// The same for what Envoy may answer by breaking off.
///
/// # Errors
/// The stream or the connection ended without a response.
pub fn try_exchange(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> Result<(Response, SocketAddr), h2::Error> {
    let exchanged =
        runtime().block_on(async { timeout(PATIENCE, send(address, request, trailers)).await });
    exchanged.unwrap_or_else(|_| panic!("no answer over HTTP/2 to `{}`", request.method))
}

async fn send(
    address: SocketAddr,
    request: &CaseRequest,
    trailers: HeaderMap,
) -> Result<(Response, SocketAddr), h2::Error> {
    let stream = TcpStream::connect(address).await.unwrap();
    let client = stream.local_addr().unwrap();
    let (sender, connection) = client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let mut sender = sender.ready().await?;

    let pieces: Vec<Vec<u8>> =
        request.pieces().iter().map(|piece| piece.as_bytes().to_vec()).collect();
    let (response, mut upload) =
        sender.send_request(head(request), pieces.is_empty() && trailers.is_empty())?;
    let last = pieces.len().saturating_sub(1);
    for (index, piece) in pieces.into_iter().enumerate() {
        upload.send_data(piece.into(), index == last && trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        upload.send_trailers(trailers)?;
    }
    let (head, mut download) = response.await?.into_parts();
    let (body, trailers) = read(&mut download).await?;
    let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, value) in head.headers.iter().chain(&trailers) {
        headers.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
    }
    connection.abort();
    Ok((Response { status: head.status.as_u16(), headers, body }, client))
}

fn head(request: &CaseRequest) -> Request<()> {
    let uri = match &request.path {
        None => Uri::builder().authority(request.authority.as_str()).build(),
        Some(path) => Uri::builder()
            .scheme("http")
            .authority(request.authority.as_str())
            .path_and_query(path.as_str())
            .build(),
    };
    let method = Method::from_bytes(request.method.as_bytes()).unwrap();
    let mut head = Request::new(());
    *head.version_mut() = Version::HTTP_2;
    *head.method_mut() = method;
    *head.uri_mut() = uri.unwrap_or_else(|error| panic!("`{:?}`: {error}", request.path));
    for (name, Value(value)) in &request.headers {
        let name = HeaderName::from_bytes(name.to_ascii_lowercase().as_bytes()).unwrap();
        head.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
    }
    if let Some(body) = &request.body {
        head.headers_mut().insert("content-length", body.len().into());
    }
    head
}

/// An upstream that answers every request with 200, once it is whole.
pub struct Upstream {
    pub address: SocketAddr,
    arrivals: Receiver<Arrival>,
}

/// A whole request, as it reached the upstream.
#[derive(Debug)]
pub struct Arrival {
    pub head: Request<()>,
    pub body: Vec<u8>,
    pub trailers: HeaderMap,
}

impl Upstream {
    pub fn start() -> Upstream {
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, arrivals) = channel();
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(serve(stream, sender.clone()));
                }
            });
        });
        Upstream { address, arrivals }
    }

    /// What has arrived since the last call.
    pub fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.try_iter().collect()
    }
}

/// Ends with the connection, or with the test.
async fn serve(stream: TcpStream, arrivals: Sender<Arrival>) {
    let mut connection = server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let arrivals = arrivals.clone();
        tokio::spawn(async move {
            let (head, mut upload) = request.into_parts();
            // One that breaks off has not arrived.
            let Ok((body, trailers)) = read(&mut upload).await else { return };
            let _ = arrivals.send(Arrival { head: Request::from_parts(head, ()), body, trailers });
            let _ = respond.send_response(http::Response::new(()), true);
        });
    }
}

/// A body and its trailers.
async fn read(stream: &mut RecvStream) -> Result<(Vec<u8>, HeaderMap), h2::Error> {
    let mut body = Vec::new();
    while let Some(bytes) = stream.data().await {
        let bytes = bytes?;
        stream.flow_control().release_capacity(bytes.len())?;
        body.extend_from_slice(&bytes);
    }
    Ok((body, stream.trailers().await?.unwrap_or_default()))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
