// Package e2e tests Conductor as its users meet it: the built binary as a process
// of its own, a GitHub emulator that it talks to over HTTP, and real git. Each
// test that starts a bot has every REST request and response checked against
// GitHub's own OpenAPI description.
package e2e
