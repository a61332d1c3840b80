//! Stands between a client and a server and writes down what they say, a message a line: `>` is the
//! client's, `<` the server's. `tests/replay.rs` replays such recordings, and
//! `tests/recordings/make.sh` makes them anew.
//!
//! `cargo run -p ovn-client --example record -- 127.0.0.1:6640 127.0.0.1:6641 > recording`, then
//! let one client connect to the first address. Ends with the connection.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};

use anyhow::Context;
use ovn_client::FrameLimits;
use ovn_client::ovsdb::message::Framer;

const USAGE: &str = "usage: record LISTEN SERVER, each ADDRESS:PORT";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context(USAGE)?;
    let server = arguments.next().context(USAGE)?;
    let (client, _) = TcpListener::bind(&listen).context(USAGE)?.accept()?;
    let server = TcpStream::connect(&server).context(USAGE)?;
    let (lines, recorded) = channel();
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let said = lines.clone();
    std::thread::spawn(move || pass(from_client, to_server, '>', &said));
    std::thread::spawn(move || pass(server, client, '<', &lines));
    let mut out = std::io::stdout().lock();
    for line in recorded {
        out.write_all(&line)?;
    }
    Ok(())
}

/// Passes bytes on until either side ends, and records whole messages.
fn pass(mut from: TcpStream, mut to: TcpStream, mark: char, lines: &Sender<Vec<u8>>) {
    let mut framer = Framer::new(FrameLimits::default());
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut bytes) {
        let read = bytes.get(..count).unwrap_or_default();
        framer.push(read);
        while let Ok(Some(message)) = framer.next_message() {
            let line = format!("{mark} {}\n", String::from_utf8_lossy(&message));
            // Nobody listens any more only when the program ends.
            let _ = lines.send(line.into_bytes());
        }
        if read.is_empty() || to.write_all(read).is_err() {
            break;
        }
    }
    // The other direction ends too; one that has ended already is as good.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
