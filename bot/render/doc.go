// Package render turns a verdict into what people read: check runs with
// annotations, the sticky comment of a pull request, and the output formats of
// the check command. Every function is pure: same value in, same bytes out.
//
// What always holds:
//
//   - Whatever comes from a manifest or a pull request is foreign text. It can't
//     mention anybody, link anywhere, make HTML, refer to an issue, leave its
//     table cell, list item or code span, nor move a terminal's cursor. See
//     escape.go for how.
//   - Nothing exceeds its limit, by construction: a page has a share of bytes per
//     section, and a section drops whole rows and says how many. No structure is
//     ever cut in the middle.
//   - The verdict comes first. What a reader needn't know isn't shown, and what is
//     left out is counted.
//   - Money is printed by manifests.Money, and only there.
//
// Limits and formats: GitHub REST "check runs" (50 annotations a request,
// 65,535 characters each for summary and text), issue comments (65,536
// characters), GitHub Actions workflow commands, SARIF 2.1.0.
//
// Callers: bot/github posts Checks and Comment; the check command prints Text,
// JSON, SARIF, Markdown and GitHubCommands.
package render
