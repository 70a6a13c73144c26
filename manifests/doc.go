// Package manifests understands the YAML that tenants commit: it parses files
// into positioned resources, finds what breaks the tenant rules, says in words
// what a change means for which tenant, and prices it.
//
// What always holds:
//
//   - No I/O, no clock, no randomness. Bytes, the policy and the time come in
//     as values; the same input gives the same Verdict, byte for byte. (Time
//     zones named by schedules come from the system, else from the binary.)
//   - Foreign bytes are bounded in size, depth and alias expansion before they
//     are looked at. Whatever is refused becomes a Finding, never a panic and
//     never a silent skip.
//   - A pull request is judged by its base: policy, tenants, budgets, rate cards
//     and allowlists are read from the base snapshot (see Judge).
//   - Nothing is silently zero: a workload that can't be priced is listed as
//     unpriced, and totals that miss one are marked as lower bounds.
//   - Money is exact decimal with a currency and is rounded only when printed.
//
// The way through the code: parse.go and node.go read bytes, resource.go and
// kinds.go make objects of them, context.go gathers what judges, evaluate.go looks
// at each file by itself (tenant.go, jobs.go, cost_work.go), change.go and diff.go
// say what changed, judge.go and budget.go decide. A File remembers its last
// evaluation, so callers should keep Files and share them between Snapshots.
//
// Callers: reconcile judges pull requests and commits with it, and the check
// command runs the same code on a working tree.
package manifests
