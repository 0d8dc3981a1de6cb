//! `http_responds`: a URL is answered as expected.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::text::TextExpectation;
use super::{Judgement, Unclear, slug};
use crate::command::Captured;

/// A request must be answered with `status`, and the body must be as expected. Redirects are not followed:
/// the first answer is the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpResponds {
    /// `http://` or `https://` URL, as seen from `from`.
    pub url: Url,
    /// The method; `GET` by default.
    #[serde(default = "get")]
    pub method: String,
    /// Request headers.
    #[serde(default)]
    pub headers: IndexMap<String, String>,
    /// Request body: a text, or JSON (then `content-type: application/json` is sent).
    #[serde(default)]
    pub body: Option<serde_json::Value>,
    /// The status; 200 by default.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// The body contains this.
    #[serde(default)]
    pub contains: Option<String>,
    /// The body is this; line ends at its end do not count.
    #[serde(default)]
    pub equals: Option<String>,
    /// A regular expression that matches somewhere in the body (`^` and `$`: ends of lines).
    #[serde(default)]
    pub matches: Option<String>,
    /// A jq program whose last output for the body must be `true`.
    #[serde(default)]
    pub jq: Option<String>,
    /// Where the request starts.
    #[serde(default)]
    pub from: Vantage,
}

/// Where a request starts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vantage {
    /// On the VM of `on_vm`.
    #[default]
    Vm,
    /// Where bootproof runs.
    Runner,
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> u16 {
    200
}

/// What came back for a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HttpResult {
    /// An answer.
    Answered {
        /// Its status.
        status: u16,
        /// Its body.
        body: Captured,
    },
    /// No connection, or no HTTP on it; why.
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

    /// Mistakes that show without asking.
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut mistakes = self.text().mistakes();
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host().is_none() {
            mistakes.push(("url", format!("`{}` is no http:// or https:// URL", self.url)));
        }
        if !(100..=599).contains(&self.status) {
            mistakes.push(("status", format!("{} is no HTTP status", self.status)));
        }
        if self.method.is_empty() || !self.method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            mistakes.push((
                "method",
                format!("`{}` is no HTTP method; write it in capitals", self.method),
            ));
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
    fn the_name_is_port_and_path() {
        assert_eq!(ping().slug(), "2283-api-server-info-ping");
    }

    #[test]
    fn what_cannot_be_asked_is_a_mistake() {
        let ftp = HttpResponds { url: "ftp://localhost/".parse().unwrap(), ..ping() };
        let status = HttpResponds { status: 99, ..ping() };
        let method = HttpResponds { method: "get it".to_owned(), ..ping() };
        for (wrong, key) in [(ftp, "url"), (status, "status"), (method, "method")] {
            assert_eq!(wrong.mistakes()[0].0, key);
        }
    }
}
