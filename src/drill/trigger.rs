//! The command with which somebody triggers a failover, as far as the endpoint's name tells.

use crate::planner::endpoint::{Endpoint, Kind, is_of_rds, region_of};

/// The command that what the endpoint's name tells is failed over with, or else the names of RDS that CNAMEs led through, in order; none
/// where no name tells. It is for the region of the name, or else for `region`.
pub fn command(endpoint: &Endpoint, aliases: &[String], region: Option<&str>) -> Option<String> {
    let names = std::iter::once(endpoint.host()).chain(aliases.iter().map(String::as_str));
    let mut of_rds = names.filter(|name| is_of_rds(name));
    of_rds.find_map(|name| {
        let identifier = name.split('.').next().unwrap_or_default();
        let (command, which) = match Kind::of(name) {
            Kind::Cluster => ("failover-db-cluster", format!("--db-cluster-identifier {identifier}")),
            Kind::Instance => (
                "reboot-db-instance",
                format!("--db-instance-identifier {identifier} --force-failover"),
            ),
            Kind::Reader | Kind::Custom | Kind::Proxy | Kind::ShardGroup | Kind::Global | Kind::Other => return None,
        };
        let region = region_of(name).or(region);
        let region = region.map_or_else(String::new, |region| format!(" --region {region}"));
        Some(format!("aws rds {command}{region} {which}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_what_is_to_fail_over() {
        let cluster = "orders.cluster-abc123.eu-west-1.rds.amazonaws.com";
        let instance = "orders-1.abc123.eu-west-1.rds.amazonaws.com";
        let of_cluster = Some("aws rds failover-db-cluster --region eu-west-1 --db-cluster-identifier orders");
        let of_instance =
            Some("aws rds reboot-db-instance --region eu-west-1 --db-instance-identifier orders-1 --force-failover");
        for (host, aliases, command) in [
            (cluster, vec![instance], of_cluster),
            (instance, vec![], of_instance),
            ("db.example.com", vec![cluster, instance], of_cluster),
            ("db.example.com", vec![instance], of_instance),
            (
                "all.global-x1.global.rds.amazonaws.com",
                vec![cluster, instance],
                of_cluster,
            ),
            ("db.example.com", vec!["other.example.com"], None),
            ("orders.cluster-abc.example.com", vec![], None),
            (
                "orders.cluster-abc.rds.cn-north-1.amazonaws.com.cn",
                vec![],
                Some("aws rds failover-db-cluster --region cn-north-1 --db-cluster-identifier orders"),
            ),
        ] {
            let endpoint: Endpoint = format!("{host}:5432").parse().expect("an endpoint");
            let aliases: Vec<String> = aliases.into_iter().map(str::to_owned).collect();
            let told = super::command(&endpoint, &aliases, Some("eu-west-1"));
            assert_eq!(told.as_deref(), command, "{host}");
        }
    }
}
