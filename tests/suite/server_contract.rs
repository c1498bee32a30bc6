//! The server contract on `sync-server`, as it is and with small pages.

mod pages_of_1000 {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::server_contract!(SyncServerFixture::start().await);
}

mod pages_of_100_without_links {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::server_contract!(SyncServerFixture::with_page_cap(100).await);
}
