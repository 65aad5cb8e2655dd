//! Clients that ask all the time, while a test changes something.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{Connection, until};

/// Asks with one credential, over one connection until the other end says that it closes it.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Connection,
    request: String,
}

impl Client {
    /// A client that presents this as its `authorization`.
    pub fn new(address: SocketAddr, authorization: &str) -> Client {
        let request = format!(
            "GET / HTTP/1.1\r\nhost: api.example.com\r\nauthorization: {authorization}\r\n\r\n"
        );
        Client { address, connection: Connection::open(address).unwrap(), request }
    }

    /// Sends one request; the status of its answer.
    pub fn status(&mut self) -> u16 {
        self.connection.write(self.request.as_bytes()).unwrap();
        let response = self.connection.response(false).unwrap();
        if response.values("connection").iter().any(|value| value == "close") {
            self.connection = Connection::open(self.address).unwrap();
        }
        response.status
    }
}

/// Clients on threads of their own. They stop when this is dropped, which a failing test does as well.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<(JoinHandle<Vec<u16>>, Arc<AtomicUsize>)>,
}

impl Load {
    /// Starts a client for each `authorization`.
    pub fn start(address: SocketAddr, authorizations: &[&str]) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |authorization: &&str| {
            let mut client = Client::new(address, authorization);
            let (stop, answered) = (Arc::clone(&stop), Arc::new(AtomicUsize::new(0)));
            let count = Arc::clone(&answered);
            let thread = thread::spawn(move || {
                let mut statuses = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    statuses.push(client.status());
                    count.fetch_add(1, Ordering::Relaxed);
                }
                statuses
            });
            (thread, answered)
        };
        let clients = authorizations.iter().map(client).collect();
        Load { stop, clients }
    }

    /// Waits until every client has had some more answers.
    pub fn goes_on(&self) {
        for (_, answered) in &self.clients {
            let goal = answered.load(Ordering::Relaxed) + 30;
            until("answers to every client", || {
                (answered.load(Ordering::Relaxed) >= goal).then_some(())
            });
        }
    }

    /// Stops; the statuses that each client had, in order.
    pub fn stop(mut self) -> Vec<Vec<u16>> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.drain(..).map(|(thread, _)| thread.join().unwrap()).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
