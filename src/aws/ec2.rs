//! VPC endpoint services (PrivateLink) through the EC2 API, for people who look for a fault. The only module that calls EC2.
//!
//! EC2's own SDK is larger than all others together. Three calls do not need it: they are put together from what every SDK is made
//! of, and so are signed, timed out and refused like all other calls.

use aws_runtime::auth::SigV4OperationSigningConfig;
use aws_runtime::auth::sigv4::{self, SigV4AuthScheme};
use aws_sdk_sts::config::http::{HttpRequest, HttpResponse};
use aws_sdk_sts::config::{BehaviorVersion, Layer, RuntimeComponentsBuilder};
use aws_sdk_sts::error::{BoxError, ErrorMetadata};
use aws_smithy_query::QueryWriter;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::auth::AuthSchemeOptionResolverParams;
use aws_smithy_runtime_api::client::auth::static_resolver::StaticAuthSchemeOptionResolver;
use aws_smithy_runtime_api::client::orchestrator::OrchestratorError;
use aws_smithy_runtime_api::client::runtime_plugin::StaticRuntimePlugin;
use aws_smithy_xml::decode::{Document, ScopedDecoder, XmlDecodeError, try_data};
use aws_types::service_config::ServiceConfigKey;

use super::failure::{Failure, Kind};
use super::{Config, elb};

/// The version of the API.
const VERSION: &str = "2016-11-15";
/// Pages of one list.
pub const PAGES_MAX: usize = 50;
/// Entries of a page: what they take is far below what a reply may.
const PAGE_ENTRIES: &str = "500";

/// The EC2 API of one region with one identity.
#[derive(Clone)]
pub struct Client {
    /// Takes the form of a call, and gives the text of the answer.
    call: Operation<String, String, ErrorMetadata>,
    role: Option<String>,
}

/// An endpoint service, as DescribeVpcEndpointServiceConfigurations shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The ID, by which it is asked for more.
    pub id: String,
    /// The name that consumers are given.
    pub name: String,
    /// Its state, for example `Available`.
    pub state: String,
    /// The ARNs of the Network Load Balancers behind it.
    pub balancers: Vec<String>,
    /// The Availability Zones in which it is offered, by the names that they have in this account.
    pub zones: Vec<String>,
    /// The same by the IDs that they have in every account.
    pub zone_ids: Vec<String>,
    /// Whether somebody has to accept each connection.
    pub needs_acceptance: bool,
    /// Whose connections it takes: `ipv4`, `ipv6`.
    pub families: Vec<String>,
    /// The regions in which it is offered, each with the state that it has there.
    pub regions: Vec<(String, String)>,
    /// The private DNS name, if it has one.
    pub private_name: Option<PrivateName>,
}

/// A DNS name that consumers may use instead of the endpoint's own, and the record that shows that the provider owns its domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivateName {
    /// The name.
    pub name: String,
    /// `verified`, `pendingVerification` or `failed`.
    pub state: String,
    /// The type of the record, for example `TXT`.
    pub record_type: String,
    /// The name of the record.
    pub record: String,
    /// What the record says.
    pub value: String,
}

/// A consumer's endpoint, as DescribeVpcEndpointConnections shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The ID of the endpoint.
    pub endpoint: String,
    /// The account that made it.
    pub owner: String,
    /// Its state, for example `pendingAcceptance`; EC2 spells the first letter in two ways.
    pub state: String,
    /// When it was made.
    pub created: String,
    /// The region that it is in, where that is told.
    pub region: String,
}

impl Client {
    /// A client; `role` is the one that the configuration assumes, for messages.
    pub async fn new(config: &Config, role: Option<String>) -> Self {
        let mut call = Operation::builder()
            .service_name("EC2")
            .operation_name("Describe")
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url(&endpoint(config).await)
            .no_retry()
            .runtime_plugin(signing(config))
            .serializer(request)
            .deserializer(answer);
        if let Some(client) = config.http_client() {
            call = call.http_client(client);
        }
        if let Some(timeouts) = config.timeout_config() {
            call = call.timeout_config(timeouts.clone());
        }
        if let Some(sleep) = config.sleep_impl() {
            call = call.sleep_impl(sleep);
        }
        if let Some(time) = config.time_source() {
            call = call.time_source(time);
        }
        Self {
            call: call.build(),
            role,
        }
    }

    /// The endpoint services of the account, whatever load balancers they are for: EC2 cannot be asked for those of one.
    pub async fn services(&self) -> Result<Vec<Service>, Failure> {
        let action = "DescribeVpcEndpointServiceConfigurations";
        self.list(action, &[], "serviceConfigurationSet", read_service).await
    }

    /// The endpoints that consumers have made for a service.
    pub async fn connections(&self, service: &str) -> Result<Vec<Connection>, Failure> {
        let of_service = [("Filter.1.Name", "service-id"), ("Filter.1.Value.1", service)];
        let action = "DescribeVpcEndpointConnections";
        self.list(action, &of_service, "vpcEndpointConnectionSet", read_connection)
            .await
    }

    /// The principals that may make endpoints for a service; `*` is everybody.
    pub async fn principals(&self, service: &str) -> Result<Vec<String>, Failure> {
        let action = "DescribeVpcEndpointServicePermissions";
        self.list(action, &[("ServiceId", service)], "allowedPrincipals", read_principal)
            .await
    }

    /// All pages of a list: `read` reads the entries of its element `set`.
    async fn list<T>(
        &self,
        action: &'static str,
        parameters: &[(&str, &str)],
        set: &str,
        read: fn(&mut ScopedDecoder<'_, '_>) -> Result<T, XmlDecodeError>,
    ) -> Result<Vec<T>, Failure> {
        let mut entries = Vec::new();
        let mut page = String::new();
        for _ in 0..PAGES_MAX {
            let mut form = String::new();
            let mut query = QueryWriter::new(&mut form, action, VERSION);
            for (name, value) in parameters {
                query.prefix(name).string(value);
            }
            query.prefix("MaxResults").string(PAGE_ENTRIES);
            if !page.is_empty() {
                query.prefix("NextToken").string(&page);
            }
            query.finish();
            let answer = self.call.invoke(form).await;
            let answer = answer.map_err(|error| Failure::of(action, self.role.as_deref(), &error))?;
            page = read_page(&answer, action, set, |entry| {
                entries.push(read(entry)?);
                Ok(())
            })
            .map_err(|error| {
                let message = format!("the answer is not one of AWS's: {error}");
                Failure::here(action, Kind::Unavailable, "BadResponse", message)
            })?;
            if page.is_empty() {
                return Ok(entries);
            }
        }
        let message = format!("the list has more than {PAGES_MAX} pages");
        Err(Failure::here(action, Kind::Other, "TooLong", message))
    }
}

/// Where the API is: where the environment or the profile says, or beside ELB's.
async fn endpoint(config: &Config) -> String {
    let key = ServiceConfigKey::builder().service_id("EC2").env("AWS_ENDPOINT_URL");
    let key = key.profile("endpoint_url").build().ok();
    let own = key.and_then(|key| config.service_config()?.load_config(key));
    match own.or(config.endpoint_url().map(str::to_owned)) {
        Some(url) => url,
        None => elb::place_of(config, "ec2").await,
    }
}

/// Signatures as EC2 takes them, with the credentials of the configuration.
fn signing(config: &Config) -> StaticRuntimePlugin {
    let mut layer = Layer::new("signing");
    layer.store_put(AuthSchemeOptionResolverParams::new(()));
    layer.store_put(SigV4OperationSigningConfig {
        region: config.region().cloned().map(Into::into),
        name: Some("ec2".into()),
        ..SigV4OperationSigningConfig::default()
    });
    let schemes = StaticAuthSchemeOptionResolver::new(vec![sigv4::SCHEME_ID]);
    let mut parts = RuntimeComponentsBuilder::new("signing")
        .with_auth_scheme(SigV4AuthScheme::new())
        .with_auth_scheme_option_resolver(Some(schemes))
        .with_identity_cache(config.identity_cache());
    if let Some(credentials) = config.credentials_provider() {
        parts.set_identity_resolver(sigv4::SCHEME_ID, credentials);
    }
    StaticRuntimePlugin::new()
        .with_config(layer.freeze())
        .with_runtime_components(parts)
}

fn request(form: String) -> Result<HttpRequest, BoxError> {
    let mut request = HttpRequest::new(form.into());
    request.set_method("POST")?;
    let headers = request.headers_mut();
    headers.insert("content-type", "application/x-www-form-urlencoded");
    headers.insert("user-agent", concat!("rds-tether/", env!("CARGO_PKG_VERSION")));
    Ok(request)
}

/// The text of an answer; an error is left to [`Failure`], which reads those of EC2.
fn answer(response: &HttpResponse) -> Result<String, OrchestratorError<ErrorMetadata>> {
    let body = response.body().bytes().unwrap_or_default();
    if response.status().is_success() {
        return Ok(String::from_utf8_lossy(body).into_owned());
    }
    Err(OrchestratorError::operation(ErrorMetadata::builder().build()))
}

/// Reads one page of a list, and gives the token of the next one; empty: there is none.
fn read_page(
    answer: &str,
    action: &str,
    set: &str,
    mut entry: impl FnMut(&mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<String, XmlDecodeError> {
    let mut document = Document::new(answer);
    let mut root = document.root_element()?;
    // A page of somebody in between would otherwise be an empty list.
    if !root.start_el().matches(&format!("{action}Response")) {
        let found = format!("it begins with {}", root.start_el().local());
        return Err(XmlDecodeError::custom(found));
    }
    let mut next = String::new();
    while let Some(mut tag) = root.next_tag() {
        if tag.start_el().matches(set) {
            while let Some(mut item) = tag.next_tag() {
                entry(&mut item)?;
            }
        } else if tag.start_el().matches("nextToken") {
            next = text(&mut tag)?;
        }
    }
    Ok(next)
}

fn text(tag: &mut ScopedDecoder<'_, '_>) -> Result<String, XmlDecodeError> {
    Ok(try_data(tag)?.trim().to_owned())
}

fn texts(tag: &mut ScopedDecoder<'_, '_>) -> Result<Vec<String>, XmlDecodeError> {
    let mut texts = Vec::new();
    while let Some(mut item) = tag.next_tag() {
        texts.push(text(&mut item)?);
    }
    Ok(texts)
}

/// Reads each child of an element by its name.
fn children(
    parent: &mut ScopedDecoder<'_, '_>,
    mut read: impl FnMut(&str, &mut ScopedDecoder<'_, '_>) -> Result<(), XmlDecodeError>,
) -> Result<(), XmlDecodeError> {
    while let Some(mut tag) = parent.next_tag() {
        let name = tag.start_el().local().to_owned();
        read(&name, &mut tag)?;
    }
    Ok(())
}

fn read_service(item: &mut ScopedDecoder<'_, '_>) -> Result<Service, XmlDecodeError> {
    let mut service = Service::default();
    let mut private = PrivateName::default();
    children(item, |name, tag| {
        match name {
            "serviceId" => service.id = text(tag)?,
            "serviceName" => service.name = text(tag)?,
            "serviceState" => service.state = text(tag)?,
            "networkLoadBalancerArnSet" => service.balancers = texts(tag)?,
            "availabilityZoneSet" => service.zones = texts(tag)?,
            "availabilityZoneIdSet" => service.zone_ids = texts(tag)?,
            "acceptanceRequired" => service.needs_acceptance = text(tag)? == "true",
            "supportedIpAddressTypeSet" => service.families = texts(tag)?,
            "supportedRegionSet" => {
                while let Some(mut item) = tag.next_tag() {
                    service.regions.push(read_region(&mut item)?);
                }
            }
            "privateDnsName" => private.name = text(tag)?,
            "privateDnsNameConfiguration" => children(tag, |name, tag| {
                match name {
                    "state" => private.state = text(tag)?,
                    "type" => private.record_type = text(tag)?,
                    "name" => private.record = text(tag)?,
                    "value" => private.value = text(tag)?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    service.private_name = Some(private).filter(|private| !private.name.is_empty());
    Ok(service)
}

fn read_region(item: &mut ScopedDecoder<'_, '_>) -> Result<(String, String), XmlDecodeError> {
    let (mut region, mut state) = (String::new(), String::new());
    children(item, |name, tag| {
        match name {
            "region" => region = text(tag)?,
            "serviceState" => state = text(tag)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((region, state))
}

fn read_connection(item: &mut ScopedDecoder<'_, '_>) -> Result<Connection, XmlDecodeError> {
    let mut connection = Connection::default();
    children(item, |name, tag| {
        match name {
            "vpcEndpointId" => connection.endpoint = text(tag)?,
            "vpcEndpointOwner" => connection.owner = text(tag)?,
            "vpcEndpointState" => connection.state = text(tag)?,
            "creationTimestamp" => connection.created = text(tag)?,
            "vpcEndpointRegion" => connection.region = text(tag)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(connection)
}

fn read_principal(item: &mut ScopedDecoder<'_, '_>) -> Result<String, XmlDecodeError> {
    let mut principal = String::new();
    children(item, |name, tag| {
        if name == "principal" {
            principal = text(tag)?;
        }
        Ok(())
    })?;
    Ok(principal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principals(answer: &str) -> Result<(Vec<String>, String), String> {
        let mut principals = Vec::new();
        let page = read_page(answer, "Describe", "allowedPrincipals", |item| {
            principals.push(read_principal(item)?);
            Ok(())
        });
        let page = page.map_err(|error| error.to_string())?;
        Ok((principals, page))
    }

    #[test]
    fn a_page_is_read_whatever_else_stands_in_it() {
        for (inside, read, next) in [
            ("", &[][..], ""),
            ("<allowedPrincipals/><nextToken/>", &[], ""),
            (
                "<requestId>1</requestId><allowedPrincipals><item><principal>a&amp;b</principal><tagSet><item><key>principal</key>\
                 </item></tagSet></item><item><principal> * </principal></item></allowedPrincipals><nextToken>x+/=</nextToken>",
                &["a&b", "*"],
                "x+/=",
            ),
        ] {
            let told = principals(&format!(
                "<?xml version=\"1.0\"?>\n<DescribeResponse xmlns=\"x\">{inside}</DescribeResponse>"
            ));
            let read = read.iter().map(|text| (*text).to_owned()).collect();
            assert_eq!(told, Ok((read, next.to_owned())), "{inside}");
        }
    }

    /// Fails if an answer of somebody in between is taken for an empty list.
    #[test]
    fn what_is_no_answer_of_ec2_is_no_list() {
        for text in [
            "",
            "{}",
            "<html><body>sign in</body></html>",
            "<Response/>",
            "<DescribeOtherResponse/>",
        ] {
            assert!(principals(text).is_err(), "{text}");
        }
    }
}
