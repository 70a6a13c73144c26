// Package queue is the durable work queue of the reconcilers: River jobs in the
// state's own database.
//
// What always holds:
//
//   - When Accept returns nil, the delivery, its facts and its keys are on the disk.
//   - At most one run of a key is in progress.
//   - After an event is accepted, a run of each of its keys begins, and goes on
//     beginning until one succeeds. Events that come while a key waits share a run;
//     an event that comes during a run gets another run afterwards.
//   - A delivery is completed when, for each of its keys, a run that began after it
//     succeeded. A completed delivery is never worked again; any other is.
//   - No key is given up. Failures are retried with a growing delay.
//
// How: an event raises the generation of its key's mark and inserts a job unique by
// key, in one transaction. A run reads the generation before it begins; in the
// transaction that ends it, it lowers the mark to that generation, completes the
// deliveries up to it, and completes the job only when the generation stands
// unchanged. Otherwise it runs again in place. The end of a failed run completes
// its job and inserts the next one, due later, so a job is never changed by two
// parties and its errors don't pile up: they are kept in the mark.
//
// Concurrent calls of Accept share a transaction, so that the disk's sync, not the
// number of senders, bounds them.
//
// A process killed in the middle leaves a job running. With SQLite, one process works
// (state.DB.Lease), so Start knows such jobs to be orphans and frees them at once,
// and makes jobs for due marks that have none. With several processes on one server,
// the same release is due for the jobs of a process whose lease ended; nothing else
// depends on being alone.
//
// River wakes its workers through our listener as soon as a transaction commits.
// SQLite's own one polls the database every 50 ms.
package queue
