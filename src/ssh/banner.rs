//! The first words. A server that speaks SSH names itself at once; what else is said is told, with a sample of it.

use crate::obstacle::{Obstacle, Stage};
use std::io::Cursor;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, join, split};
use tokio::time::timeout;

/// A server may say something before its banner (RFC 4253, 4.2). Who says more than this does not speak SSH.
const SAID_AT_MOST: usize = 8 * 1024;

/// So many characters of what is no banner stand in the message.
const SAMPLE: usize = 200;

/// Reads until the other end has named itself. What is returned begins with its banner, which russh reads again.
pub(super) async fn await_banner<S>(
    mut stream: S,
    limit: Duration,
) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Obstacle>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut said = Vec::new();
    let what = match timeout(limit, read_banner(&mut stream, &mut said)).await {
        Ok(Ok(Some(start))) => {
            let (rest, writer) = split(stream);
            return Ok(join(Cursor::new(said.split_off(start)).chain(rest), writer));
        }
        Ok(Ok(None)) if said.len() == SAID_AT_MOST => "the server talks, but not SSH".to_owned(),
        Ok(Ok(None)) => "the connection was closed before an SSH banner".to_owned(),
        Ok(Err(error)) => format!("the connection broke before an SSH banner: {error}"),
        Err(_) => format!("no SSH banner within {limit:?}"),
    };
    Err(no_banner(what, &String::from_utf8_lossy(&said)))
}

/// Where the banner begins in what was said; `None` when there is none and nothing more will come.
async fn read_banner(
    stream: &mut (impl AsyncRead + Unpin),
    said: &mut Vec<u8>,
) -> std::io::Result<Option<usize>> {
    let mut stream = stream.take(SAID_AT_MOST as u64);
    while stream.read_buf(said).await? > 0 {
        let start = banner_in(said);
        if start.is_some() {
            return Ok(start);
        }
    }
    Ok(None)
}

/// Only a whole line counts: a banner can come byte by byte.
fn banner_in(said: &[u8]) -> Option<usize> {
    let mut start = 0;
    for line in said.split_inclusive(|byte| *byte == b'\n') {
        let speaks_ssh = line.starts_with(b"SSH-2.0-") || line.starts_with(b"SSH-1.99-");
        if speaks_ssh && line.ends_with(b"\n") {
            return Some(start);
        }
        start += line.len();
    }
    None
}

fn no_banner(what: String, said: &str) -> Obstacle {
    let said = said.trim();
    let message = match said.char_indices().nth(SAMPLE) {
        _ if said.is_empty() => what,
        Some((end, _)) => format!("{what}; it said {:?} and more", &said[..end]),
        None => format!("{what}; it said {said:?}"),
    };
    let turned_away =
        ["Not allowed at this time", "MaxStartups"].iter().any(|words| said.contains(words));
    Obstacle::passing(Stage::Banner, message).hint(if turned_away {
        "sshd turns this address away for a while: earlier logins failed (PerSourcePenalties), or too many came at \
         once (MaxStartups); wait, or raise the limit on the VM"
    } else if said.is_empty() || said.contains("SSH-") {
        "something accepts the connection, but sshd does not speak: is the VM still booting, paused or off?"
    } else {
        "something else than sshd answers there: is `ssh.port` right in the inventory?"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_banner_is_a_whole_line_wherever_it_stands() {
        assert_eq!(banner_in(b"SSH-2.0-OpenSSH_10.0\r\nmore"), Some(0));
        assert_eq!(banner_in(b"hello\nSSH-1.99-old\n"), Some(6));
        assert_eq!(banner_in(b"SSH-2.0-OpenSSH_10.0"), None);
        assert_eq!(banner_in(b"SSH-1.5-older\n"), None);
        assert_eq!(banner_in(b"no SSH-2.0-here\n"), None);
    }
}
