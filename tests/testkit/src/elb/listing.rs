//! DescribeTargetGroups: some of them, or all page by page.

use super::group::Group;
use super::model::Model;
use super::refusal::Refusal;

/// One page of DescribeTargetGroups: the groups, and the marker of the next page.
pub type Page<'a> = (Vec<(&'a str, &'a Group)>, Option<String>);

/// The largest page of DescribeTargetGroups, and what a call gets that names no size.
const MAX_PAGE_SIZE: usize = 400;

impl Model {
    /// DescribeTargetGroups: those with the given ARNs, or all, page by page.
    pub fn describe_target_groups(
        &self,
        arns: &[String],
        page_size: Option<usize>,
        marker: Option<&str>,
    ) -> Result<Page<'_>, Refusal> {
        if arns.is_empty() {
            return self.page(None, page_size.unwrap_or(MAX_PAGE_SIZE), marker);
        }
        let find = |arn: &String| match self.groups.get_key_value(arn) {
            Some((arn, members)) => Ok((arn.as_str(), &members.group)),
            None => Err(Refusal::group_not_found(arn)),
        };
        let groups = arns.iter().map(find).collect::<Result<_, _>>()?;
        Ok((groups, None))
    }

    /// DescribeTargetGroups in one region: those with the given names, all of which there have to be.
    pub fn target_groups_named(&self, region: Option<&str>, names: &[String]) -> Result<Page<'_>, Refusal> {
        let groups = self.of_region(region).filter(|(_, group)| names.contains(&group.name));
        let groups: Vec<_> = groups.collect();
        if names
            .iter()
            .any(|name| groups.iter().all(|(_, group)| group.name != *name))
        {
            let message = "One or more target groups not found";
            return Err(Refusal::new(400, "TargetGroupNotFound", message));
        }
        Ok((groups, None))
    }

    /// DescribeTargetGroups in one region: all, page by page.
    pub fn target_groups_of(
        &self,
        region: Option<&str>,
        page_size: Option<usize>,
        marker: Option<&str>,
    ) -> Result<Page<'_>, Refusal> {
        self.page(region, page_size.unwrap_or(MAX_PAGE_SIZE), marker)
    }

    fn of_region(&self, region: Option<&str>) -> impl Iterator<Item = (&str, &Group)> {
        let groups = self.groups.iter().map(|(arn, members)| (arn.as_str(), &members.group));
        groups.filter(move |(_, group)| region.is_none_or(|region| group.region == region))
    }

    fn page(&self, region: Option<&str>, size: usize, marker: Option<&str>) -> Result<Page<'_>, Refusal> {
        if !(1..=MAX_PAGE_SIZE).contains(&size) {
            let message = format!("'{size}' is not a valid page size: it must be between 1 and {MAX_PAGE_SIZE}");
            return Err(Refusal::validation(message));
        }
        let size = self.page_max.unwrap_or(size).min(size);
        let start = match marker {
            None => 0,
            Some(marker) => marker
                .parse()
                .map_err(|_| Refusal::validation(format!("Invalid marker '{marker}'")))?,
        };
        let groups: Vec<_> = self.of_region(region).collect();
        let end = size.saturating_add(start);
        let next_marker = (end < groups.len()).then(|| end.to_string());
        Ok((groups.into_iter().skip(start).take(size).collect(), next_marker))
    }
}
