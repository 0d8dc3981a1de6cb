//! Ends what bootproof started on a VM and what is still there when a run ends.

use std::time::Duration;

use tokio::time::Instant;

use super::exec::exec;
use super::session::Session;

/// Looking for leftovers and ending them takes no longer than this.
const SWEEP: Duration = Duration::from_secs(4);

/// Ends every command of this connection, except itself: each is the leader of a session that our
/// own sshd process started. Signals go to its process group, and what is left after a second is
/// killed. Only /proc and the shell are needed.
///
/// The check of the parent's name is a safety net: children of any other process are not ours.
const END_COMMANDS: &str = "sh -c '\
    look() { read -r line </proc/$1/stat && set -- ${line##*) } && parent=$2 session=$4; }; \
    end() { for process in /proc/[0-9]*; do process=${process#/proc/}; \
    look $process && [ $session = $process ] && [ $parent = $sshd ] && [ $process != $own ] && \
    kill -$1 -$process && found=yes; done; }; \
    look $$ && own=$session && look $own && sshd=$parent; \
    case $(cat /proc/$sshd/comm) in sshd*|dropbear*) end TERM;; esac; \
    if [ \"$found\" ]; then sleep 1; end KILL; fi' 2>/dev/null";

/// Ends the commands that a stopped run or a time-out left behind. Takes at most a few seconds, and
/// no time at all when nothing is left.
pub async fn end_commands(session: &Session) {
    session.channels.idle().await;
    let survivors = session.channels.take_survivors();
    if survivors.is_empty() || session.is_closed() {
        return;
    }
    let deadline = Instant::now() + SWEEP;
    let passwords = survivors.into_iter().find_map(|survivor| survivor.sudo_password);
    // What is left after this cannot be ended from here.
    let _ = match passwords {
        None => exec(session, END_COMMANDS, None, deadline).await,
        Some(password) => {
            let through_sudo = format!("sudo -S -p '' -- {END_COMMANDS}");
            exec(session, &through_sudo, Some(&password), deadline).await
        }
    };
}
