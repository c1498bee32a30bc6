//! What an operator may choose.

use sync_core::protocol::Dialect;

/// Limits and habits of a server; [`Default`] gives those of the original Azure Mobile Apps server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// The one generation of the protocol this server speaks. Default none: each request chooses by the version
    /// in its header `ZUMO-API-VERSION` or else in the query parameter of that name. `2.0.x` is v2, `3.0` and
    /// `3.0.x` are v3, no version at all is v1, because its clients never send one; any other version is refused
    /// with 400, so that nothing is done in a generation the client did not mean.
    ///
    /// With one dialect given, versions are treated as its original server treats them: v2 demands `2.0.x`,
    /// v1 and v3 do not look.
    pub dialect: Option<Dialect>,
    /// Whether v1 refuses a request that carries a version, as late builds of the original did. Default false;
    /// without effect unless [`dialect`](Self::dialect) is v1.
    pub refuse_versions: bool,
    /// Rows of a v1 or v2 page when the client does not ask for a number. Default 50.
    pub page_size: usize,
    /// Rows of a v3 page, also when the client asks for more: the rest follows by its next link. Default 100.
    pub datasync_page_size: usize,
    /// Greatest `$top` accepted in v1 and v2; more is refused with 400. Default 1000.
    pub max_top: usize,
    /// Most rows in one page, also when an accepted `$top` is larger. Default none.
    pub page_cap: Option<usize>,
    /// Whether a v2 page after which more rows exist carries a `Link` header. Default true. Without links a
    /// client pages by `$skip` or by key. v1 never has links; v3 always has, since there a page without one is
    /// the last.
    pub links: bool,
    /// Whether a deleted row stays, marked, so that other clients learn of it. Default true;
    /// [`ServerBuilder::soft_delete`](crate::ServerBuilder::soft_delete) decides for one table.
    pub soft_delete: bool,
    /// Whether answers of 1 KiB and more are sent in gzip to clients that accept it. Default false, as in the
    /// original servers, which left it to a gateway; worth it where clients are further away than this machine or
    /// its network. A tag (`ETag`) stays strong and is the same in both forms, because clients take it for the row's
    /// version.
    pub compression: bool,
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
            dialect: None,
            refuse_versions: false,
            page_size: 50,
            datasync_page_size: 100,
            max_top: 1000,
            page_cap: None,
            links: true,
            soft_delete: true,
            compression: false,
            body_limit: 1024 * 1024,
            public_url: None,
            allowed_origins: Vec::new(),
            readers: 4,
        }
    }
}
