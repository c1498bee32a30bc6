//! What an operator may choose.

/// Limits and habits of a server; [`Default`] gives those of the original Azure Mobile Apps server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// Rows of a page when the client does not ask for a number. Default 50.
    pub page_size: usize,
    /// Greatest `$top` accepted; more is refused with 400. Default 1000.
    pub max_top: usize,
    /// Most rows in one page, also when an accepted `$top` is larger. Default none.
    pub page_cap: Option<usize>,
    /// Whether a page after which more rows exist carries a `Link` header. Default true. Without links a
    /// client pages by `$skip` or by key.
    pub links: bool,
    /// Whether a deleted row stays, marked, so that other clients learn of it. Default true;
    /// [`ServerBuilder::soft_delete`](crate::ServerBuilder::soft_delete) decides for one table.
    pub soft_delete: bool,
    /// Greatest request body in bytes; more is refused with 413. Default 1 MiB.
    pub body_limit: usize,
    /// Scheme and authority for next links (`https://api.example.com`), needed behind a proxy that changes
    /// them. Default: `http` and the request's `Host`.
    pub public_url: Option<String>,
    /// Origins of web pages that may call the server (CORS), for example `https://app.example.com`; `*`
    /// allows every page. Default: none besides pages of this computer (`localhost`, `127.0.0.1`, `[::1]`).
    pub allowed_origins: Vec<String>,
    /// Connections that read at the same time. Default 4.
    pub readers: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            page_size: 50,
            max_top: 1000,
            page_cap: None,
            links: true,
            soft_delete: true,
            body_limit: 1024 * 1024,
            public_url: None,
            allowed_origins: Vec::new(),
            readers: 4,
        }
    }
}
