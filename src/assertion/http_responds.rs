//! `http_responds`: a server answers a request as expected.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::judgement::{Judgement, Unclear};
use super::mistake::Mistake;
use super::slug::slug;
use super::text::TextExpectation;
use crate::command::Captured;

/// A server must answer a request with `status`, and the body must be as expected. bootproof does
/// not follow redirects: the first answer counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpResponds {
    /// `http://` or `https://` URL. By default the request comes from the VM, so `localhost` is
    /// the VM; see `from`.
    pub url: Url,
    /// The method, in capitals. Default: `GET`.
    #[serde(default = "get")]
    pub method: String,
    /// Request headers by name.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Request body: a string is sent as it is; anything else is sent as JSON, with
    /// `content-type: application/json`.
    #[serde(default)]
    pub body: Option<serde_json::Value>,
    /// The status that the answer must have. Default: 200.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// Text that the body must contain.
    #[serde(default)]
    pub contains: Option<String>,
    /// What the body must be, apart from trailing line breaks.
    #[serde(default)]
    pub equals: Option<String>,
    /// A regular expression that must match somewhere in the body; `^` and `$` match at the
    /// beginning and end of each line.
    #[serde(default)]
    pub matches: Option<String>,
    /// A jq program; the body must be JSON for which its last output is `true`.
    #[serde(default)]
    pub jq: Option<String>,
    /// Where the request comes from: `vm` (default) or `runner`.
    #[serde(default)]
    pub from: Vantage,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// The VM of `on_vm`.
    #[default]
    Vm,
    /// The machine that runs bootproof.
    Runner,
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> u16 {
    200
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpResult {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body.
        body: Captured,
    },
    /// There was no connection, or no HTTP on it; why.
    NoAnswer(String),
}

impl HttpResponds {
    fn text(&self) -> TextExpectation<'_> {
        TextExpectation {
            contains: self.contains.as_deref(),
            equals: self.equals.as_deref(),
            matches: self.matches.as_deref(),
            jq: self.jq.as_deref(),
        }
    }

    /// What is expected, in one line.
    pub fn describe(&self) -> String {
        match self.text().describe().as_str() {
            "" => format!("answers {}", self.status),
            text => format!("answers {}, body {text}", self.status),
        }
    }

    /// The request, in one line.
    pub fn how(&self) -> String {
        let from = match self.from {
            Vantage::Vm => "through the VM's sshd",
            Vantage::Runner => "from the runner",
        };
        format!("{} {} ({from})", self.method, self.url)
    }

    /// Host and port of the URL.
    pub fn connects_to(&self) -> Vec<(String, u16)> {
        let host = self.url.host_str().map(str::to_owned);
        host.zip(self.url.port_or_known_default()).into_iter().collect()
    }

    /// Method (when it is not GET), port and path.
    pub fn slug(&self) -> String {
        let method = if self.method == "GET" { "" } else { &self.method };
        let port = self.url.port().map_or(String::new(), |port| port.to_string());
        slug(&format!("{method} {port} {}", self.url.path()))
    }

    /// Mistakes that show without a request.
    pub fn mistakes(&self) -> Vec<Mistake> {
        let mut mistakes = self.text().mistakes();
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host().is_none() {
            let message = format!("`{}` is not an http:// or https:// URL", self.url);
            mistakes.push(Mistake::new("url", message));
        }
        if !(100..=599).contains(&self.status) {
            let message = format!("invalid HTTP status {}", self.status);
            mistakes.push(Mistake::new("status", message).hint("write a number from 100 to 599"));
        }
        if self.method.is_empty() || !self.method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            let message = format!("invalid HTTP method `{}`", self.method);
            mistakes.push(Mistake::new("method", message).hint("write it in capitals"));
        }
        mistakes
    }

    /// Whether the answer is as expected.
    pub fn judge(&self, seen: &HttpResult) -> Judgement {
        let (status, body) = match seen {
            HttpResult::NoAnswer(why) => {
                return Judgement::differs(
                    format!("no HTTP answer from {}: {why}", self.url),
                    self.describe(),
                    why,
                );
            }
            HttpResult::Answered { status, body } => (*status, body),
        };
        if status != self.status {
            return Judgement::differs(
                format!("{} answered {status}, expected {}", self.url, self.status),
                self.describe(),
                match body.text.as_str() {
                    "" => format!("status {status}, no body"),
                    text => format!("status {status}, body: {text}"),
                },
            );
        }
        match self.text().judge("body", &body.text) {
            Judgement::Differs(_) if body.lost > 0 => {
                Judgement::Unclear(Unclear::TooMuchOutput(body.text.len()))
            }
            judgement => judgement,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping() -> HttpResponds {
        serde_json::from_str(
            r#"{"url": "http://localhost:2283/api/server-info/ping", "jq": ".res == \"pong\""}"#,
        )
        .unwrap()
    }

    fn answered(status: u16, body: &str) -> HttpResult {
        HttpResult::Answered { status, body: Captured { text: body.to_owned(), lost: 0 } }
    }

    #[test]
    fn status_and_body_must_both_be_right() {
        assert_eq!(ping().judge(&answered(200, r#"{"res":"pong"}"#)), Judgement::Holds);
        for wrong in [
            answered(500, r#"{"res":"pong"}"#),
            answered(200, r#"{"message":"pong"}"#),
            answered(200, ""),
            answered(200, "<html>pong</html>"),
            HttpResult::NoAnswer("connection refused".to_owned()),
        ] {
            assert!(matches!(ping().judge(&wrong), Judgement::Differs(_)), "{wrong:?}");
        }
    }

    #[test]
    fn the_slug_is_port_and_path() {
        assert_eq!(ping().slug(), "2283-api-server-info-ping");
    }

    #[test]
    fn requests_that_cannot_be_made_are_mistakes() {
        let ftp = HttpResponds { url: "ftp://localhost/".parse().unwrap(), ..ping() };
        let status = HttpResponds { status: 99, ..ping() };
        let method = HttpResponds { method: "get it".to_owned(), ..ping() };
        for (wrong, key) in [(ftp, "url"), (status, "status"), (method, "method")] {
            assert_eq!(wrong.mistakes()[0].key, key);
        }
    }
}
