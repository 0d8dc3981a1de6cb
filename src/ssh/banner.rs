//! The server's first line. An SSH server identifies itself at once; anything else is reported with
//! a sample of it.

use std::io::Cursor;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join, split};
use tokio::time::timeout;

use crate::obstacle::{Obstacle, Stage};

/// A server may send lines before its banner (RFC 4253, 4.2). One that sends more bytes than this
/// without a banner does not speak SSH.
const MAX_BYTES: usize = 8 * 1024;

/// How many characters of anything else are quoted in the message.
const SAMPLE: usize = 200;

/// Reads until the server has identified itself. The returned stream begins with the banner, which
/// russh reads again.
pub(super) async fn await_banner<S>(
    mut stream: S,
    limit: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Obstacle>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut received = Vec::new();
    let what = match timeout(limit, read_banner(&mut stream, &mut received)).await {
        Ok(Ok(Some(start))) => {
            let (rest, writer) = split(stream);
            return Ok(join(Cursor::new(received.split_off(start)).chain(rest), writer));
        }
        Ok(Ok(None)) if received.len() == MAX_BYTES => "the server talks, but not SSH".to_owned(),
        Ok(Ok(None)) => "the server closed the connection and sent no SSH banner".to_owned(),
        Ok(Err(error)) => format!("the connection broke before the SSH banner came: {error}"),
        Err(_) => format!("no SSH banner within {limit:?}"),
    };
    Err(no_banner(what, &String::from_utf8_lossy(&received)))
}

/// Where the banner begins in `received`; `None` if there is no banner and nothing more will come.
async fn read_banner(
    stream: &mut (impl AsyncRead + Unpin),
    received: &mut Vec<u8>,
) -> std::io::Result<Option<usize>> {
    let mut stream = stream.take(MAX_BYTES as u64);
    while stream.read_buf(received).await? > 0 {
        let start = banner_in(received);
        if start.is_some() {
            return Ok(start);
        }
    }
    Ok(None)
}

/// Only a whole line counts: a banner can come byte by byte.
fn banner_in(received: &[u8]) -> Option<usize> {
    let mut start = 0;
    for line in received.split_inclusive(|byte| *byte == b'\n') {
        let speaks_ssh = line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
        if speaks_ssh && line.ends_with(b"\n") {
            return Some(start);
        }
        start += line.len();
    }
    None
}

fn no_banner(what: String, received: &str) -> Obstacle {
    let received = received.trim();
    let message = match received.char_indices().nth(SAMPLE) {
        _ if received.is_empty() => what,
        Some((end, _)) => format!("{what}; received {:?} and more", &received[..end]),
        None => format!("{what}; received {received:?}"),
    };
    Obstacle::passing(Stage::Banner, message).hint(hint(received))
}

fn hint(received: &str) -> &'static str {
    let refusals = ["Not allowed at this time", "MaxStartups"];
    if refusals.iter().any(|refusal| received.contains(refusal)) {
        "sshd refuses this address for a while: earlier logins failed (PerSourcePenalties), or too \
         many came at once (MaxStartups); wait, or raise the limit on the VM"
    } else if received.is_empty() || received.contains("SSH-") {
        "something accepts the connection, but sshd does not answer: \
         is the VM still booting, paused or off?"
    } else {
        "something other than sshd answers there: is `ssh.port` right in the inventory?"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_a_whole_line_anywhere_in_the_text() {
        assert_eq!(banner_in(b"SSH-2.0-OpenSSH_10.0\r\nmore"), Some(0));
        assert_eq!(banner_in(b"hello\nSSH-1.99-old\n"), Some(6));
        assert_eq!(banner_in(b"SSH-2.0-OpenSSH_10.0"), None);
        assert_eq!(banner_in(b"SSH-1.5-older\n"), None);
        assert_eq!(banner_in(b"no SSH-2.0-here\n"), None);
    }
}
