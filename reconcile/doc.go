// Package reconcile holds the level-triggered loops. An event only says "look at
// this key again"; a reconciler reads what should be (git), reads what is (the
// ledger, the checks it reported) and does the difference.
//
// What always holds:
//
//   - Reconciling a key twice changes nothing the second time, whatever happened
//     in between: a crash, a lost, late, doubled or reordered event.
//   - Git is the truth for content. Of what an event said, only the facts that
//     git doesn't have (title, author, base branch) are used, and each is
//     refreshed by the forge when it is missing.
//   - A verdict is reported only on the commit that was judged, and only while it
//     is the pull request's head.
//
// A newcomer reads Branch.Reconcile to learn how a merge becomes a ledger entry,
// and Pull.Reconcile to learn how a pull request gets its checks.
package reconcile
