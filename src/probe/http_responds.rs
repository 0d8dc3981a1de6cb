//! How to ask a URL: through the VM's sshd, or from here. reqwest is named nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method, Response};
use serde_json::Value;
use tokio::io::copy_bidirectional;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::context::{ProbeContext, Unanswered};
use super::turns::Load;
use crate::assertion::http_responds::{HttpResponds, HttpResult, Vantage};
use crate::command::Captured;
use crate::obstacle::{Obstacle, Stage};
use crate::ssh::Session;
use crate::ssh::tunnel::{self, TunnelError};

/// How many bytes of a body are kept for judging.
const KEPT: usize = 1024 * 1024;

pub(super) async fn look(
    wanted: &HttpResponds,
    context: &ProbeContext,
) -> Result<HttpResult, Unanswered> {
    let session = &context.vm.session;
    context.ask(Load::Request, |deadline| request(wanted, session, deadline)).await
}

async fn request(
    wanted: &HttpResponds,
    session: &Session,
    deadline: Instant,
) -> Result<HttpResult, Unanswered> {
    // An error means that another request has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().no_proxy().redirect(Policy::none()).pool_max_idle_per_host(0);
    // Reading the system's certificates takes longer than a request, and plain HTTP needs none.
    let client = if wanted.url.scheme() == "http" { client.tls_certs_only([]) } else { client };
    if wanted.from == Vantage::Runner {
        return ask(client, wanted, deadline).await;
    }
    let bridge = match Bridge::open(wanted, session, deadline).await {
        Ok(bridge) => bridge,
        Err(TunnelError::Unreachable(why)) => {
            return Ok(HttpResult::NoAnswer(format!("the VM cannot connect to {why}")));
        }
        Err(TunnelError::Ssh(obstacle)) => return Err(obstacle.into()),
    };
    let client = client.unix_socket(bridge.socket.as_path());
    let answer = ask(client, wanted, deadline).await;
    if matches!(answer, Ok(HttpResult::NoAnswer(_))) {
        // A VM that itself does not answer says nothing about the server behind it.
        session.answers().await?;
    }
    answer
}

/// A socket in a folder that only we can enter, joined to a connection that starts on the VM.
struct Bridge {
    socket: PathBuf,
    pump: JoinHandle<()>,
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

impl Bridge {
    async fn open(
        wanted: &HttpResponds,
        session: &Session,
        deadline: Instant,
    ) -> Result<Self, TunnelError> {
        let host = wanted.url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = wanted.url.port_or_known_default().unwrap_or(80);
        let mut path = tunnel::open(session, host, port, deadline).await?;
        let local = |error: std::io::Error| {
            let message = format!("cannot make a socket in the temporary folder: {error}");
            Obstacle::passing(Stage::Internal, message)
        };
        let folder = tempfile::Builder::new().prefix("bootproof-").tempdir().map_err(local)?;
        let socket = folder.path().join("http");
        let listener = UnixListener::bind(&socket).map_err(local)?;
        let pump = tokio::spawn(async move {
            let accepted = listener.accept().await;
            // There is only one connection. If we are killed from now on, nothing is left behind.
            drop(folder);
            if let Ok((mut socket, _)) = accepted {
                // reqwest reports how it ended.
                let _ = copy_bidirectional(&mut socket, &mut path).await;
            }
        });
        Ok(Self { socket, pump })
    }
}

async fn ask(
    client: ClientBuilder,
    wanted: &HttpResponds,
    deadline: Instant,
) -> Result<HttpResult, Unanswered> {
    let client = client.build().map_err(|error| {
        internal(&format!("cannot make an HTTP client: {}", root_cause(&error)))
    })?;
    let method = Method::from_bytes(wanted.method.as_bytes())
        .map_err(|error| internal(&error.to_string()))?;
    let mut request = client.request(method, wanted.url.clone()).headers(headers(wanted)?);
    if let Some(body) = &wanted.body {
        request = request.body(match body {
            Value::String(text) => text.clone(),
            json => json.to_string(),
        });
    }
    let started = Instant::now();
    let answered = async { read(request.send().await?).await };
    Ok(match timeout_at(deadline, answered).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => HttpResult::NoAnswer(why(&error)),
        Err(_) => {
            let waited = rounded(started.elapsed());
            HttpResult::NoAnswer(format!("no complete answer within {waited:?}"))
        }
    })
}

fn internal(message: &str) -> Obstacle {
    Obstacle::lasting(Stage::Internal, message)
}

fn rounded(span: Duration) -> Duration {
    Duration::from_millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX).div_ceil(100) * 100)
}

fn headers(wanted: &HttpResponds) -> Result<HeaderMap, Obstacle> {
    let mut headers = HeaderMap::new();
    if wanted.body.as_ref().is_some_and(|body| !body.is_string()) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &wanted.headers {
        let bad = || internal(&format!("`{name}` cannot be sent as a header"));
        let name = HeaderName::try_from(name).map_err(|_| bad())?;
        headers.insert(name, HeaderValue::try_from(value).map_err(|_| bad())?);
    }
    Ok(headers)
}

/// Status and body; a body that is too long is cut.
async fn read(mut response: Response) -> Result<HttpResult, reqwest::Error> {
    let status = response.status().as_u16();
    let (mut kept, mut lost) = (Vec::new(), 0);
    while let Some(chunk) = response.chunk().await? {
        let fits = chunk.len().min(KEPT - kept.len());
        kept.extend_from_slice(&chunk[..fits]);
        lost += chunk.len() - fits;
        if lost > 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&kept).into_owned();
    Ok(HttpResult::Answered { status, body: Captured { text, lost } })
}

/// What went wrong, in the words of whoever noticed first.
fn why(error: &reqwest::Error) -> String {
    let cause = root_cause(error);
    // rustls got bytes that are not a TLS record: a plain HTTP server answers with an error page.
    if cause.contains("InvalidContentType") {
        return "the server answered with plain HTTP, not TLS; should the scheme be http?"
            .to_owned();
    }
    cause
}

/// The innermost error: reqwest's own message alone does not say what happened.
fn root_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}
