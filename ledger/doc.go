// Package ledger keeps the audit repository: a plain Git repository that is at
// once a signed commit history, a set of Sigstore bundles and a C2SP tlog-tiles
// transparency log over the same bytes, so that anybody can verify it with git,
// ssh-keygen, cosign or an x/mod/sumdb client and without this package.
//
// What always holds:
//
//   - CL-n is leaf n of the log, one commit on main, and is never edited.
//   - A batch of entries is published by one compare-and-swap of the branch:
//     all of it is visible or none of it. Two writers can't both win.
//   - Appending the same commit of the same repository twice makes one entry.
//   - Before an append the tip must be a descendant of the last tip seen, and its
//     checkpoint must verify. Otherwise the append is refused; nothing is
//     overwritten.
//   - Keys, the clock and randomness are arguments.
//
// Formats: in-toto Statement v1, DSSE v1 (PAE), Sigstore bundle v0.3, Rekor v2
// hashedrekord 0.0.2 (leaf), C2SP tlog-tiles, tlog-checkpoint and signed-note,
// OpenSSH SSHSIG (PROTOCOL.sshsig, namespace git).
package ledger
