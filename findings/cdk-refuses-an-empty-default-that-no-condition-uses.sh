#!/usr/bin/env bash
# The AWS CDK validates templates that CfnInclude takes in, and under the flags that it recommends for new apps what it finds is an
# error. It does not see that a condition keeps a value from being used: a parameter that is empty by default, split into a list of subnets
# where it is given, is refused for the empty list element. CloudFormation takes such a template, and cfn-lint finds nothing in it.
#
# Seen with aws-cdk-lib 2.276.0, constructs 10.8.1 and cfn-lint 1.58.0:
#   cfn-lint: nothing
#   CDK, without flags: synthesized
#   CDK, with the recommended flags: refused
#   ERROR VpcConfig.SubnetIds.{}: '' does not match pattern '^subnet-[0-9a-z]*$' (CloudFormation Validate)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > template.yaml <<'YAML'
AWSTemplateFormatVersion: "2010-09-09"
Parameters:
  SubnetIds: {Type: String, Default: ""}
  CodeBucket: {Type: String}
  RoleArn: {Type: String}
Conditions:
  InVpc: !Not [!Equals [!Ref SubnetIds, ""]]
Resources:
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handler
      Role: !Ref RoleArn
      Code: {S3Bucket: !Ref CodeBucket, S3Key: code.zip}
      VpcConfig: !If
        - InVpc
        - SubnetIds: !Split [",", !Ref SubnetIds]
          SecurityGroupIds: [sg-0123456789abcdef0]
        - !Ref AWS::NoValue
YAML
cat > app.mjs <<'JS'
import { App, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";
const app = new App();
new CfnInclude(new Stack(app, "Included"), "Template", { templateFile: "template.yaml" });
app.synth();
JS
npm install --silent --no-audit --no-fund --prefix . aws-cdk-lib@2.276.0 constructs@10.8.1 > installed 2>&1 || { cat installed; exit 1; }
python3 -m venv venv && venv/bin/pip install -q --disable-pip-version-check cfn-lint==1.58.0
holds=yes
if venv/bin/cfn-lint template.yaml > linted 2>&1; then echo "cfn-lint: nothing"; else holds=no; cat linted; fi
if node app.mjs > plain 2>&1; then echo "CDK, without flags: synthesized"; else holds=no; tail -20 plain; fi
if CDK_CONTEXT_JSON=$(cat node_modules/aws-cdk-lib/recommended-feature-flags.json) node app.mjs > flagged 2>&1; then
    holds=no
    echo "CDK, with the recommended flags: synthesized"
else
    echo "CDK, with the recommended flags: refused"
    grep -E -m4 "E1150|F3031|pattern|SubnetIds" flagged || holds=no
fi
if [[ $holds == yes ]]; then
    echo "as found: an empty default that a condition keeps unused is refused"
else
    echo "NO LONGER SO: an empty default that a condition keeps unused is refused"
    exit 1
fi
