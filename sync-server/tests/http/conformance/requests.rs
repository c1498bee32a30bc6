//! Cases 1 to 14, 127, 128, 140 to 142: versions, addresses, methods, headers.

use super::*;

pub(super) const SECTIONS: &[Section] = &[
    Section { seed: Seed::Pair, only: true, cases: VERSIONS },
    Section { seed: Seed::Pair, only: false, cases: ADDRESSES },
];

const VERSIONS: &[Case] = &[
    case(1, "GET T\n@bare", "200 array", "400 error", "200 items"),
    case(2, "GET T\nzumo-api-version: 2.0.0", "200 array", "200 array", "200 items"),
    case(3, "GET T\nzumo-api-version: 2.0.7", "200 array", "200 array", "200 items"),
    case(4, "GET T\nzumo-api-version: 2.0", "200 array", "400 error", "200 items"),
    case(5, "GET T\nzumo-api-version: 3.0.0", "200 array", "400 error", "200 items"),
    case(6, "DELETE T/a\nzumo-api-version: 9.0.0\n---\nGET T/a", "-", "400 error ; 200 row", "-"),
    case(7, "GET T?zumo-api-version=2.0.0\n@bare", "200 array", "200 array", "200 items"),
];

const ADDRESSES: &[Case] = &[
    case(8, "GET /tables/todoitem", "200 array", "200 array", "200 items"),
    case(9, "GET T/", "200 array", "200 array", "200 items"),
    case(10, "GET /tables/NoSuch", "404 error", "404 error", "404 error"),
    case(
        11,
        "PUT T/a\n\n{\"id\":\"a\",\"text\":\"x\"}",
        "405 empty allow=GET,POST,PATCH,DELETE",
        "404|405 error",
        "200 row changed /text=\"x\"",
    ),
    case(12, "DELETE T", "405 allow=GET,POST", "405 error", "405"),
    case(12, "DELETE T?$filter=id eq 'a'\n---\nGET T/a", "405 ; 200", "405 ; 200", "405 ; 200"),
    case(13, "PATCH T\n\n{\"id\":\"a\",\"text\":\"x\"}", "400 error", "404|405 error", "405"),
    case(
        14,
        "POST T\n\n{\"id\":\"a b\"}\n---\nGET T/a%20b",
        "201 ; 200 /id=\"a~b\"",
        "201 ; 200 /id=\"a~b\"",
        "201 ; 200 /id=\"a~b\"",
    ),
    case(
        14,
        "POST T\n\n{\"id\":\"it's ä😀%\"}\n---\nGET T/it's%20%C3%A4%F0%9F%98%80%25",
        "201 ; 200 /id=\"it's~ä😀%\"",
        "201 ; 200 /id=\"it's~ä😀%\"",
        "201 ; 200 /id=\"it's~ä😀%\"",
    ),
    case(
        14,
        "POST T\n\n{\"id\":\"a/b\"}\n---\nGET T/a%2Fb",
        "400 error ; 404",
        "201 ; 200 /id=\"a/b\"",
        "201 ; 200 /id=\"a/b\"",
    ),
    case(
        14,
        "POST T\n\n{\"id\":\"q\\\"\"}\n---\nGET T/q%22",
        "400 error ; 404",
        "201 ; 200 /id=\"q\\\"\"",
        "201 ; 200 /id=\"q\\\"\"",
    ),
    case(127, "GET T?$foo=1", "400 error", "200 ids=a", "200 ids=a"),
    case(128, "GET T?foo=1", "200 ids=a", "200 ids=a", "200 ids=a"),
    case(140, "HEAD T", "405", "405", "405"),
    case(142, "GET T/a?__systemProperties=version\naccept-encoding: gzip", "200 etag", "200 row", "200 row"),
    case(29, "POST T\ncontent-encoding: gzip\n\n{\"text\":\"t\"}", "400 error", "415 error", "415 error"),
];
