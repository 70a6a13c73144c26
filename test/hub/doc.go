// Package hub is a GitHub in one process: enough of GitHub to run and to test a
// GitHub App against, over the same public interfaces.
//
// It serves the REST API under <URL>/api/v3/ (the layout of GitHub Enterprise
// Server, so clients need only a base URL), Git's smart HTTP protocol under
// <URL>/owner/name.git through the real git http-backend, webhooks signed with
// HMAC SHA-256, and pages for people. Merges are real Git merges. Tests and
// "conductor demo" use it; nothing in it depends on Conductor.
//
// What always holds:
//
//   - All state is in memory, but for the bare repositories under Options.Dir.
//   - Every effect on the model goes through Hub.mu; a repository's refs change
//     only under its gitMu, which is always taken before Hub.mu.
//   - An App acts only with what its installation covers and its permissions
//     allow; a token that was narrowed stays narrow.
//   - Request input is never a path, never a Git option and never unescaped HTML:
//     repositories live in folders named by their id.
//   - It listens on and delivers to loopback only, unless Options.AllowRemote.
//
// README.md lists what is emulated and what differs from GitHub.
package hub
