//! Hosts the CPU of this machine, for programs on other machines.
//!
//! `serve [ADDRESS]`, by default 127.0.0.1:0, a free port of the loopback interface; prints the address
//! that it listens on.

use std::error::Error;
use std::net::TcpListener;

use burn::server::{RemoteServer, WebSocketTransport};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let listener = TcpListener::bind(address.as_deref().unwrap_or("127.0.0.1:0"))?;
    println!("ws://{}", listener.local_addr()?);
    let device = celldec::device::by_name("cpu")?;
    Ok(RemoteServer::new([device]).serve(WebSocketTransport::from_listener(listener))?)
}
