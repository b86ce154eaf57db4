//! Where AWS's APIs are, each partition with a domain of its own: ELB's SDK knows them all.

use aws_config::SdkConfig;
use aws_sdk_elasticloadbalancingv2::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};

/// How the host of ELB's API begins.
const OWN: &str = "elasticloadbalancing";

/// The URL of another regional API: as ELB's, with this name in its place.
pub async fn place_of(config: &SdkConfig, service: &str) -> String {
    let region = config.region().map_or("us-east-1", |region| region.as_ref());
    let params = Params::builder()
        .region(region)
        .set_use_fips(config.use_fips())
        .set_use_dual_stack(config.use_dual_stack())
        .build();
    let resolver = DefaultResolver::new();
    let resolved = match &params {
        Ok(params) => resolver.resolve_endpoint(params).await.ok(),
        Err(_) => None,
    };
    match resolved {
        Some(own) => own.url().replacen(OWN, service, 1),
        None => format!("https://{service}.{region}.amazonaws.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_config::Region;

    #[tokio::test]
    async fn another_api_is_beside_elbs_in_every_partition() {
        for (region, fips, dual_stack, url) in [
            ("eu-west-1", false, false, "https://ec2.eu-west-1.amazonaws.com"),
            ("cn-north-1", false, false, "https://ec2.cn-north-1.amazonaws.com.cn"),
            (
                "eusc-de-east-1",
                false,
                false,
                "https://ec2.eusc-de-east-1.amazonaws.eu",
            ),
            ("us-east-1", true, false, "https://ec2-fips.us-east-1.amazonaws.com"),
            ("us-gov-west-1", true, false, "https://ec2.us-gov-west-1.amazonaws.com"),
            ("eu-west-1", false, true, "https://ec2.eu-west-1.api.aws"),
        ] {
            let config = SdkConfig::builder().region(Region::new(region));
            let config = config.use_fips(fips).use_dual_stack(dual_stack).build();
            assert_eq!(place_of(&config, "ec2").await, url);
        }
    }
}
