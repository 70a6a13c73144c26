// Package webhook is the intake of GitHub's deliveries: it verifies, bounds and
// parses a delivery, hands it on as an event, and answers when the event is durable.
//
// What always holds:
//
//   - Nothing of a body is looked at before its HMAC SHA-256 (X-Hub-Signature-256)
//     was verified in constant time with one of the secrets. There is no SHA-1, and
//     no intake without a secret.
//   - 202 is answered only after the event was accepted durably. GitHub doesn't
//     redeliver by itself, so an answer that is no success costs a delivery until
//     someone asks for it again: only what can't be stored gets 503.
//   - Bad input gets a 4xx, never a 5xx or a panic. A body takes at most MaxBody, all
//     bodies together at most Inflight, and each must come within BodyTimeout.
//
// The answers: 202 accepted, or ignored because there is nothing to do; 200 for a
// ping and for a delivery that was worked completely before; 400 for odd headers or
// a payload that can't be understood; 401 signature; 405 method; 413 size; 415
// content type; 503 when the event could not be stored, or too much comes in at once.
//
// The server around the handler must bound the rest: ReadHeaderTimeout (5 s),
// IdleTimeout (2 min), MaxHeaderBytes (64 KiB) and the number of connections. No
// WriteTimeout under 20 s: GitHub itself gives up after 10 s (an Enterprise Server
// after 30 s).
//
// Payloads are read through structs of our own, which hold only what is used.
// go-github's fail as a whole on one field that has another shape than they think,
// such as a custom property with several values, or a check run's app with a time in
// another format; that would lose the delivery. Specification: docs.github.com,
// "Webhook events and payloads".
package webhook
