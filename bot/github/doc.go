// Package github speaks to GitHub as an App: it answers reconcile's questions on
// pull requests, reviews, checks and installations, shows verdicts as check runs
// and one sticky comment, and lets git in to repositories.
//
// What always holds:
//
//   - One long-lived client per installation, so that what GitHub said about its
//     rate limits is remembered and obeyed; nothing is sent while it says wait.
//   - Writing is idempotent. What stands is remembered by the caller; a write
//     whose outcome is unknown is looked up before it is repeated. A comment is
//     edited only if it is ours: marker and author both.
//   - Every error that leaves the package is an *Error with a Class, decided in
//     one place (Classify), and holds no token.
//   - A token leaves for no host but the API's own and, by GitAuth, the host of
//     the repositories.
//
// References: GitHub REST API 2022-11-28 ("check runs", "issue comments",
// "pulls", "rate limits"), GitHub Apps authentication (RS256 JWT, installation
// tokens).
//
// Callers: cmd wires an App into reconcile as Forge, Reporter, Installer and
// Credentials; bot/webhook turns payloads into facts with RepoOf and PullOf.
package github
