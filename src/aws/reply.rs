//! Replies of AWS are taken whole and of a bounded size, or not at all.

use std::fmt;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_xml::decode::Document;
use http_body_util::{BodyExt as _, Limited};

/// The most that a reply may have, in bytes. A group of 5,000 targets, more than ELB allows, takes as much; read, they take eight times
/// that.
pub const REPLY_MAX: usize = 2 << 20;

/// A client that reads each reply before it hands it on: no more of it than [`REPLY_MAX`], and none of XML that ends before its
/// first element does, which aws-smithy-xml 0.64 takes for a whole list where a list was cut short between two of its members.
#[derive(Debug)]
pub struct Bounded(pub SharedHttpClient);

#[derive(Debug)]
struct Connector(SharedHttpConnector);

/// What is wrong with a reply.
#[derive(Debug)]
pub(super) struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

impl HttpClient for Bounded {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, components)))
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answering = self.0.call(request);
        HttpConnectorFuture::new(async move { whole(answering.await?).await })
    }
}

async fn whole(mut response: HttpResponse) -> Result<HttpResponse, ConnectorError> {
    let read = Limited::new(response.take_body(), REPLY_MAX).collect().await;
    let read = read.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
        true => unfit(format!("more than the {} KiB that a reply may have", REPLY_MAX >> 10)),
        false => unfit(format!("it cannot be read: {error}")),
    })?;
    let bytes = read.to_bytes();
    // What stands between may answer with a page of its own, whose status tells more.
    if response.status().is_success() && is_cut_short(&bytes) {
        return Err(unfit("it ends in the middle".into()));
    }
    *response.body_mut() = SdkBody::from(bytes);
    Ok(response)
}

fn unfit(why: String) -> ConnectorError {
    ConnectorError::other(Unfit(why).into(), None)
}

/// Whether it is XML that ends before its first element does.
fn is_cut_short(body: &[u8]) -> bool {
    // It may have been cut within a letter.
    let text = String::from_utf8_lossy(body);
    let text = text.trim_start_matches('\u{feff}').trim();
    if !text.starts_with('<') {
        return false;
    }
    let has_element = Document::new(text).next_start_element().is_some();
    // What stands in an element is one deeper than its end.
    let end = Document::new(text).try_fold(0, |_, token| token.map(|(_, depth)| depth));
    !has_element || !matches!(end, Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_that_ends_before_its_first_element_is_cut_short() {
        let whole = "<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><B><C>1</C></B></A>\n";
        for (body, is_cut) in [
            (whole, false),
            ("<A/>", false),
            ("\u{feff}<A><B/>", true),
            ("<A></A >", false),
            ("", false),
            ("{\"a\": [", false),
            ("plain text", false),
            ("<A><B/>", true),
            ("<A><A></A>x", true),
            ("<A><!-- </A>", true),
            ("<A b=\"</A>", true),
            ("<A><![CDATA[</A>", true),
            ("<?xml version=\"1.0\"?>", true),
        ] {
            assert_eq!(is_cut_short(body.as_bytes()), is_cut, "{body}");
        }
        assert!(is_cut_short(&"<A>\u{fc}".as_bytes()[..4]), "in the middle of a letter");
        let ends = (1..whole.trim_end().len()).filter(|end| !is_cut_short(&whole.as_bytes()[..*end]));
        assert_eq!(ends.collect::<Vec<_>>(), [0; 0]);
    }
}
