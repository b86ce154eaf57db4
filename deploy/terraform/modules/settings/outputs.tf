output "text" {
  description = "The settings file (TOML)."
  value       = "${join("\n\n", local.tables)}\n"

  precondition {
    condition     = length(var.target_groups) + length(var.discover) + length(var.proxies) > 0
    error_message = "There is nothing to follow: give at least one target group, place to discover some, or proxy."
  }
}
