//! A server as an older one would greet us: a real one behind a connection that changes its version.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// Listens in front of a server and greets with that version; answers the port.
pub fn with_version(server: u16, version: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let there = TcpStream::connect(("127.0.0.1", server)).unwrap();
            serve(client.unwrap(), there, version);
        }
    });
    port
}

fn serve(client: TcpStream, server: TcpStream, version: &'static str) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::thread::spawn(move || greet(client, server, version));
}

fn greet(mut client: TcpStream, mut server: TcpStream, version: &str) -> std::io::Result<()> {
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"\r\n") {
        let mut byte = [0];
        server.read_exact(&mut byte)?;
        greeting.extend(byte);
    }
    let greeting = String::from_utf8(greeting).unwrap();
    let (before, rest) = greeting.split_once("\"version\":\"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    client.write_all(format!("{before}\"version\":\"{version}\"{after}").as_bytes())?;
    std::io::copy(&mut server, &mut client)?;
    Ok(())
}
