//! The server contract on `sync-server`, as it is and with small pages, and its client cases in the other dialects and
//! with more requests in flight.

mod pages_of_1000 {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::server_contract!(SyncServerFixture::start().await);
}

mod pages_of_100_without_links {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::server_contract!(SyncServerFixture::with_page_cap(100).await);
}

mod clients_of_mobile_services {
    use sync_core::protocol::Dialect;
    use sync_tests::servers::SyncServerFixture;

    sync_tests::client_contract!(SyncServerFixture::for_clients_of(Dialect::MobileServices).await);
}

mod clients_of_datasync {
    use sync_core::protocol::Dialect;
    use sync_tests::servers::SyncServerFixture;

    sync_tests::client_contract!(SyncServerFixture::for_clients_of(Dialect::Datasync).await);
}

mod clients_with_window_8 {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::client_contract!(SyncServerFixture::for_clients_with_window(8).await);
}

mod clients_with_window_32 {
    use sync_tests::servers::SyncServerFixture;

    sync_tests::client_contract!(SyncServerFixture::for_clients_with_window(32).await);
}
