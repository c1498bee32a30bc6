//! Cases 78 to 126: lists and filters.

use super::*;

pub(super) const SECTIONS: &[Section] = &[
    Section { seed: Seed::Pair, only: false, cases: DELETED },
    Section { seed: Seed::Many(10), only: false, cases: PAGES },
    Section { seed: Seed::Many(60), only: false, cases: LONG },
    Section { seed: Seed::Many(120), only: false, cases: LONGER },
    Section { seed: Seed::Filters, only: false, cases: FILTERS },
    Section { seed: Seed::Filters, only: false, cases: FUNCTIONS },
    Section { seed: Seed::Filters, only: false, cases: BESIDE },
    Section { seed: Seed::Filters, only: false, cases: INSTANTS },
    Section { seed: Seed::Pair, only: false, cases: SEED },
];

/// `5` is all null.
pub(super) fn filter_rows() -> Vec<Value> {
    vec![
        json!({"id": "1", "text": "milk", "complete": true, "n": 1, "ratio": 2.5, "when": "2015-01-02T03:04:05.678Z"}),
        json!({"id": "2", "text": "it's", "complete": false, "n": 2, "ratio": -2.5, "when": "1969-12-31T23:59:58Z"}),
        json!({"id": "3", "text": "50% off_", "complete": true, "n": -3, "ratio": 3.0}),
        json!({"id": "4", "text": " Milk ", "complete": false, "n": 2, "when": "2015-01-02T03:04:05Z"}),
        json!({"id": "5"}),
    ]
}

const DELETED: &[Case] = &[
    case(78, "GET T", "200 ids=a", "200 ids=a", "200 ids=a"),
    case(
        79,
        "GET T?__includeDeleted=true",
        "200 ids=a,d members=id,text,complete,n,when,ratio",
        "200 ids=a,d /1/deleted=true",
        "200 ids=a,d /items/1/deleted=true",
    ),
    case(
        79,
        "GET T?__includeDeleted=true&__systemProperties=deleted",
        "200 ids=a,d /1/__deleted=true",
        "-",
        "-",
    ),
    case(80, "GET T?__INCLUDEDELETED=TRUE", "200 ids=a,d", "200 ids=a", "200 ids=a,d"),
    case(81, "GET T?__includeDeleted=false", "200 ids=a", "200 ids=a", "200 ids=a"),
    case(
        94,
        "GET T?$inlinecount=allpages&$count=true&__includeDeleted=true&$top=1",
        "400",
        "200 /count=2 rows=1",
        "200 /count=2 rows=1",
    ),
    case(94, "GET T?$inlinecount=allpages&__includeDeleted=true&$top=1", "200 /count=2 rows=1", "-", "-"),
    case(95, "GET T?$select=id,text", "200 members=id,text", "200 members=id,text", "200 members=id,text"),
    case(96, "GET T?$select=__version,id", "200 members=id,__version", "-", "-"),
];

const PAGES: &[Case] = &[
    case(
        84,
        "GET T?$top=3",
        "200 rows=3 nolink",
        "200 rows=3 link=$top=3&$skip=3",
        "200 rows=3 /nextLink=null",
    ),
    case(85, "GET T?$top=10", "-", "200 rows=10 nolink", "200 rows=10 /nextLink=null"),
    case(88, "GET T?$top=1001", "400 error", "400 error", "200 rows=10"),
    case(89, "GET T?$top=-1", "400 error", "400 error", "400 error"),
    case(89, "GET T?$top=abc", "400 error", "400 error", "400 error"),
    case(90, "GET T?$top=0", "200 array rows=0", "200 rows=10", "200 items rows=0"),
    case(
        91,
        "GET T?$skip=2&$top=2&$orderby=n",
        "200 ids=r002,r003",
        "200 ids=r002,r003",
        "200 ids=r002,r003",
    ),
    case(
        92,
        "GET T?$inlinecount=allpages&$top=1",
        "200 rows=1 /count=10 /results/0/id=\"r000\"",
        "200 rows=1 /count=10 /results/0/id=\"r000\"",
        "200 items rows=1 /count=null",
    ),
    case(93, "GET T?$count=true&$top=1", "400 error", "200 array rows=1", "200 rows=1 /count=10"),
    case(94, "GET T?$inlinecount=allpages&$filter=n lt 4&$top=1", "200 /count=4", "200 /count=4", "-"),
    case(94, "GET T?$count=true&$filter=n lt 4&$top=1", "-", "-", "200 /count=4"),
    case(
        97,
        "GET T?$orderby=n desc,text&$top=2",
        "200 ids=r009,r008",
        "200 ids=r009,r008",
        "200 ids=r009,r008",
    ),
    case(97, "GET T?$orderby=n DESC&$top=1", "400 error", "200 ids=r009", "200 ids=r009"),
    case(
        98,
        "GET T?$orderby=text&$top=3",
        "200 ids=r000,r001,r002",
        "200 ids=r000,r001,r002",
        "200 ids=r000,r001,r002",
    ),
];

const LONG: &[Case] =
    &[case(82, "GET T", "200 rows=50 nolink", "200 rows=50 link=$skip=50", "200 rows=60 /nextLink=null")];

/// More than a page of v3: what is capped shows.
const LONGER: &[Case] =
    &[case(88, "GET T?$top=1001", "400 error", "400 error", "200 rows=100 /nextLink=\"$top=901&$skip=100\"")];

/// The same ids in every dialect.
const fn all(number: u16, request: &'static str, cell: &'static str) -> Case {
    case(number, request, cell, cell, cell)
}

/// The same in v1 and v2, refused in v3.
const fn odata_3(number: u16, request: &'static str, cell: &'static str) -> Case {
    case(number, request, cell, cell, "400 error")
}

/// Refused in v1 and v2.
const fn odata_4(number: u16, request: &'static str, cell: &'static str) -> Case {
    case(number, request, "400 error", "400 error", cell)
}

const FILTERS: &[Case] = &[
    all(99, "GET T?$filter=text eq 'it''s'", "200 ids=2"),
    all(100, "GET T?$filter=text eq null", "200 ids=5"),
    all(100, "GET T?$filter=text ne null", "200 ids=1,2,3,4"),
    // By the project's ruling `not` is the exact complement: a null text is not 'milk'.
    all(101, "GET T?$filter=not (text eq 'milk')", "200 ids=2,3,4,5"),
    all(102, "GET T?$filter=complete eq true", "200 ids=1,3"),
    case(102, "GET T?$filter=complete", "200 ids=1,3", "200 ids=1,3", "-"),
    all(104, "GET T?$filter=n eq -3L", "200 ids=3"),
    all(104, "GET T?$filter=ratio eq 2.5", "200 ids=1"),
    all(104, "GET T?$filter=ratio eq 2.5M", "200 ids=1"),
    all(104, "GET T?$filter=ratio eq 2.5f", "200 ids=1"),
    all(104, "GET T?$filter=ratio eq 2.5d", "200 ids=1"),
    odata_4(112, "GET T?$filter=id in ('1','x','3')", "200 ids=1,3"),
    odata_4(112, "GET T?$filter=not (n in (2,-3))", "200 ids=1,5"),
    all(121, "GET T?$filter=id eq guid'9e4b6f2c-5a3f-4b7e-9a51-6b0c7a1f4f10'", "400 error"),
    all(122, "GET T?$filter=text eq", "400 error"),
    all(122, "GET T?$filter=(text eq 'a'", "400 error"),
    all(122, "GET T?$filter=nosuch(text)", "400 error"),
    all(123, "GET T?$filter=nothing eq 1", "400 error says=index"),
    case(124, "GET T?$filter=text EQ 'a'", "400 error", "400 error", "-"),
    all(125, "GET T?%24filter=%28text%20eq%20%27milk%27%29", "200 ids=1"),
];

const FUNCTIONS: &[Case] = &[
    all(103, "GET T?$filter=n add 1 eq 3", "200 ids=2,4"),
    all(103, "GET T?$filter=n sub 1 eq 0", "200 ids=1"),
    all(103, "GET T?$filter=n mul n eq 9", "200 ids=3"),
    all(103, "GET T?$filter=n div 2 eq -1", "200 ids=3"),
    all(103, "GET T?$filter=n mod 2 eq -1", "200 ids=3"),
    all(103, "GET T?$filter=1 add n mul 2 eq 5", "200 ids=2,4"),
    all(103, "GET T?$filter=n div 0 eq null", "200 ids=1,2,3,4,5"),
    odata_3(105, "GET T?$filter=substringof('il',text)", "200 ids=1,4"),
    odata_4(106, "GET T?$filter=contains(text,'il')", "200 ids=1,4"),
    all(107, "GET T?$filter=startswith(text,'mi')", "200 ids=1"),
    all(107, "GET T?$filter=endswith(text,'lk')", "200 ids=1"),
    all(107, "GET T?$filter=length(text) eq 4", "200 ids=1,2"),
    all(107, "GET T?$filter=indexof(text,'lk') eq 2", "200 ids=1"),
    all(107, "GET T?$filter=indexof(text,'zz') eq -1", "200 ids=1,2,3,4"),
    all(107, "GET T?$filter=substring(text,2) eq 'lk'", "200 ids=1"),
    all(107, "GET T?$filter=substring(text,1,2) eq 'il'", "200 ids=1"),
    all(107, "GET T?$filter=tolower(text) eq ' milk '", "200 ids=4"),
    all(107, "GET T?$filter=toupper(text) eq 'MILK'", "200 ids=1"),
    all(107, "GET T?$filter=trim(text) eq 'Milk'", "200 ids=4"),
    all(107, "GET T?$filter=concat(text,'!') eq 'milk!'", "200 ids=1"),
    all(107, "GET T?$filter=tolower(trim(concat(text,' '))) eq 'milk'", "200 ids=1,4"),
    odata_3(108, "GET T?$filter=replace(text,'il','a') eq 'mak'", "200 ids=1"),
    all(109, "GET T?$filter=startswith(text,'50%25')", "200 ids=3"),
    all(109, "GET T?$filter=startswith(text,'_')", "200 ids="),
    all(109, "GET T?$filter=startswith(text,'%25')", "200 ids="),
    all(110, "GET T?$filter=year(when) eq 2015", "200 ids=1,4"),
    all(110, "GET T?$filter=year(when) eq 1969", "200 ids=2"),
    all(110, "GET T?$filter=month(when) eq 12", "200 ids=2"),
    all(110, "GET T?$filter=day(when) eq 31", "200 ids=2"),
    all(110, "GET T?$filter=hour(when) eq 3", "200 ids=1,4"),
    all(110, "GET T?$filter=minute(when) eq 59", "200 ids=2"),
    all(110, "GET T?$filter=second(when) eq 58", "200 ids=2"),
    all(110, "GET T?$filter=second(when) eq 5", "200 ids=1,4"),
    all(111, "GET T?$filter=floor(ratio) eq -3", "200 ids=2"),
    all(111, "GET T?$filter=ceiling(ratio) eq 3", "200 ids=1,3"),
    all(111, "GET T?$filter=round(ratio) eq -3", "200 ids=2"),
    all(111, "GET T?$filter=floor(n) eq 2", "200 ids=2,4"),
    all(111, "GET T?$filter=floor(ratio) div 2 eq -1.5", "200 ids=2"),
    all(111, "GET T?$filter=ceiling(ratio) div 2 eq -1", "200 ids=2"),
    all(111, "GET T?$filter=floor(ceiling(round(floor(ratio div 2)))) eq 1", "200 ids=1,3"),
];

/// What the table of the specification has no number for: signs, orders by expressions, the creation time.
const BESIDE: &[Case] = &[
    all(103, "GET T?$filter=-n eq 3", "200 ids=3"),
    all(103, "GET T?$filter=-(n add 1) eq -3", "200 ids=2,4"),
    all(103, "GET T?$filter=- -n lt 0", "200 ids=3"),
    all(103, "GET T?$filter=-ratio gt 2", "200 ids=2"),
    all(103, "GET T?$filter=-text eq 1", "400 error"),
    all(103, "GET T?$filter=-n eq null", "200 ids=5"),
    odata_4(112, "GET T?$filter=tolower(trim(text)) in ('milk','x')", "200 ids=1,4"),
    odata_4(112, "GET T?$filter=n add 1 in (3,-2)", "200 ids=2,3,4"),
    odata_4(112, "GET T?$filter='a' in ('a')", "400 error"),
    all(97, "GET T?$orderby=length(text) desc&$top=2", "200 ids=3,4"),
    all(97, "GET T?$orderby=-n desc,text&$filter=n ne null", "200 ids=3,1,4,2"),
    all(97, "GET T?$orderby=n mul n desc,toupper(text) asc&$filter=n ne null", "200 ids=3,4,2,1"),
    all(97, "GET T?$orderby=concat(text,',') desc,id desc&$top=2", "200 ids=1,2"),
    all(97, "GET T?$orderby=complete eq true desc,id&$top=3", "200 ids=1,3,2"),
    all(97, "GET T?$orderby=length(text", "400 error says=index"),
    all(97, "GET T?$orderby=nothing", "400 error says=index"),
    all(97, "GET T?$orderby=1", "400 error"),
    all(97, "GET T?$orderby=n,", "400 error"),
    all(97, "GET T?$orderby=n upwards", "400 error"),
    all(97, "GET T?$orderby=n desc text", "400 error"),
    case(
        114,
        "GET T?$filter=__createdAt ge datetimeoffset'2020-01-01T00:00:00Z'&$orderby=__createdAt desc&$top=2",
        "200 ids=5,4",
        "400 error",
        "400 error",
    ),
    case(
        114,
        "GET T?$filter=createdAt ge datetimeoffset'2020-01-01T00:00:00Z'&$orderby=createdAt desc&$top=2",
        "400 error",
        "200 ids=5,4",
        "400 error",
    ),
    case(114, "GET T?$orderby=createdAt", "400 error", "200 rows=5", "400 error"),
];

const INSTANTS: &[Case] = &[
    odata_3(113, "GET T?$filter=when eq datetimeoffset'2015-01-02T03:04:05.678Z'", "200 ids=1"),
    case(
        114,
        "GET T?$filter=__updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000%2B00:00'",
        "200 rows=5",
        "400 error",
        "400 error",
    ),
    case(
        114,
        "GET T?$filter=updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000%2B00:00'",
        "400 error",
        "200 rows=5",
        "400 error",
    ),
    all(115, "GET T?$filter=when ge datetimeoffset'1970-01-01T00:00:00.0000000+00:00'", "400 error"),
    odata_3(116, "GET T?$filter=when eq datetime'2015-01-02T03:04:05.678Z'", "200 ids=1"),
    odata_4(
        117,
        "GET T?$filter=updatedAt gt cast(2015-01-02T03:04:05.678Z,Edm.DateTimeOffset)",
        "200 rows=5",
    ),
    odata_4(118, "GET T?$filter=updatedAt gt 2015-01-02T03:04:05Z", "200 rows=5"),
    case(119, "GET T?$filter=when lt cast(2015-01-02,Edm.Date)", "-", "-", "200 ids=2"),
    case(
        119,
        "GET T?$filter=id eq cast(9e4b6f2c-5a3f-4b7e-9a51-6b0c7a1f4f10,Edm.Guid)",
        "-",
        "-",
        "400 error",
    ),
    case(119, "GET T?$filter=when lt cast(07:14:00,Edm.TimeOfDay)", "-", "-", "400 error"),
    odata_3(120, "GET T?$filter=when eq datetimeoffset'2015-01-02T03:04:05Z'", "200 ids=4"),
    odata_3(120, "GET T?$filter=when eq datetimeoffset'2015-01-02T03:04:05.0Z'", "200 ids=4"),
    odata_3(120, "GET T?$filter=when eq datetimeoffset'2015-01-02T03:04:05.000Z'", "200 ids=4"),
    odata_3(120, "GET T?$filter=when eq datetimeoffset'2015-01-02T03:04:05.0000000Z'", "200 ids=4"),
    odata_3(120, "GET T?$filter=when eq datetimeoffset'2015-01-02T05:04:05.678%2B02:00'", "200 ids=1"),
    odata_4(120, "GET T?$filter=when eq 2015-01-02T03:04:05Z", "200 ids=4"),
    odata_4(120, "GET T?$filter=when eq 2015-01-02T03:04:05.0Z", "200 ids=4"),
    odata_4(120, "GET T?$filter=when eq cast(2015-01-02T03:04:05.0000000Z,Edm.DateTimeOffset)", "200 ids=4"),
    odata_4(
        120,
        "GET T?$filter=when eq cast(2015-01-02T05:04:05.678%2B02:00,Edm.DateTimeOffset)",
        "200 ids=1",
    ),
];

const SEED: &[Case] = &[case(
    126,
    "GET T?$filter=(__updatedAt ge datetimeoffset'1970-01-01T00:00:00.0000000%2B00:00')&$orderby=__updatedAt&\
     $skip=0&$top=50&__includeDeleted=true&__systemproperties=__updatedAt%2C__deleted",
    "200 array ids=a,d members=id,text,complete,n,when,ratio,__updatedAt,__deleted /1/__deleted=true",
    "400 error",
    "400 error",
)];
