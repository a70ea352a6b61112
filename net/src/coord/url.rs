//! The server's address: plain HTTP, and therefore this machine only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use reqwest::Url;

use super::ServerUrlError;

/// A checked server URL with the loopback addresses it stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    base: Url,
    addrs: Vec<SocketAddr>,
}

impl ServerUrl {
    /// The URL of `path`, which starts with a slash and is one of `freehold_api::path`.
    pub(super) fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// Host name, when it is one that would need a resolver.
    pub(super) fn name(&self) -> Option<&str> {
        self.base.domain()
    }

    /// Where to connect, in order. Names are never looked up: `localhost` is what it should be.
    pub(super) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let base = Url::parse(text).map_err(|_| ServerUrlError::Malformed)?;
        if base.scheme() != "http" {
            return Err(if base.has_host() { ServerUrlError::Scheme } else { ServerUrlError::Malformed });
        }
        let bare = base.path() == "/" && base.query().is_none() && base.fragment().is_none();
        let anonymous = base.username().is_empty() && base.password().is_none();
        let (Some(host), Some(port), true) =
            (base.host_str(), base.port_or_known_default(), bare && anonymous)
        else {
            return Err(ServerUrlError::Malformed);
        };
        let ips = if host.eq_ignore_ascii_case("localhost") {
            vec![IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]
        } else {
            let literal = host.trim_start_matches('[').trim_end_matches(']');
            vec![literal.parse().map_err(|_| ServerUrlError::NotLoopback)?]
        };
        if !ips.iter().all(IpAddr::is_loopback) {
            return Err(ServerUrlError::NotLoopback);
        }
        let addrs = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        Ok(Self { base, addrs })
    }
}

impl std::fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl std::fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_urls_are_taken_in_every_spelling() {
        for (text, shown, first) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://127.9.9.9:1/", "http://127.9.9.9:1", "127.9.9.9:1"),
            ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
            ("HTTP://LocalHost", "http://localhost", "127.0.0.1:80"),
        ] {
            let url: ServerUrl = text.parse().expect("a loopback URL");
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.addrs().first().map(ToString::to_string).as_deref(), Some(first));
            assert_eq!(url.join("/livez"), format!("{shown}/livez"));
        }
    }

    #[test]
    fn other_machines_and_schemes_are_refused() {
        for (text, error) in [
            ("http://192.168.1.2:80", ServerUrlError::NotLoopback),
            ("http://example.org", ServerUrlError::NotLoopback),
            ("http://localhost.example.org", ServerUrlError::NotLoopback),
            ("http://0.0.0.0:80", ServerUrlError::NotLoopback),
            ("https://127.0.0.1:80", ServerUrlError::Scheme),
            ("ftp://127.0.0.1", ServerUrlError::Scheme),
            ("127.0.0.1:80", ServerUrlError::Malformed),
            ("http://", ServerUrlError::Malformed),
            ("http://user:word@127.0.0.1", ServerUrlError::Malformed),
            ("http://127.0.0.1/api", ServerUrlError::Malformed),
            ("http://127.0.0.1/?q", ServerUrlError::Malformed),
        ] {
            assert_eq!(text.parse::<ServerUrl>().expect_err("no loopback URL"), error, "{text}");
        }
    }
}
