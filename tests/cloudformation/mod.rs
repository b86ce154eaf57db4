//! The CloudFormation templates of deploy/cloudformation: what they say, that cfn-lint finds nothing, what becomes of them in
//! moto, the Python and shell inside them, and the commands of their README.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod bridge;
mod first_sync;
mod function;
mod hosts;
mod patterns;
mod readme;
mod rules;
mod site;
mod tagged;
mod template;
mod texts;
mod user_data;
mod way;

/// Every template, by its file's name.
const TEMPLATES: &[(&str, &str)] = &[
    ("ec2.yaml", include_str!("../../deploy/cloudformation/ec2.yaml")),
    ("lambda.yaml", include_str!("../../deploy/cloudformation/lambda.yaml")),
    ("member.yaml", include_str!("../../deploy/cloudformation/member.yaml")),
    (
        "privatelink.yaml",
        include_str!("../../deploy/cloudformation/privatelink.yaml"),
    ),
];

/// Where a template is.
fn path(name: &str) -> String {
    format!("{}/deploy/cloudformation/{name}", env!("CARGO_MANIFEST_DIR"))
}
