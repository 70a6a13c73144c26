// Package state keeps in SQL what the bot would otherwise have to ask for again:
// which repositories are watched, what events said of their pull requests, what
// was reported where, which deliveries were worked, and which keys are marked to
// be looked at again.
//
// What always holds:
//
//   - Everything here but the marks of unfinished work can be rebuilt from git, the
//     forge and the audit repository: losing the database costs time, not records.
//   - An older fact never replaces a newer one, in whatever order events come, and
//     a merged pull request stays merged.
//   - A committed transaction survives kill -9 and power loss (WAL, synchronous
//     FULL).
//   - A binary refuses a database whose schema is newer than it knows.
//
// There is one writing connection, so that writers wait in Go and never see a busy
// database; reads have connections of their own and don't wait for writers. The
// statements use what SQLite and PostgreSQL have in common: $1 placeholders, BIGINT
// milliseconds since 1970 in UTC for times, TEXT holding JSON, ON CONFLICT, and no
// locking clause: where a row must be held, it is updated first.
//
// The queue package writes its jobs in the same transactions (see Update and
// Tx.SQL). The reconcilers call the methods of DB.
package state
