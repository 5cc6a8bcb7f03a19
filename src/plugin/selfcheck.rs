//! `ferry selfcheck`: whether an operator answers and is ready, from inside the cluster. The
//! chart's `helm test` runs it, so that no other image is needed for that.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// Time for one connection and one answer.
const ATTEMPT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes; readiness is a line or two.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// What `selfcheck` takes.
#[derive(clap::Args)]
pub struct Args {
    /// The operator's address, `host:port`.
    #[arg(long, value_name = "HOST:PORT")]
    operator: String,
    /// Seconds to keep trying.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

/// Asks `/readyz` until it says yes.
///
/// # Errors
/// When the operator was not ready in time; the last answer is in the error.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        match ask(&args.operator) {
            Ok(()) => {
                println!(
                    "ferry {}: the operator at {} is ready",
                    env!("CARGO_PKG_VERSION"),
                    args.operator
                );
                return Ok(());
            }
            Err(error) if begun.elapsed().as_secs() >= args.timeout => {
                return Err(error.context(format!(
                    "the operator at {} was not ready within {} s: look at its pod's log and events",
                    args.operator, args.timeout
                )));
            }
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

fn ask(operator: &str) -> anyhow::Result<()> {
    let address = operator
        .to_socket_addrs()
        .with_context(|| format!("failed to find {operator}"))?
        .next()
        .with_context(|| format!("{operator} has no address"))?;
    let mut stream = TcpStream::connect_timeout(&address, ATTEMPT)
        .with_context(|| format!("failed to reach {operator}"))?;
    stream.set_read_timeout(Some(ATTEMPT))?;
    stream.set_write_timeout(Some(ATTEMPT))?;
    // In one piece: whoever answers after the first one would meet the rest with a reset.
    let request = format!("GET /readyz HTTP/1.0\r\nHost: {operator}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_end(&mut answer)
        .context("no answer")?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.lines().next().unwrap_or_default();
    if status.split_whitespace().nth(1) != Some("200") {
        bail!("not ready: {}", answer.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn answering(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut request = [0; 256];
            let read = peer.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"GET /readyz "));
            peer.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_a_ready_operator_passes() {
        ask(&answering("HTTP/1.0 200 OK\r\n\r\nok\n")).unwrap();
        let error = ask(&answering(
            "HTTP/1.1 503 Service Unavailable\r\n\r\nno lease\n",
        ))
        .unwrap_err();
        assert!(error.to_string().contains("no lease"), "{error}");
    }
}
