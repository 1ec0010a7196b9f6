//! The web client's files, embedded in the binary.
//!
//! Every file is in a table that is made once, plain and compressed; a path either names a row of it or nothing, so
//! there is no path that could climb.

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;

use actix_web::http::header::{self, AcceptEncoding, Encoding, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Bytes, ServiceConfig, to};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::RustEmbed;

/// What the browser may load and reach. Nothing inline: what a user writes could never run, even where it became HTML.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; connect-src 'self' ws: wss:; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// The page behind `/`.
const INDEX: &str = "index.html";
/// The page of the REST interface, which is behind a path of that interface alone.
pub(super) const API_DOCS: &str = "api.html";
/// The page for a path that names nothing.
const NOT_FOUND: &str = "404.html";
/// The folder whose files carry a hash of their content in their names.
const HASHED: &str = "assets/";

/// What a browser keeps for ever: another content would have another name.
const FOREVER: &str = "public, max-age=31536000, immutable";
/// What a browser may keep, but asks about each time.
const ASK_EACH_TIME: &str = "no-cache";

#[derive(RustEmbed)]
#[folder = "web/dist"]
#[allow_missing = true]
struct Dist;

/// Adds the web client to a server: it answers whatever nothing else does.
pub fn configure(config: &mut ServiceConfig) {
    config.default_service(to(serve));
}

struct File {
    content_type: String,
    cache_control: &'static str,
    /// Without quotes; the compressed form has another.
    hash: String,
    plain: Bytes,
    /// Where it is smaller.
    gzip: Option<Bytes>,
}

impl File {
    fn etag(&self, compressed: bool) -> String {
        format!("\"{}{}\"", self.hash, if compressed { "-gz" } else { "" })
    }
}

fn files() -> &'static HashMap<String, File> {
    static FILES: OnceLock<HashMap<String, File>> = OnceLock::new();
    FILES.get_or_init(|| {
        Dist::iter().filter_map(|name| Some((name.to_string(), read(&name)?))).collect()
    })
}

fn read(name: &str) -> Option<File> {
    let found = Dist::get(name)?;
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let is_text = kind.type_() == mime_guess::mime::TEXT || kind.subtype() == "javascript";
    let content_type = if is_text { format!("{kind}; charset=utf-8") } else { kind.to_string() };
    let hash =
        found.metadata.sha256_hash()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let plain = Bytes::from(found.data.into_owned());
    let gzip = compress(&plain).filter(|gzip| gzip.len() < plain.len()).map(Bytes::from);
    let cache_control = if name.starts_with(HASHED) { FOREVER } else { ASK_EACH_TIME };
    Some(File { content_type, cache_control, hash, plain, gzip })
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

async fn serve(request: HttpRequest) -> HttpResponse {
    let name = match request.path() {
        "/" => INDEX,
        path => path.trim_start_matches('/'),
    };
    let Some(file) = files().get(name).filter(|_| ![NOT_FOUND, API_DOCS].contains(&name)) else {
        return not_found(&request);
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return response(StatusCode::METHOD_NOT_ALLOWED)
            .insert_header((header::ALLOW, "GET, HEAD"))
            .content_type("text/plain; charset=utf-8")
            .body("Only GET and HEAD.\n");
    }
    answer(&request, StatusCode::OK, file)
}

/// Serves a page that is behind another path than its name.
pub(super) fn page(request: &HttpRequest, name: &str) -> HttpResponse {
    match files().get(name) {
        Some(page) => answer(request, StatusCode::OK, page),
        None => not_found(request),
    }
}

fn not_found(request: &HttpRequest) -> HttpResponse {
    match files().get(NOT_FOUND) {
        Some(page) => answer(request, StatusCode::NOT_FOUND, page),
        None => response(StatusCode::NOT_FOUND)
            .content_type("text/plain; charset=utf-8")
            .body("There is nothing here.\n"),
    }
}

fn answer(request: &HttpRequest, status: StatusCode, file: &File) -> HttpResponse {
    let gzip = file.gzip.as_ref().filter(|_| accepts_gzip(request));
    let etag = file.etag(gzip.is_some());
    let mut response = response(status);
    response.insert_header((header::VARY, "Accept-Encoding"));
    response.insert_header((header::CACHE_CONTROL, file.cache_control));
    if status == StatusCode::OK {
        let known = request.headers().get_all(header::IF_NONE_MATCH).any(|held| names(held, &etag));
        response.insert_header((header::ETAG, etag));
        if known {
            return response.status(StatusCode::NOT_MODIFIED).finish();
        }
    }
    response.content_type(file.content_type.as_str());
    match gzip {
        Some(gzip) => response.insert_header((header::CONTENT_ENCODING, "gzip")).body(gzip.clone()),
        None => response.body(file.plain.clone()),
    }
}

fn response(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"));
    response
}

fn accepts_gzip(request: &HttpRequest) -> bool {
    let Ok(accepted) = <AcceptEncoding as header::Header>::parse(request) else { return false };
    let supported = [Encoding::gzip(), Encoding::identity()];
    accepted.negotiate(supported.iter()) == Some(Encoding::gzip())
}

/// Whether an `If-None-Match` names the tag: a list of tags, weak ones count too.
fn names(held: &HeaderValue, etag: &str) -> bool {
    let Ok(held) = held.to_str() else { return false };
    held.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::dev::ServiceResponse;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, http::header::HeaderName};

    use super::*;

    async fn ask(request: TestRequest) -> ServiceResponse {
        call_service(&init_service(App::new().configure(configure)).await, request.to_request())
            .await
    }

    async fn get(path: &str) -> ServiceResponse {
        ask(TestRequest::get().uri(path)).await
    }

    fn header(response: &ServiceResponse, name: HeaderName) -> &str {
        response.headers().get(name).map_or("", |value| value.to_str().unwrap())
    }

    async fn text(response: ServiceResponse) -> String {
        String::from_utf8(to_bytes(response.into_body()).await.unwrap().to_vec()).unwrap()
    }

    /// The hashed files that a page names.
    fn assets(page: &str) -> Vec<String> {
        page.split('"').filter(|part| part.starts_with("/assets/")).map(str::to_owned).collect()
    }

    #[actix_web::test]
    async fn the_page_is_asked_for_each_time_and_what_it_names_is_kept_for_ever() {
        let page = get("/").await;
        assert_eq!(page.status(), StatusCode::OK);
        assert_eq!(header(&page, header::CONTENT_TYPE), "text/html; charset=utf-8");
        assert_eq!(header(&page, header::CACHE_CONTROL), ASK_EACH_TIME);

        let assets = assets(&text(page).await);

        assert!(assets.iter().any(|name| name.ends_with(".js")), "{assets:?}");
        assert!(assets.iter().any(|name| name.ends_with(".css")), "{assets:?}");
        for name in assets {
            let file = get(&name).await;
            assert_eq!(file.status(), StatusCode::OK, "{name}");
            assert_eq!(header(&file, header::CACHE_CONTROL), FOREVER, "{name}");
        }
    }

    #[actix_web::test]
    async fn every_answer_forbids_what_is_inline_sniffed_framed_or_referred() {
        for path in ["/", "/favicon.svg", "/nothing"] {
            let response = get(path).await;
            assert_eq!(header(&response, header::CONTENT_SECURITY_POLICY), CONTENT_SECURITY_POLICY);
            assert_eq!(header(&response, header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(&response, header::REFERRER_POLICY), "no-referrer");
        }
    }

    #[actix_web::test]
    async fn the_page_itself_keeps_to_its_policy() {
        let page = text(get("/").await).await;

        assert!(!page.contains("<style") && !page.contains("style="), "{page}");
        for script in page.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains("src=") && rest.starts_with("</script>"), "{script}");
        }
    }

    #[actix_web::test]
    async fn a_browser_that_takes_gzip_gets_it_and_one_that_does_not_gets_the_same_bytes_plain() {
        let plain = get("/").await;
        assert_eq!(header(&plain, header::CONTENT_ENCODING), "");
        let packed =
            ask(TestRequest::get().uri("/").insert_header(("Accept-Encoding", "br, gzip"))).await;
        assert_eq!(header(&packed, header::CONTENT_ENCODING), "gzip");
        assert_eq!(header(&packed, header::VARY), "Accept-Encoding");
        assert_ne!(header(&packed, header::ETAG), header(&plain, header::ETAG));
        let refused =
            ask(TestRequest::get().uri("/").insert_header(("Accept-Encoding", "gzip;q=0"))).await;
        assert_eq!(header(&refused, header::CONTENT_ENCODING), "");

        let packed = to_bytes(packed.into_body()).await.unwrap();
        let unpacked = std::io::read_to_string(flate2::read::GzDecoder::new(&packed[..])).unwrap();

        assert_eq!(unpacked, text(plain).await);
    }

    #[actix_web::test]
    async fn a_browser_that_has_the_file_is_not_sent_it_again() {
        let etag = header(&get("/").await, header::ETAG).to_owned();

        for held in [etag.clone(), format!("\"other\", W/{etag}"), "*".to_owned()] {
            let again =
                ask(TestRequest::get().uri("/").insert_header(("If-None-Match", held))).await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(header(&again, header::ETAG), etag);
            assert_eq!(text(again).await, "");
        }
        let other =
            ask(TestRequest::get().uri("/").insert_header(("If-None-Match", "\"x\""))).await;
        assert_eq!(other.status(), StatusCode::OK);
    }

    #[actix_web::test]
    async fn what_names_no_file_is_not_found_and_no_path_climbs() {
        let climbing = [
            "/nothing",
            "/404.html",
            "/assets",
            "/assets/",
            "/../Cargo.toml",
            "/assets/../index.html",
            "/%2e%2e/Cargo.toml",
            "/..%2fCargo.toml",
            "/assets/..%2f..%2f..%2fCargo.toml",
            "/..%5cCargo.toml",
            "/%00",
            "/index.html%00",
            "/etc/passwd",
        ];
        for path in climbing {
            let response = get(path).await;
            assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
            assert!(!text(response).await.contains("[package]"), "{path}");
        }
    }

    #[actix_web::test]
    async fn only_get_and_head_are_answered() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let response = ask(TestRequest::with_uri("/").method(method.clone())).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
            assert_eq!(header(&response, header::ALLOW), "GET, HEAD");
        }
        let head = ask(TestRequest::with_uri("/").method(Method::HEAD)).await;
        assert_eq!(head.status(), StatusCode::OK);
    }
}
